//! `aks-tui demo`: the whole story on an embedded cluster.
//!
//! The lab is a process of its own, and the cockpit speaks to it as to any
//! other cluster. What the demo adds is only the holding: start the lab, find it
//! again after a cockpit died, stop it when a person leaves.

mod headless;
mod lab;
mod outcome;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use self::{
    headless::{Faults, Plan, Runner, Targets},
    lab::{Lab, LabArgs},
    outcome::Outcome,
};
use crate::{
    adapters::{
        cluster,
        journal::{RunInfo, StateDir, store},
        sink::Sink,
    },
    app::{
        cockpit::{Cockpit, Left},
        logging,
        looks::Looks,
        wires::{self, Laid, Socket},
    },
    cli::{CLIENT, LooksArgs, SERVER},
    core::{
        event::{Fact, Feed, FeedState},
        update::ui::Ui,
    },
};
use color_eyre::eyre::{Report, Result, WrapErr, eyre};

/// How long after a failure the lab is started again.
const RETRY: Duration = Duration::from_secs(5);

/// Show the whole story on an embedded cluster: no cloud, no containers
///
/// Starts a lab, a small Kubernetes on this machine whose pods are real processes, and opens the
/// cockpit on it. Where standard output is no terminal it runs without a screen.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run the whole path without a screen: kill, measure, end the run, compare totals
    #[arg(long)]
    headless: bool,

    /// Kills to survive
    #[arg(long, value_name = "N", default_value_t = 3, requires = "headless")]
    kills: usize,

    /// What is done to the victims
    #[arg(long, value_enum, default_value_t = Faults::Process, requires = "headless")]
    fault: Faults,

    /// Who the victims are
    #[arg(long, value_enum, default_value_t = Targets::Client, requires = "headless")]
    target: Targets,

    /// Pause between the end of a trial and the next kill, e.g. 3s or 500ms
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration, requires = "headless")]
    every: Duration,

    /// Determines every draw of lots
    #[arg(long, value_name = "S", requires = "headless")]
    seed: Option<u64>,

    /// Print the outcome as one JSON object on the last line of standard output
    #[arg(long, requires = "headless")]
    json: bool,

    #[command(flatten)]
    lab: LabArgs,

    #[command(flatten)]
    looks: LooksArgs,
}

/// Runs the demo, on the screen or without one.
pub fn run(args: Args) -> Result<ExitCode> {
    if args.headless {
        return run_headless(&args);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!(
            "standard input or output is no terminal: running `aks-tui demo --headless` \
             (see --help for its options)"
        );
        return run_headless(&args);
    }
    run_on_screen(args)
}

/// The demo's newest run whose cockpit died.
pub fn unfinished(state: &StateDir) -> Option<RunInfo> {
    // A plain cockpit's run has no lab, and nothing to go on with.
    store::unfinished(&state.runs())
        .ok()
        .flatten()
        .filter(|run| state.lab(&run.run).is_dir())
}

fn run_on_screen(args: Args) -> Result<ExitCode> {
    let looks = Looks::load(&args.looks)?;
    logging::to_pane();
    super::on_runtime(async {
        let state = StateDir::find()?;
        let Laid {
            wires,
            run,
            socket,
            model,
            log_since_ms,
        } = match unfinished(&state) {
            Some(info) => wires::resume(&info.run, &info.path)?,
            None => wires::begin(&store::run_id(store::wall_ms())),
        };
        let held = Held {
            dir: state.lab(&run.name),
            run: run.name.clone(),
            args: args.lab,
            log_since_ms,
        };
        let holder = tokio::spawn(held.hold(socket, run.sink.clone()));
        let ui = Ui::new(fastrand::u64(..));
        let left = match Cockpit::open(looks, model, ui, wires) {
            Ok(cockpit) => cockpit.run().await.map(|(left, _)| left),
            Err(error) => Err(error),
        };
        let asked = !matches!(left, Ok(Left::HungUp));
        run.close(asked).await;
        let lab = holder.await?;
        match (lab, asked) {
            (Some(lab), true) => lab.stop().await?,
            (Some(lab), false) => lab.leave(),
            (None, _) => {}
        }
        left?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The lab that a screen holds.
struct Held {
    dir: PathBuf,
    run: String,
    args: LabArgs,
    log_since_ms: Option<i64>,
}

impl Held {
    /// Starts or finds the lab while the screen is drawn already, then starts
    /// the cluster adapter on it. Ends when the run is closed, with the lab if
    /// there is one.
    async fn hold(self, socket: Socket, sink: Sink) -> Option<Lab> {
        let closed = socket.closed();
        tokio::pin!(closed);
        let what = FeedState::Waiting {
            what: "the lab to start".into(),
        };
        // If nobody listens, the run is closed too, and that is seen below.
        let _ = sink.feed(Feed::Pods, what).await;
        loop {
            match Lab::hold(&self.dir, &self.run, &self.args).await {
                Ok(lab) => {
                    let adapter = socket.start(options(lab.kubeconfig(), self.log_since_ms));
                    closed.await;
                    if let Err(error) = adapter.await {
                        tracing::error!(%error, "the cluster adapter died");
                    }
                    return Some(lab);
                }
                Err(error) => {
                    let retry_at = sink.clock().now() + RETRY;
                    let why = format!("{error:#}");
                    let _ = sink
                        .feed(Feed::Pods, FeedState::Broken { why, retry_at })
                        .await;
                }
            }
            tokio::select! {
                () = &mut closed => return None,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

fn options(kubeconfig: &Path, log_since_ms: Option<i64>) -> cluster::Options {
    cluster::Options {
        kubeconfig: Some(kubeconfig.to_owned()),
        context: None,
        namespace: None,
        client_selector: CLIENT.into(),
        server_selector: SERVER.into(),
        read_only: false,
        hold_lease: true,
        log_since_ms,
    }
}

fn run_headless(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    let plan = Plan {
        kills: args.kills,
        faults: args.fault,
        targets: args.target,
        every: args.every,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
    };
    super::on_runtime(async {
        eprintln!("seed {}", plan.seed);
        let state = StateDir::find()?;
        let Laid {
            wires, run, socket, ..
        } = wires::begin(&store::run_id(store::wall_ms()));
        let wanted = plan.kills;
        let lab = Lab::hold(&state.lab(&run.name), &run.name, &args.lab).await?;
        let adapter = socket.start(options(lab.kubeconfig(), None));
        let ran = Runner::new(plan, wires).run(interrupted()).await;
        let _ = run.sink.send(Fact::RunEnded).await;
        run.close(true).await;
        adapter.await?;
        lab.stop().await?;
        tell(&ran?, wanted, args.json)
    })
}

fn tell(outcome: &Outcome, wanted: usize, json: bool) -> Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string(outcome)?);
    } else {
        println!("{}", outcome.readable());
    }
    Ok(if outcome.is_good(wanted) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Resolves on SIGINT or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // An error means that no such signal will ever come.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// `3s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        other => return Err(eyre!("{other} is no unit of time here: use ms, s or m")),
    };
    let number: f64 = number
        .parse()
        .wrap_err("expected a time like 3s or 500ms")?;
    Duration::try_from_secs_f64(number * scale).map_err(Report::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_unit() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("3s").unwrap(), Duration::from_secs(3));
        assert_eq!(duration("1.5m").unwrap(), Duration::from_secs(90));
        assert!(
            duration("3h")
                .unwrap_err()
                .to_string()
                .contains("use ms, s or m")
        );
        assert!(duration("-1s").is_err() && duration("s").is_err());
    }
}

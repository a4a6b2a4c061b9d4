//! `aks-tui demo`: the whole story on an embedded cluster.
//!
//! The lab is a process of its own, and the cockpit speaks to it as to any
//! other cluster. What the demo adds is only the holding: start the lab, find it
//! again after a cockpit died, stop it when a person leaves.

mod lab;
mod scratch;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use self::lab::{Lab, LabArgs};
use crate::{
    adapters::{
        cluster,
        journal::{self, RunInfo, StateDir, store},
        sink::Sink,
    },
    app::{
        cockpit::{Cockpit, Left},
        logging,
        looks::Looks,
        signals,
        wires::{self, Laid, Socket},
    },
    cli::{CLIENT, LooksArgs, SERVER},
    core::{
        azure::desk::Wish,
        effect::Effect,
        event::{Event, Fact, Feed, FeedState, Trouble},
        update::ui::Ui,
    },
};
use color_eyre::eyre::{Report, Result, WrapErr, bail, eyre};
use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    azure::{
        ConfigArgs,
        desk::{self, Office},
        hands,
    },
    complain, duration,
    headless::{Ending, Faults, Outcome, Plan, Runner, Targets},
};

/// How long after a failure to start the lab it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long after its death a lab is started again.
const BREATH: Duration = Duration::from_secs(1);

/// Show the whole story on an embedded cluster: no cloud, no containers
///
/// Starts a lab, a small Kubernetes on this machine whose pods are real processes, and opens the
/// cockpit on it. Where standard output is no terminal it runs without a screen.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run the whole path without a screen: kill, measure, end the run, compare totals
    #[arg(long)]
    headless: bool,

    /// The whole path of a test bed in the cloud, against an Azure on this machine: plan, make,
    /// deploy, kill, clean. With --headless it succeeds only if one kill was survived and nothing
    /// is left
    #[arg(
        long,
        conflicts_with_all = ["kills", "fault", "duration", "target", "every", "within", "seed", "nodes"]
    )]
    from_scratch: bool,

    /// Kills to survive
    #[arg(long, value_name = "N", default_value_t = 3, requires = "headless")]
    kills: usize,

    /// What is done to the victims
    #[arg(long, value_enum, default_value = "process", requires = "headless")]
    fault: Faults,

    /// How long a fault that does not end by itself lasts, e.g. 10s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, requires = "headless")]
    duration: Duration,

    /// Who the victims are
    #[arg(long, value_enum, default_value_t = Targets::Client, requires = "headless")]
    target: Targets,

    /// Pause between the end of a trial and the next kill, e.g. 3s or 500ms
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration, requires = "headless")]
    every: Duration,

    /// How long a recovery may take before the kill counts as not survived
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration, requires = "headless")]
    within: Duration,

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
    let from_scratch = args.from_scratch;
    let headless = |args: Args| {
        if from_scratch {
            scratch::run(args.json, args.lab)
        } else {
            run_headless(&args)
        }
    };
    if args.headless {
        return headless(args);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        complain(
            "standard input or output is no terminal: running `aks-tui demo --headless` \
             (see --help for its options)",
        );
        return headless(args);
    }
    run_on_screen(args)
}

/// The demo's newest run whose cockpit died while its lab could be gone on with.
pub fn unfinished(state: &StateDir) -> Option<RunInfo> {
    unfinished_of(state, |_| true)
}

fn unfinished_of(state: &StateDir, kind: impl Fn(&Path) -> bool) -> Option<RunInfo> {
    let mut runs: Vec<_> = std::fs::read_dir(state.labs())
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|run| lab::is_there(&state.lab(run)) && kind(&state.lab(run)))
        .collect();
    runs.sort_unstable();
    let newest_first = runs.iter().rev();
    newest_first
        .filter_map(|run| store::look_at(&state.runs(), run))
        .find(|info| !info.ended && !info.living && info.trouble.is_none())
}

/// Goes on with the unfinished run, if there is one and it can be read; begins
/// one otherwise.
fn begin_or_resume(state: &StateDir, from_scratch: bool) -> Laid {
    let begin = || wires::begin(&store::run_id(store::wall_ms()));
    let same_kind = |dir: &Path| lab::has_azure(dir) == from_scratch;
    let Some(info) = unfinished_of(state, same_kind) else {
        return begin();
    };
    match wires::resume(&info.run, &info.path) {
        Ok(laid) => laid,
        // Another cockpit was faster.
        Err(journal::Error::Locked(_)) => begin(),
        Err(error) => {
            let mut laid = begin();
            let trouble = Trouble::new(
                format!("the demo run {} cannot be taken up: {error}", info.run),
                "this is a new run; the lab of that one stops itself after a while",
            );
            laid.model.apply(&Event {
                at: laid.model.now,
                fact: Fact::Trouble(trouble),
            });
            laid
        }
    }
}

fn run_on_screen(mut args: Args) -> Result<ExitCode> {
    let looks = Looks::load(&args.looks)?;
    logging::to_pane();
    super::on_runtime(async {
        let state = StateDir::find()?;
        let Laid {
            wires,
            run,
            mut socket,
            model,
            log_since_ms,
        } = begin_or_resume(&state, args.from_scratch);
        let (wishes, orders) = (socket.split_azure(), socket.split_machines());
        let mut ui = Ui::new(fastrand::u64(..));
        let mut scratch = None;
        if args.from_scratch {
            args.lab.azure = Some(scratch::TIME_SCALE);
            ui.order = scratch::load(&args.lab);
            scratch = Some((wishes, orders));
        } else {
            let office = Office::usual(ConfigArgs::default())?;
            let (sink, closing) = (socket.sink(), socket.closing());
            desk::start(Arc::clone(&office), sink.clone(), wishes, closing.clone());
            hands::start(office, sink, orders, closing, false);
        }
        let cockpit = match Cockpit::open(looks, model, ui, wires) {
            Ok(cockpit) => cockpit,
            Err(error) => {
                run.close(true).await;
                return Err(error).wrap_err("cannot use the terminal");
            }
        };
        let held = Held {
            state,
            run: run.name.clone(),
            args: args.lab,
            log_since_ms,
            scratch,
        };
        let holder = tokio::spawn(held.hold(socket, run.sink.clone()));
        let (left, _) = cockpit.run().await;
        run.close(left == Left::Asked).await;
        match (holder.await?, left) {
            (Some(lab), Left::Asked) => lab.stop().await?,
            (Some(lab), Left::HungUp) => lab.leave(),
            (None, _) => {}
        }
        Ok(left.exit_code())
    })
}

/// The lab that a screen holds.
struct Held {
    state: StateDir,
    run: String,
    args: LabArgs,
    log_since_ms: Option<i64>,
    /// Wishes about Azure, if there is nothing but an Azure at first; until the lab
    /// is there, they wait.
    scratch: Option<(mpsc::Receiver<Wish>, mpsc::Receiver<Effect>)>,
}

impl Held {
    /// Starts or finds the lab while the screen is drawn already, starts the
    /// cluster adapter on it, and starts a lab that died again. Ends when the
    /// run is closed, with the lab if there is one.
    async fn hold(mut self, socket: Socket, sink: Sink) -> Option<Lab> {
        lab::reap(&self.state, Some(&self.run));
        let dir = self.state.lab(&self.run);
        let closing = socket.closing();
        let mut plug = Plug::Free(socket);
        // If nobody listens, the run is closed too, and that is seen below.
        let _ = sink
            .feed(
                Feed::Pods,
                FeedState::Waiting {
                    what: "the lab to start".into(),
                },
            )
            .await;
        loop {
            let held = Lab::hold(&dir, &self.run, &self.args, closing.cancelled()).await;
            let pause = match held {
                Ok(Some(mut lab)) => {
                    let options = match self.options(&lab, &dir, &sink, &closing) {
                        Ok(options) => options,
                        Err(error) => {
                            plug.say(&sink, format!("{error:#}")).await;
                            closing.cancelled().await;
                            plug.pulled().await;
                            return Some(lab);
                        }
                    };
                    plug = plug.into(options);
                    tokio::select! {
                        () = closing.cancelled() => {
                            plug.pulled().await;
                            return Some(lab);
                        }
                        said = lab.ended() => {
                            let trouble = Trouble::new(
                                format!("the lab ended by itself: {said}"),
                                "it starts again, and what it ran recovers from its logs",
                            );
                            let _ = sink.send(Fact::Trouble(trouble)).await;
                            BREATH
                        }
                    }
                }
                Ok(None) => {
                    plug.pulled().await;
                    return None;
                }
                Err(error) => {
                    plug.say(&sink, format!("{error:#}")).await;
                    RETRY
                }
            };
            tokio::select! {
                () = closing.cancelled() => {
                    plug.pulled().await;
                    return None;
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl Held {
    /// What the cockpit is to look at; from scratch, nothing yet, and Azure is at
    /// hand from now on.
    fn options(
        &mut self,
        lab: &Lab,
        dir: &Path,
        sink: &Sink,
        closing: &CancellationToken,
    ) -> Result<cluster::Options> {
        let mut options = options(lab.kubeconfig(), self.log_since_ms);
        if self.args.azure.is_some() {
            options.nowhere = Some("no cluster yet".to_owned());
            let office = scratch::office(dir)?;
            if let Some((wishes, orders)) = self.scratch.take() {
                desk::start(Arc::clone(&office), sink.clone(), wishes, closing.clone());
                hands::start(office, sink.clone(), orders, closing.clone(), false);
            }
        }
        Ok(options)
    }
}

/// The cluster adapter, before and after there is a cluster.
enum Plug {
    Free(Socket),
    In(tokio::task::JoinHandle<()>),
}

impl Plug {
    /// Starts the adapter, if it does not run yet; one that runs finds the new
    /// lab by the same kubeconfig.
    fn into(self, options: cluster::Options) -> Self {
        match self {
            Self::Free(socket) => Self::In(socket.start(options)),
            running @ Self::In(_) => running,
        }
    }

    /// Says that there is no lab: until the adapter runs, its stream is ours.
    async fn say(&self, sink: &Sink, why: String) {
        let retry_at = sink.clock().now() + RETRY;
        let _ = match self {
            Self::Free(_) => {
                let broken = FeedState::Broken { why, retry_at };
                sink.feed(Feed::Pods, broken).await
            }
            Self::In(_) => {
                let next = format!("it is tried again every {} s", RETRY.as_secs());
                sink.send(Fact::Trouble(Trouble::new(why, next))).await
            }
        };
    }

    /// Waits for the adapter to end, once the run is closed.
    async fn pulled(self) {
        if let Self::In(adapter) = self
            && let Err(error) = adapter.await
        {
            tracing::error!(%error, "the cluster adapter died");
        }
    }
}

fn options(kubeconfig: PathBuf, log_since_ms: Option<i64>) -> cluster::Options {
    cluster::Options {
        lease: Some(kubeconfig.clone()),
        kubeconfig: Some(kubeconfig),
        nowhere: None,
        context: None,
        namespace: None,
        client_selector: CLIENT.into(),
        server_selector: SERVER.into(),
        read_only: false,
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
        within: args.within,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
        lasts: args.duration,
        yes: true,
        ending: Ending::FinishRun,
    };
    super::on_runtime(async {
        // Before there is a lab, which nobody else would put away.
        let interrupted = signals::interrupted()?.shared();
        complain(&format!("seed {}", plan.seed));
        let state = StateDir::find()?;
        lab::reap(&state, None);
        let laid = wires::begin(&store::run_id(store::wall_ms()));
        for (_, trouble) in &laid.model.troubles {
            complain(&trouble.what);
        }
        let (wanted, dir) = (plan.kills, state.lab(&laid.run.name));
        let held = Lab::hold(&dir, &laid.run.name, &args.lab, interrupted.clone()).await;
        let mut lab = match held {
            Ok(Some(lab)) => lab,
            Ok(None) => {
                laid.run.close(true).await;
                bail!("stopped by a signal before the lab was ready");
            }
            Err(error) => {
                laid.run.close(true).await;
                return Err(error);
            }
        };
        let adapter = laid.socket.start(options(lab.kubeconfig(), None));
        let stop = async {
            tokio::select! {
                () = interrupted => eyre!("stopped by a signal"),
                said = lab.ended() => eyre!("the lab ended by itself: {said}"),
            }
        };
        let (outcome, failure) = Runner::new(plan, laid.wires).run(stop).await;
        laid.run.close(true).await;
        adapter.await?;
        lab.stop().await?;
        tell(&outcome, failure, wanted, args.json)
    })
}

/// The outcome goes to standard output, whatever came in between.
fn tell(outcome: &Outcome, failure: Option<Report>, wanted: usize, json: bool) -> Result<ExitCode> {
    let text = if json {
        serde_json::to_string(outcome)?
    } else {
        outcome.readable()
    };
    super::print(&format!("{text}\n"))?;
    match failure {
        Some(failure) => Err(failure),
        None if outcome.is_good(wanted) => Ok(ExitCode::SUCCESS),
        None => bail!("not every kill was survived with nothing lost or doubled"),
    }
}

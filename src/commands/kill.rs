//! `aks-tui kill`: one fault on any cluster, followed to its verdict.
//!
//! It presses the keys that a person would press in the cockpit, and says of
//! the trial what the cockpit's ledger says.

use std::{process::ExitCode, time::Duration};

use color_eyre::eyre::{Result, bail, eyre};
use serde::Serialize;

use super::{
    azure::{ConfigArgs, desk::Office, hands},
    complain, duration,
    headless::{Ending, Faults, Plan, Runner, Targets, TrialOutcome},
};
use crate::{
    adapters::{cluster, journal::store},
    app::{
        logging, signals,
        wires::{self, Laid},
    },
    cli::ClusterArgs,
    core::azure::machines::UNSUPPORTED,
};

/// Inject one fault and follow it until the workload is back, or is not
///
/// Waits until both sides of the workload do new work, injects, and prints each phase as it is
/// seen. Succeeds only if the workload came back with nothing lost or doubled.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whom to hit
    #[arg(value_enum, default_value = "client")]
    target: Targets,

    /// What is done to the victim
    #[arg(long, value_enum, default_value = "process")]
    fault: Faults,

    /// How long a fault that does not end by itself lasts, e.g. 10s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,

    /// How long the recovery may take, beside the time that the fault lasts
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    within: Duration,

    /// Answer every question with yes: hit pods that aks-tui did not make, too
    #[arg(short, long)]
    yes: bool,

    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    survived: bool,
    lost: u64,
    duplicated: u64,
    #[serde(flatten)]
    trial: TrialOutcome,
}

/// Injects one fault and tells what came of it.
pub fn run(args: Args) -> Result<ExitCode> {
    logging::to_stderr();
    if args.cluster.read_only {
        bail!("--read-only: nothing is killed");
    }
    for selector in [&args.cluster.client, &args.cluster.server] {
        cluster::check_selector(selector)?;
    }
    let plan = Plan {
        kills: 1,
        faults: args.fault,
        targets: args.target,
        every: Duration::ZERO,
        within: args.within,
        seed: fastrand::u64(..),
        lasts: args.duration,
        yes: args.yes,
        ending: Ending::Leave,
    };
    super::on_runtime(async {
        let interrupted = signals::interrupted()?;
        let laid = wires::begin(&store::run_id(store::wall_ms()));
        for (_, trouble) in &laid.model.troubles {
            complain(&trouble.what);
        }
        let Laid {
            wires,
            run,
            mut socket,
            ..
        } = laid;
        let of_machines = matches!(args.fault, Faults::One(fault) if fault.by_azure().is_some());
        let office = Office::usual(args.config)?;
        if of_machines && hands::warn(&office.state) {
            complain(UNSUPPORTED);
        }
        let orders = socket.split_machines();
        hands::start(office, socket.sink(), orders, socket.closing(), false);
        let adapter = socket.start(args.cluster.into());
        let stop = async {
            interrupted.await;
            eyre!("stopped by a signal")
        };
        let (outcome, failure) = Runner::new(plan, wires).run(stop).await;
        run.close(true).await;
        adapter.await?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let (lost, duplicated) = (outcome.lost, outcome.duplicated);
        let survived = outcome.survived == 1 && lost == 0 && duplicated == 0;
        let Some(trial) = outcome.trials.into_iter().next_back() else {
            bail!("nothing was injected");
        };
        tell(
            &Verdict {
                survived,
                lost,
                duplicated,
                trial,
            },
            args.json,
        )
    })
}

fn tell(verdict: &Verdict, json: bool) -> Result<ExitCode> {
    let text = if json {
        serde_json::to_string(verdict)?
    } else {
        let Verdict {
            lost,
            duplicated,
            trial,
            ..
        } = verdict;
        let why = trial.reason.as_ref().map_or_else(
            || format!("{lost} lost, {duplicated} duplicated"),
            Clone::clone,
        );
        format!("{}, {why}", trial.readable())
    };
    super::print(&format!("{text}\n"))?;
    Ok(if verdict.survived {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

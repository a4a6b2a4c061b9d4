//! `aks-tui deploy`: the workload onto any cluster, from what would change to the
//! first line of new work.

mod show;
mod talk;

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;
use color_eyre::eyre::{Report, Result, bail, eyre};

pub(super) use self::{
    show::{Told, objects},
    talk::Talk,
};
use super::{complain, duration};
use crate::{
    adapters::cluster,
    app::{logging, signals},
    cli::ClusterArgs,
    core::{
        deploy::{Plan, Request, Stage},
        effect::Effect,
        workload::{
            Workload,
            order::{Order, Run, Storage},
        },
    },
};

/// Exit code of `--diff` when something would change.
const CHANGES: u8 = 2;

/// Deploy the workload onto the cluster, and wait until it works
///
/// Objects are applied by the server, as ours: twice is as good as once, and what
/// belongs to another field manager is not taken from it. What is not said stays
/// as it was when it was deployed last.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Args {
    /// What to deploy
    #[arg(value_enum)]
    workload: What,

    #[command(flatten)]
    asked: Asked,

    /// Show what would change, field by field, and change nothing; exit code 2 if anything would
    #[arg(long, conflicts_with = "dry_run")]
    diff: bool,

    /// Print the objects as YAML, checked by the server, and change nothing
    #[arg(long, conflicts_with = "json")]
    dry_run: bool,

    /// Take fields over that belong to other field managers
    #[arg(long)]
    force_conflicts: bool,

    /// Do not wait for the client's first line of new work
    #[arg(long)]
    no_wait: bool,

    /// How long the rollout may take, and then the first line of new work
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    timeout: Duration,

    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What can be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// The throughput test: a client sends rounds of messages, a server sends them back
    Perftest,
    /// Three messages, with a wait for Enter in between (`kubectl attach -i`)
    Helloworld,
}

impl From<What> for Workload {
    fn from(what: What) -> Self {
        match what {
            What::Perftest => Self::Perftest,
            What::Helloworld => Self::Helloworld,
        }
    }
}

/// What can be asked of a deployment.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Image of both sides; one called ambrosia-perftest or ambrosia-hello is AMBROSIA's own [default: aks-tui/perftest]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// The image is AMBROSIA's own, whatever it is called
    #[arg(long)]
    original: bool,

    /// Where the logs are: share:NAME (a file share of Azure), share:RESOURCE-GROUP/NAME,
    /// claim:NAME, class:NAME or class:NAME:SIZE (new claims), or pod (they go with it)
    /// [default: class:azurefile-csi, else the default class, else pod]
    #[arg(long, value_name = "WHERE")]
    storage: Option<Storage>,

    /// Go on with the run that is there, and fail if there is none; its -n wins
    #[arg(long, conflicts_with_all = ["fresh", "run"])]
    keep_logs: bool,

    /// Begin a new run, in a directory of its own; nothing of the old one is deleted
    #[arg(long, conflicts_with = "run")]
    fresh: bool,

    /// The run of this name, old or new
    #[arg(long, value_name = "NAME")]
    run: Option<String>,

    /// Rounds of the client; 0 goes on for ever [default: 0, AMBROSIA's image 20]
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,

    /// Payload of a message in the first round, in bytes [default: 65536]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<String>,

    /// Bytes of a round: 1048576, 1MiB, 1GiB [default: 1GiB]
    #[arg(long, value_name = "BYTES")]
    bytes_per_round: Option<String>,

    /// Payload bytes that the client sends a second at most [default: no limit]
    #[arg(long, value_name = "BYTES")]
    rate: Option<String>,

    /// Secret with the storage account's name and key [default: azure-fileshare-secret]
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,

    /// Secret for the image's registry [default: none]
    #[arg(long, value_name = "NAME")]
    pull_secret: Option<String>,

    /// Image that registers the instances of AMBROSIA's own image [default: ambrosia/ambrosia-dev]
    #[arg(long, value_name = "IMAGE")]
    register_image: Option<String>,
}

impl Asked {
    pub(super) fn request(self, workload: Workload, force: bool) -> Request {
        let run = match (self.keep_logs, self.fresh, self.run) {
            (true, ..) => Run::Keep,
            (_, true, _) => Run::Fresh,
            (.., Some(name)) => Run::Named(name),
            _ => Run::Present,
        };
        Request {
            workload,
            order: Order {
                image: self.image,
                original: self.original.then_some(true),
                storage: self.storage,
                rounds: self.rounds,
                max_message: self.max_message,
                bytes_per_round: self.bytes_per_round,
                rate: self.rate,
                secret: self.secret,
                pull_secret: self.pull_secret,
                register_image: self.register_image,
            },
            run,
            force,
        }
    }
}

/// Plans, shows, applies, waits.
pub fn run(args: Args) -> Result<ExitCode> {
    logging::to_stderr();
    let looks_only = args.diff || args.dry_run;
    if args.cluster.read_only && !looks_only {
        bail!("--read-only: nothing is deployed; --diff shows what would be");
    }
    for selector in [&args.cluster.client, &args.cluster.server] {
        cluster::check_selector(selector)?;
    }
    super::on_runtime(async {
        let interrupted = signals::interrupted()?;
        let mut talk = Talk::about(args.workload.into(), args.cluster.clone().into());
        let outcome = tokio::select! {
            outcome = converse(&mut talk, args) => outcome,
            () = interrupted => Err(eyre!("stopped by a signal; what was applied stays")),
        };
        talk.end().await;
        outcome
    })
}

async fn converse(talk: &mut Talk, args: Args) -> Result<ExitCode> {
    let request = args
        .asked
        .request(args.workload.into(), args.force_conflicts);
    let planned = talk.plan(Effect::PlanDeploy(Box::new(request))).await;
    let plan = match planned {
        Ok(plan) => plan,
        Err(failure) => return fail(args.json, None, failure),
    };
    if args.dry_run {
        for note in &plan.notes {
            complain(&format!("note: {note}"));
        }
        return super::print(&show::manifests(&plan));
    }
    if args.diff {
        let text = if args.json {
            told("planned", &plan, None)?
        } else {
            show::plan(&plan, true)
        };
        super::print(&text)?;
        return Ok(if plan.changes_anything() {
            ExitCode::from(CHANGES)
        } else {
            ExitCode::SUCCESS
        });
    }
    let how = How {
        force: args.force_conflicts,
        no_wait: args.no_wait,
        timeout: args.timeout,
        json: args.json,
    };
    bring_up(talk, &plan, &how).await
}

/// How a plan is carried out.
pub(super) struct How {
    /// Fields of others are taken over.
    pub force: bool,
    /// The first line of new work is not waited for.
    pub no_wait: bool,
    /// How long the rollout may take, and then that line.
    pub timeout: Duration,
    /// What came of it is printed as JSON.
    pub json: bool,
}

/// Does what was planned and says how it goes, until it works.
pub(super) async fn bring_up(talk: &mut Talk, plan: &Plan, how: &How) -> Result<ExitCode> {
    if !how.json {
        super::print(&show::plan(plan, false))?;
    }
    if let Some(conflict) = plan.conflicts.first().filter(|_| !how.force) {
        let why = eyre!(
            "{conflict}; nothing was changed: let it have it, or take it over with --force-conflicts"
        );
        return fail(how.json, Some(plan), why);
    }
    let wish = Effect::Deploy {
        plan: Box::new(plan.clone()),
        force: how.force,
        within: how.timeout,
    };
    let no_wait = how.no_wait;
    let enough = |stage: &Stage| no_wait && *stage == Stage::Working;
    let json = how.json;
    let say = |text: &str| {
        if !json {
            // Who has read enough does not keep the rollout from going on.
            let _ = super::print(&format!("{text}\n"));
        }
    };
    match talk.carry_out(wish, how.timeout, enough, say).await {
        Ok(stage) => done(plan, &stage, how.json),
        Err(failure) => fail(how.json, Some(plan), failure),
    }
}

fn done(plan: &Plan, stage: &Stage, json: bool) -> Result<ExitCode> {
    let (outcome, took) = match stage {
        Stage::Done { took } => ("working", Some(*took)),
        _ => ("rolled_out", None),
    };
    let text = match (json, took) {
        (true, took) => told(outcome, plan, took)?,
        (false, Some(took)) => {
            let seconds = took.as_secs_f64();
            format!("working  the client does new work, {seconds:.1} s after the first request\n")
        }
        (false, None) => String::new(),
    };
    super::print(&text)
}

fn told(outcome: &'static str, plan: &Plan, took: Option<Duration>) -> Result<String> {
    let told = Told {
        outcome,
        error: None,
        seconds: took.map(|took| took.as_secs_f64()),
        plan: Some(plan),
    };
    Ok(told.line()?)
}

/// A failure is an error for a person, and an answer for a program.
pub(super) fn fail(json: bool, plan: Option<&Plan>, failure: Report) -> Result<ExitCode> {
    if !json {
        return Err(failure);
    }
    let told = Told {
        outcome: "failed",
        error: Some(format!("{failure:#}")),
        seconds: None,
        plan,
    };
    super::print(&told.line()?)?;
    Ok(ExitCode::FAILURE)
}

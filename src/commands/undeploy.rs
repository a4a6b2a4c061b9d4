//! `aks-tui undeploy`: takes away what `deploy` made, and nothing else.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use color_eyre::eyre::{Result, bail, eyre};

use super::{
    deploy::{Talk, Told, What, fail, objects},
    duration,
};
use crate::{
    app::{logging, signals},
    cli::ClusterArgs,
    core::{deploy::Plan, effect::Effect},
};

/// Take the workload away: what aks-tui made, named before it goes
///
/// The logs stay, so that `deploy` goes on with them, unless --storage is given.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Args {
    /// Which [default: whatever is there]
    #[arg(value_enum)]
    workload: Option<What>,

    /// Delete the claims and volumes that were made for it, too
    #[arg(long)]
    storage: bool,

    /// Only show what would go
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// How long each object may take to go
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    timeout: Duration,

    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Plans, names, asks, deletes, waits.
pub fn run(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    if args.cluster.read_only && !args.dry_run {
        bail!("--read-only: nothing is taken away; --dry-run shows what would be");
    }
    super::on_runtime(async {
        let interrupted = signals::interrupted()?;
        let mut talk = Talk::with(args.cluster.clone().into());
        let outcome = tokio::select! {
            outcome = converse(&mut talk, args) => outcome,
            () = interrupted => Err(eyre!("stopped by a signal; what was told to go goes")),
        };
        talk.end().await;
        outcome
    })
}

async fn converse(talk: &mut Talk, args: &Args) -> Result<ExitCode> {
    let wish = Effect::PlanUndeploy {
        workload: args.workload.map(Into::into),
        storage: args.storage,
    };
    let plan = match talk.plan(wish).await {
        Ok(plan) => plan,
        Err(failure) => return fail(args.json, None, failure),
    };
    if !args.json {
        let mut text = format!(
            "what aks-tui made in namespace {} of context {}\n",
            plan.namespace, plan.context
        );
        objects(&mut text, &plan, false);
        super::print(&text)?;
    }
    if args.dry_run {
        return tell(args, "planned", &plan);
    }
    if !plan.changes_anything() {
        if !args.json {
            super::print("nothing is there to go\n")?;
        }
        return tell(args, "removed", &plan);
    }
    if !args.yes
        && let Err(failure) = confirm(plan.namespace.clone()).await
    {
        return fail(args.json, Some(&plan), failure);
    }
    let wish = Effect::Undeploy {
        plan: Box::new(plan.clone()),
        within: args.timeout,
    };
    let objects = plan.objects.len() as u32;
    let json = args.json;
    let say = |text: &str| {
        if !json {
            // Who has read enough does not keep the rest from going.
            let _ = super::print(&format!("{}\n", text.replacen("done", "gone", 1)));
        }
    };
    match talk
        .carry_out(wish, args.timeout * objects, |_| false, say)
        .await
    {
        Ok(_) => tell(args, "removed", &plan),
        Err(failure) => fail(args.json, Some(&plan), failure),
    }
}

/// What would be lost must be meant: its place is typed.
async fn confirm(namespace: String) -> Result<()> {
    if !io::stdin().is_terminal() {
        bail!("nothing is taken away unasked: answer on a terminal, or give --yes");
    }
    // A thread of its own: a person may take their time, or leave.
    let typed = tokio::task::spawn_blocking(move || {
        let mut out = io::stderr();
        write!(out, "type the namespace, {namespace}, to take it away: ")?;
        out.flush()?;
        let mut typed = String::new();
        io::stdin().lock().read_line(&mut typed)?;
        Ok::<_, io::Error>(typed.trim() == namespace)
    });
    if typed.await?? {
        return Ok(());
    }
    bail!("not done: that is not its name")
}

fn tell(args: &Args, outcome: &'static str, plan: &Plan) -> Result<ExitCode> {
    if !args.json {
        return Ok(ExitCode::SUCCESS);
    }
    let told = Told {
        outcome,
        error: None,
        seconds: None,
        plan: Some(plan),
    };
    super::print(&told.line()?)
}

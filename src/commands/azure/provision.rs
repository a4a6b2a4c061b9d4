//! `aks-tui provision`: what is there to do in Azure, and, on yes, doing it.

use std::{fs, path::PathBuf, process::ExitCode};

use color_eyre::eyre::{Result, WrapErr, bail};
use serde_json::json;

use super::{ConfigArgs, Times, bars::Bars, confirm, words};
use crate::{
    adapters::{
        azure::{
            Client, apply, kubernetes,
            plan::{self, Planned},
        },
        journal::StateDir,
    },
    app::{logging, signals},
    commands::{complain, on_runtime, print},
    core::azure::{
        plan::{Cost, Plan},
        progress::{Progress, State},
        settings::Settings,
    },
};

/// Exit code of `--plan` when there is something to do.
const TO_DO: u8 = 2;

/// Make what aks-tui.yaml wants in Azure: storage, registry, cluster
///
/// Shows first what will be created, changed and left alone, what it costs and how long it takes.
/// Interrupted, it is run again and goes on. The cluster's credentials go to a file of their own;
/// your kubeconfig is not touched.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Only show the plan; exit code 2 if there is something to do, 1 if something stands in its way
    #[arg(long)]
    plan: bool,

    /// Print JSON: the plan as one object, progress as one object a line
    #[arg(long)]
    json: bool,

    /// Write the template and its parameters into DIR, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with = "plan")]
    export: Option<PathBuf>,

    /// Register providers that the subscription has not registered yet
    #[arg(long)]
    register: bool,

    /// Answer the question with yes
    #[arg(short, long)]
    yes: bool,

    /// With --yes: take back, too, what others changed since it was made
    #[arg(long, requires = "yes")]
    repair: bool,
}

/// Plans, asks, makes.
pub fn run(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    let settings = args.config.load()?;
    on_runtime(async {
        let client = super::sign_in(&settings).await?;
        let state = StateDir::find()?;
        let mut times = Times::load(&state);
        let mut planned = plan::make(&client, &settings, &|kind| times.seconds(kind)).await?;
        if let Some(dir) = &args.export {
            return export(&planned, dir);
        }
        if args.register && !args.plan {
            let mut tell = teller(args.json, &mut times);
            apply::register(&client, &planned.paths.subscription, &mut tell).await?;
            drop(tell);
            planned = plan::make(&client, &settings, &|kind| times.seconds(kind)).await?;
        }
        show(&planned, args.json)?;
        let stopped = planned.plan.stops().next().is_some();
        if args.plan {
            return Ok(match (stopped, planned.plan.is_done()) {
                (true, _) => ExitCode::FAILURE,
                (false, true) => ExitCode::SUCCESS,
                (false, false) => ExitCode::from(TO_DO),
            });
        }
        if stopped {
            bail!("something stands in the way: nothing was changed");
        }
        agree(&planned.plan, args.yes, args.repair)?;
        let made = make(&client, &settings, &planned, args.json, &mut times).await;
        times.save(&state);
        made
    })
}

/// Nothing is made without a yes, and what others changed is not taken back by one
/// that was given before it was seen.
pub fn agree(plan: &Plan, yes: bool, repair: bool) -> Result<()> {
    if plan.is_done() {
        return Ok(());
    }
    let drifted = plan.drifted().count();
    if yes {
        if drifted > 0 && !repair {
            bail!(
                "others changed what was made ({drifted} of the resources, marked above): add --repair to take that back, or write it into aks-tui.yaml; nothing was changed"
            );
        }
        return Ok(());
    }
    let what = if drifted > 0 {
        "This takes back what others changed, and makes resources that cost money."
    } else {
        "This makes and changes resources that cost money."
    };
    if confirm(what, "yes")? {
        return Ok(());
    }
    bail!("nothing was changed");
}

/// Shows a plan.
pub fn show(planned: &Planned, json: bool) -> Result<()> {
    if json {
        let mut line = serde_json::to_value(&planned.plan)?;
        line["cost_per_hour"] = json!(planned.plan.cost.as_ref().map(Cost::per_hour));
        line["to_do"] = json!(!planned.plan.is_done());
        line["drifted"] = planned.plan.drifted().map(|it| json!(it.id)).collect();
        print(&format!("{line}\n"))?;
    } else {
        print(&words::plan(&planned.plan))?;
    }
    Ok(())
}

/// Says progress, in bars where there is a terminal, and keeps how long things took.
pub fn teller(json: bool, times: &mut Times) -> impl FnMut(Progress) + Send {
    let mut bars = if json { None } else { Bars::on_terminal() };
    move |progress| {
        remember(times, &progress);
        // Whoever stopped reading does not stop the work.
        let say = |line: String| drop(print(&format!("{line}\n")));
        match &mut bars {
            _ if json => say(serde_json::to_string(&progress).unwrap_or_default()),
            Some(bars) => {
                if bars.tell(&progress, |kind| times.seconds(kind)) {
                    bars.above(|| say(words::progress(&progress)));
                }
            }
            None => say(words::progress(&progress)),
        }
    }
}

/// Keeps how long a resource took that is done.
pub fn remember(times: &mut Times, progress: &Progress) {
    if let Progress::Resource(resource) = progress
        && resource.state == State::Done
        && let Some(seconds) = resource.seconds
    {
        times.took(&resource.kind, seconds);
    }
}

/// Carries the plan out, and cancels it when a person does.
pub async fn make(
    client: &Client,
    settings: &Settings,
    planned: &Planned,
    json: bool,
    times: &mut Times,
) -> Result<ExitCode> {
    let interrupted = signals::interrupted()?;
    let done = {
        let mut tell = teller(json, times);
        let kubeconfig = super::kubeconfig(&StateDir::find()?, settings);
        let work = carry_out(client, settings, planned, kubeconfig, &mut tell);
        tokio::select! {
            done = work => Some(done),
            () = interrupted => None,
        }
    };
    let Some(done) = done else {
        complain(
            "cancelling the deployment; what is made already stays, and `aks-tui provision` goes on from there",
        );
        apply::cancel(client, planned).await?;
        bail!("stopped by a signal");
    };
    let path = done?;
    let text = if json {
        format!("{}\n", json!({"what": "ready", "kubeconfig": path}))
    } else {
        format!(
            "ready; the cockpit on it: aks-tui --kubeconfig {}\n",
            path.display()
        )
    };
    print(&text)
}

/// Makes the plan true, fetches the credentials, waits for the nodes and hands the
/// storage key to the cluster. Returns where the credentials are: at `path`.
pub async fn carry_out(
    client: &Client,
    settings: &Settings,
    planned: &Planned,
    path: PathBuf,
    tell: &mut (impl FnMut(Progress) + Send),
) -> Result<PathBuf> {
    if !planned.plan.is_done() {
        apply::apply(client, settings, planned, tell).await?;
    }
    let cluster = &settings.cluster.name;
    kubernetes::wait_for_cluster(client, &planned.paths, cluster, tell).await?;
    tell(Progress::Step {
        doing: format!(
            "fetch the credentials of the cluster {}",
            settings.cluster.name
        ),
    });
    let program = std::env::current_exe().wrap_err("cannot tell where this program is")?;
    kubernetes::write_kubeconfig(client, &planned.paths, settings, &path, &program).await?;
    let cluster = kubernetes::connect(&path).await?;
    kubernetes::wait_for_nodes(&cluster, settings.cluster.nodes, tell).await?;
    tell(Progress::Step {
        doing: format!(
            "apply the secret {}/{} of the storage account",
            settings.workload.namespace, settings.storage.secret
        ),
    });
    let key = kubernetes::account_key(client, &planned.paths, &settings.storage.account).await?;
    kubernetes::apply_share_secret(&cluster, settings, &key).await?;
    Ok(path)
}

fn export(planned: &Planned, dir: &std::path::Path) -> Result<ExitCode> {
    fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
    let parameters = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
        "contentVersion": "1.0.0.0",
        "parameters": planned.deployable.parameters,
    });
    for (name, value) in [
        ("template.json", &planned.deployable.template),
        ("parameters.json", &parameters),
    ] {
        let path = dir.join(name);
        fs::write(&path, format!("{value:#}\n"))
            .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    print(&format!(
        "wrote {0}/template.json and parameters.json; az deployment group create -g {1} -f {0}/template.json -p @{0}/parameters.json\n",
        dir.display(),
        planned.paths.group
    ))
}

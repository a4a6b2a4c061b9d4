//! `aks-tui run`: the whole document in one command. What is missing is made, the
//! workload is deployed, and what it says is told until it is done.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use color_eyre::eyre::{Result, bail, eyre};
use futures::FutureExt as _;

use super::{ConfigArgs, Times, build, follow::follow, provision};
use crate::{
    adapters::{
        azure::{Client, apply, plan},
        cluster,
        journal::StateDir,
    },
    app::{logging, signals},
    commands::{
        complain,
        deploy::{Asked, How, Talk, What, bring_up, fail},
        duration, on_runtime,
    },
    core::{
        azure::settings::Settings,
        deploy::Request,
        effect::Effect,
        workload::{
            Workload,
            order::{self, Order},
        },
    },
};

/// Make what is missing in Azure, deploy, and follow: the whole document in one command
///
/// Safe to repeat: what is there stays, a run that was begun goes on. What is not given is
/// as aks-tui.yaml says. Enter is passed on to helloworld's client. Ctrl-C ends the
/// following; the workload works on, until `aks-tui undeploy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to run
    #[arg(value_enum)]
    workload: What,

    #[command(flatten)]
    asked: Asked,

    /// First build the image in the registry from this directory's Dockerfile, or from
    /// aks-tui's own in a checkout of it
    #[arg(long, value_name = "DIR", conflicts_with = "image")]
    build: Option<PathBuf>,

    /// How long the rollout may take, and then the first line of new work
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    timeout: Duration,

    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,

    /// Answer the question with yes
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Where a checkout of aks-tui has the Dockerfile of our image.
const OWN_DOCKERFILE: &str = "assets/image/Dockerfile";

/// Provisions, builds, deploys, follows.
pub fn run(args: Args) -> Result<ExitCode> {
    logging::to_stderr();
    let settings = args.config.load()?;
    let workload = Workload::from(args.workload);
    on_runtime(async {
        let interrupted = signals::interrupted()?.shared();
        let client = super::sign_in(&settings).await?;
        let kubeconfig = ground(&client, &settings, &args).await?;
        let image = image(&client, &settings, args.build.as_deref()).await?;
        let request = args.asked.request(workload, false);
        let request = Request {
            order: request.order.over(usual(&settings, workload, image)),
            ..request
        };
        let how = How {
            force: false,
            no_wait: false,
            timeout: args.timeout,
            json: args.json,
        };
        let mut talk = Talk::about(
            workload,
            cluster::Options {
                kubeconfig: Some(kubeconfig.clone()),
                namespace: Some(settings.workload.namespace.clone()),
                ..cluster::Options::default()
            },
        );
        let brought = tokio::select! {
            brought = bring(&mut talk, request, &how) => brought,
            () = interrupted.clone() => Err(eyre!("stopped by a signal; what was made and applied stays")),
        };
        let outcome = match brought {
            Ok(ExitCode::SUCCESS) => {
                if !args.json {
                    complain(&format!(
                        "following; the cockpit on it: aks-tui --kubeconfig {}",
                        kubeconfig.display()
                    ));
                }
                tokio::select! {
                    followed = follow(&mut talk, args.json) => followed,
                    () = interrupted => {
                        complain("the workload works on; `aks-tui undeploy` takes it away");
                        Ok(ExitCode::SUCCESS)
                    }
                }
            }
            other => other,
        };
        talk.end().await;
        outcome
    })
}

/// Makes the plan true, if a person agrees. Gives where the credentials are.
async fn ground(client: &Client, settings: &Settings, args: &Args) -> Result<PathBuf> {
    let state = StateDir::find()?;
    let mut times = Times::load(&state);
    let planned = plan::make(client, settings, &|kind| times.seconds(kind)).await?;
    let done = planned.plan.is_done();
    if !done {
        provision::show(&planned, args.json)?;
    }
    if planned.plan.stops().next().is_some() {
        if done {
            provision::show(&planned, args.json)?;
        }
        bail!("something stands in the way: nothing was changed");
    }
    provision::agree(&planned.plan, args.yes, false)?;
    let interrupted = signals::interrupted()?;
    let kubeconfig = super::kubeconfig(&state, settings);
    let mut tell = provision::teller(args.json, &mut times);
    let made = tokio::select! {
        made = provision::carry_out(client, settings, &planned, kubeconfig, &mut tell) => Some(made),
        () = interrupted => None,
    };
    drop(tell);
    times.save(&state);
    let Some(made) = made else {
        complain("cancelling the deployment; what is made already stays");
        apply::cancel(client, &planned).await?;
        bail!("stopped by a signal; `aks-tui run` goes on from there");
    };
    made
}

/// The image that the settings mean; with `dir`, built first.
async fn image(client: &Client, settings: &Settings, dir: Option<&Path>) -> Result<String> {
    if let Some(dir) = dir {
        let files = [build::DOCKERFILE, OWN_DOCKERFILE];
        let file = files.into_iter().find(|file| dir.join(file).is_file());
        let file = file.unwrap_or(build::DOCKERFILE);
        let image = build::from(client, settings, dir, file, &order::our_image()).await?;
        return Ok(image.image);
    }
    settings
        .image()
        .ok_or_else(|| eyre!("aks-tui.yaml names neither workload.image nor registry.name"))
}

/// What the settings say of a deployment; what a person asks for comes before it.
fn usual(settings: &Settings, workload: Workload, image: String) -> Order {
    let usual = settings.order();
    Order {
        image: Some(image),
        rounds: usual.rounds.filter(|_| workload == Workload::Perftest),
        ..usual
    }
}

async fn bring(talk: &mut Talk, request: Request, how: &How) -> Result<ExitCode> {
    match talk.plan(Effect::PlanDeploy(Box::new(request))).await {
        Ok(plan) => bring_up(talk, &plan, how).await,
        Err(failure) => fail(how.json, None, failure),
    }
}

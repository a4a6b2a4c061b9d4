//! `aks-tui run`: the whole document in one command. What is missing is made, the
//! workload is deployed, and what it says is told until it is done.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use color_eyre::eyre::{Result, bail, eyre};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{ConfigArgs, Times, build, provision};
use crate::{
    adapters::{
        azure::{Client, apply, plan},
        cluster,
    },
    app::{logging, signals},
    commands::{
        complain,
        deploy::{Asked, How, Talk, What, bring_up, fail},
        duration, on_runtime, print,
    },
    core::{
        azure::settings::Settings,
        deploy::Request,
        effect::Effect,
        event::Fact,
        workload::{
            GREETING, Role, SERVER_GREETING, Workload,
            order::{self, Order, Storage},
        },
    },
    ui::format,
};

/// Make what is missing in Azure, deploy, and follow: the whole document in one command
///
/// Safe to repeat: what is there stays, a run that was begun goes on. Ctrl-C ends the
/// following; the workload works on, until `aks-tui undeploy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to run
    #[arg(value_enum)]
    workload: What,

    #[command(flatten)]
    asked: Asked,

    /// First build the image in the registry from this directory's Dockerfile
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
    let mut times = Times::load();
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
    let mut tell = provision::teller(args.json, &mut times);
    let made = tokio::select! {
        made = provision::carry_out(client, settings, &planned, &mut tell) => Some(made),
        () = interrupted => None,
    };
    drop(tell);
    times.save();
    let Some(made) = made else {
        complain("cancelling the deployment; what is made already stays");
        apply::cancel(client, &planned).await?;
        bail!("stopped by a signal; `aks-tui run` goes on from there");
    };
    made
}

/// The image that the settings mean; with `dir`, built first.
async fn image(client: &Client, settings: &Settings, dir: Option<&Path>) -> Result<String> {
    let named = format!("{}:{}", order::IMAGE, env!("CARGO_PKG_VERSION"));
    if let Some(dir) = dir {
        let image = build::from(client, settings, dir, build::DOCKERFILE, &named).await?;
        return Ok(image.image);
    }
    Ok(match (&settings.workload.image, &settings.registry.name) {
        (image, _) if !image.is_empty() => image.clone(),
        (_, registry) => format!("{registry}.azurecr.io/{named}"),
    })
}

/// What the settings say of a deployment; what a person asks for comes before it.
fn usual(settings: &Settings, workload: Workload, image: String) -> Order {
    let share = settings.storage.shares.first().map(|share| Storage::Share {
        share: share.name.clone(),
        resource_group: None,
    });
    let rounds = u64::from(settings.workload.rounds);
    Order {
        image: Some(image),
        storage: share,
        secret: Some(settings.storage.secret.clone()),
        rounds: (workload == Workload::Perftest).then_some(rounds),
        ..Order::default()
    }
}

async fn bring(talk: &mut Talk, request: Request, how: &How) -> Result<ExitCode> {
    match talk.plan(Effect::PlanDeploy(Box::new(request))).await {
        Ok(plan) => bring_up(talk, &plan, how).await,
        Err(failure) => fail(how.json, None, failure),
    }
}

/// Says what the workload says, until it is done.
async fn follow(talk: &mut Talk, json: bool) -> Result<ExitCode> {
    let mut teller = Teller {
        original: talk.is_original(),
        ..Teller::default()
    };
    loop {
        for (value, text) in talk.unheard().iter().flat_map(|fact| teller.said(fact)) {
            print(&if json {
                format!("{value}\n")
            } else {
                format!("{text}\n")
            })?;
        }
        if talk.is_done() {
            return end(talk, json);
        }
        talk.listen().await?;
    }
}

fn end(talk: &Talk, json: bool) -> Result<ExitCode> {
    let bytes = talk.total();
    let total = bytes.map_or_else(String::new, |bytes| {
        format!(": {} bytes came back", format::thousands(bytes))
    });
    print(&if json {
        format!("{}\n", json!({"what": "done", "bytes": bytes}))
    } else {
        format!("done{total}\n")
    })
}

/// Tells each round once. Ours are numbered, so it does not matter whether one was
/// printed before anybody looked, or again by a replay; the original's are not, and
/// only what is news is told of them.
#[derive(Debug, Default)]
struct Teller {
    /// Rounds have no numbers.
    original: bool,
    /// The round whose number comes next: its size and throughput.
    last: Option<(u64, f64)>,
    /// The highest number that was told.
    told: u64,
}

impl Teller {
    /// What of a fact is told, for programs and for people.
    fn said(&mut self, fact: &Fact) -> Vec<(Value, String)> {
        match fact {
            Fact::Round {
                role: Role::Client,
                size,
                gib_s,
                replayed,
            } => {
                self.last = Some((*size, *gib_s));
                let news = (self.original && !replayed).then(|| round(None, *size, *gib_s));
                news.into_iter().collect()
            }
            Fact::RoundEnd {
                role: Role::Client,
                index,
                ..
            } => {
                let news = self.last.take().filter(|_| *index > self.told);
                self.told = self.told.max(*index);
                let told = news.map(|(size, gib_s)| round(Some(*index), size, gib_s));
                told.into_iter().collect()
            }
            Fact::Recovered { role, millis, .. } => vec![(
                json!({"what": "recovered", "role": role, "milliseconds": millis}),
                format!("the {role} is back: it recovered in {millis} ms"),
            )],
            Fact::OutOfOrder {
                role,
                expected,
                got,
                replayed: false,
            } => vec![(
                json!({"what": "out_of_order", "role": role, "expected": expected, "got": got}),
                format!("the {role} expected call {expected} and got {got}"),
            )],
            Fact::Log { role, lines } => lines
                .iter()
                .filter(|line| !line.replayed && is_greeting(&line.text))
                .map(|line| {
                    (
                        json!({"what": "said", "role": role, "text": line.text}),
                        line.text.clone(),
                    )
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn round(index: Option<u64>, size: u64, gib_s: f64) -> (Value, String) {
    (
        json!({"what": "round", "index": index, "size": size, "gib_per_second": gib_s}),
        format!("{size:>9} B  {}", format::throughput(gib_s)),
    )
}

fn is_greeting(text: &str) -> bool {
    text.starts_with(GREETING) || text.starts_with(SERVER_GREETING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(original: bool, facts: &[Fact]) -> Vec<u64> {
        let mut teller = Teller {
            original,
            ..Teller::default()
        };
        facts
            .iter()
            .flat_map(|fact| teller.said(fact))
            .map(|(value, _)| value["size"].as_u64().unwrap())
            .collect()
    }

    fn ended(size: u64, replayed: bool) -> Fact {
        Fact::Round {
            role: Role::Client,
            size,
            gib_s: 0.5,
            replayed,
        }
    }

    fn numbered(index: u64) -> Fact {
        Fact::RoundEnd {
            role: Role::Client,
            index,
            size: 1,
            bytes: 1,
        }
    }

    #[test]
    fn a_round_is_told_once_also_if_it_ended_before_anybody_looked() {
        let facts = [
            ended(8, true),
            numbered(1),
            ended(4, false),
            numbered(2),
            // A kill, and its replay.
            ended(4, true),
            numbered(2),
            ended(2, false),
            numbered(3),
        ];
        assert_eq!(sizes(false, &facts), [8, 4, 2]);
    }

    #[test]
    fn of_rounds_without_numbers_only_news_is_told() {
        let facts = [ended(8, true), ended(4, false), ended(4, true)];
        assert_eq!(sizes(true, &facts), [4]);
    }
}

//! `aks-tui cluster`: the cluster's power, and that of its nodes.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Subcommand, ValueEnum};
use color_eyre::eyre::{Result, bail, eyre};
use jiff::Timestamp;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::{ConfigArgs, Times, confirm, provision};
use crate::{
    adapters::azure::{Client, api::Paths, machines, preflight, sight::Looker},
    app::logging,
    commands::{complain, on_runtime, print},
    core::azure::{
        bed::{Sight, Thing},
        machines::{Machine, Operation, UNSUPPORTED},
        spent::Spent,
    },
};

/// Stop and start the cluster and its nodes, and see what runs and what it costs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    config: ConfigArgs,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    /// Answer the question with yes
    #[arg(short, long, global = true)]
    yes: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Is it running, which nodes has it, what does an hour cost
    Status,
    /// Start it
    Start,
    /// Stop it: stopped, its nodes cost nothing
    Stop,
    /// Do something to the machine of one node
    Node {
        /// The node, as `kubectl get nodes` names it
        name: String,
        /// What
        #[arg(value_enum)]
        operation: NodeOperation,
    },
    /// Start every node that is off
    Heal,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NodeOperation {
    /// Start it again: it is away for a minute or two
    Restart,
    /// Switch it off; it stays off until it is started
    PowerOff,
    /// Switch it off and give its hardware back; it stays off until it is started
    Deallocate,
    /// Give it a fresh disk: it is away for some minutes
    Reimage,
    /// Start it
    Start,
}

impl From<NodeOperation> for Operation {
    fn from(operation: NodeOperation) -> Self {
        match operation {
            NodeOperation::Restart => Self::Restart,
            NodeOperation::PowerOff => Self::PowerOff,
            NodeOperation::Deallocate => Self::Deallocate,
            NodeOperation::Reimage => Self::Reimage,
            NodeOperation::Start => Self::Start,
        }
    }
}

/// Shows or changes.
pub fn run(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    let settings = args.config.load()?;
    on_runtime(async {
        let client = super::sign_in(&settings).await?;
        let subscription = preflight::subscription(&client, &settings.azure.subscription).await?;
        let paths = Paths {
            subscription: subscription["subscriptionId"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            group: settings.azure.resource_group.clone(),
        };
        let name = &settings.cluster.name;
        if machines::power(&client, &paths, name).await?.is_none() {
            bail!(
                "there is no cluster {name} in {}; `aks-tui provision` makes it",
                paths.group
            );
        }
        let mut times = Times::default();
        let mut tell = provision::teller(args.json, &mut times);
        match &args.what {
            What::Status => {
                let mut looker = Looker::new(client, settings.clone(), &subscription);
                return status(&looker.look().await?, name, args.json);
            }
            What::Start => machines::switch(&client, &paths, name, true, &mut tell).await?,
            What::Stop => {
                let question =
                    format!("This stops the cluster {name} with everything that runs on it.");
                if !args.yes && !confirm(&question, "yes")? {
                    bail!("nothing was changed");
                }
                machines::switch(&client, &paths, name, false, &mut tell).await?;
            }
            What::Node {
                name: node,
                operation,
            } => {
                let machine = find(&client, &paths, name, node).await?;
                let operation = Operation::from(*operation);
                if operation != Operation::Start {
                    complain(&format!("{UNSUPPORTED}; `aks-tui cluster heal` starts it"));
                    let question = format!("This does {} to the node {node}.", operation.words());
                    if !args.yes && !confirm(&question, "yes")? {
                        bail!("nothing was changed");
                    }
                }
                machines::operate(&client, &machine, operation, &mut tell).await?;
            }
            What::Heal => {
                for machine in machines::list(&client, &paths, name).await? {
                    if machine.is_off() {
                        machines::operate(&client, &machine, Operation::Start, &mut tell).await?;
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn find(client: &Client, paths: &Paths, cluster: &str, node: &str) -> Result<Machine> {
    let all = machines::list(client, paths, cluster).await?;
    let names: Vec<String> = all.iter().map(|machine| machine.node.clone()).collect();
    all.into_iter()
        .find(|machine| machine.node == node)
        .ok_or_else(|| {
            eyre!(
                "the cluster has no node {node}: it has {}",
                names.join(", ")
            )
        })
}

fn status(sight: &Sight, cluster: &str, json: bool) -> Result<ExitCode> {
    for what in &sight.unseen {
        complain(what);
    }
    let power = sight.cluster.as_ref().map_or("", |it| it.power.as_str());
    let nodes = sight.things.iter().filter(|thing| thing.kind == "node");
    let pool = |thing: &Thing| {
        let mut more = thing.more.iter();
        let found = more.find(|(name, _)| name == "pool");
        found.map(|(_, pool)| pool.clone()).unwrap_or_default()
    };
    if json {
        let nodes: Vec<_> = nodes
            .map(|it| json!({"node": it.name, "pool": pool(it), "power": it.state, "id": it.id}))
            .collect();
        let said = json!({
            "cluster": cluster,
            "power": power,
            "nodes": nodes,
            "cost_per_hour": sight.per_hour,
            "spent": sight.spent,
        });
        return print(&format!("{said}\n"));
    }
    let mut text = format!("{cluster}: {power}\n");
    let nodes: Vec<&Thing> = nodes.collect();
    let width = nodes.iter().map(|node| node.name.width()).max();
    let width = width.unwrap_or(0);
    for node in nodes {
        let (name, pool, state) = (&node.name, pool(node), &node.state);
        let _ = writeln!(text, "  {name:<width$}  {pool}  {state}");
    }
    if let Some(per_hour) = sight.per_hour {
        let currency = sight.spent.as_ref().map_or("", |it| it.currency.as_str());
        let _ = writeln!(
            text,
            "{per_hour:.4} {currency} an hour as it is now, without {}",
            sight.leaves_out.join(", ")
        );
    }
    if let Some(spent) = &sight.spent {
        let _ = writeln!(text, "{}", so_far(spent));
    }
    print(&text)
}

/// What it has cost, by the price list and the time that each part was there.
fn so_far(spent: &Spent) -> String {
    let hours = |ms: i64| ms as f64 / 3_600_000.0;
    let since = Timestamp::from_millisecond(spent.since_ms).unwrap_or_default();
    format!(
        "about {:.2} {} so far, since {since:.0}: the cluster ran {:.1} h of {:.1} h",
        spent.total,
        spent.currency,
        hours(spent.ran_ms),
        hours(spent.there_ms)
    )
}

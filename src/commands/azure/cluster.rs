//! `aks-tui cluster`: the cluster's power, and that of its nodes.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Subcommand, ValueEnum};
use color_eyre::eyre::{Result, bail, eyre};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::{ConfigArgs, Times, confirm, provision};
use crate::{
    adapters::azure::{Client, api::Paths, machines, preflight, prices},
    app::logging,
    commands::{complain, on_runtime, print},
    core::azure::{
        machines::{Machine, Operation, UNSUPPORTED},
        settings::Settings,
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
        let Some(power) = machines::power(&client, &paths, name).await? else {
            bail!(
                "there is no cluster {name} in {}; `aks-tui provision` makes it",
                paths.group
            );
        };
        let mut times = Times::default();
        let mut tell = provision::teller(args.json, &mut times);
        match &args.what {
            What::Status => return status(&client, &settings, &paths, &power, args.json).await,
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

async fn status(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    power: &str,
    json: bool,
) -> Result<ExitCode> {
    let name = &settings.cluster.name;
    let (machines, cost) = futures::join!(
        machines::list(client, paths, name),
        prices::cost(client, settings)
    );
    let machines = machines?;
    let cost = cost.unwrap_or_else(|failure| {
        complain(&failure.to_string());
        None
    });
    if json {
        let nodes: Vec<_> = machines
            .iter()
            .map(|machine| json!({"node": machine.node, "pool": machine.pool, "power": machine.power, "id": machine.id}))
            .collect();
        let per_hour = cost.as_ref().map(crate::core::azure::plan::Cost::per_hour);
        return print(&format!(
            "{}\n",
            json!({"cluster": name, "power": power, "nodes": nodes, "cost_per_hour": per_hour})
        ));
    }
    let mut text = format!("{name}: {power}\n");
    let width = machines
        .iter()
        .map(|machine| machine.node.width())
        .max()
        .unwrap_or(0);
    for machine in &machines {
        let _ = writeln!(
            text,
            "  {:<width$}  {}  {}",
            machine.node, machine.pool, machine.power
        );
    }
    if let Some(cost) = cost {
        let _ = writeln!(
            text,
            "{:.4} {} an hour while it runs, without {}",
            cost.per_hour(),
            cost.currency,
            cost.leaves_out.join(", ")
        );
    }
    print(&text)
}

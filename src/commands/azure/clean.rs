//! `aks-tui clean`: shows exactly what will disappear, then makes it disappear.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use color_eyre::eyre::{Result, bail};
use serde_json::json;

use super::{ConfigArgs, Times, cleaning::Cleaning, confirm, logs, provision};
use crate::{
    adapters::{cluster, journal::StateDir},
    app::logging,
    commands::{deploy::Talk, on_runtime, print},
    core::{
        azure::clean::{Fate, Preview, Scope},
        workload::Workload,
    },
};

/// Delete what aks-tui made in Azure, after showing exactly what
///
/// Only what carries aks-tui's tag or label goes; everything else is listed and left alone, unless
/// it is named with --also. Waits until it is gone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How much
    #[arg(value_enum)]
    scope: Extent,

    #[command(flatten)]
    config: ConfigArgs,

    /// Only show what would disappear; exit code 2 if there is something
    #[arg(long)]
    preview: bool,

    /// Print JSON: the preview as one object, progress as one object a line
    #[arg(long)]
    json: bool,

    /// Let go something that aks-tui did not make, by its name; may be repeated
    #[arg(long, value_name = "NAME")]
    also: Vec<String>,

    /// Answer the question with yes
    #[arg(short, long)]
    yes: bool,

    /// For logs: kubeconfig of another cluster than the one of aks-tui.yaml
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// For logs: context of another cluster than the one of aks-tui.yaml
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// For logs, with one of these: the workload's namespace
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

impl Args {
    /// Whether a cluster is meant that the settings say nothing of.
    const fn is_elsewhere(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.namespace.is_some()
    }
}

/// How much is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Extent {
    /// The resource group with everything in it
    All,
    /// auth, the workload with its volumes, the storage account and the registry; the cluster stays
    Most,
    /// The role assignment, and the secrets of registry and share
    Auth,
    /// Only the logs of the workload's present run: it stops, and `deploy` begins a new one
    Logs,
}

impl From<Extent> for Scope {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::All => Self::All,
            Extent::Most => Self::Most,
            Extent::Auth => Self::Auth,
            Extent::Logs => Self::Logs,
        }
    }
}

/// Exit code of `--preview` when there is something to delete.
const TO_DO: u8 = 2;

/// Shows, asks, deletes.
pub fn run(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    let scope = Scope::from(args.scope);
    if args.is_elsewhere() {
        if scope != Scope::Logs {
            bail!(
                "--kubeconfig, --context and --namespace are for `clean logs`; what else there is to clean is what aks-tui.yaml names"
            );
        }
        return on_runtime(elsewhere(args));
    }
    let settings = args.config.load()?;
    on_runtime(async {
        let client = super::sign_in(&settings).await?;
        let kubeconfig = super::kubeconfig(&StateDir::find()?, &settings);
        let cleaning = Cleaning::new(&client, &settings, kubeconfig, &args.also).await?;
        let preview = cleaning.preview(scope).await?;
        if let Some(code) = ask(args, &preview)? {
            return Ok(code);
        }
        let mut times = Times::default();
        let mut tell = provision::teller(args.json, &mut times);
        cleaning.carry_out(&preview, &mut tell).await?;
        drop(tell);
        gone(args)
    })
}

/// Deletes the logs of a run on a cluster that is not the settings' one.
async fn elsewhere(args: &Args) -> Result<ExitCode> {
    let mut talk = Talk::about(
        Workload::Perftest,
        cluster::Options {
            kubeconfig: args.kubeconfig.clone(),
            context: args.context.clone(),
            namespace: args.namespace.clone(),
            ..cluster::Options::default()
        },
    );
    let cleaned = async {
        let preview = Preview {
            scope: Scope::Logs,
            group: "the cluster".to_owned(),
            objects: logs::preview(&mut talk).await?,
            refused: Vec::new(),
        };
        if let Some(code) = ask(args, &preview)? {
            return Ok(code);
        }
        let mut times = Times::default();
        let mut tell = provision::teller(args.json, &mut times);
        logs::carry_out(&mut talk, &preview.objects, &mut tell).await?;
        drop(tell);
        gone(args)
    }
    .await;
    talk.end().await;
    cleaned
}

/// Shows what goes and asks; gives the exit code if nothing is to be done.
fn ask(args: &Args, preview: &Preview) -> Result<Option<ExitCode>> {
    print(&if args.json {
        format!("{}\n", json!(preview))
    } else {
        words(preview)
    })?;
    let stands_in_the_way = !preview.refused.is_empty() || preview.objections().next().is_some();
    if args.preview {
        return Ok(Some(match (stands_in_the_way, preview.is_empty()) {
            (true, _) => ExitCode::FAILURE,
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::from(TO_DO),
        }));
    }
    if let Some(reason) = preview.refused.first() {
        bail!("nothing was deleted: {reason}");
    }
    if let Some(object) = preview.objections().next() {
        bail!(
            "nothing was deleted: the {} {} is {}",
            object.kind,
            object.name,
            object.note
        );
    }
    if preview.is_empty() {
        return Ok(Some(ExitCode::SUCCESS));
    }
    if !args.yes && !confirm("This cannot be undone.", preview.word())? {
        bail!("nothing was deleted");
    }
    Ok(None)
}

fn gone(args: &Args) -> Result<ExitCode> {
    print(&if args.json {
        format!("{}\n", json!({"what": "gone"}))
    } else {
        "gone\n".to_owned()
    })
}

fn words(preview: &Preview) -> String {
    let mut text = String::new();
    for object in &preview.objects {
        let mark = match object.fate {
            Fate::Delete | Fate::GoesAlong => '-',
            Fate::Stays => '=',
            Fate::Objects => '!',
        };
        let note = if object.note.is_empty() {
            String::new()
        } else {
            format!(": {}", object.note)
        };
        let _ = writeln!(text, "  {mark} {:<18} {}{note}", object.kind, object.name);
    }
    for reason in &preview.refused {
        let _ = writeln!(text, "  ! {reason} stands in the way");
    }
    if preview.is_empty() && preview.objections().next().is_none() {
        let _ = writeln!(
            text,
            "nothing to delete ({}) in {}",
            preview.scope.name(),
            preview.group
        );
    }
    text
}

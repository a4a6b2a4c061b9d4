//! `aks-tui clean`: shows exactly what will disappear, then makes it disappear.

use std::{fmt::Write as _, process::ExitCode};

use clap::ValueEnum;
use color_eyre::eyre::{Result, bail};
use serde_json::json;

use super::{ConfigArgs, Times, cleaning::Cleaning, confirm, provision};
use crate::{
    app::logging,
    commands::{on_runtime, print},
    core::azure::clean::{Fate, Preview, Scope},
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
}

impl From<Extent> for Scope {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::All => Self::All,
            Extent::Most => Self::Most,
            Extent::Auth => Self::Auth,
        }
    }
}

/// Exit code of `--preview` when there is something to delete.
const TO_DO: u8 = 2;

/// Shows, asks, deletes.
pub fn run(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    let settings = args.config.load()?;
    on_runtime(async {
        let client = super::sign_in(&settings).await?;
        let cleaning = Cleaning::new(&client, &settings, &args.also).await?;
        let preview = cleaning.preview(args.scope.into()).await?;
        print(&if args.json {
            format!("{}\n", json!(preview))
        } else {
            words(&preview)
        })?;
        let stands_in_the_way =
            !preview.refused.is_empty() || preview.objections().next().is_some();
        if args.preview {
            return Ok(match (stands_in_the_way, preview.is_empty()) {
                (true, _) => ExitCode::FAILURE,
                (false, true) => ExitCode::SUCCESS,
                (false, false) => ExitCode::from(TO_DO),
            });
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
            return Ok(ExitCode::SUCCESS);
        }
        if !args.yes && !confirm("This cannot be undone.", preview.word())? {
            bail!("nothing was deleted");
        }
        let mut times = Times::default();
        let mut tell = provision::teller(args.json, &mut times);
        cleaning.carry_out(&preview, &mut tell).await?;
        drop(tell);
        print(&if args.json {
            format!("{}\n", json!({"what": "gone"}))
        } else {
            "gone\n".to_owned()
        })
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

//! `aks-tui themes`: how the screen can look.

use std::{fmt::Write as _, process::ExitCode};

use color_eyre::Result;

use super::print;
use crate::{
    config::config_dir,
    ui::theme::{ColorDepth, KIND, Theme},
};

/// List the themes, or print one as a file to start your own from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Theme: a name or a file; without it all are listed
    #[arg(value_name = "NAME|FILE")]
    name: Option<String>,
}

/// Lists the themes or prints one.
///
/// # Errors
/// There is no such theme or its file is wrong (says where and what), or
/// nobody can read the output.
pub fn run(args: &Args) -> Result<ExitCode> {
    let dir = config_dir();
    let dir = dir.as_deref();
    if let Some(name) = &args.name {
        let theme = Theme::load(Some(name), dir, ColorDepth::True)?;
        return print(&format!("# The theme {}.\n{}", theme.name, theme.to_yaml()));
    }
    let mut text = String::new();
    for name in KIND.names(dir) {
        // One theme that is wrong does not hide the others.
        let about = match Theme::load(Some(&name), dir, ColorDepth::True) {
            Ok(theme) => theme.about,
            Err(error) => format!("(cannot be used: {error})"),
        };
        writeln!(text, "{name:<16} {about}")?;
    }
    if let Some(dir) = dir {
        let yours = dir.join(KIND.folder).join("NAME.yaml");
        writeln!(
            text,
            "\nUse one with --theme NAME. Your own: {}",
            yours.display()
        )?;
    }
    print(&text)
}

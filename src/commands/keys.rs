//! `aks-tui keys`: which key does what.

use std::process::ExitCode;

use color_eyre::Result;

use super::print;
use crate::{
    config::config_dir,
    ui::keymap::{KIND, Keymap},
};

/// Print a keymap, as a file to start your own from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keymap: a name or a file [default: the one that would be used]
    #[arg(value_name = "NAME|FILE", env = "AKS_TUI_KEYMAP")]
    name: Option<String>,
}

/// Prints the keymap.
///
/// # Errors
/// There is no such keymap or its file is wrong (says where and what), or
/// nobody can read the output.
pub fn run(args: &Args) -> Result<ExitCode> {
    let dir = config_dir();
    let keymap = Keymap::load(args.name.as_deref(), dir.as_deref())?;
    let names = KIND.names(dir.as_deref()).join(", ");
    let yours = dir.map_or_else(
        || "no configuration directory is known here".to_owned(),
        |dir| {
            dir.join(KIND.folder)
                .join("NAME.yaml")
                .display()
                .to_string()
        },
    );
    print(&format!(
        "# The keymap {}. There are: {names}.\n# Your own: {yours}\n\n{}",
        keymap.name,
        keymap.to_yaml()
    ))
}

//! The user's files: where they live, what may stand in them, and errors that
//! point at what is wrong.

pub mod fields;
pub mod file;
pub mod migrate;
mod place;
pub mod schema;
pub mod write;

use std::path::PathBuf;

use etcetera::{BaseStrategy, choose_base_strategy};

/// The folder of all our folders.
const NAME: &str = "aks-tui";

/// Where keymaps and themes of the user are looked for:
/// `$AKS_TUI_CONFIG`, else `aks-tui` in the platform's configuration directory.
pub fn config_dir() -> Option<PathBuf> {
    overridden("AKS_TUI_CONFIG").or_else(|| {
        choose_base_strategy()
            .ok()
            .map(|base| base.config_dir().join(NAME))
    })
}

fn overridden(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

//! Error hooks, arguments, hand over.

use std::process::ExitCode;

fn main() -> color_eyre::Result<ExitCode> {
    color_eyre::install()?;
    Ok(aks_tui::cli::main())
}

//! Error hooks, arguments, hand over.

use std::process::ExitCode;

fn main() -> color_eyre::Result<ExitCode> {
    // A part of the lab's process layer must start in a few milliseconds and
    // without threads, so it comes before anything else.
    #[cfg(target_os = "linux")]
    if let Some(code) = aks_tui::lab::runtime::play_part() {
        return Ok(ExitCode::from(code));
    }
    color_eyre::config::HookBuilder::default()
        .display_env_section(false)
        .install()?;
    Ok(aks_tui::cli::main())
}

//! Error hooks, arguments, hand over.

fn main() -> color_eyre::Result<()> {
    // A part of the lab's process layer must start in a few milliseconds and
    // without threads, so it comes before anything else.
    #[cfg(target_os = "linux")]
    if let Some(code) = aks_tui::lab::runtime::play_part() {
        std::process::exit(i32::from(code));
    }
    color_eyre::install()?;
    Ok(())
}

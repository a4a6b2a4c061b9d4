//! Error hooks, arguments, hand over.

fn main() -> color_eyre::Result<()> {
    color_eyre::install()?;
    Ok(())
}

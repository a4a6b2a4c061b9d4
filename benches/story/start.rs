//! From the command to the first picture, and to the first picture of work.

use std::{path::Path, time::Duration};

use color_eyre::eyre::Result;
use vt100::Screen;

use super::{
    home::Home,
    rooms::Args,
    table::{Figure, Row, Spread, Unit},
    tty::Tty,
};

/// The terminal of the story's pictures.
pub const SIZE: (u16, u16) = (120, 36);

/// Measures both, and what starting any program takes here.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let mut frames = Vec::new();
    let mut progress = Vec::new();
    let mut nothing = Vec::new();
    let mut version = Vec::new();
    for _ in 0..args.starts {
        nothing.push(whole_life(Path::new("/bin/true"), &[])?);
        version.push(whole_life(&args.program, &["--version"])?);
        let (frame, work) = demo(args)?;
        frames.push(frame);
        progress.push(work);
    }
    let row = |what, samples| Row::new(what, Unit::Millis, Spread::of_times(samples));
    let reference = |what, samples| Row::reference(what, Unit::Millis, Spread::of_times(samples));
    Ok(vec![
        row("first frame after start", frames).at_most(Figure::P50, 50.0),
        reference("/bin/true, start to end", nothing),
        reference("aks-tui --version, start to end", version),
        row("first progress on screen after demo", progress).at_most(Figure::P50, 2_000.0),
    ])
}

/// One demo: how long to its first frame, and to the first figure of throughput.
fn demo(args: &Args) -> Result<(Duration, Duration)> {
    let home = Home::new()?;
    let words = ["demo", "--linger", "30"].into_iter().chain(args.demo());
    let mut tty = Tty::start(&args.program, words, &home.env(), SIZE)?;
    let frame = tty.wait_frame("the first frame", |screen| {
        !screen.contents().trim().is_empty()
    })?;
    let work = tty.wait_frame("the first progress", shows_throughput)?;
    let started = tty.started;
    tty.quit()?;
    Ok((frame - started, work - started))
}

/// How long a program lives that ends by itself.
fn whole_life(program: &Path, words: &[&str]) -> Result<Duration> {
    let home = Home::new()?;
    let mut tty = Tty::start(program, words.iter().copied(), &home.env(), SIZE)?;
    Ok(tty.wait_end()? - tty.started)
}

/// Whether the header names the present throughput.
pub fn shows_throughput(screen: &Screen) -> bool {
    let header = screen.contents();
    let header = header.lines().next().unwrap_or_default();
    let mut words = header.split_whitespace();
    let mut before = "";
    words.any(|word| {
        let is_unit = word.ends_with("iB/s");
        let number = std::mem::replace(&mut before, word);
        is_unit && number.parse().is_ok_and(|gib_s: f64| gib_s > 0.0)
    })
}

/// Whether the pods were listed and there are none.
pub fn shows_empty_cluster(screen: &Screen) -> bool {
    screen.contents().contains("No pods in namespace")
}

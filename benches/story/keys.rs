//! From a key to its effect on the screen, while nothing else happens and while
//! log lines pour in.

use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, ensure};
use vt100::Screen;

use super::{
    flood,
    home::{Home, Lab},
    rooms::Args,
    start::{SIZE, shows_empty_cluster},
    table::{Figure, Row, Spread, Unit},
    tty::Tty,
};

/// Keys come at no fixed point between two frames: a pause of at least this …
const PAUSE_MS: u64 = 15;

/// … and a part of this more.
const PAUSE_MORE_MS: u64 = 50;

/// The flood runs so long before a key is pressed.
const WARM_UP: Duration = Duration::from_secs(2);

/// Measures both.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let home = Home::new()?;
    let lab = Lab::start(&args.program, &home, &[])?;
    let kubeconfig = lab.kubeconfig().display().to_string();
    let words = ["--kubeconfig", &kubeconfig];
    let mut tty = Tty::start(&args.program, words, &home.env(), SIZE)?;
    tty.wait_frame("the empty cluster", shows_empty_cluster)?;
    let calm = press_keys(&mut tty, args.keys)?.times;
    flood::deploy(&lab, &home, args.lines)?;
    tty.wait_frame("the flood", |screen| newest(screen).is_some())?;
    tty.watch(Instant::now() + WARM_UP, |_, _| ())?;
    let Keys { times, rate } = press_keys(&mut tty, args.keys)?;
    ensure!(rate > 0.0, "the flood dried up");
    tty.quit()?;
    let wanted = args.lines;
    Ok(vec![
        Row::new(
            format!("key to paint, {wanted} log lines a second"),
            Unit::Millis,
            Spread::of_times(times),
        )
        .at_most(Figure::P99, 16.0),
        Row::reference(
            "lines a second that passed the screen meanwhile",
            Unit::Lines,
            Spread::of(vec![rate]),
        ),
        Row::reference(
            "key to paint, nothing else happens",
            Unit::Millis,
            Spread::of_times(calm),
        ),
    ])
}

/// What pressing keys for a while showed.
struct Keys {
    times: Vec<Duration>,
    /// Lines a second, by the numbers of the lines on the screen.
    rate: f64,
}

/// Opens the help and closes it again, `count` keys in all.
fn press_keys(tty: &mut Tty, count: usize) -> Result<Keys> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen: Vec<(Instant, u64)> = Vec::new();
    let mut times = Vec::new();
    for index in 0..count {
        let pause = Duration::from_millis(PAUSE_MS + random.u64(..PAUSE_MORE_MS));
        tty.watch(Instant::now() + pause, |at, screen| {
            if let Some(number) = newest(screen) {
                seen.push((at, number));
            }
        })?;
        let opens = index % 2 == 0;
        let pressed = tty.press(if opens { "?" } else { "\x1b" })?;
        let painted = tty.wait_frame("the key's effect", |screen| shows_help(screen) == opens)?;
        times.push(painted - pressed);
    }
    let rate = match (seen.first(), seen.last()) {
        (Some((then, first)), Some((now, last))) if now > then => {
            (last - first) as f64 / (*now - *then).as_secs_f64()
        }
        _ => 0.0,
    };
    Ok(Keys { times, rate })
}

fn shows_help(screen: &Screen) -> bool {
    screen.contents().contains("In the cockpit")
}

/// The greatest number of a flooded line on the screen.
fn newest(screen: &Screen) -> Option<u64> {
    let text = screen.contents();
    let numbers = text.split(flood::MARK).skip(1).filter_map(|rest| {
        let digits = rest.get(..10)?;
        digits.parse().ok()
    });
    numbers.max()
}

//! What the cockpit itself costs: processor time and memory of its one process,
//! without the lab and its pods.

use std::{
    fs,
    time::{Duration, Instant},
};

use color_eyre::eyre::{Result, WrapErr, eyre};

use super::{
    home::{Home, Lab},
    rooms::Args,
    start::{SIZE, shows_empty_cluster, shows_throughput},
    table::{Figure, Row, Spread, Unit},
    tty::Tty,
};

/// How often the process is looked at.
const STEP: Duration = Duration::from_secs(1);

/// How long the cockpit of an empty cluster is watched.
const IDLE: Duration = Duration::from_secs(10);

/// The kernel tells processor time in hundredths of a second, on every machine.
const TICKS_A_SECOND: f64 = 100.0;

/// Measures the demo's cockpit at work, and one that has nothing to show.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let home = Home::new()?;
    let lab = Lab::start(&args.program, &home, &[])?;
    let kubeconfig = lab.kubeconfig().display().to_string();
    let words = ["--kubeconfig", &kubeconfig];
    let mut tty = Tty::start(&args.program, words, &home.env(), SIZE)?;
    tty.wait_frame("the empty cluster", shows_empty_cluster)?;
    let idle = Upkeep::watch(&mut tty, IDLE)?;
    tty.quit()?;
    drop(lab);

    let home = Home::new()?;
    let words = ["demo", "--linger", "30"].into_iter().chain(args.demo());
    let mut tty = Tty::start(&args.program, words, &home.env(), SIZE)?;
    tty.wait_frame("the first progress", shows_throughput)?;
    let minutes = args.minutes;
    let work = Upkeep::watch(&mut tty, Duration::from_secs_f64(minutes * 60.0))?;
    tty.quit()?;

    let percent = |one| Spread::of(vec![one]);
    Ok(vec![
        Row::new(
            format!("cockpit's processor time, {minutes} min of demo"),
            Unit::Percent,
            percent(work.percent),
        )
        .at_most(Figure::Max, 5.0),
        Row::reference(
            "cockpit of an empty cluster",
            Unit::Percent,
            percent(idle.percent),
        ),
        Row::new(
            format!("cockpit's memory, {minutes} min of demo"),
            Unit::Mebibytes,
            Spread::of(work.memory),
        )
        .at_most(Figure::Max, 60.0),
        Row::reference(
            "cockpit of an empty cluster",
            Unit::Mebibytes,
            Spread::of(idle.memory),
        ),
    ])
}

struct Upkeep {
    percent: f64,
    /// Resident memory each second, MiB.
    memory: Vec<f64>,
}

impl Upkeep {
    fn watch(tty: &mut Tty, length: Duration) -> Result<Self> {
        let pid = tty.pid()?;
        let (began, before) = (Instant::now(), processor_time(pid)?);
        let mut memory = Vec::new();
        while began.elapsed() < length {
            tty.watch(Instant::now() + STEP, |_, _| ())?;
            memory.push(resident(pid)?);
        }
        let used = processor_time(pid)? - before;
        Ok(Self {
            percent: used / began.elapsed().as_secs_f64() * 100.0,
            memory,
        })
    }
}

/// Seconds of processor time that the process has used, all threads together.
fn processor_time(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).wrap_err("the cockpit is gone")?;
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest);
    let fields = after_name.unwrap_or_default().split_whitespace();
    // utime and stime are fields 14 and 15, and the first after the name is 3.
    let ticks = fields.skip(11).take(2).map(str::parse::<f64>);
    let ticks = ticks.sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_A_SECOND)
}

/// Resident memory, MiB.
fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.ok_or_else(|| eyre!("the kernel does not tell the cockpit's memory"))? / 1024.0)
}

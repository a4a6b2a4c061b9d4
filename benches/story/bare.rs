//! The same workload with nothing around it: two processes, killed and started
//! again by hand. What a recovery takes beyond this is the cluster's and the
//! cockpit's.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use aks_tui::core::workload::line::Line;
use color_eyre::eyre::{Result, WrapErr, eyre};

use super::{home::Home, rooms::Args};

/// How long one recovery may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the job works between two kills.
const PAUSE: Duration = Duration::from_millis(500);

/// Kills the job with SIGKILL and starts it again at once; returns how long it
/// took each time until more was echoed than ever before.
pub fn kills(args: &Args) -> Result<Vec<Duration>> {
    let home = Home::new()?;
    let part = || fastrand::u8(1..=254);
    let address = format!("127.{}.{}", part(), part());
    let server = ["server", "-j", "perftestserver"];
    let _server = Program::start(args, &home, &format!("{address}.1"), &address, &server)?;
    let job = [
        "job",
        "-j",
        "perftestclient",
        "-s",
        "perftestserver",
        "-n",
        "0",
    ];
    let job: Vec<&str> = job.into_iter().chain(load(args)).collect();
    let start = || Program::start(args, &home, &format!("{address}.2"), &address, &job);
    let mut client = start()?;
    let mut echoed = client.echoed_beyond(0)?;
    let mut times = Vec::new();
    for _ in 0..args.kills {
        let until = Instant::now() + PAUSE;
        while Instant::now() < until {
            echoed = client.echoed_beyond(echoed)?;
        }
        let killed = Instant::now();
        drop(client);
        client = start()?;
        echoed = client.echoed_beyond(echoed)?;
        times.push(killed.elapsed());
    }
    Ok(times)
}

/// The options of the demo that are the client's.
fn load(args: &Args) -> Vec<&str> {
    let words: Vec<&str> = args.demo().collect();
    words
        .chunks_exact(2)
        .filter(|pair| ["--rate", "--bytes-per-round"].contains(&pair[0]))
        .flatten()
        .copied()
        .collect()
}

/// One execution. Dropping it kills it with SIGKILL and reaps it.
struct Program {
    child: Child,
    echoes: Receiver<u64>,
}

impl Program {
    fn start(
        args: &Args,
        home: &Home,
        address: &str,
        network: &str,
        words: &[&str],
    ) -> Result<Self> {
        let mut child = home
            .command(&args.program)
            .arg("perftest")
            .args(words)
            .args([
                "-c",
                "--sp",
                "50001",
                "--progress",
                "100ms",
                "--stay",
                "--log",
            ])
            .arg(home.path("tmp"))
            .env("POD_IP", address)
            .env("PERFTESTSERVER_SERVICE_HOST", format!("{network}.1"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err("cannot start perftest")?;
        let out = child.stdout.take();
        let out = BufReader::new(out.ok_or_else(|| eyre!("perftest has no output"))?);
        let (sender, echoes) = mpsc::channel();
        thread::spawn(move || {
            // Ends with the program.
            for line in out.lines().map_while(std::io::Result::ok) {
                if let Some(echoed) = fresh(&line) {
                    // Nobody listens to a server.
                    let _ = sender.send(echoed);
                }
            }
        });
        Ok(Self { child, echoes })
    }

    /// Waits until more than `known` was echoed.
    fn echoed_beyond(&self, known: u64) -> Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let echoed = self.echoes.recv_timeout(left);
            let echoed = echoed.map_err(|_| eyre!("the bare job does not work"))?;
            if echoed > known {
                return Ok(echoed);
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a progress line of new work says was echoed.
fn fresh(line: &str) -> Option<u64> {
    match Line::parse(line) {
        Line::Progress(progress) if !progress.replaying => Some(progress.echoed),
        _ => None,
    }
}

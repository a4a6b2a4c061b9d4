//! What a kill costs: from the start of the next execution to its first fresh
//! call, how fast a log is executed again, and how soon a standby takes over.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, bail, eyre};
use serde_json::Value;

use super::pair::Program;
use super::perftest::{World, field, is_fresh};
use super::rooms::Args;
use super::table::{GIB, Recovery};

/// Kills a job in its work, and a server with a long log.
pub fn measure(args: &Args) -> Result<Recovery> {
    eprintln!("measuring recovery …");
    let mut beyond_replay = kills(args)?;
    beyond_replay.sort_by(f64::total_cmp);
    let replays: Result<Vec<_>> = (0..args.times.max(1)).map(|_| replay(args)).collect();
    let mut replays = replays?;
    replays.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (log_mib, replay_gib_s) = replays[replays.len() / 2];
    let failover = failover(args)?;
    Ok(Recovery::new(
        &beyond_replay,
        (log_mib, replay_gib_s),
        (args.failovers, failover),
    ))
}

/// Milliseconds from the kill of a primary that has a standby to fresh work of both
/// sides, which no more than five in a hundred exceed: what a soak says.
fn failover(args: &Args) -> Result<u64> {
    eprintln!("measuring failover …");
    let soak = Command::new(&args.program)
        .args("perftest soak --standby --json --kills".split(' '))
        .arg(args.failovers.to_string())
        .output()?;
    if !soak.status.success() {
        bail!("the soak failed: {}", String::from_utf8_lossy(&soak.stderr));
    }
    let verdict: Value = serde_json::from_slice(&soak.stdout)?;
    let p95 = verdict["p95_recovery_ms"].as_u64();
    p95.ok_or_else(|| eyre!("the soak does not say how long it took"))
}

/// Milliseconds from start to first fresh call, without what replay may take at
/// 1 GiB of log a second.
fn kills(args: &Args) -> Result<Vec<f64>> {
    let world = World::new(&args.program)?;
    let server = world.start("server", "-j server")?;
    let start = || world.start("job", "-j client -s server -n 0 --progress 100ms");
    let mut job = start()?;
    job.find(is_fresh)?;
    let mut samples = Vec::new();
    while samples.len() < args.kills {
        // At another place of the log each time.
        thread::sleep(Duration::from_millis(fastrand::u64(50..250)));
        job.kill()?;
        let logs = world.logs("client")?;
        let started = Instant::now();
        job = start()?;
        let (_, bytes) = replayed(&job, &logs)?;
        let (fresh, ()) = job.find(is_fresh)?;
        let allowed = bytes as f64 / GIB;
        samples.push(((fresh - started).as_secs_f64() - allowed) * 1e3);
    }
    job.kill()?;
    server.kill()?;
    Ok(samples)
}

/// When a restarted instance was recovered, and from how many bytes of its logs.
fn replayed(program: &Program, logs: &[(u64, u64)]) -> Result<(Instant, u64)> {
    let (at, from) = program.find(|line| field(line, "recovered", "from_checkpoint"))?;
    let replayed = logs.iter().filter(|(number, _)| *number >= from);
    Ok((at, replayed.map(|(_, length)| length).sum()))
}

/// MiB of log, and GiB a second from the start of the process to its recovery.
fn replay(args: &Args) -> Result<(u64, f64)> {
    let world = World::new(&args.program)?;
    // No checkpoint in between, and the greater part of a GiB to replay.
    let server_options = "-j server -nbd --durability os --log-trigger 1GiB --progress 20ms";
    let server = world.start("server", server_options)?;
    let options = "-j client -s server --durability os -n 0 --mms 65536";
    let job = world.start("job", options)?;
    server.find(|line| (field(line, "progress", "echoed")? > 400 << 20).then_some(()))?;
    job.kill()?;
    server.kill()?;
    let logs = world.logs("server")?;
    let started = Instant::now();
    let server = world.start("server", server_options)?;
    let (recovered, bytes) = replayed(&server, &logs)?;
    server.kill()?;
    let seconds = (recovered - started).as_secs_f64();
    Ok((bytes >> 20, bytes as f64 / GIB / seconds))
}

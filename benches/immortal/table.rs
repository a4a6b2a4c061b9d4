//! Figures, targets, and the table they are printed in.

use std::fmt;

use serde::Serialize;

use super::pair::{Cost, Load};

/// Bytes of a GiB.
pub const GIB: f64 = (1u64 << 30) as f64;

/// What a figure has to reach, and whether it does.
#[derive(Clone, Debug, Serialize)]
struct Target {
    what: String,
    is_met: bool,
}

impl Target {
    fn new(what: impl Into<String>, is_met: bool) -> Self {
        Self {
            what: what.into(),
            is_met,
        }
    }
}

/// One size of messages, one way or both, with one durability.
#[derive(Clone, Debug, Serialize)]
pub struct Throughput {
    both_ways: bool,
    durability: &'static str,
    size: u64,
    /// Payload, each way.
    gib_s: f64,
    calls_s: f64,
    /// Processor time of both processes for a GiB of payload each way.
    busy_s_per_gib: f64,
    /// The machine's limit for the same payload: it moves what goes around it too.
    limit_gib_s: f64,
    limit_busy_s_per_gib: f64,
    grpc_gib_s: f64,
    grpc_busy_s_per_gib: f64,
    targets: Vec<Target>,
}

impl Throughput {
    /// Sets perftest's cost beside those of the machine and of gRPC, each for so many
    /// bytes.
    pub fn new(
        load: Load,
        durability: &'static str,
        ours: Cost,
        (bare_bytes, bare): (u64, Cost),
        (grpc_bytes, grpc): (u64, Cost),
    ) -> Self {
        let gib = load.bytes() as f64 / GIB;
        let gib_s = gib / ours.seconds;
        let calls_s = load.calls as f64 / ours.seconds;
        // A call is its length, its method and its payload.
        let frame = 1 + (u64::BITS - load.size.leading_zeros()).div_ceil(7);
        let payload = load.size as f64 / (load.size + u64::from(frame)) as f64;
        let bare_gib = bare_bytes as f64 / GIB * payload;
        let limit_gib_s = bare_gib / bare.seconds;
        let grpc_gib = grpc_bytes as f64 / GIB;
        let grpc_gib_s = grpc_gib / grpc.seconds;
        let mut targets = Vec::new();
        if load.size >= 4096 {
            let share = gib_s / limit_gib_s >= 0.7;
            targets.push(Target::new("70 % of the limit", share));
        }
        if load.size <= 4096 {
            targets.push(Target::new("faster than gRPC", gib_s > grpc_gib_s));
        }
        if load.size == 16 {
            let millions = if durability == "os" { 4.0 } else { 2.0 };
            let enough = calls_s >= millions * 1e6;
            targets.push(Target::new(format!("{millions} M calls/s"), enough));
        }
        Self {
            both_ways: load.both_ways,
            durability,
            size: load.size,
            gib_s,
            calls_s,
            busy_s_per_gib: ours.busy / gib,
            limit_gib_s,
            limit_busy_s_per_gib: bare.busy / bare_gib,
            grpc_gib_s,
            grpc_busy_s_per_gib: grpc.busy / grpc_gib,
            targets,
        }
    }
}

/// What kills cost.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    kills: usize,
    /// Milliseconds from the start of a process to its first fresh call, without
    /// replay at 1 GiB a second.
    p50_ms: f64,
    p95_ms: f64,
    log_mib: u64,
    replay_gib_s: f64,
    failovers: u64,
    /// Milliseconds from a kill to fresh work, with standbys.
    failover_p95_ms: u64,
    targets: [Target; 3],
}

impl Recovery {
    /// From the times of all kills in rising order, the MiB of a log and the rate at
    /// which it was executed again, and how many failovers took how long.
    pub fn new(
        beyond_replay_ms: &[f64],
        (log_mib, replay_gib_s): (u64, f64),
        (failovers, failover_p95_ms): (u64, u64),
    ) -> Self {
        let kills = beyond_replay_ms.len();
        let rank = |part: f64| {
            let rank = (part * kills as f64).ceil() as usize;
            beyond_replay_ms.get(rank.max(1) - 1).copied()
        };
        let p95_ms = rank(0.95).unwrap_or(f64::INFINITY);
        Self {
            kills,
            p50_ms: rank(0.5).unwrap_or(f64::INFINITY),
            p95_ms,
            log_mib,
            replay_gib_s,
            failovers,
            failover_p95_ms,
            targets: [
                Target::new("p95 ≤ 100 ms", p95_ms <= 100.0),
                Target::new("≥ 1 GiB/s", replay_gib_s >= 1.0),
                Target::new("p95 ≤ 1 s", failover_p95_ms <= 1000),
            ],
        }
    }
}

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// By direction, durability and size.
    pub throughput: Vec<Throughput>,
    /// If it was measured.
    pub recovery: Option<Recovery>,
}

impl Table {
    /// Whether every target was met.
    pub fn is_met(&self) -> bool {
        let throughput = self.throughput.iter().flat_map(|row| &row.targets);
        let recovery = self.recovery.iter().flat_map(|row| &row.targets);
        throughput.chain(recovery).all(|target| target.is_met)
    }
}

fn verdicts(targets: &[Target]) -> String {
    let verdicts = targets.iter().map(|Target { what, is_met }| {
        let verdict = if *is_met { "met" } else { "MISSED" };
        format!("{what} {verdict}")
    });
    verdicts.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.throughput.is_empty() {
            writeln!(
                f,
                "\n{:24} {:^27} {:^16} {:^23}\n{:24} {:>7} {:>8} {:>10} {:>7} {:>8} {:>7} {:>7} {:>7}  target",
                "",
                "GiB/s of payload, each way",
                "",
                "core·s for a GiB",
                "",
                "ours",
                "M call/s",
                "of limit",
                "limit",
                "gRPC",
                "ours",
                "limit",
                "gRPC"
            )?;
        }
        for row in &self.throughput {
            let way = if row.both_ways {
                "both ways"
            } else {
                "one way"
            };
            writeln!(
                f,
                "{:24} {:>7.3} {:>8.3} {:>8.0} % {:>7.3} {:>8.3} {:>7.2} {:>7.2} {:>7.2}  {}",
                format!("{way}, {}, {} B", row.durability, row.size),
                row.gib_s,
                row.calls_s / 1e6,
                row.gib_s / row.limit_gib_s * 100.0,
                row.limit_gib_s,
                row.grpc_gib_s,
                row.busy_s_per_gib,
                row.limit_busy_s_per_gib,
                row.grpc_busy_s_per_gib,
                verdicts(&row.targets)
            )?;
        }
        if let Some(row) = &self.recovery {
            writeln!(
                f,
                "\nstart to first fresh call beyond replay at 1 GiB/s, {} kills: p50 {:.0} ms, p95 {:.0} ms; {}",
                row.kills,
                row.p50_ms,
                row.p95_ms,
                verdicts(&row.targets[..1])
            )?;
            writeln!(
                f,
                "replay of {} MiB of log, the start of the process included: {:.2} GiB/s; {}",
                row.log_mib,
                row.replay_gib_s,
                verdicts(&row.targets[1..2])
            )?;
            writeln!(
                f,
                "kill to fresh work of both sides, a standby taking over, {} kills: p95 {} ms; {}",
                row.failovers,
                row.failover_p95_ms,
                verdicts(&row.targets[2..])
            )?;
        }
        Ok(())
    }
}

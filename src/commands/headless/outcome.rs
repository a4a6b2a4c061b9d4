//! What a headless run says at its end: one object for machines, a few lines
//! for people, and an exit code for scripts.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::core::{
    model::{
        Model,
        ledger::{Spread, Summary},
    },
    trial::{Phase, State, Trial},
    workload::Role,
};

/// The last line of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Faults that reached their victim.
    pub kills: usize,
    /// Of these, the ones that were survived.
    pub survived: usize,
    /// Calls that are missing.
    pub lost: u64,
    /// Calls that took effect twice.
    pub duplicated: u64,
    /// Recovery time.
    pub rto_ms: Option<Millis>,
    /// Recovery time without what the node held restarts back.
    pub rto_without_backoff_ms: Option<Millis>,
    /// From the heal of a fault that lasted to new work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_from_heal_ms: Option<Millis>,
    /// The length of each phase.
    pub phases_ms: BTreeMap<Phase, Millis>,
    /// The median throughput of the rounds of each message size.
    pub throughput_gib_s: BTreeMap<u64, f64>,
    /// What both sides received, and what the rounds add up to.
    pub bytes_received: Bytes,
    /// Each trial.
    pub trials: Vec<TrialOutcome>,
}

/// How durations spread, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Millis {
    /// Half are at most this long.
    pub p50: f64,
    /// 95 in 100 are at most this long.
    pub p95: f64,
    /// None is longer.
    pub max: f64,
}

/// Payload bytes received over the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// By the server, as it printed it.
    pub server: Option<u64>,
    /// By the client, as it printed it.
    pub client: Option<u64>,
    /// The sum over the rounds that the client printed.
    pub expected: Option<u64>,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialOutcome {
    /// Its number.
    pub id: u32,
    /// What was done.
    pub fault: &'static str,
    /// To which side.
    pub target: &'static str,
    /// To which pod.
    pub pod: Option<String>,
    /// What came of it.
    pub state: &'static str,
    /// The victim's process id inside its container.
    pub pid_before: Option<u32>,
    /// The process id of the execution that recovered.
    pub pid_after: Option<u32>,
    /// The container's execution that was killed.
    pub container_before: Option<String>,
    /// The container's execution that recovered.
    pub container_after: Option<String>,
    /// Why nothing was done to anybody, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The signal that ended the victim, as its status says; of a deleted pod
    /// the signal that a grace period of zero means.
    pub signal: Option<i32>,
    /// The execution that was killed.
    pub epoch_before: Option<u64>,
    /// The execution that recovered.
    pub epoch_after: Option<u64>,
    /// Recovery time, ms.
    pub rto_ms: Option<f64>,
    /// From the heal of a fault that lasted to new work, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_from_heal_ms: Option<f64>,
    /// The length of each phase, ms.
    pub phases_ms: BTreeMap<Phase, f64>,
}

impl Outcome {
    /// What `model` says of its run.
    pub fn of(model: &Model) -> Self {
        let trials = model.ledger.trials();
        let Summary {
            kills,
            survived,
            lost,
            duplicated,
            rto,
            rto_without_backoff,
            rto_from_heal,
            ..
        } = model.ledger.summary();
        let phases_ms = Phase::ALL
            .into_iter()
            .filter(|phase| trials.iter().any(|trial| trial.fault.has_phase(*phase)))
            .filter_map(|phase| {
                let lengths = trials.iter().filter(|t| t.recovery_time().is_some());
                let spread = Spread::of(lengths.map(|trial| trial.phase(phase)))?;
                Some((phase, Millis::from(spread)))
            })
            .collect();
        Self {
            kills,
            survived,
            lost: lost + missing(model),
            duplicated: duplicated + surplus(model),
            rto_ms: rto.map(Millis::from),
            rto_without_backoff_ms: rto_without_backoff.map(Millis::from),
            rto_from_heal_ms: rto_from_heal.map(Millis::from),
            phases_ms,
            throughput_gib_s: throughput(model),
            bytes_received: Bytes {
                server: model.side(Role::Server).total,
                client: model.side(Role::Client).total,
                expected: model.expected_bytes(),
            },
            trials: trials.iter().map(TrialOutcome::of).collect(),
        }
    }

    /// Whether `wanted` kills were all survived, nothing is missing or doubled,
    /// and both totals are what the rounds add up to.
    pub fn is_good(&self, wanted: usize) -> bool {
        let Bytes {
            server,
            client,
            expected,
        } = self.bytes_received;
        self.kills == wanted
            && self.survived == wanted
            && self.lost == 0
            && self.duplicated == 0
            && expected.is_some()
            && server == expected
            && client == expected
    }

    /// The same for people.
    pub fn readable(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for trial in &self.trials {
            let _ = writeln!(text, "{}", trial.readable());
        }
        let _ = writeln!(
            text,
            "{} kills, {} survived, {} lost, {} duplicated",
            self.kills, self.survived, self.lost, self.duplicated
        );
        if let Some(rto) = self.rto_ms {
            let _ = writeln!(
                text,
                "recovery time p50 {:.0} ms, p95 {:.0} ms, worst {:.0} ms",
                rto.p50, rto.p95, rto.max
            );
        }
        let shown = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), |b| b.to_string());
        let Bytes {
            server,
            client,
            expected,
        } = self.bytes_received;
        let _ = write!(
            text,
            "bytes received: server {}, client {}, expected {}",
            shown(server),
            shown(client),
            shown(expected)
        );
        text
    }
}

impl TrialOutcome {
    /// The same for people, in one line.
    pub fn readable(&self) -> String {
        let phases = self
            .phases_ms
            .iter()
            .map(|(phase, ms)| format!("{} {ms:.0}", phase.name()))
            .collect::<Vec<_>>()
            .join(" + ");
        let rto = self
            .rto_ms
            .map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let Self {
            id,
            fault,
            target,
            state,
            ..
        } = self;
        format!("#{id} {fault} {target}: {state} in {rto} ({phases})")
    }

    /// What came of one trial.
    pub fn of(trial: &Trial) -> Self {
        let victim = trial.victim.as_ref();
        let killed_by = trial.signal_seen.or_else(|| {
            // The status of a deleted pod is deleted with it.
            (trial.fault.replaces_pod() && trial.marks.down.is_some()).then_some(9)
        });
        Self {
            id: trial.id.0,
            fault: trial.fault.name(),
            target: trial.role.name(),
            pod: victim.map(|v| v.pod.clone()),
            state: match &trial.state {
                State::Lost => "lost",
                state => state.name(),
            },
            reason: match &trial.state {
                State::NotInjected { reason } => Some(reason.clone()),
                _ => None,
            },
            pid_before: victim.and_then(|v| v.pid),
            pid_after: trial.pid_after,
            container_before: victim.and_then(|v| v.container_id.clone()),
            container_after: trial.container_after.clone(),
            signal: killed_by,
            epoch_before: trial.epoch_before,
            epoch_after: trial.epoch_after,
            rto_ms: trial.recovery_time().map(millis),
            rto_from_heal_ms: trial.recovery_time_from_heal().map(millis),
            phases_ms: trial
                .phases()
                .into_iter()
                .map(|(phase, d)| (phase, millis(d)))
                .collect(),
        }
    }
}

impl From<Spread> for Millis {
    fn from(spread: Spread) -> Self {
        Self {
            p50: millis(spread.p50),
            p95: millis(spread.p95),
            max: millis(spread.max),
        }
    }
}

/// Milliseconds with a resolution of a microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// Bytes that a side should have received and did not.
fn missing(model: &Model) -> u64 {
    difference(model, |expected, received| {
        expected.saturating_sub(received)
    })
}

/// Bytes that a side received beyond what was sent.
fn surplus(model: &Model) -> u64 {
    difference(model, |expected, received| {
        received.saturating_sub(expected)
    })
}

/// In calls, as far as the smallest message size can tell.
fn difference(model: &Model, of: impl Fn(u64, u64) -> u64) -> u64 {
    let Some(expected) = model.expected_bytes() else {
        return 0;
    };
    Role::ALL
        .into_iter()
        .filter_map(|role| model.side(role).total)
        .map(|received| of(expected, received).div_ceil(crate::core::workload::SMALLEST_MESSAGE))
        .sum()
}

fn throughput(model: &Model) -> BTreeMap<u64, f64> {
    let mut by_size: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for round in &model.rounds {
        by_size.entry(round.size).or_default().push(round.gib_s);
    }
    by_size
        .into_iter()
        .map(|(size, mut rounds)| {
            rounds.sort_by(f64::total_cmp);
            (size, rounds[rounds.len() / 2])
        })
        .collect()
}

//! The stretches of a recovery, and how long each took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Trial;
use crate::core::time::Time;

/// When each phase began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The request was sent.
    pub injected: Time,
    /// The volume was full.
    #[serde(default)]
    pub full: Option<Time>,
    /// No work was done any more: a fault that lasts took hold.
    #[serde(default)]
    pub stalled: Option<Time>,
    /// The request to heal was sent.
    #[serde(default)]
    pub healed: Option<Time>,
    /// The victim's node was seen dead.
    #[serde(default)]
    pub node_down: Option<Time>,
    /// It was seen ready again: before the victim came back on it, or after the
    /// heal.
    #[serde(default)]
    pub node_back: Option<Time>,
    /// The container ended, the pod went or was told to go, or progress began
    /// anew.
    pub down: Option<Time>,
    /// The node holds the restart back.
    pub backoff: Option<Time>,
    /// A new execution runs.
    pub restarted: Option<Time>,
    /// It is Ready.
    pub ready: Option<Time>,
    /// New work is being done.
    pub recovered: Option<Time>,
    /// Both sides vouch for every call.
    pub verified: Option<Time>,
}

/// A stretch of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the request until the volume was full.
    Fill,
    /// From there until the death was seen, or that no work is done.
    Detect,
    /// Held up by a fault that lasts, until it was healed or the victim died.
    Hold,
    /// From the death of the node until it was ready again, with its pods still
    /// its own.
    Boot,
    /// From the death of the node until the pod was evicted from it.
    Evict,
    /// Held back by the node.
    Backoff,
    /// From the death (or the end of back-off) until a new execution ran.
    Restart,
    /// From a running execution until it was Ready.
    Ready,
    /// From there until new work was done: reconnect and replay.
    Recover,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 9] = [
        Self::Fill,
        Self::Detect,
        Self::Hold,
        Self::Boot,
        Self::Evict,
        Self::Backoff,
        Self::Restart,
        Self::Ready,
        Self::Recover,
    ];

    /// Whether only some faults have it.
    pub const fn is_special(self) -> bool {
        matches!(self, Self::Fill | Self::Hold | Self::Boot | Self::Evict)
    }

    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Detect => "detect",
            Self::Hold => "hold",
            Self::Boot => "boot",
            Self::Evict => "evict",
            Self::Backoff => "backoff",
            Self::Restart => "restart",
            Self::Ready => "ready",
            Self::Recover => "recover",
        }
    }
}

impl Trial {
    /// Recovery time: from the request to new work.
    pub fn recovery_time(&self) -> Option<Duration> {
        self.marks.recovered.map(|at| at.since(self.marks.injected))
    }

    /// Recovery time without what the node held the restart back.
    pub fn recovery_time_without_backoff(&self) -> Option<Duration> {
        self.recovery_time()
            .map(|all| all.saturating_sub(self.clues.held))
    }

    /// How long a phase took; zero if it was passed unseen or is still ahead.
    pub fn phase(&self, phase: Phase) -> Duration {
        self.phases()
            .into_iter()
            .find(|(p, _)| *p == phase)
            .map_or(Duration::ZERO, |(_, d)| d)
    }

    /// The phases that are over, in order, with their lengths. They add up to
    /// the recovery time once the trial has recovered.
    ///
    /// A node may hold a container back more than once before it stays up, so
    /// back-off is the sum of all these waits, and restart is the rest of the
    /// time between the death and the execution that recovered.
    pub fn phases(&self) -> Vec<(Phase, Duration)> {
        let marks = &self.marks;
        let mut phases = self.phases_of_hold();
        let booted = self.booted();
        if let Some(node_down) = marks.node_down {
            phases.push((Phase::Detect, node_down.since(marks.injected)));
            if let Some(back) = booted {
                phases.push((Phase::Boot, back.since(node_down)));
            }
        }
        let Some(down) = marks.down else {
            return phases;
        };
        let down = booted.unwrap_or(down);
        if let Some(node_down) = marks.node_down {
            if booted.is_none() {
                phases.push((Phase::Evict, down.since(node_down)));
            }
        } else if phases.is_empty() {
            phases.push((Phase::Detect, down.since(marks.injected)));
        }
        if marks.backoff.is_some() && self.clues.held_since.is_none() {
            phases.push((Phase::Backoff, self.clues.held));
        }
        let Some(restarted) = marks.restarted else {
            return phases;
        };
        phases.push((
            Phase::Restart,
            restarted.since(down).saturating_sub(self.clues.held),
        ));
        // A Ready condition that is seen only when work is being done again
        // has told nothing about when that began.
        let ready = marks
            .ready
            .filter(|ready| marks.recovered.is_none_or(|recovered| *ready <= recovered));
        if let Some(ready) = ready {
            phases.push((Phase::Ready, ready.since(restarted)));
        }
        if let Some(recovered) = marks.recovered {
            phases.push((Phase::Recover, recovered.since(ready.unwrap_or(restarted))));
        }
        phases
    }

    /// When the node was back, if that was before its pod had been evicted.
    fn booted(&self) -> Option<Time> {
        let down = self.marks.down;
        self.marks
            .node_back
            .filter(|back| down.is_none_or(|down| *back <= down))
    }

    /// The phases of a fault that held its victim up, as far as they are over.
    fn phases_of_hold(&self) -> Vec<(Phase, Duration)> {
        let marks = &self.marks;
        let mut phases = Vec::new();
        if !self.fault.holds() {
            return phases;
        }
        let mut began = marks.injected;
        let mut over = |phase, end: Option<Time>| {
            if let Some(end) = end {
                phases.push((phase, end.since(began)));
                began = end;
            }
        };
        // Work may stand still before anybody says that the volume is full.
        let full = marks
            .full
            .map(|full| full.min(marks.stalled.unwrap_or(full)));
        over(Phase::Fill, full);
        over(Phase::Detect, marks.stalled);
        if marks.down.is_some() {
            // It died of the fault: from there on it is a death like any other.
            if marks.stalled.is_some() {
                over(Phase::Hold, marks.down);
            } else if full.is_some() {
                over(Phase::Detect, marks.down);
            }
        } else {
            over(Phase::Hold, marks.healed);
            over(
                Phase::Recover,
                marks.recovered.filter(|_| marks.healed.is_some()),
            );
        }
        phases
    }
}

//! Every trial of the run, and what they say together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::{
    event::Fact,
    time::Time,
    trial::{Before, Trial, TrialId},
    workload::Role,
};

/// All trials, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    trials: Vec<Trial>,
    /// The trials before this one are over.
    over: usize,
    /// What a trial that begins now needs to remember.
    before: Before,
}

/// What the trials say together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Faults that reached their victim.
    pub kills: usize,
    /// Of these, the ones that were survived with nothing lost or doubled.
    pub survived: usize,
    /// Trials that are over and were not survived.
    pub failed: usize,
    /// Calls that are missing.
    pub lost: u64,
    /// Calls that took effect twice.
    pub duplicated: u64,
    /// Recovery time, all of it.
    pub rto: Option<Spread>,
    /// Recovery time without what the node held restarts back.
    pub rto_without_backoff: Option<Spread>,
    /// From the heal of a fault that lasted to new work.
    pub rto_from_heal: Option<Spread>,
    /// Some recovery time is an upper bound only.
    pub coarse: bool,
}

/// How a set of durations spreads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them are at most this long.
    pub p50: Duration,
    /// 95 in 100 are at most this long.
    pub p95: Duration,
    /// None is longer.
    pub max: Duration,
}

impl Spread {
    /// The spread of some durations by the nearest-rank method: each figure is
    /// one that was measured. None of nothing.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        let max = *sorted.last()?;
        Some(Self {
            p50: rank(50),
            p95: rank(95),
            max,
        })
    }
}

impl Ledger {
    /// The trials, oldest first.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The trial that is not over yet. There is never more than one, as long as
    /// nobody injects a fault behind the cockpit's back.
    pub fn open(&self) -> Option<&Trial> {
        let open = self.trials[self.over..].iter();
        open.rev().find(|trial| !trial.state.is_over())
    }

    /// The trial whose fault may still be in force. There is never more than
    /// one: no fault is injected before the last one is healed.
    pub fn unhealed(&self) -> Option<&Trial> {
        let mut reached = self.trials.iter().rev().filter(|trial| trial.reached());
        reached.next().filter(|trial| trial.is_unhealed())
    }

    /// The number of the next trial.
    pub fn next_id(&self) -> TrialId {
        TrialId(self.trials.last().map_or(0, |trial| trial.id.0) + 1)
    }

    /// The trial with this number.
    pub fn get(&self, id: TrialId) -> Option<&Trial> {
        self.trials.iter().rev().find(|trial| trial.id == id)
    }

    /// What the trials say together. A trial during which the cockpit was dead
    /// counts as a kill, but its times say nothing.
    pub fn summary(&self) -> Summary {
        let reached = || self.trials.iter().filter(|trial| trial.reached());
        let timed = || reached().filter(|trial| !trial.interrupted);
        Summary {
            kills: reached().count(),
            survived: reached().filter(|trial| trial.survived()).count(),
            failed: reached()
                .filter(|trial| trial.state.is_over() && !trial.survived())
                .count(),
            lost: reached().map(|trial| trial.lost).sum(),
            duplicated: reached().map(|trial| trial.duplicated).sum(),
            rto: Spread::of(timed().filter_map(Trial::recovery_time)),
            rto_without_backoff: Spread::of(
                timed().filter_map(Trial::recovery_time_without_backoff),
            ),
            rto_from_heal: Spread::of(timed().filter_map(Trial::recovery_time_from_heal)),
            coarse: reached().any(|trial| trial.coarse),
        }
    }

    /// A side of the workload begins anew: what it said before is no measure of
    /// what it will say.
    pub(super) fn forget(&mut self, role: Role) {
        self.before.forget(role);
    }

    /// A fact came in. Returns whether any trial changed.
    pub fn observe(&mut self, at: Time, fact: &Fact) -> bool {
        if matches!(fact, Fact::Log { .. }) {
            return false;
        }
        let changed = match fact {
            Fact::FaultInjected {
                trial,
                fault,
                victim,
                lasts,
            } if self.get(*trial).is_none() => {
                let victim = victim.clone();
                let mut trial = Trial::injected(*trial, at, *fault, victim, self.before);
                trial.lasts = *lasts;
                self.trials.push(trial);
                true
            }
            Fact::FaultRefused {
                trial,
                fault,
                role,
                reason,
            } if self.get(*trial).is_none() => {
                let trial = Trial::refused(*trial, at, *fault, *role, reason.clone());
                self.trials.push(trial);
                true
            }
            // What may be said of a trial that is over already.
            Fact::PidAfter { trial, .. } | Fact::Healed { trial } => self
                .trials
                .iter_mut()
                .find(|known| known.id == *trial)
                .is_some_and(|known| known.observe(at, fact)),
            // What is missing is missing since the last fault that hit.
            Fact::OutOfOrder { .. } => self
                .trials
                .iter_mut()
                .rfind(|trial| trial.reached())
                .is_some_and(|trial| trial.observe(at, fact)),
            known => {
                // A node may come back when its trial is long over.
                let from = if matches!(known, Fact::Node(_)) {
                    0
                } else {
                    self.over
                };
                self.trials[from..]
                    .iter_mut()
                    .fold(false, |changed, trial| trial.observe(at, fact) | changed)
            }
        };
        if let Fact::Progress { role, progress } = fact {
            self.before.note(*role, *progress);
        }
        let over = |trial: &&Trial| trial.state.is_over();
        self.over += self.trials[self.over..].iter().take_while(over).count();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_spread_was_measured() {
        let of = |ms: &[u64]| {
            let spread = Spread::of(ms.iter().copied().map(Duration::from_millis))?;
            Some([spread.p50, spread.p95, spread.max].map(|d| d.as_millis()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some([7, 7, 7]));
        assert_eq!(of(&[30, 10, 20]), Some([20, 30, 30]));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(of(&hundred), Some([50, 95, 100]));
    }
}

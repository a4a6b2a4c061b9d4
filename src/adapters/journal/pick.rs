//! Which facts are worth keeping.
//!
//! Progress is the mass of all facts and nearly all of it may go: ten samples a
//! second draw the same curve. But a trial is moved by single samples, and a
//! run that is taken up again must show the same ledger to the microsecond. So
//! the choice is made by the ledger's own fold: a sample that moves a trial, or
//! belongs to another execution than the one before it, is always kept, and so
//! is the last sample before any other fact.

use std::time::Duration;

use crate::core::{
    event::{Event, Fact},
    model::ledger::Ledger,
    time::Time,
    workload::{Role, line::Progress},
};

/// Samples of one role are kept this far apart: ten a second.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// A sample that comes this much before its time is kept: a workload that
/// prints ten lines a second does so by a clock of its own.
const EARLY: Duration = Duration::from_millis(20);

/// Chooses the facts that are recorded.
#[derive(Debug, Default)]
pub struct Picker {
    ledger: Ledger,
    samples: [Samples; 2],
}

/// The samples of one role.
#[derive(Debug, Default)]
struct Samples {
    last: Option<Progress>,
    /// When the next one is due.
    due: Time,
    /// The newest one, if it was not kept.
    withheld: Option<(Time, Progress)>,
}

impl Picker {
    /// The trials as far as they are known.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A picker that goes on after what is recorded already.
    pub fn after(recorded: &[Event]) -> Self {
        let (mut picker, mut picked) = (Self::default(), Vec::new());
        for event in recorded {
            picker.pick(event, false, &mut picked);
            picked.clear();
        }
        for samples in &mut picker.samples {
            samples.withheld = None;
        }
        picker
    }

    /// Puts what is to be recorded because of `event` at the end of `picked`.
    ///
    /// While the disk is `slow`, samples on which nothing hangs are not kept.
    /// Returns how many facts that are missed for it.
    pub fn pick(&mut self, event: &Event, slow: bool, picked: &mut Vec<Event>) -> u64 {
        let moves_trial = self.ledger.observe(event.at, &event.fact);
        match &event.fact {
            // Written by the journal itself when it is opened and closed.
            Fact::RunStarted(_) | Fact::CockpitResumed | Fact::RunEnded => 0,
            Fact::Progress { role, progress } => {
                let samples = &mut self.samples[*role as usize];
                let other_life = samples.last.is_none_or(|last| {
                    (last.epoch, last.replaying) != (progress.epoch, progress.replaying)
                        || last.echoed > progress.echoed
                });
                samples.last = Some(*progress);
                let due = event.at + EARLY >= samples.due;
                if moves_trial || other_life {
                    self.release(picked);
                } else if slow || !due {
                    self.samples[*role as usize].withheld = Some((event.at, *progress));
                    return u64::from(slow && due);
                }
                let samples = &mut self.samples[*role as usize];
                samples.withheld = None;
                samples.due = samples.due.max(event.at) + SAMPLE_EVERY;
                picked.push(event.clone());
                0
            }
            fact if fact.is_recorded() => {
                self.release(picked);
                picked.push(event.clone());
                0
            }
            _ => 0,
        }
    }

    /// Keeps the last sample of each role after all, in the order of time.
    fn release(&mut self, picked: &mut Vec<Event>) {
        let from = picked.len();
        for role in Role::ALL {
            if let Some((at, progress)) = self.samples[role as usize].withheld.take() {
                picked.push(Event {
                    at,
                    fact: Fact::Progress { role, progress },
                });
            }
        }
        picked[from..].sort_by_key(|event| event.at);
    }
}

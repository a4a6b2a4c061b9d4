//! What a trial needs besides facts that come by themselves: a deadline, and
//! the process id of the recovered program.

use std::time::Duration;

use crate::core::{
    effect::Effect,
    event::Fact,
    model::Model,
    time::Time,
    trial::{DEADLINE, TrialId},
};

/// The longest a kubelet holds a restart back.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What is to be done for a trial now.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// An adapter must be asked.
    Effect(Effect),
    /// The clock is a fact too.
    Fact(Fact),
}

/// Looks after the open trial.
#[derive(Debug)]
pub struct Attendant {
    deadline: Duration,
    asked: Option<TrialId>,
    expired: Option<TrialId>,
}

impl Default for Attendant {
    fn default() -> Self {
        Self::new(DEADLINE)
    }
}

impl Attendant {
    /// An attendant who gives a trial up after `deadline`, and after what its
    /// node held the restart back.
    pub const fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            asked: None,
            expired: None,
        }
    }

    /// What the newest trial needs at `now`.
    pub fn attend(&mut self, model: &Model, now: Time) -> Option<Need> {
        let trial = model.ledger.trials().last()?;
        if trial.marks.recovered.is_some()
            && trial.pid_after.is_none()
            && self.asked != Some(trial.id)
        {
            self.asked = Some(trial.id);
            return Some(Need::Effect(Effect::AskPid {
                trial: trial.id,
                role: trial.role,
            }));
        }
        // What the node holds a restart back is no fault of the workload.
        let allowed = if trial.marks.backoff.is_some() {
            self.deadline + LONGEST_BACKOFF
        } else {
            self.deadline
        };
        if !trial.state.is_over()
            && self.expired != Some(trial.id)
            && now.since(trial.marks.injected) >= allowed
        {
            self.expired = Some(trial.id);
            return Some(Need::Fact(Fact::DeadlinePassed { trial: trial.id }));
        }
        None
    }
}

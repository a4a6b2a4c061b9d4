//! What a trial needs besides facts that come by themselves: a deadline, a word
//! on work that stands still, the process id of the recovered program, and the
//! end of a fault that lasts. And that the cockpit looks at the cluster which it
//! made.

use std::time::Duration;

use crate::core::{
    azure::desk::Cluster,
    effect::Effect,
    event::Fact,
    model::Model,
    time::Time,
    trial::{DEADLINE, Trial, TrialId},
    update::fault::{has_machines, healing},
};

use super::wires::Wires;

/// The longest a kubelet holds a restart back.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// How long after a heal that did not work out it is tried again.
const HEAL_AGAIN: Duration = Duration::from_secs(10);

/// How long a cockpit that leaves waits for a heal.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long it waits until Azure has started a machine.
const FAREWELL_TO_MACHINES: Duration = Duration::from_secs(90);

/// What is to be done now.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// An adapter must be asked.
    Effect(Effect),
    /// The clock is a fact too.
    Fact(Fact),
}

/// Looks after the open trial, and after which cluster is looked at.
#[derive(Debug)]
pub struct Attendant {
    deadline: Duration,
    asked: Option<TrialId>,
    expired: Option<TrialId>,
    stalled: Option<TrialId>,
    heal_sent: Option<(TrialId, Time)>,
    looked: bool,
    /// The cluster that the cockpit was last told to look at.
    told: Option<Cluster>,
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
            stalled: None,
            heal_sent: None,
            looked: false,
            told: None,
        }
    }

    /// What is needed at `now`.
    pub fn attend(&mut self, model: &Model, now: Time) -> Option<Need> {
        if let Some(heal) = self.heal(model, now) {
            return Some(Need::Effect(heal));
        }
        if !self.looked && has_machines(model) {
            self.looked = true;
            return Some(Need::Effect(Effect::LookAtMachines));
        }
        // Not before what lasts is healed: elsewhere nobody could.
        if model.azure.cluster != self.told && model.ledger.unhealed().is_none() {
            self.told.clone_from(&model.azure.cluster);
            if let Some(cluster) = self.told.clone() {
                return Some(Need::Effect(Effect::Connect(cluster)));
            }
        }
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
        if self.stalled != Some(trial.id)
            && let Some(since) = trial.stands_still(now)
        {
            self.stalled = Some(trial.id);
            let trial = trial.id;
            return Some(Need::Fact(Fact::StoodStill { trial, since }));
        }
        if !trial.state.is_over()
            && self.expired != Some(trial.id)
            && now.since(trial.marks.injected) >= self.allowed(trial)
        {
            self.expired = Some(trial.id);
            return Some(Need::Fact(Fact::DeadlinePassed { trial: trial.id }));
        }
        None
    }

    /// What the node holds a restart back, and what the fault itself lasts, is
    /// no fault of the workload.
    fn allowed(&self, trial: &Trial) -> Duration {
        let backoff = trial
            .marks
            .backoff
            .map_or(Duration::ZERO, |_| LONGEST_BACKOFF);
        self.deadline + backoff + trial.lasts.unwrap_or_default() + trial.fault.patience()
    }

    /// Heals what has lasted long enough, until it is healed.
    fn heal(&mut self, model: &Model, now: Time) -> Option<Effect> {
        let trial = model.ledger.unhealed()?;
        let due = trial.heal_due()?;
        let waits = self
            .heal_sent
            .is_some_and(|(id, at)| id == trial.id && now.since(at) < HEAL_AGAIN);
        if now < due || waits {
            return None;
        }
        self.heal_sent = Some((trial.id, now));
        healing(model)
    }
}

/// Takes back what lasts before the cockpit leaves, and folds what it hears
/// until that is done. Does not wait for ever: what is known of the fault is in
/// the journal, and the victim's own clock ends it, too.
pub async fn heal_before_leaving(model: &mut Model, wires: &mut Wires) {
    let Some(heal) = healing(model) else { return };
    let patience = if heal.is_azures() {
        FAREWELL_TO_MACHINES
    } else {
        FAREWELL
    };
    if wires.effects.send(heal).await.is_err() {
        return;
    }
    let healed = async {
        while model.ledger.unhealed().is_some() {
            let Some(batch) = wires.batches.recv().await else {
                break;
            };
            for event in &batch {
                model.apply(event);
            }
        }
    };
    if tokio::time::timeout(patience, healed).await.is_err() {
        tracing::error!("left without knowing that the fault is healed");
    }
}

//! Faults that last: the victim lives, but no work is done until the fault is
//! healed.
//!
//! New work proves a recovery only after the heal was sent. What the client had
//! done before it stood still may be told late: a client that was stopped tells
//! it with its first words, and they prove nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Fault, State, Trial, Victim};
use crate::core::time::Time;

/// Echoes that do not grow for so long stand still. Progress comes ten times a
/// second, so this is no hiccup.
pub const STANDSTILL: Duration = Duration::from_secs(1);

/// What a trial remembers of a fault that lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    /// When the client's echoes last grew.
    moved: Time,
    /// The fault was taken back for certain.
    heal_done: bool,
    /// The next sample of the client says how far it had come before the heal,
    /// which nobody saw, and not how far it came since.
    pub(super) unseen: bool,
}

impl Hold {
    /// The fault is injected at `at`.
    pub(super) fn since(at: Time) -> Self {
        Self {
            moved: at,
            ..Self::default()
        }
    }
}

impl Trial {
    /// Whether the fault may still be in force: it was injected, it lasts, and
    /// nobody has taken it back for certain.
    pub fn is_unhealed(&self) -> bool {
        self.fault.lasts() && self.reached() && !self.clues.hold.heal_done
    }

    /// What an unhealed trial is healed with.
    pub fn to_heal(&self) -> Option<(Fault, &Victim)> {
        let victim = self.victim.as_ref()?;
        self.is_unhealed().then_some((self.fault, victim))
    }

    /// When the fault is to be healed. One that outlives its trial lasts too
    /// long.
    pub fn heal_due(&self) -> Option<Time> {
        if !self.is_unhealed() {
            return None;
        }
        if self.state.is_over() {
            return Some(Time::ZERO);
        }
        self.lasts.map(|lasts| self.marks.injected + lasts)
    }

    /// From the heal to new work, where new work had to wait for it.
    pub fn recovery_time_from_heal(&self) -> Option<Duration> {
        let (healed, recovered) = (self.marks.healed?, self.marks.recovered?);
        (self.marks.restarted.is_none() && healed <= recovered).then(|| recovered.since(healed))
    }

    /// Since when no work is done, if it has been so for long enough at `now`
    /// and no fact has said so yet.
    pub fn stands_still(&self, now: Time) -> Option<Time> {
        let open = self.fault.holds() && !self.state.is_over() && self.marks.healed.is_none();
        let untold = self.marks.stalled.is_none() && self.marks.down.is_none() && !self.coarse;
        let still = now.since(self.clues.hold.moved) >= STANDSTILL;
        (open && untold && still).then_some(self.clues.hold.moved)
    }

    /// The request to heal is sent at `at`: from here on new work counts, at
    /// once where none could be done before, else when the heal is certain.
    pub(super) fn observe_heal_sent(&mut self, at: Time) {
        if self.marks.recovered.is_some() || !self.fault.lasts() {
            return;
        }
        self.marks.healed = Some(self.stamp(at));
        // Its last sample showed a client at work: what it did after that, and
        // before it was stopped, nobody saw.
        self.clues.hold.unseen = self.clues.still_since.is_none();
        if self.fault.holds()
            && matches!(self.state, State::Injected | State::Full | State::Stalled)
        {
            self.state = State::Healed;
        }
    }

    pub(super) fn observe_healed(&mut self, at: Time) {
        if self.marks.healed.is_none() && !self.state.is_over() {
            self.observe_heal_sent(at);
        }
        self.clues.hold.heal_done = true;
    }

    /// Whether new work proves that the fault is over, though nobody died of it.
    pub(super) fn is_let_go(&self) -> bool {
        self.fault.holds()
            && self.marks.down.is_none()
            && self.marks.healed.is_some()
            && (self.fault.stalls() || self.clues.hold.heal_done)
    }

    /// The volume is full at `at`.
    pub(super) fn mark_full(&mut self, at: Time) {
        let marks = &self.marks;
        let late = marks.healed.or(marks.down).is_some() || marks.full.is_some();
        if self.fault != Fault::DiskFill || late {
            return;
        }
        self.marks.full = Some(self.stamp(at));
        if self.state == State::Injected {
            self.state = State::Full;
        }
    }

    /// The client's echoes stand still since `since`.
    pub(super) fn mark_stalled(&mut self, since: Time) {
        let marks = &mut self.marks;
        let late = marks.healed.is_some_and(|healed| since > healed);
        if !self.fault.holds() || marks.stalled.is_some() || marks.down.is_some() || late {
            return;
        }
        // It may be told after the heal was.
        let since = since.max(marks.injected);
        marks.stalled = Some(since);
        self.clues.latest = self.clues.latest.max(since);
        if matches!(self.state, State::Injected | State::Full) {
            self.state = State::Stalled;
        }
    }

    /// When work was last done before the victim was seen dead, if its node was
    /// not.
    pub(super) fn last_worked(&self) -> Option<Time> {
        (self.marks.node_down.is_none() && !self.coarse).then_some(self.clues.hold.moved)
    }

    /// The echoes have grown at `at`; if they had stood still before, nobody
    /// needs to have said so.
    pub(super) fn note_moved(&mut self, at: Time) {
        let before = self.clues.hold.moved;
        self.clues.hold.moved = before.max(at);
        let healed = self.marks.healed.unwrap_or(at);
        if at.since(before) >= STANDSTILL && before < healed {
            self.mark_stalled(before);
        }
    }
}

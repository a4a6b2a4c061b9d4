//! What a fact does to a trial.

use super::{State, Trial, Victim};
use crate::core::{
    event::{Container, ContainerState, Fact, Pod, Terminated},
    time::Time,
    workload::{Role, line::Progress},
};

/// The node holds a container back because it died too often.
const HELD_BACK: &str = "CrashLoopBackOff";

/// The largest exit code that tells of a signal: there are 64, and 255 tells that
/// nobody knows.
const SIGNALS: i32 = 128 + 64;

impl Trial {
    /// A fact came in at `at`. Returns whether it changed anything.
    ///
    /// A trial that is over stays over; what may still become known is the
    /// process id after the recovery, and that calls are missing after all.
    pub fn observe(&mut self, at: Time, fact: &Fact) -> bool {
        match fact {
            Fact::PidAfter { trial, pid } if *trial == self.id => {
                self.pid_after.replace(*pid) != Some(*pid)
            }
            Fact::OutOfOrder {
                expected,
                got,
                replayed: false,
                ..
            } if self.reached() => {
                self.mark_broken(*expected, *got);
                true
            }
            // A fault may have to be taken back after its trial is over.
            Fact::Healed { trial } if *trial == self.id => {
                let before = self.is_unhealed();
                self.observe_healed(at);
                before
            }
            // So may its node.
            Fact::Node(node) if node.ready && self.is_victims_node(&node.name) => {
                let before = self.marks.node_back;
                self.note_node_back(at);
                self.marks.node_back != before
            }
            Fact::Log { .. } => false,
            _ if self.state.is_over() => false,
            _ => {
                let before = self.clone();
                self.observe_open(at, fact);
                before != *self
            }
        }
    }

    fn observe_open(&mut self, at: Time, fact: &Fact) {
        match fact {
            // A request whose answer got lost may still have killed.
            Fact::FaultRefused { trial, reason, .. }
                if *trial == self.id
                    && self.marks.down.is_none()
                    && self.marks.stalled.is_none() =>
            {
                self.state = State::NotInjected {
                    reason: reason.clone(),
                };
            }
            Fact::Pod(pod) => self.observe_pod(at, pod),
            Fact::PodGone { uid } if self.is_victims_pod(uid) => self.observe_pod_gone(at),
            Fact::PodsListed { uids } if !uids.iter().any(|uid| self.is_victims_pod(uid)) => {
                self.observe_pod_gone(at);
            }
            Fact::LogBegan { role, pod, restart } if *role == self.role => {
                self.observe_voice(at, pod, *restart);
            }
            Fact::Recovered { role, epoch, .. } if *role == self.role => {
                self.observe_epoch(at, *epoch);
            }
            Fact::Progress { role, progress } => self.observe_progress(at, *role, *progress),
            Fact::Round {
                role: Role::Client,
                replayed: false,
                ..
            } => self.observe_round(at),
            Fact::Node(node) if !node.ready => self.observe_node_down(at, &node.name),
            Fact::VolumeFull { trial } if *trial == self.id => self.mark_full(at),
            Fact::StoodStill { trial, since } if *trial == self.id => self.mark_stalled(*since),
            Fact::HealSent { trial } if *trial == self.id => self.observe_heal_sent(at),
            Fact::CockpitResumed => self.interrupted = true,
            Fact::DeadlinePassed { trial } if *trial == self.id => self.state = State::TimedOut,
            _ => {}
        }
    }

    /// Whether the fault reached its victim, as far as is known.
    pub fn reached(&self) -> bool {
        !matches!(self.state, State::NotInjected { .. })
    }

    fn is_victims_pod(&self, uid: &str) -> bool {
        self.victim.as_ref().is_some_and(|v| v.pod_uid == uid)
    }

    fn observe_pod_gone(&mut self, at: Time) {
        let known = std::mem::replace(&mut self.clues.pod_gone, true);
        // With its pod goes the execution that a killed process was replaced
        // by; a deleted pod may have its replacement already.
        self.mark_down_again(at, !known && !self.fault.replaces_pod());
    }

    fn observe_pod(&mut self, at: Time, pod: &Pod) {
        let Some(victim) = &self.victim else { return };
        if pod.role != Some(victim.role) {
            return;
        }
        let replacement = pod.uid != victim.pod_uid;
        // Nobody on a dead node is left to say that the victim ended.
        if !replacement && pod.deleting && self.fault.hits_node() {
            return self.mark_down(at);
        }
        // Only a pod that was deleted is replaced while its end is not seen
        // yet; and a pod on its way out replaces nobody.
        let replaces = self.fault.replaces_pod() || self.clues.pod_gone;
        if replacement && (!replaces || pod.deleting) {
            return;
        }
        let mut containers = pod.containers.iter();
        let named = containers.find(|c| c.name == victim.container);
        let container = match named {
            None if replacement => pod.containers.first(),
            named => named,
        };
        let Some(container) = container else { return };
        // A node with a fresh disk has forgotten how often it restarted anything.
        let forgot = self.fault.by_azure().is_some()
            && matches!((&container.id, &victim.container_id), (Some(now), Some(then)) if now != then);
        let restarted = container.restarts > victim.restarts || forgot;
        if !replacement && let Some(end) = end_of(container, victim) {
            self.signal_seen = end.signal.or_else(|| {
                (129..=SIGNALS)
                    .contains(&end.exit_code)
                    .then(|| end.exit_code - 128)
            });
        }
        let runs = container.state == ContainerState::Running;
        if !replacement && restarted && runs && self.marks.down.is_none() {
            // Whoever runs it is there, though nobody may have said so yet.
            self.note_node_back(at);
        }
        self.observe_container(at, container, replacement || restarted, pod.ready);
    }

    fn is_victims_node(&self, node: &str) -> bool {
        let victims = self.victim.as_ref().and_then(|v| v.node.as_deref());
        self.fault.hits_node() && victims == Some(node)
    }

    fn observe_node_down(&mut self, at: Time, node: &str) {
        let ahead = self.marks.node_down.is_none() && self.marks.down.is_none();
        if self.is_victims_node(node) && ahead {
            self.marks.node_down = Some(self.stamp(at));
            self.state = State::NodeDown;
        }
    }

    /// The node that was dead is not any more.
    fn note_node_back(&mut self, at: Time) {
        let dead = self.marks.node_down.is_some() && self.marks.node_back.is_none();
        if dead && self.fault.by_azure().is_some() {
            self.marks.node_back = Some(self.stamp(at));
        }
    }

    /// What the victim's container does, or that of its replacement; `anew`
    /// says that this is not the execution that the fault was injected into.
    fn observe_container(&mut self, at: Time, container: &Container, anew: bool, ready: bool) {
        match &container.state {
            ContainerState::Running if anew => {
                self.container_after = container.id.clone().or(self.container_after.take());
                self.mark_restarted(at);
                if container.ready && ready {
                    self.mark_ready(at);
                }
            }
            ContainerState::Waiting { reason, .. } if reason == HELD_BACK => {
                if self.clues.held_since.is_none() {
                    self.mark_down_again(at, anew);
                    self.mark_held_back(at);
                }
            }
            ContainerState::Terminated(_) => self.mark_down_again(at, anew),
            ContainerState::Waiting { .. } => {
                // A replacement that waits says nothing of the victim's death.
                if !anew {
                    self.mark_down(at);
                }
                self.mark_let_go(at);
            }
            ContainerState::Running | ContainerState::Unknown => {}
        }
    }

    /// Somebody begins to speak in the victim's part.
    fn observe_voice(&mut self, at: Time, pod: &str, restart: u32) {
        let Some(victim) = &self.victim else { return };
        if pod != victim.pod || restart > victim.restarts || self.clues.pod_gone {
            self.clues.voice = true;
            self.mark_restarted(at);
        }
    }

    /// The victim says which execution of it speaks.
    fn observe_epoch(&mut self, at: Time, epoch: u64) {
        if self.marks.recovered.is_some() {
            return;
        }
        let anew = match self.epoch_before {
            Some(before) => epoch > before,
            // Never heard before; then the log says who speaks.
            None => self.clues.voice,
        };
        if anew {
            self.epoch_after = Some(epoch);
            self.mark_restarted(at);
        } else if self.epoch_before.is_none() {
            self.epoch_before = Some(epoch);
        }
    }

    fn observe_progress(&mut self, at: Time, role: Role, progress: Progress) {
        self.coarse = false;
        if role == self.role {
            self.observe_epoch(at, progress.epoch);
        }
        if role == Role::Client && self.marks.recovered.is_none() {
            self.observe_echoes(at, progress);
        }
        if role == Role::Server
            && !progress.replaying
            && self.marks.recovered.is_some()
            && progress.call >= self.clues.confirmed
        {
            self.mark_verified(at);
        }
    }

    fn observe_echoes(&mut self, at: Time, progress: Progress) {
        let moved = self
            .clues
            .echoed
            .is_none_or(|before| progress.echoed != before);
        self.clues.echoed = Some(progress.echoed);
        if moved {
            self.note_moved(at);
            self.clues.still_since = None;
        } else if self.clues.still_since.is_none() {
            self.clues.still_since = Some(at);
        }
        let unseen = self.is_let_go() && std::mem::take(&mut self.clues.hold.unseen);
        let comes_back = self.epoch_after.is_some() || self.is_let_go() && !unseen;
        if !comes_back {
            // What the victim still did before it died, and what was on its way
            // then, is not recovery.
            self.clues.floor = self.clues.floor.max(progress.echoed);
        } else if !progress.replaying && progress.echoed > self.clues.floor {
            self.clues.confirmed = progress.call;
            self.mark_recovered(at);
        }
    }

    /// The original image prints no progress: a new round is all there is, and
    /// nothing out of order was printed before it.
    fn observe_round(&mut self, at: Time) {
        let anew = match self.role {
            // The last round of the old execution may still be on its way.
            Role::Client => self.clues.voice,
            Role::Server => self.marks.restarted.is_some(),
        };
        if self.coarse && (anew || self.is_let_go()) {
            self.mark_recovered(at);
            self.mark_verified(at);
        }
    }

    /// The time of a mark. Facts of several sources may overtake each other by
    /// a hair, but no mark is before an earlier one.
    pub(super) fn stamp(&mut self, at: Time) -> Time {
        self.clues.latest = self.clues.latest.max(self.marks.injected).max(at);
        self.clues.latest
    }

    fn mark_down(&mut self, at: Time) {
        // Who was held up and works again dies of something else.
        if self.marks.down.is_some() || self.marks.recovered.is_some() {
            return;
        }
        // The echoes of a dead server stop before anybody says that it died.
        let still = match self.role {
            // Of a machine that Azure starts anew nobody may say that it was away.
            _ if self.fault.by_azure().is_some() => self.last_worked(),
            // An eviction is no death: that was the node's.
            Role::Server if !self.fault.hits_node() => self.clues.still_since,
            _ => None,
        };
        self.marks.down = Some(self.stamp(still.map_or(at, |since| since.min(at))));
        self.state = State::Down;
    }

    /// The victim is dead; or what came in its place died before it worked, and
    /// the restart that counts is still ahead.
    fn mark_down_again(&mut self, at: Time, anew: bool) {
        self.mark_down(at);
        self.mark_let_go(at);
        if anew && self.marks.recovered.is_none() && self.marks.restarted.is_some() {
            self.marks.restarted = None;
            self.marks.ready = None;
            self.clues.voice = false;
            self.state = State::Down;
        }
    }

    /// The node holds the restart back.
    fn mark_held_back(&mut self, at: Time) {
        let ahead = self.marks.restarted.is_none() && self.marks.recovered.is_none();
        if ahead && self.clues.held_since.is_none() {
            let at = self.stamp(at);
            self.marks.backoff.get_or_insert(at);
            self.clues.held_since = Some(at);
            self.state = State::Backoff;
        }
    }

    /// The node holds nothing back any more.
    fn mark_let_go(&mut self, at: Time) {
        if let Some(since) = self.clues.held_since.take() {
            let passed = self.stamp(at).since(since);
            self.clues.held += passed;
            self.state = State::Down;
        }
    }

    fn mark_restarted(&mut self, at: Time) {
        self.mark_down(at);
        self.mark_let_go(at);
        if self.marks.restarted.is_none() && self.marks.down.is_some() {
            self.marks.restarted = Some(self.stamp(at));
            self.state = State::Restarted;
        }
    }

    fn mark_ready(&mut self, at: Time) {
        if self.marks.ready.is_none() && self.marks.restarted.is_some() {
            self.marks.ready = Some(self.stamp(at));
            if self.marks.recovered.is_none() {
                self.state = State::Ready;
            }
        }
    }

    fn mark_recovered(&mut self, at: Time) {
        // Who was only held up goes on as the one it was.
        if self.epoch_after.is_some() || !self.is_let_go() {
            self.mark_restarted(at);
        }
        self.marks.recovered = Some(self.stamp(at));
        self.state = State::Recovered;
    }

    fn mark_verified(&mut self, at: Time) {
        self.marks.verified = Some(self.stamp(at));
        self.state = State::Verified;
    }

    /// The application saw call `got` where `expected` had to come.
    fn mark_broken(&mut self, expected: u64, got: u64) {
        if got > expected {
            self.lost += got - expected;
        } else {
            self.duplicated += 1;
        }
        if self.state != State::TimedOut {
            self.state = State::Lost;
        }
    }
}

/// How the victim's own execution ended, where its container still says so.
fn end_of<'a>(container: &'a Container, victim: &Victim) -> Option<&'a Terminated> {
    let (state, last) = (&container.state, container.last.as_ref());
    let now = match state {
        ContainerState::Terminated(end) => Some(end),
        _ => None,
    };
    let is_victims = |end: &&Terminated| match (&end.container_id, &victim.container_id) {
        (Some(ended), Some(victim)) => Some(ended == victim),
        _ => None,
    };
    // The runtime's ids say it for sure; else the number of restarts does: the
    // execution before the first restart is the victim's, and so is the one
    // before a restart that is being waited for.
    let known = [now, last]
        .into_iter()
        .flatten()
        .find(|end| is_victims(end) == Some(true));
    let waits = matches!(state, ContainerState::Waiting { .. });
    known
        .or_else(|| match container.restarts.checked_sub(victim.restarts) {
            Some(0) => now.or(last.filter(|_| waits)),
            Some(1) if !waits => last,
            _ => None,
        })
        .filter(|end| is_victims(end) != Some(false))
}

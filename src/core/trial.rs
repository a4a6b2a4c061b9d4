//! A trial: one fault, and how the workload came back from it.
//!
//! `injected → down → (backoff) → restarted → ready → recovered → verified`,
//! or `not injected`, `lost`, `timed out`. The state machine is fed by facts
//! only. Watches coalesce, so a later mark implies the earlier ones: a pod that
//! is seen running again with one restart more was down, though nobody saw it.
//!
//! The recovery time is `recovered − injected`, both by the cockpit's monotonic
//! clock: the clock starts before the request is sent, because an exec into a
//! dying container often never answers.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    event::{ContainerState, Fact, Pod},
    time::Time,
    workload::{Role, line::Progress},
};

/// How long a trial may take before it counts as not survived.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A trial's number in its run, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub u32);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What is done to the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `kill -9` of the program inside its container.
    ProcessKill,
    /// `kill` (SIGTERM) of the program: the step of the original's document.
    ProcessTerm,
    /// The pod is deleted with a grace period of zero.
    PodDelete,
}

impl Fault {
    /// All faults, in the order of the menu.
    pub const ALL: [Self; 3] = [Self::ProcessKill, Self::ProcessTerm, Self::PodDelete];

    /// What the ledger calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessKill => "process",
            Self::ProcessTerm => "process (TERM)",
            Self::PodDelete => "pod",
        }
    }

    /// What is done, in words that name no victim.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::ProcessKill => "kill -9 the process",
            Self::ProcessTerm => "kill (SIGTERM) the process",
            Self::PodDelete => "delete the pod, grace 0",
        }
    }

    /// The signal that a process fault sends.
    pub const fn signal(self) -> Option<i32> {
        match self {
            Self::ProcessKill => Some(9),
            Self::ProcessTerm => Some(15),
            Self::PodDelete => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who is hit, as it was named before it died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// The side of the workload.
    pub role: Role,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid: a replacement has another.
    pub pod_uid: String,
    /// The container that runs the program.
    pub container: String,
    /// The id of the container's present execution.
    pub container_id: Option<String>,
    /// How often it had been restarted.
    pub restarts: u32,
    /// The program's process id inside the container, where it could be asked.
    pub pid: Option<u32>,
}

/// When each phase began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The request was sent.
    pub injected: Time,
    /// The container ended, the pod went, or progress began anew.
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
    /// From the request until the death was seen.
    Detect,
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
    pub const ALL: [Self; 5] = [
        Self::Detect,
        Self::Backoff,
        Self::Restart,
        Self::Ready,
        Self::Recover,
    ];

    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Backoff => "backoff",
            Self::Restart => "restart",
            Self::Ready => "ready",
            Self::Recover => "recover",
        }
    }
}

/// Where a trial stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The fault is injected; the death is not seen yet.
    Injected,
    /// The victim is dead.
    Down,
    /// The node holds its restart back.
    Backoff,
    /// A new execution runs.
    Restarted,
    /// It is Ready.
    Ready,
    /// New work is done; both sides have yet to vouch for it.
    Recovered,
    /// Over, and nothing was lost.
    Verified,
    /// Over: calls are missing or doubled.
    Lost,
    /// Over: it did not come back in time.
    TimedOut,
    /// Nothing was done to anybody.
    NotInjected {
        /// Why not.
        reason: String,
    },
}

impl State {
    /// Whether nothing more will happen.
    pub const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Verified | Self::Lost | Self::TimedOut | Self::NotInjected { .. }
        )
    }

    /// One or two words.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Down => "down",
            Self::Backoff => "back-off",
            Self::Restarted => "restarted",
            Self::Ready => "ready",
            Self::Recovered => "recovered",
            Self::Verified => "survived",
            Self::Lost => "LOST",
            Self::TimedOut => "timed out",
            Self::NotInjected { .. } => "not injected",
        }
    }
}

/// One fault and its consequences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number.
    pub id: TrialId,
    /// What was done.
    pub fault: Fault,
    /// The side it was done to.
    pub role: Role,
    /// To whom exactly; none if nobody was found to do it to.
    pub victim: Option<Victim>,
    /// When what was seen.
    pub marks: Marks,
    /// Where it stands.
    pub state: State,
    /// The victim's execution before.
    pub epoch_before: Option<u64>,
    /// The victim's execution after.
    pub epoch_after: Option<u64>,
    /// The program's process id after the recovery.
    pub pid_after: Option<u32>,
    /// The container's execution after the recovery.
    pub container_after: Option<String>,
    /// The signal that ended the victim, as its container's status says; for a
    /// deleted pod there is no status left to say it.
    pub signal_seen: Option<i32>,
    /// Calls that the application found missing.
    pub lost: u64,
    /// Calls that the application saw twice.
    pub duplicated: u64,
    /// The cockpit was dead for a part of it: its times are not comparable.
    pub interrupted: bool,
    /// The workload prints no progress; recovery was seen at the end of a round
    /// only, so its time is an upper bound.
    pub coarse: bool,
    /// The client's echoed bytes that a recovery must exceed.
    floor: u64,
    vouched: [bool; 2],
}

/// What a trial needs to know of the world when its fault is injected.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// The last progress of each role, indexed by `Role as usize`.
    pub progress: [Option<Progress>; 2],
}

impl Trial {
    /// A fault was injected at `at`.
    pub fn injected(id: TrialId, at: Time, fault: Fault, victim: Victim, before: Before) -> Self {
        let epoch_before = before.progress[victim.role as usize].map(|p| p.epoch);
        Self {
            id,
            fault,
            role: victim.role,
            victim: Some(victim),
            marks: Marks {
                injected: at,
                ..Marks::default()
            },
            state: State::Injected,
            epoch_before,
            epoch_after: None,
            pid_after: None,
            container_after: None,
            signal_seen: None,
            lost: 0,
            duplicated: 0,
            interrupted: false,
            coarse: epoch_before.is_none(),
            floor: before.progress[Role::Client as usize].map_or(0, |p| p.echoed),
            vouched: [false; 2],
        }
    }

    /// A fault that never reached anybody.
    pub fn refused(id: TrialId, at: Time, fault: Fault, role: Role, reason: String) -> Self {
        Self {
            id,
            fault,
            role,
            victim: None,
            marks: Marks {
                injected: at,
                ..Marks::default()
            },
            state: State::NotInjected { reason },
            epoch_before: None,
            epoch_after: None,
            pid_after: None,
            container_after: None,
            signal_seen: None,
            lost: 0,
            duplicated: 0,
            interrupted: false,
            coarse: false,
            floor: 0,
            vouched: [false; 2],
        }
    }

    /// Recovery time: from the request to new work.
    pub fn recovery_time(&self) -> Option<Duration> {
        self.marks.recovered.map(|at| at.since(self.marks.injected))
    }

    /// Recovery time without what the node held the restart back.
    pub fn recovery_time_without_backoff(&self) -> Option<Duration> {
        self.recovery_time()
            .map(|all| all.saturating_sub(self.phase(Phase::Backoff)))
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
    pub fn phases(&self) -> Vec<(Phase, Duration)> {
        let marks = &self.marks;
        let mut from = marks.injected;
        let mut phases = Vec::new();
        // Back-off ends where the restart begins, and nobody sees how long the
        // restart itself takes after it: it is counted as back-off.
        let restart = if marks.backoff.is_some() {
            Phase::Backoff
        } else {
            Phase::Restart
        };
        for (phase, to) in [
            (Phase::Detect, marks.down),
            (Phase::Restart, marks.backoff),
            (restart, marks.restarted),
            (
                Phase::Ready,
                marks
                    .ready
                    .filter(|at| marks.recovered.is_none_or(|r| *at <= r)),
            ),
            (Phase::Recover, marks.recovered),
        ] {
            if let Some(to) = to {
                phases.push((phase, to.since(from)));
                from = to;
            }
        }
        phases
    }

    /// The victim survived, and nothing was lost or doubled.
    pub fn survived(&self) -> bool {
        self.state == State::Verified
    }

    /// A fact came in at `at`. Returns whether it changed anything.
    pub fn observe(&mut self, at: Time, fact: &Fact) -> bool {
        if let Fact::PidAfter { trial, pid } = fact
            && *trial == self.id
        {
            self.pid_after = Some(*pid);
            return true;
        }
        if self.state.is_over() {
            return false;
        }
        let before = self.state.clone();
        match fact {
            Fact::FaultRefused { trial, reason, .. } if *trial == self.id => {
                // A request whose answer got lost may still have killed.
                if self.marks.down.is_none() {
                    self.state = State::NotInjected {
                        reason: reason.clone(),
                    };
                }
            }
            Fact::Pod(pod) => self.observe_pod(at, pod),
            Fact::PodGone { uid } => {
                if self.victim.as_ref().is_some_and(|v| v.pod_uid == *uid) {
                    self.mark_down(at);
                }
            }
            Fact::PodsListed { uids } => {
                if self
                    .victim
                    .as_ref()
                    .is_some_and(|v| !uids.contains(&v.pod_uid))
                {
                    self.mark_down(at);
                }
            }
            Fact::Progress { role, progress } => self.observe_progress(at, *role, *progress),
            Fact::Round {
                role: Role::Client,
                replayed: false,
                ..
            } => self.observe_round(at),
            Fact::OutOfOrder {
                expected,
                got,
                replayed: false,
                ..
            } => {
                if got > expected {
                    self.lost += got - expected;
                } else {
                    self.duplicated += 1;
                }
                self.state = State::Lost;
            }
            Fact::CockpitResumed => self.interrupted = true,
            Fact::DeadlinePassed { trial } if *trial == self.id => {
                self.state = State::TimedOut;
            }
            _ => return false,
        }
        before != self.state || matches!(fact, Fact::CockpitResumed)
    }

    fn observe_pod(&mut self, at: Time, pod: &Pod) {
        let Some(victim) = &self.victim else { return };
        if pod.role != Some(victim.role) {
            return;
        }
        if pod.uid != victim.pod_uid {
            // A replacement: its predecessor is gone, whatever was seen of it.
            if self.fault == Fault::PodDelete || self.marks.down.is_some() {
                self.mark_down(at);
                if pod
                    .containers
                    .iter()
                    .any(|c| c.state == ContainerState::Running)
                {
                    self.container_after = pod
                        .containers
                        .first()
                        .and_then(|c| c.id.clone())
                        .or(self.container_after.take());
                    self.mark_restarted(at);
                    if pod.ready {
                        self.mark_ready(at);
                    }
                }
            }
            return;
        }
        let Some(container) = pod.containers.iter().find(|c| c.name == victim.container) else {
            return;
        };
        let restarted = container.restarts > victim.restarts;
        let ended = match &container.state {
            ContainerState::Terminated(end) => Some(end),
            _ => container.last.as_ref().filter(|_| restarted),
        };
        if let Some(end) = ended {
            self.signal_seen = end
                .signal
                .or((end.exit_code > 128).then_some(end.exit_code - 128));
        }
        let running = container.state == ContainerState::Running;
        let (id, ready) = (container.id.clone(), container.ready && pod.ready);
        match &container.state {
            ContainerState::Terminated(_) => self.mark_down(at),
            ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff" => {
                self.mark_down(at);
                if self.marks.backoff.is_none() && self.marks.restarted.is_none() {
                    self.marks.backoff = Some(at);
                    self.state = State::Backoff;
                }
            }
            ContainerState::Waiting { .. } => self.mark_down(at),
            ContainerState::Running if restarted => self.mark_down(at),
            _ => {}
        }
        if running && restarted {
            self.container_after = id;
            self.mark_restarted(at);
            if ready {
                self.mark_ready(at);
            }
        }
    }

    fn observe_progress(&mut self, at: Time, role: Role, progress: Progress) {
        let is_victim = role == self.role;
        if is_victim {
            match self.epoch_before {
                None => self.epoch_before = Some(progress.epoch),
                Some(before) if progress.epoch > before => {
                    self.epoch_after = Some(progress.epoch);
                    self.mark_restarted(at);
                }
                Some(_) => {}
            }
        }
        // What the victim still did before it died is not recovery.
        let old_life = if role == self.role {
            self.epoch_after.is_none()
        } else {
            self.marks.down.is_none()
        };
        if role == Role::Client && old_life {
            self.floor = self.floor.max(progress.echoed);
        }
        if progress.replaying || self.epoch_after.is_none() {
            return;
        }
        if self.marks.recovered.is_some() {
            self.vouched[role as usize] = true;
        } else if role == Role::Client && progress.echoed > self.floor {
            self.mark_recovered(at);
            self.vouched[Role::Client as usize] = true;
        }
        if self.marks.recovered.is_some() && self.vouched == [true; 2] {
            self.marks.verified = Some(at);
            self.state = State::Verified;
        }
    }

    /// The original image prints no progress: a new round is all there is, and
    /// nothing out of order was printed before it.
    fn observe_round(&mut self, at: Time) {
        if self.coarse && self.epoch_before.is_none() && self.marks.restarted.is_some() {
            self.mark_recovered(at);
            self.marks.verified = Some(at);
            self.state = State::Verified;
        }
    }

    fn mark_down(&mut self, at: Time) {
        if self.marks.down.is_none() {
            self.marks.down = Some(at);
            self.state = State::Down;
        }
    }

    fn mark_restarted(&mut self, at: Time) {
        self.mark_down(at);
        if self.marks.restarted.is_none() {
            self.marks.restarted = Some(at);
            self.state = State::Restarted;
        }
    }

    fn mark_ready(&mut self, at: Time) {
        if self.marks.ready.is_none() {
            self.marks.ready = Some(at);
            if self.marks.recovered.is_none() {
                self.state = State::Ready;
            }
        }
    }

    fn mark_recovered(&mut self, at: Time) {
        self.marks.recovered = Some(at);
        self.state = State::Recovered;
    }
}

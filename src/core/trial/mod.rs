//! A trial: one fault, and how the workload came back from it.
//!
//! `injected → down → (backoff) → restarted → ready → recovered → verified`,
//! or `not injected`, `lost`, `timed out`. A fault that lasts until it is healed
//! kills nobody: `injected → stalled → healed → recovered → verified`, with `full`
//! before `stalled` where a disk is filled. The state
//! machine is fed by facts only. Watches coalesce, so a later mark implies the earlier ones: a pod that
//! is seen running again with one restart more was down, though nobody saw it.
//!
//! The recovery time is `recovered − injected`, both by the cockpit's monotonic
//! clock: the clock starts before the request is sent, because an exec into a
//! dying container often never answers.

mod fault;
mod lasting;
mod observe;
mod phases;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    fault::{Fault, Group},
    lasting::STANDSTILL,
    phases::{Marks, Phase},
};
use super::{
    time::Time,
    workload::{Role, line::Progress},
};

/// How long a trial may take before it counts as not survived.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A trial's number in its run, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub u32);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
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
    /// The node that it runs on, where it is known.
    #[serde(default)]
    pub node: Option<String>,
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
    /// Where the volume is that is filled, in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
}

/// Where a trial stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The fault is injected; the death is not seen yet.
    Injected,
    /// The volume is full, and stays so.
    Full,
    /// No work is done any more, and the fault lasts.
    Stalled,
    /// The fault is taken back; new work is yet to be done.
    Healed,
    /// The victim's node is dead; the victim counts as alive until it is evicted.
    NodeDown,
    /// The victim is dead, or told to go from a node that is dead.
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
            Self::Full => "full",
            Self::Stalled => "stalled",
            Self::Healed => "healed",
            Self::NodeDown => "node down",
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
    /// How long the fault was meant to last; none if it is over at once.
    pub lasts: Option<Duration>,
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
    /// What was seen on the way that is no mark of its own.
    clues: Clues,
}

/// What a trial remembers between the facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Clues {
    /// The client's echoed bytes that a recovery must exceed.
    floor: u64,
    /// The client's last word on its echoed bytes.
    echoed: Option<u64>,
    /// When the latest mark was set.
    latest: Time,
    /// The call that the client had confirmed when it recovered; the server
    /// vouches for a recovery once it has come as far.
    confirmed: u64,
    /// A new execution of the victim is heard in the log.
    voice: bool,
    /// The victim's pod is no more.
    pod_gone: bool,
    /// The client's echoes stand still since: where the server's death began
    /// to show.
    still_since: Option<Time>,
    /// How a fault that lasts does so.
    hold: lasting::Hold,
    /// Held back by the node, all times together that are over.
    held: Duration,
    /// Held back by the node now, since.
    held_since: Option<Time>,
}

/// What a trial needs to know of the world when its fault is injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// The last progress of each role, indexed by `Role as usize`.
    pub progress: [Option<Progress>; 2],
    /// The most echoed bytes that the client ever spoke of.
    pub echoed: u64,
}

impl Before {
    /// A role told its progress.
    pub fn note(&mut self, role: Role, progress: Progress) {
        self.progress[role as usize] = Some(progress);
        if role == Role::Client {
            self.echoed = self.echoed.max(progress.echoed);
        }
    }

    /// Another run, in which a role counts from nothing.
    pub fn forget(&mut self, role: Role) {
        self.progress[role as usize] = None;
        if role == Role::Client {
            self.echoed = 0;
        }
    }
}

impl Trial {
    /// A fault was injected at `at`.
    pub fn injected(id: TrialId, at: Time, fault: Fault, victim: Victim, before: Before) -> Self {
        let epoch_before = before.progress[victim.role as usize].map(|p| p.epoch);
        Self {
            epoch_before,
            coarse: before.progress[Role::Client as usize].is_none(),
            clues: Clues {
                floor: before.echoed,
                hold: lasting::Hold::since(at),
                ..Clues::default()
            },
            ..Self::begin(id, at, fault, victim.role, Some(victim), State::Injected)
        }
    }

    /// A fault that never reached anybody.
    pub fn refused(id: TrialId, at: Time, fault: Fault, role: Role, reason: String) -> Self {
        Self::begin(id, at, fault, role, None, State::NotInjected { reason })
    }

    fn begin(
        id: TrialId,
        at: Time,
        fault: Fault,
        role: Role,
        victim: Option<Victim>,
        state: State,
    ) -> Self {
        Self {
            id,
            fault,
            role,
            victim,
            lasts: None,
            marks: Marks {
                injected: at,
                ..Marks::default()
            },
            state,
            epoch_before: None,
            epoch_after: None,
            pid_after: None,
            container_after: None,
            signal_seen: None,
            lost: 0,
            duplicated: 0,
            interrupted: false,
            coarse: false,
            clues: Clues::default(),
        }
    }

    /// The victim survived, and nothing was lost or doubled.
    pub fn survived(&self) -> bool {
        self.state == State::Verified
    }
}

//! Facts: the only way anything enters the model.
//!
//! A fact says what was seen, never what it means; meaning is made by the fold.
//! Facts are plain data with a stable JSON form, because the journal keeps them
//! and a later version must still read them: fields are added with a default,
//! never renamed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    around::{Ability, Node, Residents, Volume},
    azure::{bed::Told, desk::Seen},
    deploy::{Plan, Progress as Rollout},
    time::Time,
    trial::{Fault, TrialId, Victim},
    workload::{Role, line::Progress},
};

/// Something that happened, and when the cockpit learnt of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, by the cockpit's monotonic clock at receipt.
    pub at: Time,
    /// What.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A run began. Always the first event of a journal.
    RunStarted(RunStarted),
    /// A cockpit took the run up again after another had died.
    CockpitResumed,
    /// The cockpit ended the run in good order.
    RunEnded,
    /// Which cluster is looked at.
    Cluster(ClusterInfo),
    /// The cockpit looks at another cluster from now on, or at none: what it knew
    /// of the last one says nothing any more.
    Turned {
        /// Why there is none, in words for the screen; nothing if there is one.
        nowhere: Option<String>,
    },
    /// A stream of facts changed its state.
    Feed {
        /// Which stream.
        feed: Feed,
        /// Its state from now on.
        state: FeedState,
    },
    /// Whether the user may do something in this namespace.
    Permission {
        /// What.
        action: Permitted,
        /// The server's answer.
        allowed: bool,
    },
    /// Whether something can be done that not every cluster can.
    Able {
        /// What.
        ability: Ability,
        /// Why not, in words for the screen.
        why_not: Option<String>,
    },
    /// A node as it is now: new or changed.
    Node(Node),
    /// A node is no more.
    NodeGone {
        /// Its name.
        name: String,
    },
    /// Somebody looked at what runs on a node.
    OnNode {
        /// Its name.
        node: String,
        /// What was seen.
        residents: Residents,
    },
    /// Somebody looked for the volume that a pod's program writes its data to.
    DataVolume {
        /// The pod's uid.
        uid: String,
        /// It, if it has an end of its own and can be filled.
        volume: Option<Volume>,
        /// Why not, if not, in words for the screen.
        why_not: Option<String>,
    },
    /// Faults that aks-tui injected and that are still in force.
    Leftovers {
        /// What they are, in words for the screen.
        what: Vec<String>,
    },
    /// A pod as it is now: new or changed.
    Pod(Box<Pod>),
    /// A pod is no more.
    PodGone {
        /// Its uid.
        uid: String,
    },
    /// The list of pods is complete: pods not seen since the watch began anew
    /// are gone.
    PodsListed {
        /// The uids of all pods there are.
        uids: Vec<String>,
    },
    /// A container begins to speak in the log: a new execution of a role.
    LogBegan {
        /// Whose log.
        role: Role,
        /// The pod that speaks.
        pod: String,
        /// How often its container had been restarted.
        restart: u32,
    },
    /// Lines that a role printed. Not recorded: they are fetched again by time.
    Log {
        /// Who printed them.
        role: Role,
        /// In the order of printing.
        lines: Vec<LogLine>,
    },
    /// An execution told its progress. Recorded at most ten times a second.
    Progress {
        /// Who.
        role: Role,
        /// What it said.
        progress: Progress,
    },
    /// A round ended.
    Round {
        /// Who printed it.
        role: Role,
        /// Message size, bytes.
        size: u64,
        /// Payload throughput in one direction, GiB/s, as printed.
        gib_s: f64,
        /// Printed before: this is the replay of an old result.
        replayed: bool,
    },
    /// Which round ended, by number, and what it moved.
    RoundEnd {
        /// Who printed it.
        role: Role,
        /// Counted from 1.
        index: u64,
        /// Message size, bytes.
        size: u64,
        /// Payload bytes in one direction.
        bytes: u64,
    },
    /// An execution finished its replay.
    Recovered {
        /// Who.
        role: Role,
        /// Which execution.
        epoch: u64,
        /// Calls that it executed again.
        replayed: u64,
        /// How long that took by its own clock, ms.
        millis: u64,
    },
    /// The application saw a call number other than the next one.
    OutOfOrder {
        /// Who saw it.
        role: Role,
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        got: u64,
        /// Seen while replaying.
        replayed: bool,
    },
    /// The role waits for a port of its predecessor to be free; benign.
    PortBusy {
        /// Who.
        role: Role,
    },
    /// The total of a finished run.
    Total {
        /// Who printed it.
        role: Role,
        /// Payload bytes received.
        bytes: u64,
    },
    /// The role says that the run is done.
    Done {
        /// Who.
        role: Role,
    },
    /// A fault is being injected: the clock starts here, before the request.
    FaultInjected {
        /// Which trial.
        trial: TrialId,
        /// What is done to the victim.
        fault: Fault,
        /// Whom.
        victim: Victim,
        /// How long it is to last, where it does not end by itself.
        #[serde(default)]
        lasts: Option<Duration>,
    },
    /// While a fault lasts, the client's echoes have not grown for a while.
    StoodStill {
        /// Which trial.
        trial: TrialId,
        /// Since when.
        since: Time,
    },
    /// The volume that is filled is full.
    VolumeFull {
        /// Which trial.
        trial: TrialId,
    },
    /// A fault that lasts is being taken back: the clock of what follows starts
    /// here, before the request.
    HealSent {
        /// Which trial.
        trial: TrialId,
    },
    /// A fault that lasts was taken back for certain, or there is nothing left
    /// that it could be in force on.
    Healed {
        /// Which trial.
        trial: TrialId,
    },
    /// The request was refused, or there was nothing to kill.
    FaultRefused {
        /// Which trial.
        trial: TrialId,
        /// What is done to the victim.
        fault: Fault,
        /// Who was meant.
        role: Role,
        /// Why not, in words for the screen.
        reason: String,
    },
    /// The process that a role runs as after a recovery, as `pidof` says.
    PidAfter {
        /// Which trial.
        trial: TrialId,
        /// Process id inside the container.
        pid: u32,
    },
    /// A trial waited as long as it may.
    DeadlinePassed {
        /// Which trial.
        trial: TrialId,
    },
    /// The workload was asked to make its present round the last.
    FinishRequested,
    /// Something was seen of Azure.
    Azure(Seen),
    /// Something was seen of what there is in Azure.
    Bed(Told),
    /// What a deployment would do is being worked out.
    DeployPlanning,
    /// It is known what a deployment, or its end, would do.
    DeployPlanned(Box<Plan>),
    /// Objects are being sent, or deleted.
    DeployBegan {
        /// They are deleted.
        removes: bool,
    },
    /// An object was taken by the server, or is gone.
    DeployApplied {
        /// `Kind name`.
        object: String,
    },
    /// How a side's rollout is doing, whenever that changes.
    Rollout(Rollout),
    /// Both sides' pods serve.
    RolledOut {
        /// The client's pod.
        client: String,
    },
    /// What was to go is gone.
    DeployRemoved,
    /// A deployment could not be planned, or did not work out.
    DeployFailed(Trouble),
    /// Something went wrong that a person should know of.
    Trouble(Trouble),
}

impl Fact {
    /// Whether the journal keeps facts of this kind. Raw log lines are kept in
    /// memory only: the cluster has them.
    pub const fn is_recorded(&self) -> bool {
        !matches!(self, Self::Log { .. })
    }
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run's name: sorts by time, unique on this machine.
    pub run: String,
    /// Wall-clock time, ms since 1970, UTC.
    pub wall_ms: i64,
    /// Version of the program that recorded it.
    pub version: String,
}

/// Which cluster is looked at, and as what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// The kubeconfig's context.
    pub context: String,
    /// The API server's address, without credentials.
    pub server: String,
    /// The namespace that is watched.
    pub namespace: String,
    /// The server's version, e.g. `v1.33.2`.
    pub version: Option<String>,
    /// How restarts are delayed, where the cluster says so (the lab does).
    pub backoff: Option<String>,
    /// How pods are kept apart, where the cluster says so (the lab does).
    pub isolation: Option<String>,
}

/// A stream of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// The watch of the namespace's pods.
    Pods,
    /// The log of a role.
    Log(Role),
}

impl Feed {
    /// What the screen calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Log(Role::Client) => "client log",
            Self::Log(Role::Server) => "server log",
        }
    }
}

/// How a stream is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedState {
    /// Asked for, nothing came yet.
    Connecting,
    /// Waits for something to exist, e.g. a pod whose log can be read.
    Waiting {
        /// For what, in words for the screen.
        what: String,
    },
    /// What it says is how things are.
    Live,
    /// Broken; what is shown is old.
    Broken {
        /// Why, and what to do, in words for the screen.
        why: String,
        /// When it is tried again.
        retry_at: Time,
    },
}

/// What a user may or may not be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permitted {
    /// Run a command in a container: the process fault.
    ExecPods,
    /// Delete a pod: the pod fault.
    DeletePods,
    /// Read logs.
    ReadLogs,
}

/// A pod, reduced to what the cockpit shows and measures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one field of the API, and none excludes another"
)]
pub struct Pod {
    /// Unique for ever; a replacement has another.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// The namespace it lives in.
    pub namespace: String,
    /// Which side of the workload it plays, if any.
    pub role: Option<Role>,
    /// It carries our `app.kubernetes.io/managed-by` label.
    pub managed: bool,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// A reason that replaces the phase, e.g. `Evicted`.
    pub reason: Option<String>,
    /// The node it was put on.
    pub node: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// When it was created: ms since 1970, with a resolution of one second.
    pub created_ms: Option<i64>,
    /// It was told to go.
    pub deleting: bool,
    /// Its Ready condition.
    pub ready: bool,
    /// A process in one of its containers sees, and could kill, processes that
    /// are not of this container: they share a pid namespace.
    #[serde(default)]
    pub shares_pids: bool,
    /// Its containers, in the order of the spec.
    pub containers: Vec<Container>,
}

/// One container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The runtime's id of the present execution; another after each restart.
    pub id: Option<String>,
    /// Restarts since the pod exists.
    pub restarts: u32,
    /// It passed its readiness probe.
    pub ready: bool,
    /// What it is doing.
    pub state: ContainerState,
    /// How the execution before ended.
    pub last: Option<Terminated>,
    /// Its command runs the program of the pod's role; a sidecar does not.
    #[serde(default)]
    pub program: bool,
    /// The bytes a round moves, where the container's arguments say so.
    #[serde(default)]
    pub bytes_per_round: Option<u64>,
}

/// What a container is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Not running, for a reason.
    Waiting {
        /// e.g. `CrashLoopBackOff`.
        reason: String,
        /// e.g. `back-off 10s restarting failed container …`.
        message: String,
    },
    /// Running.
    Running,
    /// Ended.
    Terminated(Terminated),
}

/// How an execution of a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// Its exit code; 128 + n for signal n.
    pub exit_code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// e.g. `Error`, `OOMKilled`, `Completed`.
    pub reason: String,
    /// The execution's id.
    pub container_id: Option<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the node got it, ms since 1970.
    pub stamp_ms: Option<i64>,
    /// Fit for the screen (see [`super::workload::text::printable`]).
    pub text: String,
    /// What is said about the workload.
    pub kind: LineKind,
    /// It repeats what was printed before the last kill.
    pub replayed: bool,
}

/// What a log line is to a reader's eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// For programs to read, ten a second: hidden unless asked for.
    Progress,
    /// A round's throughput.
    Round,
    /// Totals, DONE, recovery: the plot of the story.
    Milestone,
    /// A broken promise.
    Alarm,
    /// Anything else.
    Plain,
}

/// Something that went wrong: what happened, to what and why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What happened, to what, and why.
    pub what: String,
    /// What to do next.
    pub next: Option<String>,
}

impl Trouble {
    /// Trouble with advice.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: Some(next.into()),
        }
    }
}

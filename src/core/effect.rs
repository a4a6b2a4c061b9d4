//! What the cockpit asks the world to do. Adapters do it and answer with facts.

use std::time::Duration;

use super::{
    azure::{
        bed::Look,
        desk::{Cluster, Wish},
    },
    deploy::{Plan, Request},
    trial::{Fault, TrialId, Victim},
    workload::{Role, Workload},
};

/// A wish that only an adapter can fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Inject a fault. Answered by [`FaultInjected`] or [`FaultRefused`].
    ///
    /// [`FaultInjected`]: super::event::Fact::FaultInjected
    /// [`FaultRefused`]: super::event::Fact::FaultRefused
    Inject {
        /// Which trial this begins.
        trial: TrialId,
        /// What is done.
        fault: Fault,
        /// To whom.
        victim: Victim,
        /// How long it is to last, where it does not end by itself.
        lasts: Option<Duration>,
    },
    /// Take a fault back that lasts. Answered by
    /// [`Healed`](super::event::Fact::Healed) or trouble.
    Heal {
        /// Of which trial.
        trial: TrialId,
        /// What was done.
        fault: Fault,
        /// To whom.
        victim: Victim,
    },
    /// Look at what runs on a node. Answered by
    /// [`OnNode`](super::event::Fact::OnNode).
    LookAtNode {
        /// Its name.
        node: String,
    },
    /// Look at the machines of the nodes. Answered by
    /// [`Able`](super::event::Fact::Able) and, if they could be seen, by
    /// [`Bed`](super::event::Fact::Bed).
    LookAtMachines,
    /// Look at what there is in Azure. Answered by
    /// [`Bed`](super::event::Fact::Bed).
    LookAtAzure(Look),
    /// Look for the volumes that programs write their data to. Each is answered by
    /// [`DataVolume`](super::event::Fact::DataVolume).
    LookForVolumes {
        /// Whose.
        victims: Vec<Victim>,
    },
    /// Take back what earlier runs left in force. Answered by
    /// [`Leftovers`](super::event::Fact::Leftovers) or trouble.
    HealLeftovers,
    /// Ask which process a role runs as, after a recovery. Answered by
    /// [`PidAfter`](super::event::Fact::PidAfter), or not at all.
    AskPid {
        /// For which trial.
        trial: TrialId,
        /// Of which role.
        role: Role,
    },
    /// Ask the workload to make its present round the last. Answered by
    /// [`FinishRequested`](super::event::Fact::FinishRequested) or trouble.
    FinishRun {
        /// The client that is asked.
        victim: Victim,
    },
    /// Press Enter at the client, which waits for it where it is helloworld's. Answered
    /// by trouble, or by what it then says.
    PressEnter,
    /// Do something in Azure. Answered by
    /// [`Azure`](super::event::Fact::Azure).
    Azure(Wish),
    /// Look at the test bed's cluster from now on; or, if it is what is looked at
    /// and is gone, at none. Answered by
    /// [`Turned`](super::event::Fact::Turned), or not at all.
    Connect(Cluster),
    /// Work out what a deployment would do. Answered by
    /// [`DeployPlanned`](super::event::Fact::DeployPlanned) or
    /// [`DeployFailed`](super::event::Fact::DeployFailed).
    PlanDeploy(Box<Request>),
    /// Do what was planned, and wait until it runs. Answered by facts that begin
    /// with [`DeployBegan`](super::event::Fact::DeployBegan).
    Deploy {
        /// What was planned.
        plan: Box<Plan>,
        /// Take fields over that belong to others.
        force: bool,
        /// How long the rollout may take.
        within: Duration,
    },
    /// Work out what taking the workload away would do; answered as
    /// [`PlanDeploy`](Self::PlanDeploy).
    PlanUndeploy {
        /// Which; none for all there are.
        workload: Option<Workload>,
        /// Its volumes and claims go, too.
        storage: bool,
    },
    /// Take away what was planned, and wait until it is gone.
    Undeploy {
        /// What was planned.
        plan: Box<Plan>,
        /// How long it may take.
        within: Duration,
    },
    /// Work out what taking the logs of a workload's present run away would do;
    /// answered as [`PlanDeploy`](Self::PlanDeploy).
    PlanSweep {
        /// Whose.
        workload: Workload,
    },
    /// Stop the workload and delete the logs that were planned to go.
    Sweep {
        /// What was planned.
        plan: Box<Plan>,
        /// How long each step may take.
        within: Duration,
    },
    /// Try broken streams again now instead of at the end of their countdown.
    Reconnect,
    /// Move in the cockpit's own log.
    OwnLog(OwnLogMove),
    /// Put text on the clipboard.
    Copy(String),
    /// Stop the process until the shell continues it.
    Suspend,
    /// Draw the whole screen anew: something else wrote on it.
    Redraw,
    /// Leave.
    Quit,
}

impl Effect {
    /// Whether Azure does it, to machines or by looking.
    pub const fn is_azures(&self) -> bool {
        match self {
            Self::Inject { fault, .. } | Self::Heal { fault, .. } => fault.by_azure().is_some(),
            Self::LookAtMachines | Self::LookAtAzure(_) => true,
            _ => false,
        }
    }
}

/// A movement in the cockpit's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnLogMove {
    /// A page towards the older lines.
    Older,
    /// A page towards the newer lines.
    Newer,
    /// To the newest line, and stay there.
    Follow,
}

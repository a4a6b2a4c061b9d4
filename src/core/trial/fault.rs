//! The faults there are, and what each means for its trial.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Phase;
use crate::core::{around::Ability, azure::machines::Operation};

/// What a fault is done to: faults of one group stand together in the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The program inside its container.
    Process,
    /// A container or its pod.
    Pod,
    /// What a pod writes to.
    Disk,
    /// What a pod sends.
    Network,
    /// The machine below the pod.
    Node,
}

impl Group {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Pod => "pod",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Node => "node",
        }
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
    /// The program stands still (SIGSTOP) until it is let go (SIGCONT).
    ProcessStop,
    /// `kill -9` of every process of the container at once: of the program and
    /// of what was started beside it, so that nothing in the container can bring
    /// it back and its node must start the container anew. Process 1 cannot be
    /// killed from inside; it ends when its children are gone.
    ContainerKill,
    /// The pod is deleted with a grace period of zero.
    PodDelete,
    /// The volume that the program writes to is filled to its last byte.
    DiskFill,
    /// Nothing that the pod sends arrives.
    NetworkCut,
    /// Everything that the pod sends arrives [`Self::LATENCY`] later.
    NetworkDelay,
    /// [`Self::LOSS`] percent of what the pod sends is lost.
    NetworkLoss,
    /// The power of the victim's node is switched off, and on again when the
    /// trial is over.
    NodeOff,
    /// Azure starts the machine of the victim's node anew.
    NodeRestart,
    /// Azure switches the machine off; it is started when the trial is over.
    NodePowerOff,
    /// Azure takes the machine's hardware away; it is started when the trial is
    /// over.
    NodeDeallocate,
    /// Azure gives the machine a fresh disk.
    NodeReimage,
}

impl Fault {
    /// All faults, in the order of the menu.
    pub const ALL: [Self; 14] = [
        Self::ProcessKill,
        Self::ProcessTerm,
        Self::ProcessStop,
        Self::ContainerKill,
        Self::PodDelete,
        Self::DiskFill,
        Self::NetworkCut,
        Self::NetworkDelay,
        Self::NetworkLoss,
        Self::NodeOff,
        Self::NodeRestart,
        Self::NodePowerOff,
        Self::NodeDeallocate,
        Self::NodeReimage,
    ];

    /// What a delayed packet is late, milliseconds.
    pub const LATENCY: u32 = 200;

    /// Packets that a lossy network loses, percent.
    pub const LOSS: u32 = 30;

    /// The kills that a run without a screen draws from when it may do any.
    pub const MIXED: [Self; 3] = [Self::ProcessKill, Self::ProcessTerm, Self::PodDelete];

    /// What the ledger calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessKill => "process",
            Self::ProcessTerm => "process (TERM)",
            Self::ProcessStop => "process (STOP)",
            Self::ContainerKill => "container",
            Self::PodDelete => "pod",
            Self::DiskFill => "disk fill",
            Self::NetworkCut => "network cut",
            Self::NetworkDelay => "network delay",
            Self::NetworkLoss => "network loss",
            Self::NodeOff => "node",
            Self::NodeRestart => "node restart",
            Self::NodePowerOff => "node power off",
            Self::NodeDeallocate => "node deallocate",
            Self::NodeReimage => "node reimage",
        }
    }

    /// One word for it, as the command line and a narrow column have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProcessKill => "process",
            Self::ProcessTerm => "term",
            Self::ProcessStop => "stop",
            Self::ContainerKill => "container",
            Self::PodDelete => "pod",
            Self::DiskFill => "disk",
            Self::NetworkCut => "cut",
            Self::NetworkDelay => "delay",
            Self::NetworkLoss => "loss",
            Self::NodeOff => "node",
            Self::NodeRestart => "restart",
            Self::NodePowerOff => "poweroff",
            Self::NodeDeallocate => "deallocate",
            Self::NodeReimage => "reimage",
        }
    }

    /// What is done, in words that name no victim.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::ProcessKill => "kill -9 the process",
            Self::ProcessTerm => "kill (SIGTERM) the process",
            Self::ProcessStop => "stop the process (SIGSTOP)",
            Self::ContainerKill => "kill -9 all of the container",
            Self::PodDelete => "delete the pod, grace 0",
            Self::DiskFill => "fill the volume of its data",
            Self::NetworkCut => "cut what the pod sends",
            Self::NetworkDelay => "delay what the pod sends by 200 ms",
            Self::NetworkLoss => "lose 30 % of what the pod sends",
            Self::NodeOff => "power off the pod's node",
            Self::NodeRestart => "restart the node's machine",
            Self::NodePowerOff => "power off the node's machine",
            Self::NodeDeallocate => "deallocate the node's machine",
            Self::NodeReimage => "reimage the node's machine",
        }
    }

    /// What it is done to.
    pub const fn group(self) -> Group {
        match self {
            Self::ProcessKill | Self::ProcessTerm | Self::ProcessStop => Group::Process,
            Self::ContainerKill | Self::PodDelete => Group::Pod,
            Self::DiskFill => Group::Disk,
            Self::NetworkCut | Self::NetworkDelay | Self::NetworkLoss => Group::Network,
            Self::NodeOff
            | Self::NodeRestart
            | Self::NodePowerOff
            | Self::NodeDeallocate
            | Self::NodeReimage => Group::Node,
        }
    }

    /// Whether it is done to the whole node, and all that runs there.
    pub const fn hits_node(self) -> bool {
        matches!(self.group(), Group::Node)
    }

    /// What Azure is asked to do to the machine of the victim's node, if it is
    /// Azure that does it.
    pub const fn by_azure(self) -> Option<Operation> {
        match self {
            Self::NodeRestart => Some(Operation::Restart),
            Self::NodePowerOff => Some(Operation::PowerOff),
            Self::NodeDeallocate => Some(Operation::Deallocate),
            Self::NodeReimage => Some(Operation::Reimage),
            _ => None,
        }
    }

    /// The signal that a kill sends.
    pub const fn signal(self) -> Option<i32> {
        match self {
            Self::ProcessKill | Self::ContainerKill => Some(9),
            Self::ProcessTerm => Some(15),
            _ => None,
        }
    }

    /// Whether it goes on until it is healed; a kill is over at once.
    pub const fn lasts(self) -> bool {
        self.holds()
            || matches!(
                self,
                Self::NodeOff | Self::NodePowerOff | Self::NodeDeallocate
            )
    }

    /// Whether it only holds its victim up, for a time: nobody dies of it.
    pub const fn holds(self) -> bool {
        matches!(
            self,
            Self::ProcessStop
                | Self::DiskFill
                | Self::NetworkCut
                | Self::NetworkDelay
                | Self::NetworkLoss
        )
    }

    /// What the cluster must be able to do for it.
    pub const fn needs(self) -> Option<Ability> {
        match self.group() {
            Group::Network => Some(Ability::Network),
            Group::Node if self.by_azure().is_some() => Some(Ability::Machines),
            Group::Node => Some(Ability::Power),
            Group::Process | Group::Pod | Group::Disk => None,
        }
    }

    /// Whether it is a command in the victim's container.
    pub const fn is_command(self) -> bool {
        matches!(self.group(), Group::Process | Group::Disk) || matches!(self, Self::ContainerKill)
    }

    /// What a recovery may take beyond the usual. A cluster waits 40 s before a
    /// node that is silent counts as dead, 5 minutes before its pods are
    /// replaced, and 6 before their volumes are let go. Azure takes a minute or two
    /// for what it does to a machine, and some more for a fresh disk.
    pub const fn patience(self) -> Duration {
        match self {
            Self::NodeOff => Duration::from_mins(12),
            Self::NodePowerOff | Self::NodeDeallocate | Self::NodeReimage => {
                Duration::from_mins(15)
            }
            Self::NodeRestart => Duration::from_mins(8),
            _ => Duration::ZERO,
        }
    }

    /// Whether no work at all can be done while it lasts. A full disk may leave
    /// some that needs no room.
    pub const fn stalls(self) -> bool {
        matches!(self, Self::ProcessStop | Self::NetworkCut)
    }

    /// Whether the victim's pod may be replaced by another before its end is seen.
    pub const fn replaces_pod(self) -> bool {
        matches!(self, Self::PodDelete) || self.hits_node()
    }

    /// Whether its trial may go through this phase.
    pub const fn has_phase(self, phase: Phase) -> bool {
        match phase {
            Phase::Fill => matches!(self, Self::DiskFill),
            Phase::Hold => self.holds(),
            Phase::Boot => self.by_azure().is_some(),
            Phase::Evict => self.hits_node(),
            _ => true,
        }
    }

    /// How long a fault lasts that nobody gave a time.
    pub const LASTS: Duration = Duration::from_secs(10);
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

//! The machines under the cluster: which one a node is, and what can be done to it.

use serde::{Deserialize, Serialize};

/// What Azure's support says of all this.
pub const UNSUPPORTED: &str = "Azure does not support clusters whose machines are changed directly: do this to test beds only. \
     A node that is off is not repaired by itself";

/// A machine that is a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The node's name in the cluster.
    pub node: String,
    /// Its pool.
    pub pool: String,
    /// The machine's id: an instance of a scale set.
    pub id: String,
    /// `running`, `stopped`, `deallocated` …; empty where Azure does not say.
    pub power: String,
}

impl Machine {
    /// Whether it is off, or on its way there.
    pub fn is_off(&self) -> bool {
        ["stopped", "deallocated", "stopping", "deallocating"].contains(&self.power.as_str())
    }

    /// Whether it has given its hardware back, and costs nothing but its disk.
    pub fn is_free(&self) -> bool {
        self.power == "deallocated"
    }
}

/// What can be done to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starts it again, as after a crash: it is back in a minute or two.
    Restart,
    /// Switches it off; it stays off, and costs.
    PowerOff,
    /// Switches it off and gives the hardware back; it stays off.
    Deallocate,
    /// Gives it a fresh disk.
    Reimage,
    /// Starts it.
    Start,
}

impl Operation {
    /// What Azure calls it in its addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::PowerOff => "poweroff",
            Self::Deallocate => "deallocate",
            Self::Reimage => "reimage",
            Self::Start => "start",
        }
    }

    /// What a person calls it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::PowerOff => "power off",
            Self::Deallocate => "deallocate",
            Self::Reimage => "reimage",
            Self::Start => "start",
        }
    }
}

//! The cluster around the pods: its nodes, and what can be done to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{event::Fact, time::Time};

/// Something that only some clusters, and some users, can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Cut, delay and lose what a pod sends.
    Network,
    /// Switch the power of a node off and on.
    Power,
    /// Have Azure do something to the machine of a node.
    Machines,
}

/// A node, reduced to what the cockpit shows and measures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its Ready condition is true.
    pub ready: bool,
    /// Whether its power is on; none if it has no switch.
    pub powered: Option<bool>,
    /// It was aks-tui that switched it off.
    #[serde(default)]
    pub off_by_us: bool,
    /// Azure's id of its machine, where it is one of Azure's.
    #[serde(default)]
    pub machine: Option<String>,
}

/// A pod that runs on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resident {
    /// `namespace/name`.
    pub name: String,
    /// It was made by aks-tui.
    pub managed: bool,
}

/// What runs on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residents {
    /// Every pod that may be seen.
    pub pods: Vec<Resident>,
    /// Why there may be more, if so.
    pub unseen: Option<String>,
}

impl Residents {
    /// Whether somebody else's pods live there, as far as is known.
    pub fn any_foreign(&self) -> bool {
        self.unseen.is_some() || self.pods.iter().any(|pod| !pod.managed)
    }
}

/// A volume with an end of its own: filling it hurts nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it is in the container.
    pub path: String,
    /// Its size, bytes.
    pub size: u64,
    /// What is free of it, bytes.
    pub free: u64,
}

/// What is known of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Around {
    /// The nodes by name, where they may be seen.
    pub nodes: BTreeMap<String, Node>,
    /// What ran on a node when somebody last looked, and when that was.
    pub residents: BTreeMap<String, (Time, Residents)>,
    /// The volume of a pod's data by the pod's uid, or why there is none to fill;
    /// unknown until somebody looked.
    pub volumes: BTreeMap<String, Result<Volume, String>>,
    /// What can be done, or why not; unknown until the cluster was asked.
    pub abilities: BTreeMap<Ability, Option<String>>,
    /// Faults of earlier runs that are still in force.
    pub leftovers: Vec<String>,
}

impl Around {
    /// Folds a fact. Returns whether it was one of this kind.
    pub(super) fn apply(&mut self, at: Time, fact: &Fact) -> bool {
        match fact {
            Fact::Able { ability, why_not } => {
                self.abilities.insert(*ability, why_not.clone());
            }
            Fact::Node(node) => {
                self.nodes.insert(node.name.clone(), node.clone());
            }
            Fact::NodeGone { name } => {
                self.nodes.remove(name);
            }
            Fact::OnNode { node, residents } => {
                self.residents.insert(node.clone(), (at, residents.clone()));
            }
            Fact::DataVolume {
                uid,
                volume,
                why_not,
            } => {
                let none = || why_not.clone().unwrap_or_default();
                let found = volume.clone().ok_or_else(none);
                self.volumes.insert(uid.clone(), found);
            }
            Fact::Leftovers { what } => self.leftovers.clone_from(what),
            _ => return false,
        }
        true
    }

    /// Why something cannot be done here, if it cannot.
    pub fn why_not(&self, ability: Ability) -> Option<&str> {
        match self.abilities.get(&ability) {
            Some(why_not) => why_not.as_deref(),
            None => Some("not asked yet whether this cluster can"),
        }
    }
}

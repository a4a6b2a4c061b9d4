//! What there is in Azure: the machines under the cluster, and what they are doing.
//! Facts and their fold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machines::Machine;
use crate::core::time::Time;

/// Something that was seen of what there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Every machine of the cluster, as it is now.
    Machines(Vec<Machine>),
    /// The person at the keys knows what Azure's support says of changes to
    /// machines.
    Warned,
}

/// What is known of what there is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bed {
    /// The machines of the cluster, by the names of their nodes.
    pub machines: BTreeMap<String, Machine>,
    /// What Azure's support says was shown before.
    pub warned: bool,
}

impl Bed {
    /// Takes in what was seen. Returns whether anything changed.
    pub fn apply(&mut self, _: Time, told: &Told) -> bool {
        let before = self.clone();
        match told {
            Told::Machines(machines) => {
                let by_node = machines.iter().map(|it| (it.node.clone(), it.clone()));
                self.machines = by_node.collect();
            }
            Told::Warned => self.warned = true,
        }
        before != *self
    }

    /// The machines that are off, in the order of their nodes' names.
    pub fn off(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| machine.is_off())
    }
}

//! What there is in Azure: the machines under the cluster, and what they are doing.
//! Facts and their fold.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{machines::Machine, plan::Account, spent::Spent};
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
    /// What there is, as it is now.
    Sight(Box<Sight>),
    /// What there is is as it was at the last look.
    Same {
        /// What it has cost by now.
        spent: Option<Spent>,
    },
    /// Nothing could be seen.
    Blind {
        /// Why, in words for the screen.
        why: String,
        /// In how long somebody looks again.
        again: Duration,
    },
}

/// How somebody looks at what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Again and again, until [`Look::Away`].
    Watch,
    /// No more.
    Away,
    /// Now.
    Now,
    /// Before long: something has begun to change.
    Soon,
}

/// Everything that was seen at one look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Who looked, and where.
    pub account: Account,
    /// The cluster, if there is one.
    pub cluster: Option<Cluster>,
    /// What is there: the cluster first, its machines after it.
    pub things: Vec<Thing>,
    /// What was done there, the newest first.
    pub activity: Vec<Deed>,
    /// What an hour costs as it is now, where there is a price list.
    pub per_hour: Option<f64>,
    /// What it has cost so far, by that list.
    pub spent: Option<Spent>,
    /// What is not in either sum.
    pub leaves_out: Vec<String>,
    /// What could not be seen, and why.
    pub unseen: Vec<String>,
}

impl Sight {
    /// Whether nothing is different, but for what time alone makes dearer.
    pub fn is_like(&self, other: &Self) -> bool {
        let timeless = |sight: &Self| Self {
            spent: None,
            ..sight.clone()
        };
        timeless(self) == timeless(other)
    }

    /// Whether something is on its way to be something else.
    pub fn moves(&self) -> bool {
        self.things.iter().any(|thing| thing.moves)
    }
}

/// The cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// `Running` or `Stopped`.
    pub power: String,
    /// `Succeeded`, or what is being done to it.
    pub state: String,
    /// Its version of Kubernetes.
    pub version: String,
}

impl Cluster {
    /// Whether it has power.
    pub fn runs(&self) -> bool {
        self.power == "Running"
    }
}

/// Something that is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Its id.
    pub id: String,
    /// What people call such things.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How it is, in a word.
    pub state: String,
    /// It is on its way to be something else.
    #[serde(default)]
    pub moves: bool,
    /// When it was made, ms since 1970.
    pub made_ms: Option<i64>,
    /// What an hour of it costs, where it has a price of its own.
    pub per_hour: Option<f64>,
    /// It was made by aks-tui.
    pub ours: bool,
    /// It is a part of what stands above it.
    #[serde(default)]
    pub inside: bool,
    /// What else there is to say: names and values.
    pub more: Vec<(String, String)>,
}

/// Something that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// When, ms since 1970.
    pub at_ms: i64,
    /// What: `stop`.
    pub what: String,
    /// To what: `cluster demo-cluster`.
    pub whom: String,
    /// What came of it: `Succeeded`.
    pub status: String,
    /// Who did it.
    pub by: String,
    /// Why it failed, if it did.
    pub why: String,
}

/// What is known of what there is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bed {
    /// The machines of the cluster, by the names of their nodes.
    pub machines: BTreeMap<String, Machine>,
    /// What Azure's support says was shown before.
    pub warned: bool,
    /// What there is, as it was seen last.
    pub sight: Option<Sight>,
    /// When that was.
    pub seen: Option<Time>,
    /// Why nothing can be seen now, and when somebody looks again.
    pub blind: Option<(String, Time)>,
}

impl Bed {
    /// Takes in what was seen. Returns whether anything changed.
    pub fn apply(&mut self, at: Time, told: &Told) -> bool {
        let before = self.clone();
        match told {
            Told::Machines(machines) => {
                let by_node = machines.iter().map(|it| (it.node.clone(), it.clone()));
                self.machines = by_node.collect();
            }
            Told::Warned => self.warned = true,
            Told::Sight(sight) => {
                self.sight = Some((**sight).clone());
                self.looked(at);
            }
            Told::Same { spent } => {
                if let Some(sight) = &mut self.sight {
                    sight.spent.clone_from(spent);
                }
                self.looked(at);
            }
            Told::Blind { why, again } => self.blind = Some((why.clone(), at + *again)),
        }
        before != *self
    }

    fn looked(&mut self, at: Time) {
        self.seen = Some(at);
        self.blind = None;
    }

    /// The machines that are off, in the order of their nodes' names.
    pub fn off(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| machine.is_off())
    }
}

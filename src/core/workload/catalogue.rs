//! What can be deployed: one table, from which names and images follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Role;

/// What can be deployed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// The throughput test.
    #[default]
    Perftest,
    /// Three messages, and a person who presses Enter in between.
    Helloworld,
}

/// What of a workload is its own.
struct Entry {
    name: &'static str,
    /// The instances of AMBROSIA's scripts, the client's first.
    instances: [&'static str; 2],
    /// What AMBROSIA's own image is called, behind its registry.
    original: &'static str,
}

/// As the workloads are numbered.
const ENTRIES: [Entry; 2] = [
    Entry {
        name: "perftest",
        instances: ["perftestclient", "perftestserver"],
        original: "ambrosia-perftest",
    },
    Entry {
        name: "helloworld",
        instances: ["helloclient", "helloserver"],
        original: "ambrosia-hello",
    },
];

impl Workload {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Perftest, Self::Helloworld];

    const fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }

    /// What people call it; the value of the label that says what an object is a
    /// part of.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The name of a role's instance and of its service.
    pub const fn instance(self, role: Role) -> &'static str {
        self.entry().instances[role as usize]
    }

    /// The name of a role's deployment.
    pub fn deployment(self, role: Role) -> String {
        format!("generated-{}", self.instance(role))
    }

    /// The label selector of a role's pods.
    pub fn selector(self, role: Role) -> String {
        format!("app={}", self.deployment(role))
    }

    /// Of which workload an image of this name, without registry and tag, is
    /// AMBROSIA's own.
    pub fn of_original(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.entry().original == name)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

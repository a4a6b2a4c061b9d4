//! The kinds of object the lab keeps, and what Kubernetes calls each of them.
//!
//! One table for the store, the paths of the API, discovery and the error
//! texts: whoever adds a kind adds it here, and everything else follows.

/// A kind of object that the lab stores and serves.
///
/// The order of the variants is the order in which a snapshot is restored:
/// what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `v1 Namespace`
    Namespaces,
    /// `v1 Node`
    Nodes,
    /// `apps/v1 Deployment`
    Deployments,
    /// `apps/v1 ReplicaSet`
    ReplicaSets,
    /// `v1 Pod`
    Pods,
    /// `v1 Event`
    Events,
    /// `coordination.k8s.io/v1 Lease`
    Leases,
}

/// What the API says of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version inside the group.
    pub version: &'static str,
    /// Name in paths: `pods`.
    pub plural: &'static str,
    /// Name for one: `pod`.
    pub singular: &'static str,
    /// Name in objects: `Pod`.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Abbreviations that kubectl accepts.
    pub short: &'static [&'static str],
    /// Groups of kinds it belongs to, such as `all`.
    pub categories: &'static [&'static str],
}

impl Resource {
    /// Every kind, in the order of the variants.
    pub const ALL: [Self; 7] = [
        Self::Namespaces,
        Self::Nodes,
        Self::Deployments,
        Self::ReplicaSets,
        Self::Pods,
        Self::Events,
        Self::Leases,
    ];

    /// What the API says of this kind.
    pub const fn names(self) -> Names {
        match self {
            Self::Namespaces => names("", "namespaces", "namespace", "Namespace", false, &["ns"]),
            Self::Nodes => names("", "nodes", "node", "Node", false, &["no"]),
            Self::Pods => Names {
                categories: &["all"],
                ..names("", "pods", "pod", "Pod", true, &["po"])
            },
            Self::Deployments => Names {
                categories: &["all"],
                ..names(
                    "apps",
                    "deployments",
                    "deployment",
                    "Deployment",
                    true,
                    &["deploy"],
                )
            },
            Self::ReplicaSets => Names {
                categories: &["all"],
                ..names(
                    "apps",
                    "replicasets",
                    "replicaset",
                    "ReplicaSet",
                    true,
                    &["rs"],
                )
            },
            Self::Events => names("", "events", "event", "Event", true, &["ev"]),
            Self::Leases => names("coordination.k8s.io", "leases", "lease", "Lease", true, &[]),
        }
    }

    /// The kind that a group and a plural name, if the lab keeps it.
    pub fn find(group: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| {
            let names = resource.names();
            names.group == group && names.plural == plural
        })
    }

    /// The plural, with the group when there is one: `pods`, `deployments.apps`.
    /// It is how the real server names a kind in its error texts.
    pub fn qualified(self) -> String {
        let names = self.names();
        if names.group.is_empty() {
            names.plural.to_owned()
        } else {
            format!("{}.{}", names.plural, names.group)
        }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(self) -> String {
        let names = self.names();
        if names.group.is_empty() {
            names.version.to_owned()
        } else {
            format!("{}/{}", names.group, names.version)
        }
    }

    /// Whether the server counts changes of `spec` in `metadata.generation`.
    pub const fn has_generation(self) -> bool {
        matches!(self, Self::Deployments | Self::ReplicaSets)
    }
}

const fn names(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
    short: &'static [&'static str],
) -> Names {
    Names {
        group,
        version: "v1",
        plural,
        singular,
        kind,
        namespaced,
        short,
        categories: &[],
    }
}

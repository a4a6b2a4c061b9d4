//! Which version of each provider's interface is spoken, and where things are.
//!
//! The versions are the stable ones that Azure's own command line uses in 2026.

/// Subscriptions and their locations.
pub const SUBSCRIPTIONS: &str = "2022-12-01";
/// Resource groups, resources, providers, tags.
pub const RESOURCES: &str = "2024-11-01";
/// Deployments, their operations, what-if.
pub const DEPLOYMENTS: &str = "2025-04-01";
/// Storage accounts and shares.
pub const STORAGE: &str = "2025-08-01";
/// Container registries.
pub const REGISTRY: &str = "2025-11-01";
/// Builds in a container registry.
pub const REGISTRY_TASKS: &str = "2019-04-01";
/// Managed clusters, agent pools, machines.
pub const CONTAINER_SERVICE: &str = "2026-06-01";
/// Machines and their quotas.
pub const COMPUTE: &str = "2024-11-01";
/// The catalogue of sizes.
pub const SKUS: &str = "2021-07-01";
/// Role assignments.
pub const ROLES: &str = "2022-04-01";
/// Locks.
pub const LOCKS: &str = "2016-09-01";
/// The activity log.
pub const ACTIVITY: &str = "2015-04-01";
/// The retail price list.
pub const PRICES: &str = "2023-01-01-preview";

/// The role that lets a cluster pull images.
pub const ACR_PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";

/// The providers that a test bed needs.
pub const PROVIDERS: [&str; 6] = [
    "Microsoft.ContainerService",
    "Microsoft.Compute",
    "Microsoft.Network",
    "Microsoft.Storage",
    "Microsoft.ContainerRegistry",
    "Microsoft.ManagedIdentity",
];

/// Where the things of one test bed are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The subscription's id.
    pub subscription: String,
    /// The resource group.
    pub group: String,
}

impl Paths {
    /// `/subscriptions/ID`.
    pub fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    /// The resource group.
    pub fn group(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription(), self.group)
    }

    /// A provider's part of the subscription.
    pub fn provider(&self, namespace: &str) -> String {
        format!("{}/providers/{namespace}", self.subscription())
    }

    /// A resource in the group: `type` with its namespace, then the name.
    pub fn resource(&self, kind: &str, name: &str) -> String {
        format!("{}/providers/{kind}/{name}", self.group())
    }

    /// The storage account.
    pub fn account(&self, name: &str) -> String {
        self.resource("Microsoft.Storage/storageAccounts", name)
    }

    /// The registry.
    pub fn registry(&self, name: &str) -> String {
        self.resource("Microsoft.ContainerRegistry/registries", name)
    }

    /// The cluster.
    pub fn cluster(&self, name: &str) -> String {
        self.resource("Microsoft.ContainerService/managedClusters", name)
    }

    /// The deployments to the group.
    pub fn deployments(&self) -> String {
        format!("{}/providers/Microsoft.Resources/deployments", self.group())
    }

    /// A deployment to the group.
    pub fn deployment(&self, name: &str) -> String {
        self.resource("Microsoft.Resources/deployments", name)
    }

    /// How each resource of a deployment is going: below the group itself, as Azure's
    /// own packages ask it.
    pub fn deployment_operations(&self, name: &str) -> String {
        format!("{}/deployments/{name}/operations", self.group())
    }
}

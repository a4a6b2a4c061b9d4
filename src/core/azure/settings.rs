//! What a person wants to have in Azure, as `aks-tui.yaml` says it.
//!
//! Everything has a default but the names; the defaults are those of AMBROSIA's
//! `AmbrosiaAKSConf.sh`, with sizes that a new subscription's quota allows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::workload::order::{self, Order};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whose Azure, and where in it.
    pub azure: Azure,
    /// The Kubernetes cluster.
    pub cluster: Cluster,
    /// Where the workload keeps its logs.
    pub storage: Storage,
    /// Where its image is kept.
    pub registry: Registry,
    /// What runs.
    pub workload: Workload,
    /// What older set-ups left behind; only looked at when cleaning.
    pub legacy: Legacy,
}

/// Whose Azure, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Azure {
    /// The subscription's id; empty: `AZURE_SUBSCRIPTION_ID`, else the only one there is.
    pub subscription: String,
    /// The tenant's id; empty: `AZURE_TENANT_ID`, else the sign-in's own.
    pub tenant: String,
    /// The region.
    pub location: String,
    /// The resource group that holds everything.
    pub resource_group: String,
    /// Tags of one's own, besides the one that says who made it.
    pub tags: BTreeMap<String, String>,
    /// How to sign in.
    pub sign_in: SignIn,
    /// Which Azure.
    pub cloud: CloudName,
    /// The addresses of a custom cloud.
    pub custom: Custom,
}

impl Default for Azure {
    fn default() -> Self {
        Self {
            subscription: String::new(),
            tenant: String::new(),
            location: "eastus".to_owned(),
            resource_group: String::new(),
            tags: BTreeMap::new(),
            sign_in: SignIn::default(),
            cloud: CloudName::default(),
            custom: Custom::default(),
        }
    }
}

/// Ways to sign in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// The first that is set up: service principal, workload, az, azd, managed identity.
    #[default]
    Auto,
    /// `az login`.
    Cli,
    /// `azd auth login`.
    Azd,
    /// `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET` or `AZURE_CLIENT_CERTIFICATE_PATH`.
    ServicePrincipal,
    /// A service account's token in a pod, or a pipeline's.
    Workload,
    /// The identity of the machine that this runs on.
    Managed,
}

/// Which Azure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloudName {
    /// Azure.
    #[default]
    Public,
    /// Azure for the government of the United States.
    Government,
    /// Azure operated in China.
    China,
    /// Another, at the addresses of `custom`.
    Custom,
}

/// The addresses of a custom cloud; of another cloud, what differs from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Custom {
    /// Base address of the resource manager.
    pub resource_manager: String,
    /// Base address of the sign-in service.
    pub authority: String,
    /// What tokens are asked for; empty: the resource manager.
    pub audience: String,
    /// A PEM file with the authorities to trust instead of the system's.
    pub certificate_authority: String,
    /// The retail price list; empty: no prices.
    pub prices: String,
    /// The ending of storage accounts' names; empty: the public cloud's.
    pub storage_suffix: String,
}

/// The Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// How many nodes.
    pub nodes: u32,
    /// Their size.
    pub vm_size: String,
    /// The pool's name.
    pub node_pool: String,
    /// Kubernetes' version; empty: the region's default.
    pub kubernetes_version: String,
    /// Free, or with a service level.
    pub tier: Tier,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: String::new(),
            nodes: 2,
            vm_size: "Standard_D2s_v5".to_owned(),
            node_pool: "nodepool1".to_owned(),
            kubernetes_version: String::new(),
            tier: Tier::default(),
        }
    }
}

/// What the control plane costs and promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Costs nothing, promises nothing.
    #[default]
    Free,
    /// With a service level.
    Standard,
    /// With long-term support.
    Premium,
}

impl Tier {
    /// What Azure calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Standard => "Standard",
            Self::Premium => "Premium",
        }
    }
}

/// Where the workload keeps its logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// The account's name, unique in all of Azure.
    pub account: String,
    /// Its redundancy and speed.
    pub sku: String,
    /// Hot or Cool.
    pub access_tier: AccessTier,
    /// The file shares in it.
    pub shares: Vec<Share>,
    /// The Kubernetes secret with the account's key.
    pub secret: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            account: String::new(),
            sku: "Standard_LRS".to_owned(),
            access_tier: AccessTier::default(),
            shares: vec![Share::default()],
            secret: "azure-fileshare-secret".to_owned(),
        }
    }
}

/// How often data is expected to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessTier {
    /// Often.
    #[default]
    Hot,
    /// Seldom.
    #[serde(alias = "Cold")]
    Cool,
}

impl AccessTier {
    /// What Azure calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hot => "Hot",
            Self::Cool => "Cool",
        }
    }
}

/// A file share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// How much fits, GiB.
    pub quota_gib: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            name: "ambrosia-logs-smbshare".to_owned(),
            quota_gib: 80,
        }
    }
}

/// Where the workload's image is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Its name, unique in all of Azure; empty: no registry, a public image is used.
    pub name: String,
    /// Basic, Standard or Premium.
    pub sku: RegistrySku,
    /// The Kubernetes secret of older set-ups; only looked at when cleaning.
    pub secret: String,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            name: String::new(),
            sku: RegistrySku::default(),
            secret: "acr-auth-secret".to_owned(),
        }
    }
}

/// What a registry costs and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistrySku {
    /// 10 GiB.
    Basic,
    /// 100 GiB.
    #[default]
    Standard,
    /// 500 GiB.
    Premium,
}

impl RegistrySku {
    /// What Azure calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "Basic",
            Self::Standard => "Standard",
            Self::Premium => "Premium",
        }
    }
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// What the service is called.
    pub service: String,
    /// The image; empty: `aks-tui/perftest` of this version in the registry.
    pub image: String,
    /// The namespace it runs in.
    pub namespace: String,
    /// Rounds that the client plays; 0: without end.
    pub rounds: u32,
    /// Ports that client and server meet on.
    pub ports: [u16; 2],
    /// The port of the coordinator, in the original image.
    pub coordinator_port: u16,
    /// Where the share is mounted.
    pub log_dir: String,
    /// Bytes of log after which a checkpoint is taken, MiB.
    pub log_trigger_mib: u32,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            service: "perftest".to_owned(),
            image: String::new(),
            namespace: "default".to_owned(),
            rounds: 20,
            ports: [50001, 50002],
            coordinator_port: 50500,
            log_dir: "/ambrosia_logs".to_owned(),
            log_trigger_mib: 1024,
        }
    }
}

impl Settings {
    /// The workload's image: the one that is named, else ours in the test bed's
    /// registry, which is where `build` puts it.
    pub fn image(&self) -> Option<String> {
        let (named, registry) = (&self.workload.image, &self.registry.name);
        if named.is_empty() {
            let ours = || format!("{registry}.azurecr.io/{}", order::our_image());
            return (!registry.is_empty()).then(ours);
        }
        Some(named.clone())
    }

    /// What a deployment onto this test bed asks for.
    pub fn order(&self) -> Order {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let share = self.storage.shares.first();
        let shares = share.filter(|_| !self.storage.account.is_empty());
        Order {
            image: self.image(),
            storage: shares.map(|share| order::Storage::Share {
                share: share.name.clone(),
                // The secret names the account: nobody has to look for it.
                resource_group: None,
            }),
            rounds: Some(self.workload.rounds.into()),
            secret: given(&self.storage.secret),
            ..Order::default()
        }
    }
}

/// What older set-ups left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Legacy {
    /// The service principal that pulled images.
    pub service_principal: String,
    /// The address in its registry secret.
    pub docker_email: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_the_one_that_is_named_else_ours_in_the_registry() {
        let mut settings = Settings::default();
        assert_eq!(settings.image(), None);
        "xyz".clone_into(&mut settings.registry.name);
        let ours = format!("xyz.azurecr.io/{}", order::our_image());
        assert_eq!(settings.image(), Some(ours));
        "somebody/else:1".clone_into(&mut settings.workload.image);
        assert_eq!(settings.order().image.as_deref(), Some("somebody/else:1"));
    }
}

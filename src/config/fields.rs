//! Every key of `aks-tui.yaml`, once: what it means, what may stand there, and
//! which variable of `AmbrosiaAKSConf.sh` it came from. The schema for editors,
//! the comments of a new file and the search for misspelt keys read this table.

use crate::core::azure::{
    check::{LARGEST_SHARE, MOST_NODES, STORAGE_SKUS},
    names::{self, Rule},
};

/// What may stand at a key.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// More keys.
    Section,
    /// A list; its elements' keys follow under `*`.
    List,
    /// Names and texts of one's own.
    Map,
    /// Any text.
    Text,
    /// A name that obeys a rule.
    Name(Rule),
    /// A name that obeys a rule, or nothing.
    Optional(Rule),
    /// One of these.
    Choice(&'static [&'static str]),
    /// A number from, to.
    Number(u32, u32),
    /// Two ports.
    Ports,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The keys that lead to it, joined by full stops; `*` is any element.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What it means, for a person.
    pub about: &'static str,
    /// The variable of the original's scripts.
    pub variable: Option<&'static str>,
}

const fn field(path: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        path,
        kind,
        about,
        variable: None,
    }
}

impl Field {
    const fn was(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    /// Its own key, without those that lead to it.
    pub fn key(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The keys that lead to it; nothing for a section of the file.
    pub fn parent(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }
}

/// The whole table, in the order of the file.
pub const FIELDS: &[Field] = &[
    field("azure", Kind::Section, "Whose Azure, and where in it."),
    field(
        "azure.subscription",
        Kind::Optional(names::GUID),
        "The subscription's id. Empty: AZURE_SUBSCRIPTION_ID, else the only one the sign-in sees.",
    )
    .was("AZURE_SUBSCRIPTION"),
    field(
        "azure.tenant",
        Kind::Optional(names::GUID),
        "The tenant's id. Empty: AZURE_TENANT_ID, else the sign-in's own.",
    ),
    field(
        "azure.location",
        Kind::Name(names::LOCATION),
        "The region, as `az account list-locations` names it.",
    )
    .was("AZURE_LOCATION"),
    field(
        "azure.resource_group",
        Kind::Name(names::RESOURCE_GROUP),
        "The resource group that holds everything; `aks-tui clean all` deletes it.",
    )
    .was("AZURE_RESOURCE_GROUP"),
    field(
        "azure.tags",
        Kind::Map,
        "Tags of your own, on everything that is created.",
    ),
    field(
        "azure.sign_in",
        Kind::Choice(&[
            "auto",
            "cli",
            "azd",
            "service_principal",
            "workload",
            "managed",
        ]),
        "How to sign in. auto: the first that is set up.",
    ),
    field(
        "azure.cloud",
        Kind::Choice(&["public", "government", "china", "custom"]),
        "Which Azure. custom: at the addresses below.",
    ),
    field(
        "azure.custom",
        Kind::Section,
        "Addresses that differ from the cloud's own.",
    ),
    field(
        "azure.custom.resource_manager",
        Kind::Text,
        "Base address of the resource manager.",
    ),
    field(
        "azure.custom.authority",
        Kind::Text,
        "Base address of the sign-in service.",
    ),
    field(
        "azure.custom.audience",
        Kind::Text,
        "What tokens are asked for. Empty: the resource manager.",
    ),
    field(
        "azure.custom.certificate_authority",
        Kind::Text,
        "PEM file of the authorities to trust instead of the system's.",
    ),
    field(
        "azure.custom.prices",
        Kind::Text,
        "The retail price list. Empty: the public one, or none in a custom cloud.",
    ),
    field(
        "azure.custom.storage_suffix",
        Kind::Text,
        "The ending of storage accounts' addresses. Empty: the cloud's own.",
    ),
    field("cluster", Kind::Section, "The Kubernetes cluster."),
    field("cluster.name", Kind::Name(names::CLUSTER), "Its name.").was("AZURE_KUBERNETES_CLUSTER"),
    field(
        "cluster.nodes",
        Kind::Number(1, MOST_NODES),
        "How many nodes.",
    ),
    field(
        "cluster.vm_size",
        Kind::Name(names::VM_SIZE),
        "The nodes' size; the plan says what the region has and what the quota allows.",
    )
    .was("AKS_VM_SIZE"),
    field(
        "cluster.node_pool",
        Kind::Name(names::NODE_POOL),
        "The node pool's name.",
    ),
    field(
        "cluster.kubernetes_version",
        Kind::Text,
        "Kubernetes' version, e.g. \"1.35\". Empty: the region's default.",
    ),
    field(
        "cluster.tier",
        Kind::Choice(&["Free", "Standard", "Premium"]),
        "Free promises nothing and costs nothing: right for a test bed.",
    ),
    field(
        "storage",
        Kind::Section,
        "The storage account with the workload's logs.",
    ),
    field(
        "storage.account",
        Kind::Name(names::STORAGE_ACCOUNT),
        "Its name, unique in all of Azure.",
    )
    .was("AZURE_STORAGE_NAME"),
    field(
        "storage.sku",
        Kind::Choice(&STORAGE_SKUS),
        "Its redundancy.",
    )
    .was("AZ_STORAGE_SKU"),
    field(
        "storage.access_tier",
        Kind::Choice(&["Hot", "Cool"]),
        "How often its data is expected to be read.",
    )
    .was("AZ_STORAGE_TIER"),
    field(
        "storage.shares",
        Kind::List,
        "Its file shares; the first holds the logs.",
    ),
    field(
        "storage.shares.*.name",
        Kind::Name(names::SHARE),
        "The share's name.",
    )
    .was("FILESHARE_NAME"),
    field(
        "storage.shares.*.quota_gib",
        Kind::Number(1, LARGEST_SHARE),
        "How much fits, GiB.",
    ),
    field(
        "storage.secret",
        Kind::Name(names::OBJECT),
        "The Kubernetes secret that holds the account's key.",
    )
    .was("FILESHARE_SECRET_NAME"),
    field(
        "registry",
        Kind::Section,
        "The container registry; without a name there is none, and workload.image is public.",
    ),
    field(
        "registry.name",
        Kind::Optional(names::REGISTRY),
        "Its name, unique in all of Azure.",
    )
    .was("ACR_NAME"),
    field(
        "registry.sku",
        Kind::Choice(&["Basic", "Standard", "Premium"]),
        "Its size and price.",
    )
    .was("ACR_SKU"),
    field(
        "registry.secret",
        Kind::Name(names::OBJECT),
        "The pull secret of older set-ups; only `aks-tui clean` looks for it.",
    )
    .was("ACR_SECRET_NAME"),
    field("workload", Kind::Section, "What runs."),
    field(
        "workload.service",
        Kind::Name(names::LABEL),
        "What the service is called.",
    )
    .was("AMBROSIA_SERVICE_NAME"),
    field(
        "workload.image",
        Kind::Text,
        "Its image. Empty: aks-tui/perftest of this version, in the registry.",
    )
    .was("PUBLIC_CONTAINER_NAME"),
    field(
        "workload.namespace",
        Kind::Name(names::LABEL),
        "The Kubernetes namespace.",
    ),
    field(
        "workload.rounds",
        Kind::Number(0, 1_000_000),
        "Rounds that the client plays; 0: without end.",
    )
    .was("NUM_ROUNDS"),
    field(
        "workload.ports",
        Kind::Ports,
        "The ports that client and server meet on.",
    )
    .was("LOCALPORT1"),
    field(
        "workload.coordinator_port",
        Kind::Number(1, 65_535),
        "The port of the original image's coordinator.",
    ),
    field(
        "workload.log_dir",
        Kind::Text,
        "Where the share is mounted in the container.",
    )
    .was("AMBROSIA_LOGDIR"),
    field(
        "workload.log_trigger_mib",
        Kind::Number(1, 1 << 20),
        "MiB of log after which the original image takes a checkpoint.",
    ),
    field(
        "legacy",
        Kind::Section,
        "What older set-ups left behind; only `aks-tui clean` looks at it.",
    ),
    field(
        "legacy.service_principal",
        Kind::Text,
        "The service principal that pulled images.",
    )
    .was("SERVICE_PRINCIPAL_NAME"),
    field(
        "legacy.docker_email",
        Kind::Text,
        "The address in its pull secret.",
    )
    .was("DOCKER_EMAIL"),
];

/// The field at `path`, in which an element of a list is a number.
pub fn at(path: &str) -> Option<&'static Field> {
    let general: Vec<&str> = path
        .split('.')
        .map(|key| {
            if key.bytes().all(|b| b.is_ascii_digit()) {
                "*"
            } else {
                key
            }
        })
        .collect();
    let general = general.join(".");
    FIELDS.iter().find(|field| field.path == general)
}

/// The keys directly below `path`.
pub fn below(path: &str) -> impl Iterator<Item = &'static Field> {
    let general: Vec<&str> = path
        .split('.')
        .map(|key| {
            if !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
                "*"
            } else {
                key
            }
        })
        .collect();
    let general = general.join(".");
    FIELDS.iter().filter(move |field| field.parent() == general)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::core::azure::settings::Settings;

    fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
        let join = |key: &str| {
            if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            }
        };
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    found.push(join(key));
                    paths(value, &join(key), found);
                }
            }
            Value::Array(list) => list
                .iter()
                .filter(|v| v.is_object())
                .for_each(|v| paths(v, &join("*"), found)),
            _ => {}
        }
    }

    #[test]
    fn the_table_names_exactly_what_the_settings_hold() {
        let mut held = Vec::new();
        paths(
            &serde_json::to_value(Settings::default()).unwrap(),
            "",
            &mut held,
        );
        held.sort();
        let mut named: Vec<_> = FIELDS.iter().map(|field| field.path.to_owned()).collect();
        named.sort();
        assert_eq!(named, held);
    }

    #[test]
    fn every_variable_of_the_original_has_its_place() {
        for variable in [
            "AMBROSIA_SERVICE_NAME",
            "PUBLIC_CONTAINER_NAME",
            "AZURE_SUBSCRIPTION",
            "AZURE_LOCATION",
            "DOCKER_EMAIL",
            "AZURE_RESOURCE_GROUP",
            "AZURE_KUBERNETES_CLUSTER",
            "ACR_NAME",
            "AZURE_STORAGE_NAME",
            "SERVICE_PRINCIPAL_NAME",
            "ACR_SECRET_NAME",
            "FILESHARE_NAME",
            "FILESHARE_SECRET_NAME",
            "AZ_STORAGE_SKU",
            "AZ_STORAGE_TIER",
            "ACR_SKU",
            "AKS_VM_SIZE",
        ] {
            assert!(
                FIELDS.iter().any(|field| field.variable == Some(variable)),
                "{variable}"
            );
        }
    }
}

//! What is wrong with settings, found before anything is asked of Azure.

use std::collections::HashSet;

use super::{
    names::{self, Rule},
    settings::{CloudName, Settings},
};

/// Something that is wrong, and where in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead there, e.g. `storage.shares.0.name`.
    pub path: String,
    /// What is wrong and what would be right.
    pub what: String,
}

/// The SKUs that a storage account with file shares of our kind may have.
pub const STORAGE_SKUS: [&str; 8] = [
    "Standard_LRS",
    "Standard_ZRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
    "StandardV2_LRS",
    "StandardV2_ZRS",
];

/// The largest share of a standard account, GiB.
pub const LARGEST_SHARE: u32 = 102_400;

/// The most nodes that are asked for: what a free control plane is advised for, times ten.
pub const MOST_NODES: u32 = 100;

/// Everything that is wrong with `settings`, in the order of the file.
pub fn problems(settings: &Settings) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    azure(settings, &mut found);
    cluster(settings, &mut found);
    storage(settings, &mut found);
    if !settings.registry.name.is_empty() {
        found.name("registry.name", names::REGISTRY, &settings.registry.name);
    }
    found.name("registry.secret", names::OBJECT, &settings.registry.secret);
    workload(settings, &mut found);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn say(&mut self, path: &str, what: impl Into<String>) {
        self.0.push(Problem {
            path: path.to_owned(),
            what: what.into(),
        });
    }

    fn name(&mut self, path: &str, rule: Rule, name: &str) {
        if name.is_empty() {
            self.say(path, format!("the name of {} is missing", rule.what));
        } else if let Some(why) = rule.refuses(name) {
            self.say(path, why);
        }
    }

    fn optional(&mut self, path: &str, rule: Rule, name: &str) {
        if !name.is_empty() {
            self.name(path, rule, name);
        }
    }

    fn range(&mut self, path: &str, value: u32, (least, most): (u32, u32)) {
        if value < least || value > most {
            self.say(path, format!("{value} is not between {least} and {most}"));
        }
    }
}

fn azure(settings: &Settings, found: &mut Found) {
    let azure = &settings.azure;
    found.optional("azure.subscription", names::GUID, &azure.subscription);
    found.optional("azure.tenant", names::GUID, &azure.tenant);
    found.name("azure.location", names::LOCATION, &azure.location);
    found.name(
        "azure.resource_group",
        names::RESOURCE_GROUP,
        &azure.resource_group,
    );
    // Azure takes 50 tags; one is ours.
    if azure.tags.len() > 49 {
        found.say(
            "azure.tags",
            format!("{} tags: at most 49 fit", azure.tags.len()),
        );
    }
    for (name, value) in &azure.tags {
        let path = format!("azure.tags.{name}");
        if name.is_empty()
            || name.len() > 128
            || name.contains(['<', '>', '%', '&', '\\', '?', '/'])
        {
            found.say(
                &path,
                format!("`{name}` is no tag's name: 1 to 128 characters without < > % & \\ ? /"),
            );
        }
        if value.len() > 256 {
            found.say(
                &path,
                format!("the value has {} characters: at most 256 fit", value.len()),
            );
        }
    }
    let custom = &azure.custom;
    if azure.cloud == CloudName::Custom {
        for (key, value) in [
            ("resource_manager", &custom.resource_manager),
            ("authority", &custom.authority),
        ] {
            if value.is_empty() {
                found.say(
                    &format!("azure.custom.{key}"),
                    "a custom cloud needs this address",
                );
            }
        }
    }
    for (key, value) in [
        ("resource_manager", &custom.resource_manager),
        ("authority", &custom.authority),
        ("prices", &custom.prices),
    ] {
        if !value.is_empty() && !value.starts_with("https://") {
            found.say(
                &format!("azure.custom.{key}"),
                format!("`{value}` does not begin with https://: tokens are sent over TLS only"),
            );
        }
    }
}

fn cluster(settings: &Settings, found: &mut Found) {
    let cluster = &settings.cluster;
    found.name("cluster.name", names::CLUSTER, &cluster.name);
    found.range("cluster.nodes", cluster.nodes, (1, MOST_NODES));
    found.name("cluster.vm_size", names::VM_SIZE, &cluster.vm_size);
    found.name("cluster.node_pool", names::NODE_POOL, &cluster.node_pool);
    let version = &cluster.kubernetes_version;
    let parts: Vec<&str> = version.split('.').collect();
    let numbers = parts
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let is_version = numbers && (2..=3).contains(&parts.len());
    if !version.is_empty() && !is_version {
        found.say(
            "cluster.kubernetes_version",
            format!("`{version}` is no version like 1.35 or 1.35.6; leave it empty for the region's default"),
        );
    }
}

fn storage(settings: &Settings, found: &mut Found) {
    let storage = &settings.storage;
    found.name("storage.account", names::STORAGE_ACCOUNT, &storage.account);
    if !STORAGE_SKUS.contains(&storage.sku.as_str()) {
        found.say(
            "storage.sku",
            format!("`{}` is none of {}", storage.sku, STORAGE_SKUS.join(", ")),
        );
    }
    if storage.shares.is_empty() {
        found.say(
            "storage.shares",
            "the workload needs a share for its logs: name one",
        );
    }
    let mut seen = HashSet::new();
    for (index, share) in storage.shares.iter().enumerate() {
        let path = format!("storage.shares.{index}.name");
        found.name(&path, names::SHARE, &share.name);
        if !seen.insert(&share.name) {
            found.say(&path, format!("`{}` is named twice", share.name));
        }
        found.range(
            &format!("storage.shares.{index}.quota_gib"),
            share.quota_gib,
            (1, LARGEST_SHARE),
        );
    }
    found.name("storage.secret", names::OBJECT, &storage.secret);
}

fn workload(settings: &Settings, found: &mut Found) {
    let workload = &settings.workload;
    found.name("workload.service", names::LABEL, &workload.service);
    found.name("workload.namespace", names::LABEL, &workload.namespace);
    if workload.image.contains(char::is_whitespace) {
        found.say(
            "workload.image",
            format!("`{}` is no image", workload.image),
        );
    }
    if workload.image.is_empty() && settings.registry.name.is_empty() {
        found.say(
            "workload.image",
            "there is neither an image nor a registry to keep one in: name one of them",
        );
    }
    let [first, second] = workload.ports;
    if first == 0 || second == 0 || first == second {
        found.say("workload.ports", "two different ports, neither of them 0");
    }
    if !workload.log_dir.starts_with('/') {
        found.say(
            "workload.log_dir",
            format!(
                "`{}` does not begin with /: it is a path in the container",
                workload.log_dir
            ),
        );
    }
    found.range(
        "workload.log_trigger_mib",
        workload.log_trigger_mib,
        (1, 1 << 20),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Settings {
        let mut settings = Settings::default();
        settings.azure.resource_group = "xyz-group".to_owned();
        settings.cluster.name = "xyz-cluster".to_owned();
        settings.storage.account = "xyzstorage".to_owned();
        settings.registry.name = "xyzcontainerreg".to_owned();
        settings
    }

    #[test]
    fn names_are_all_that_the_defaults_lack() {
        assert_eq!(problems(&named()), []);
        let paths: Vec<_> = problems(&Settings::default())
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(
            paths,
            [
                "azure.resource_group",
                "cluster.name",
                "storage.account",
                "workload.image"
            ]
        );
    }

    #[test]
    fn each_slip_is_found_where_it_is() {
        let mut settings = named();
        settings
            .storage
            .shares
            .push(settings.storage.shares[0].clone());
        settings.storage.shares[1].quota_gib = 0;
        settings.cluster.kubernetes_version = "latest".to_owned();
        settings.azure.cloud = CloudName::Custom;
        settings.azure.custom.authority = "http://login.example".to_owned();
        settings.workload.ports = [50001, 50001];
        let found: Vec<_> = problems(&settings).into_iter().map(|p| p.path).collect();
        assert_eq!(
            found,
            [
                "azure.custom.resource_manager",
                "azure.custom.authority",
                "cluster.kubernetes_version",
                "storage.shares.1.name",
                "storage.shares.1.quota_gib",
                "workload.ports",
            ]
        );
    }
}

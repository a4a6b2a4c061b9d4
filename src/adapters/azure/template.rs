//! The one template that everything is made by, and its parameters.

use ring::digest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{api::Paths, error::Failure};
use crate::core::azure::{OWNER, names, settings::Settings};

/// The template as it is shipped.
pub const TEMPLATE: &str = include_str!("../../../assets/arm/testbed.json");

/// What the names of our deployments begin with.
pub const DEPLOYMENT_PREFIX: &str = "aks-tui-";

/// What is deployed: the template and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployable {
    /// The template.
    pub template: Value,
    /// Its parameters, as a deployment wants them.
    pub parameters: Value,
}

impl Deployable {
    /// What `settings` want; without a registry, the template has none.
    pub fn of(settings: &Settings, paths: &Paths) -> Result<Self, Failure> {
        let mut template: Value = serde_json::from_str(TEMPLATE)
            .map_err(|error| Failure::new("read the template", error.to_string()))?;
        let mut values = values(settings, paths);
        if settings.registry.name.is_empty() {
            without_registry(&mut template, &mut values);
        }
        let parameters: Map<_, _> = values
            .into_iter()
            .map(|(name, value)| (name, json!({ "value": value })))
            .collect();
        Ok(Self {
            template,
            parameters: parameters.into(),
        })
    }

    /// The body of a deployment, or of the question what it would change.
    pub fn body(&self) -> Value {
        json!({"properties": {
            "mode": "Incremental",
            "template": self.template,
            "parameters": self.parameters,
        }})
    }

    /// A name for the deployment of exactly this: who is interrupted finds it again,
    /// and two who want the same meet in it.
    pub fn name(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.body().to_string().as_bytes());
        let hash = hex::encode(&hash.as_ref()[..6]);
        format!("{DEPLOYMENT_PREFIX}{hash}")
    }
}

/// The tags of everything that is made.
pub fn tags(settings: &Settings) -> Value {
    let mut tags: Map<String, Value> = settings
        .azure
        .tags
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    tags.insert(OWNER.0.to_owned(), json!(OWNER.1));
    tags.into()
}

/// The name of the role assignment by which the cluster's nodes pull from the
/// registry: the same for the same two.
pub fn pull_assignment(settings: &Settings, paths: &Paths) -> String {
    let registry = paths.registry(&settings.registry.name);
    let cluster = paths.cluster(&settings.cluster.name);
    guid(&format!("{registry}|{cluster}|AcrPull").to_ascii_lowercase())
}

fn values(settings: &Settings, paths: &Paths) -> Map<String, Value> {
    let shares: Vec<Value> = settings
        .storage
        .shares
        .iter()
        .map(|share| json!({"name": share.name, "quota": share.quota_gib}))
        .collect();
    let cluster = &settings.cluster;
    let values = json!({
        "location": settings.azure.location,
        "tags": tags(settings),
        "storageAccount": settings.storage.account,
        "storageSku": settings.storage.sku,
        "accessTier": settings.storage.access_tier.name(),
        "shares": shares,
        "registry": settings.registry.name,
        "registrySku": settings.registry.sku.name(),
        "pullAssignment": pull_assignment(settings, paths),
        "cluster": cluster.name,
        "dnsPrefix": names::dns_prefix(&cluster.name, &settings.azure.resource_group),
        "tier": cluster.tier.name(),
        "kubernetesVersion": cluster.kubernetes_version,
        "nodePool": cluster.node_pool,
        "nodes": cluster.nodes,
        "vmSize": cluster.vm_size,
    });
    match values {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Takes the registry out of the template, and what hangs on it.
fn without_registry(template: &mut Value, values: &mut Map<String, Value>) {
    let gone = [
        "Microsoft.ContainerRegistry/registries",
        "Microsoft.Authorization/roleAssignments",
    ];
    if let Some(resources) = template["resources"].as_array_mut() {
        resources.retain(|resource| !gone.iter().any(|kind| resource["type"] == *kind));
    }
    for name in ["registry", "registrySku", "pullAssignment"] {
        values.remove(name);
        if let Some(parameters) = template["parameters"].as_object_mut() {
            parameters.remove(name);
        }
    }
    if let Some(variables) = template["variables"].as_object_mut() {
        variables.remove("registryId");
        variables.remove("acrPull");
    }
}

/// A GUID that `text` determines.
fn guid(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.azure.resource_group = "xyz-group".to_owned();
        settings.cluster.name = "xyz-cluster".to_owned();
        settings.storage.account = "xyzstorage".to_owned();
        settings.registry.name = "xyzcontainerreg".to_owned();
        settings
    }

    fn paths() -> Paths {
        Paths {
            subscription: "s".to_owned(),
            group: "xyz-group".to_owned(),
        }
    }

    #[test]
    fn a_guid_is_the_one_that_the_rfc_gives() {
        // RFC 4122's own namespace for URLs; the value is Python's uuid5.
        assert_eq!(
            guid("https://example.com/"),
            "dd2c1780-811a-5296-81c5-178a0ef488bc"
        );
    }

    #[test]
    fn every_parameter_is_declared_and_every_declared_one_is_given() {
        for with_registry in [true, false] {
            let mut settings = settings();
            if !with_registry {
                settings.registry.name.clear();
            }
            let deployable = Deployable::of(&settings, &paths()).unwrap();
            let keys = |value: &Value| -> Vec<String> {
                let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
                keys.sort();
                keys
            };
            assert_eq!(
                keys(&deployable.template["parameters"]),
                keys(&deployable.parameters)
            );
            let text = deployable.template.to_string();
            assert_eq!(text.contains("ContainerRegistry"), with_registry);
        }
    }

    #[test]
    fn the_same_wish_has_the_same_name_and_another_has_another() {
        let one = Deployable::of(&settings(), &paths()).unwrap();
        assert_eq!(
            one.name(),
            Deployable::of(&settings(), &paths()).unwrap().name()
        );
        let mut other = settings();
        other.cluster.nodes = 3;
        assert_ne!(one.name(), Deployable::of(&other, &paths()).unwrap().name());
    }
}

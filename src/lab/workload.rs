//! What a new lab holds: the namespaces every cluster has, and the workload
//! that it is there to show.

use serde::Deserialize;
use serde_json::{Value, json};

use super::api;
use super::defaults;
use super::kinds::Resource;
use super::store::Store;

/// The two deployments of perftest, as they would be applied to any cluster.
pub const PERFTEST: &str = include_str!("../../assets/manifests/perftest.yaml");

/// The namespaces that are there from the start.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Why a manifest was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no YAML.
    #[error("cannot read the manifest: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// It holds something that the lab does not keep.
    #[error("the lab does not keep objects of kind {0}")]
    Kind(String),
    /// The lab refused an object, for the reason that a client would get.
    #[error("{0}")]
    Refused(String),
}

/// Makes the namespaces that are not there yet.
pub fn create_namespaces(store: &Store) {
    for name in NAMESPACES {
        let mut namespace = json!({"metadata": {"name": name}});
        defaults::fill(Resource::Namespaces, &mut namespace);
        // There already, from an earlier life of the lab.
        let _ = store.create(Resource::Namespaces, namespace);
    }
}

/// Creates every object of a manifest, checked as if a client had sent it.
///
/// # Errors
/// See [`ManifestError`]; objects before the refused one stay.
pub fn apply(store: &Store, manifest: &str) -> Result<(), ManifestError> {
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let object = Value::deserialize(document)?;
        if object.is_null() {
            continue;
        }
        let kind = object["kind"].as_str().unwrap_or_default();
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let resource = Resource::ALL
            .into_iter()
            .find(|it| it.names().kind == kind && it.api_version() == version);
        let resource = resource.ok_or_else(|| ManifestError::Kind(kind.to_owned()))?;
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default");
        let namespace = resource.names().namespaced.then(|| namespace.to_owned());
        api::create(store, resource, namespace.as_deref(), object)
            .map_err(ManifestError::Refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_is_accepted_without_a_warning() {
        let store = Store::new(0);
        create_namespaces(&store);
        apply(&store, PERFTEST).unwrap();
        let deployments = store.list(Resource::Deployments, Some("default")).items;
        let names: Vec<&str> = deployments
            .iter()
            .map(|it| it["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            ["generated-perftestclient", "generated-perftestserver"]
        );
        for deployment in &deployments {
            assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
            let labels = &deployment["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/managed-by"], "aks-tui");
            assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels);
        }
    }

    #[test]
    fn what_the_lab_does_not_keep_is_refused_by_name() {
        let store = Store::new(0);
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n";
        let error = apply(&store, service).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the lab does not keep objects of kind Service"
        );
    }
}

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
pub const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

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

/// Deploys perftest. The client's command line is the manifest's with
/// `client_arguments` at its end.
///
/// # Errors
/// See [`ManifestError`].
pub fn deploy(store: &Store, client_arguments: &[String]) -> Result<(), ManifestError> {
    apply(store, PERFTEST, |object| {
        let is_client = object["metadata"]["labels"]["app.kubernetes.io/component"] == "client";
        let command = object
            .pointer_mut("/spec/template/spec/containers/0/command")
            .and_then(Value::as_array_mut)
            .filter(|_| is_client);
        if let Some(command) = command {
            command.extend(client_arguments.iter().cloned().map(Value::from));
        }
    })
}

/// Creates every object of a manifest as `adjust` leaves it, checked as if a
/// client had sent it.
///
/// # Errors
/// See [`ManifestError`]; objects before the refused one stay.
pub fn apply(
    store: &Store,
    manifest: &str,
    adjust: impl Fn(&mut Value),
) -> Result<(), ManifestError> {
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let mut object = Value::deserialize(document)?;
        adjust(&mut object);
        if object.is_null() {
            continue;
        }
        let kind = object["kind"].as_str().unwrap_or_default();
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let resource = store
            .kind_of(version, kind)
            .ok_or_else(|| ManifestError::Kind(kind.to_owned()))?;
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
        deploy(&store, &["--rate".to_owned(), "1MiB".to_owned()]).unwrap();
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
            let command = &deployment["spec"]["template"]["spec"]["containers"][0]["command"];
            let words = command.as_array().unwrap();
            assert_eq!(words.contains(&"--rate".into()), words[0] == "Job");
            let labels = &deployment["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/managed-by"], "aks-tui");
            assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels);
        }
    }

    #[test]
    fn what_the_lab_does_not_keep_is_refused_by_name() {
        let store = Store::new(0);
        let set = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: s}\n";
        let error = apply(&store, set, |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the lab does not keep objects of kind DaemonSet"
        );
    }
}

//! What the server adds to a new object, or refuses it for, by what else it
//! holds. Defaults that need nothing but the object are in [`super::defaults`].

use serde_json::{Value, json};

use super::controllers::volumes;
use super::kinds::Resource;
use super::store::{Key, Store};

/// Completes a new object.
///
/// # Errors
/// Why the server does not want it, in words.
pub fn admit(store: &Store, resource: Resource, object: &mut Value) -> Result<(), String> {
    match resource {
        Resource::Pods => account(store, object),
        Resource::PersistentVolumes | Resource::PersistentVolumeClaims => {
            volumes::admit(store, resource, object);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A pod acts in the name of an account of its namespace.
fn account(store: &Store, pod: &mut Value) -> Result<(), String> {
    let named = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or_default();
    if named.is_empty() || named == "default" {
        // It may not be there yet: a namespace gets it a moment after its start.
        pod["spec"]["serviceAccountName"] = json!("default");
        pod["spec"]["serviceAccount"] = json!("default");
        return Ok(());
    }
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let key = Key::new(Resource::ServiceAccounts, namespace, named);
    if store.get(&key).is_none() {
        return Err(format!(
            "error looking up service account {namespace}/{named}: serviceaccount {named:?} not found"
        ));
    }
    pod["spec"]["serviceAccount"] = json!(named);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_an_account_that_is_there() {
        let store = Store::new(0);
        let mut pod = json!({"metadata": {"namespace": "d"}, "spec": {}});
        admit(&store, Resource::Pods, &mut pod).unwrap();
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        pod["spec"]["serviceAccountName"] = json!("robot");
        assert_eq!(
            admit(&store, Resource::Pods, &mut pod).unwrap_err(),
            "error looking up service account d/robot: serviceaccount \"robot\" not found"
        );
        let robot = json!({"metadata": {"name": "robot", "namespace": "d"}});
        store.create(Resource::ServiceAccounts, robot).unwrap();
        admit(&store, Resource::Pods, &mut pod).unwrap();
    }
}

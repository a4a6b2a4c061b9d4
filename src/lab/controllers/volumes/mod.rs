//! Persistent volumes and the claims on them: who has which, which are made,
//! and what becomes of them afterwards.

mod claims;
mod matching;
mod provision;
mod released;

use serde_json::{Value, json};

pub use claims::reconcile as reconcile_claim;
pub use released::reconcile as reconcile_volume;

use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError};

/// Finalizer of a claim: it stays while a pod uses it.
pub(super) const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// Finalizer of a volume: it stays while a claim has it.
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Annotation of a claim whose consumer has a node: now its volume is made.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Whether a claim gets its volume only when a pod that uses it has a node.
pub fn waits_for_consumer(store: &Store, claim: &Value) -> bool {
    let class = Key::new(Resource::StorageClasses, "", matching::class(claim));
    let class = store.get(&class);
    class.is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
}

/// Completes a new claim or volume: who protects it, and of which class a claim
/// is that names none.
pub fn admit(store: &Store, resource: Resource, object: &mut Value) {
    let claim = resource == Resource::PersistentVolumeClaims;
    let finalizer = if claim {
        CLAIM_FINALIZER
    } else {
        VOLUME_FINALIZER
    };
    add_finalizer(object, finalizer);
    if claim
        && object["spec"]["storageClassName"].is_null()
        && let Some(class) = default_class(store)
    {
        object["spec"]["storageClassName"] = json!(class);
    }
}

/// Makes the storage classes that every lab has, where they are not there.
pub fn create_classes(store: &Store) {
    for class in provision::classes() {
        // There already, from an earlier life of the lab.
        let _ = store.create(Resource::StorageClasses, class);
    }
}

/// The pods that a change of a claim may concern, and the claims that a change
/// of a pod may: the names of the claims in a pod's volumes.
pub fn claims_of(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array();
    volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
}

fn default_class(store: &Store) -> Option<String> {
    let classes = store.list(Resource::StorageClasses, None).items;
    let mut named = classes
        .iter()
        .filter(|class| class["metadata"]["annotations"][provision::DEFAULT_CLASS] == "true");
    let name = named.next()?["metadata"]["name"].as_str()?;
    Some(name.to_owned())
}

fn add_finalizer(object: &mut Value, name: &str) {
    match object["metadata"]["finalizers"].as_array_mut() {
        Some(all) if all.iter().any(|it| it == name) => {}
        Some(all) => all.push(json!(name)),
        None => object["metadata"]["finalizers"] = json!([name]),
    }
}

fn remove_finalizer(store: &Store, key: &Key, name: &str) {
    // Gone in the meantime: nothing left to let go.
    let _ = store.update_with(key, |object| {
        if let Some(all) = object["metadata"]["finalizers"].as_array_mut() {
            all.retain(|it| it != name);
            if all.is_empty()
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove("finalizers");
            }
        }
        Ok::<(), StoreError>(())
    });
}

/// How a volume names the claim that has it.
fn reference(claim: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim["metadata"]["namespace"],
        "name": claim["metadata"]["name"],
        "uid": claim["metadata"]["uid"],
        "resourceVersion": claim["metadata"]["resourceVersion"],
    })
}

#[cfg(test)]
mod tests;

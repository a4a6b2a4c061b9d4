//! What a pod's claims on volumes mean for when it gets a node.

use serde_json::{Value, json};

use crate::lab::controllers::volumes::{self, SELECTED_NODE};
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError};

/// How far a pod's claims are.
#[derive(Debug, PartialEq, Eq)]
pub enum Claims {
    /// All have their volumes.
    Bound,
    /// These get theirs when the pod's node is chosen, and it waits for them.
    Delayed(Vec<Key>),
    /// No node can help, in the words of the real scheduler.
    Hopeless(String),
}

/// Looks at the claims of a pod.
pub fn claims(store: &Store, namespace: &str, pod: &Value) -> Claims {
    let mut unbound = Vec::new();
    for name in volumes::claims_of(pod) {
        let key = Key::new(Resource::PersistentVolumeClaims, namespace, name);
        let Some(claim) = store.get(&key) else {
            return Claims::Hopeless(format!("persistentvolumeclaim {name:?} not found"));
        };
        if claim["status"]["phase"] == "Lost" {
            let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
            return Claims::Hopeless(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            ));
        }
        if claim["metadata"]["deletionTimestamp"].is_string() {
            return Claims::Hopeless(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        if claim["status"]["phase"] != "Bound" {
            unbound.push((key, claim));
        }
    }
    if unbound.is_empty() {
        return Claims::Bound;
    }
    let delayed = |claim: &Value| {
        let named = claim["spec"]["volumeName"].as_str().unwrap_or_default();
        named.is_empty() && volumes::waits_for_consumer(store, claim)
    };
    if unbound.iter().all(|(_, claim)| delayed(claim)) {
        return Claims::Delayed(unbound.into_iter().map(|(key, _)| key).collect());
    }
    Claims::Hopeless("pod has unbound immediate PersistentVolumeClaims".to_owned())
}

/// Tells those who make volumes which node the claims' pod will be on.
pub fn select(store: &Store, claims: &[Key], node: &str) {
    for key in claims {
        // Gone in the meantime: then the pod is told that.
        let _ = store.update_with(key, |claim| {
            claim["metadata"]["annotations"][SELECTED_NODE] = json!(node);
            Ok::<(), StoreError>(())
        });
    }
}

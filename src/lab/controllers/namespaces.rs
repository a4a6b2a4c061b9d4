//! Namespaces: what each has from its start, and how one ends.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::conditions;
use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// The config map with the certificate by which a pod knows the server.
const AUTHORITY: &str = "kube-root-ca.crt";
/// The account of pods that name none.
const ACCOUNT: &str = "default";

/// Gives a namespace what every namespace has; or, when it ends, deletes what
/// it still holds, and at last itself.
pub fn reconcile(store: &Store, key: &Key, namespace: &Value, authority: Option<&str>) {
    if namespace["metadata"]["deletionTimestamp"].is_string() {
        end(store, key, namespace);
    } else {
        furnish(store, &key.name, authority);
    }
}

fn furnish(store: &Store, namespace: &str, authority: Option<&str>) {
    let account = Key::new(Resource::ServiceAccounts, namespace, ACCOUNT);
    if store.get(&account).is_none() {
        let account = json!({"metadata": {"name": ACCOUNT, "namespace": namespace}});
        // Somebody else was faster: just as well.
        let _ = store.create(Resource::ServiceAccounts, account);
    }
    let Some(authority) = authority else { return };
    let key = Key::new(Resource::ConfigMaps, namespace, AUTHORITY);
    let data = json!({"ca.crt": authority});
    if store.get(&key).is_none() {
        let map = json!({
            "metadata": {"name": AUTHORITY, "namespace": namespace, "annotations": {
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
            }},
            "data": data,
        });
        // Somebody else was faster: the next look compares.
        let _ = store.create(Resource::ConfigMaps, map);
        return;
    }
    // Gone in the meantime: the next look makes it again.
    let _ = store.update_with(&key, |map| {
        map["data"] = data;
        Ok::<(), StoreError>(())
    });
}

/// What an ending namespace still holds.
#[derive(Debug, Default)]
struct Remains {
    /// How many of each kind.
    kinds: BTreeMap<String, u64>,
    /// How many wait for each finalizer.
    finalizers: BTreeMap<String, u64>,
}

fn end(store: &Store, key: &Key, namespace: &Value) {
    let mut remains = Remains::default();
    for resource in store.kinds().into_iter().filter(|it| it.names().namespaced) {
        for object in store.list(resource, Some(&key.name)).items {
            if !object["metadata"]["deletionTimestamp"].is_string() {
                // Gone in the meantime: just as well.
                let _ = store.delete(&Key::of(resource, &object), &Deletion::default());
            }
        }
        for object in store.list(resource, Some(&key.name)).items {
            remains.add(resource, &object);
        }
    }
    let held = namespace["metadata"]["finalizers"].as_array();
    if remains.kinds.is_empty() && held.is_none_or(Vec::is_empty) {
        store.remove(key, namespace["metadata"]["uid"].as_str());
        return;
    }
    // Gone in the meantime: nobody asks for its status.
    let _ = store.update_with(key, |namespace| {
        for condition in remains.conditions() {
            conditions::put(&mut namespace["status"], &condition);
        }
        Ok::<(), StoreError>(())
    });
}

impl Remains {
    fn add(&mut self, resource: Resource, object: &Value) {
        *self.kinds.entry(resource.qualified()).or_default() += 1;
        let finalizers = object["metadata"]["finalizers"].as_array();
        for name in finalizers.into_iter().flatten().filter_map(Value::as_str) {
            *self.finalizers.entry(name.to_owned()).or_default() += 1;
        }
    }

    fn conditions(&self) -> [Value; 5] {
        let fine = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "False", "reason": reason, "message": message});
        let left = |kind: &str, reason: &str, message: String| json!({"type": kind, "status": "True", "reason": reason, "message": message});
        let list = |counts: &BTreeMap<String, u64>, word: &str| {
            let parts = counts
                .iter()
                .map(|(name, count)| format!("{name} {word} {count} resource instances"));
            parts.collect::<Vec<_>>().join(", ")
        };
        let kinds: BTreeMap<String, u64> = self
            .kinds
            .iter()
            .map(|(name, count)| (dotted(name), *count))
            .collect();
        [
            fine(
                "NamespaceDeletionDiscoveryFailure",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            fine(
                "NamespaceDeletionGroupVersionParsingFailure",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            fine(
                "NamespaceDeletionContentFailure",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            if kinds.is_empty() {
                fine(
                    "NamespaceContentRemaining",
                    "ContentRemoved",
                    "All content successfully removed",
                )
            } else {
                let message = format!("Some resources are remaining: {}", list(&kinds, "has"));
                left("NamespaceContentRemaining", "SomeResourcesRemain", message)
            },
            if self.finalizers.is_empty() {
                fine(
                    "NamespaceFinalizersRemaining",
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished",
                )
            } else {
                let message = format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    list(&self.finalizers, "in")
                );
                left(
                    "NamespaceFinalizersRemaining",
                    "SomeFinalizersRemain",
                    message,
                )
            },
        ]
    }
}

/// A kind as these messages name it: a core one with a dot at its end.
fn dotted(qualified: &str) -> String {
    if qualified.contains('.') {
        qualified.to_owned()
    } else {
        format!("{qualified}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (Store, Key) {
        let store = Store::new(0);
        let namespace = json!({"metadata": {"name": "d"}, "status": {"phase": "Active"}});
        let namespace = store.create(Resource::Namespaces, namespace).unwrap();
        (store, Key::of(Resource::Namespaces, &namespace))
    }

    fn look(store: &Store, key: &Key) {
        let namespace = store.get(key).unwrap();
        reconcile(store, key, &namespace, Some("PEM"));
    }

    #[test]
    fn every_namespace_has_an_account_and_the_authority() {
        let (store, key) = world();
        look(&store, &key);
        let rv = store.rv();
        look(&store, &key);
        assert_eq!(store.rv(), rv, "nothing changed, nothing written");
        let map = Key::new(Resource::ConfigMaps, "d", AUTHORITY);
        assert_eq!(store.get(&map).unwrap()["data"]["ca.crt"], "PEM");
        let account = Key::new(Resource::ServiceAccounts, "d", ACCOUNT);
        store.remove(&account, None);
        look(&store, &key);
        assert!(store.get(&account).is_some());
    }

    #[test]
    fn what_keeps_a_namespace_is_named() {
        let (store, key) = world();
        let stays = json!({"metadata": {"name": "c", "namespace": "d", "finalizers": ["a.b/c"]}});
        store.create(Resource::ConfigMaps, stays).unwrap();
        store.delete(&key, &Deletion::default()).unwrap();
        look(&store, &key);
        let status = store.get(&key).unwrap()["status"].clone();
        let message = |kind: &str| conditions::find(&status, kind).unwrap()["message"].clone();
        assert_eq!(
            message("NamespaceContentRemaining"),
            "Some resources are remaining: configmaps. has 1 resource instances"
        );
        assert_eq!(
            message("NamespaceFinalizersRemaining"),
            "Some content in the namespace has finalizers remaining: a.b/c in 1 resource instances"
        );
        store.remove(&Key::new(Resource::ConfigMaps, "d", "c"), None);
        look(&store, &key);
        assert!(store.get(&key).is_none());
    }
}

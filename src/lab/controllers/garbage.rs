//! Garbage: what belonged to something that is gone goes too.

use std::sync::Arc;

use serde_json::Value;

use super::owned;
use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, FOREGROUND, Key, Store, StoreError};

/// Collects what an object's end leaves behind. True when the object itself
/// ends and no controller needs to look at it any more.
pub fn collect(store: &Store, key: &Key, object: &Value) -> bool {
    if object["metadata"]["deletionTimestamp"].is_string() && waits(object) {
        let left = dependents(store, key, Some(object));
        for (dependent, _) in &left {
            delete(store, dependent, true);
        }
        if left.is_empty() {
            // Gone already: nothing to finish.
            let _ = store.update_with(key, |object| {
                if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
                    finalizers.retain(|it| it != FOREGROUND);
                }
                Ok::<(), StoreError>(())
            });
        }
        return true;
    }
    let owners: Vec<owned::Owner> = owned::owners(object).collect();
    let exists = |owner: &owned::Owner| {
        let found = store.get(&Key::new(owner.resource, &key.namespace, &owner.name));
        found.is_some_and(|found| found["metadata"]["uid"] == owner.uid.as_str())
    };
    if !owners.is_empty() && !owners.iter().any(exists) {
        delete(store, key, false);
        return true;
    }
    false
}

/// Deletes what the object that was at `key` has left.
pub fn owner_gone(store: &Store, key: &Key) {
    for (dependent, object) in dependents(store, key, None) {
        collect(store, &dependent, &object);
    }
}

/// Lets go what an object owns, so that it survives the object.
pub fn orphan(store: &Store, owner: &Value) {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let namespace = owner["metadata"]["namespace"].as_str();
    for resource in Resource::ALL {
        for object in store.list(resource, namespace).items {
            if owned::owners(&object).any(|it| it.uid == uid) {
                owned::release(store, &Key::of(resource, &object), uid);
            }
        }
    }
}

fn waits(object: &Value) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|it| it == FOREGROUND))
}

/// What names the object at `key` as an owner, that very one if it is given.
fn dependents(store: &Store, key: &Key, owner: Option<&Value>) -> Vec<(Key, Arc<Value>)> {
    let uid = owner.and_then(|owner| owner["metadata"]["uid"].as_str());
    let mut found = Vec::new();
    for resource in [Resource::ReplicaSets, Resource::Pods] {
        for object in store.list(resource, Some(&key.namespace)).items {
            let named = owned::owners(&object).any(|it| {
                it.resource == key.resource
                    && it.name == key.name
                    && uid.is_none_or(|uid| uid == it.uid)
            });
            if named {
                found.push((Key::of(resource, &object), object));
            }
        }
    }
    found
}

fn delete(store: &Store, key: &Key, foreground: bool) {
    let how = Deletion {
        foreground: foreground && key.resource != Resource::Pods,
        ..Deletion::default()
    };
    // Somebody else may have deleted it: just as well.
    let _ = store.delete(key, &how);
}

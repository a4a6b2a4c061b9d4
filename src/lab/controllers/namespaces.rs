//! A namespace that was deleted is emptied first.

use serde_json::Value;

use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, Key, Store};

/// Deletes what a namespace that ends still holds, and at last itself.
pub fn reconcile(store: &Store, key: &Key, namespace: &Value) {
    if !namespace["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let mut left = 0;
    for resource in Resource::ALL.into_iter().filter(|it| it.names().namespaced) {
        for object in store.list(resource, Some(&key.name)).items {
            left += 1;
            if !object["metadata"]["deletionTimestamp"].is_string() {
                // Gone in the meantime: just as well.
                let _ = store.delete(&Key::of(resource, &object), &Deletion::default());
            }
        }
    }
    if left == 0 {
        store.remove(key, namespace["metadata"]["uid"].as_str());
    }
}

//! Garbage: what belonged to something that is gone goes too.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::owned::{self, Owner};
use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, FOREGROUND, Key, ORPHAN, Store, StoreError};

/// Who names whom as an owner: kept up to date, so that the end of one object
/// is no reason to read all others.
#[derive(Debug, Default)]
pub struct Index {
    /// By the owner's uid.
    dependents: HashMap<String, BTreeSet<Key>>,
}

impl Index {
    /// Notes what an object says of its owners now, and forgets what it said.
    pub fn note(&mut self, key: &Key, before: Option<&Value>, now: Option<&Value>) {
        for uid in before.into_iter().flat_map(uids) {
            if let Some(keys) = self.dependents.get_mut(uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(uid);
                }
            }
        }
        for uid in now.into_iter().flat_map(uids) {
            let keys = self.dependents.entry(uid.to_owned()).or_default();
            keys.insert(key.clone());
        }
    }

    /// What names that object as an owner.
    pub fn of(&self, owner: &Value) -> impl Iterator<Item = &Key> {
        let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
        self.dependents.get(uid).into_iter().flatten()
    }
}

fn uids(object: &Value) -> impl Iterator<Item = &str> {
    let references = object["metadata"]["ownerReferences"].as_array();
    references
        .into_iter()
        .flatten()
        .filter_map(|it| it["uid"].as_str())
}

/// Collects what an object's end leaves behind. True when the object itself
/// has just been deleted for want of an owner.
pub fn collect(store: &Store, index: &Index, key: &Key, object: &Value) -> bool {
    if object["metadata"]["deletionTimestamp"].is_string() {
        if has(object, ORPHAN) {
            orphan(store, object);
            let_go(store, key, ORPHAN);
        }
        if has(object, FOREGROUND) {
            finish(store, index, key, object);
        }
        return false;
    }
    let references = object["metadata"]["ownerReferences"].as_array();
    let named = references.map_or(0, Vec::len);
    if named == 0 {
        return false;
    }
    let owners: Vec<Owner> = owned::owners(object).collect();
    let (there, gone): (Vec<&Owner>, Vec<&Owner>) =
        owners.iter().partition(|owner| exists(store, key, owner));
    // Of an owner of a kind that the lab does not keep nothing is known.
    let strange = named > owners.len();
    if gone.is_empty() {
        return false;
    }
    if there.is_empty() && !strange {
        delete(store, key, false);
        return true;
    }
    for owner in gone {
        owned::release(store, key, &owner.uid);
    }
    false
}

/// Lets go what an object owns, so that it survives the object.
fn orphan(store: &Store, owner: &Value) {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let namespace = owner["metadata"]["namespace"].as_str();
    for resource in store.kinds() {
        for object in store.list(resource, namespace).items {
            if uids(&object).any(|it| it == uid) {
                owned::release(store, &Key::of(resource, &object), uid);
            }
        }
    }
}

/// Deletes what an owner in foreground deletion has, and lets the owner go
/// when nothing is left that it has to wait for.
fn finish(store: &Store, index: &Index, key: &Key, owner: &Value) {
    let uid = &owner["metadata"]["uid"];
    let mut blocked = false;
    for dependent in index.of(owner) {
        let Some(object) = store.get(dependent) else {
            continue;
        };
        let references = object["metadata"]["ownerReferences"].as_array();
        blocked |= references
            .into_iter()
            .flatten()
            .any(|it| it["uid"] == *uid && it["blockOwnerDeletion"] == true);
        if !object["metadata"]["deletionTimestamp"].is_string() {
            delete(store, dependent, true);
        }
    }
    // What has just been deleted may be gone already: its end causes the next look.
    if !blocked {
        let_go(store, key, FOREGROUND);
    }
}

fn exists(store: &Store, dependent: &Key, owner: &Owner) -> bool {
    let found = store.get(&owner.key(&dependent.namespace));
    found.is_some_and(|found| found["metadata"]["uid"] == owner.uid.as_str())
}

/// Removes a finalizer of ours.
fn let_go(store: &Store, key: &Key, finalizer: &str) {
    // Gone already: nothing to finish.
    let _ = store.update_with(key, |object| {
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|it| it != finalizer);
        }
        Ok::<(), StoreError>(())
    });
}

fn has(object: &Value, finalizer: &str) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|it| it == finalizer))
}

fn delete(store: &Store, key: &Key, foreground: bool) {
    let how = Deletion {
        foreground: foreground && key.resource != Resource::Pods,
        ..Deletion::default()
    };
    // Somebody else may have deleted it: just as well.
    let _ = store.delete(key, &how);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct World {
        store: Store,
        index: Index,
    }

    impl World {
        fn new() -> Self {
            let (store, index) = (Store::new(0), Index::default());
            Self { store, index }
        }

        fn make(&mut self, resource: Resource, name: &str, owners: &[&Value]) -> Value {
            let owners: Vec<Value> = owners.iter().map(|it| owned::reference(it)).collect();
            let object = json!({"metadata": {"name": name, "namespace": "d",
                "ownerReferences": owners}});
            let made = self.store.create(resource, object).unwrap();
            self.index
                .note(&Key::of(resource, &made), None, Some(&made));
            Value::clone(&made)
        }

        fn collect(&self, resource: Resource, name: &str) -> bool {
            let key = Key::new(resource, "d", name);
            let object = self.store.get(&key).unwrap();
            collect(&self.store, &self.index, &key, &object)
        }

        fn has(&self, resource: Resource, name: &str) -> bool {
            self.store.get(&Key::new(resource, "d", name)).is_some()
        }
    }

    #[test]
    fn any_kind_goes_with_its_last_owner_and_not_before() {
        let mut world = World::new();
        let one = world.make(Resource::ConfigMaps, "one", &[]);
        let two = world.make(Resource::Secrets, "two", &[]);
        world.make(Resource::Services, "owned", &[&one, &two]);
        world
            .store
            .remove(&Key::of(Resource::ConfigMaps, &one), None);
        assert!(!world.collect(Resource::Services, "owned"));
        let left = world
            .store
            .get(&Key::new(Resource::Services, "d", "owned"))
            .unwrap();
        assert_eq!(
            left["metadata"]["ownerReferences"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        world.store.remove(&Key::of(Resource::Secrets, &two), None);
        assert!(world.collect(Resource::Services, "owned"));
        assert!(!world.has(Resource::Services, "owned"));
    }

    #[test]
    fn an_owner_of_an_unknown_kind_keeps_what_it_owns() {
        let mut world = World::new();
        let strange = json!({"apiVersion": "example.com/v1", "kind": "Strange",
            "metadata": {"name": "s", "uid": "u"}});
        world.make(Resource::ConfigMaps, "kept", &[&strange]);
        assert!(!world.collect(Resource::ConfigMaps, "kept"));
        assert!(world.has(Resource::ConfigMaps, "kept"));
    }

    #[test]
    fn foreground_waits_for_those_that_block_only() {
        let mut world = World::new();
        let owner = world.make(Resource::ConfigMaps, "owner", &[]);
        let blocking = world.make(Resource::Secrets, "blocking", &[&owner]);
        world.make(Resource::Services, "loose", &[&owner]);
        for (resource, name) in [
            (Resource::Secrets, "blocking"),
            (Resource::Services, "loose"),
        ] {
            let key = Key::new(resource, "d", name);
            let edited = world.store.update_with(&key, |it| {
                it["metadata"]["finalizers"] = json!(["example.com/stay"]);
                if name == "loose" {
                    it["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(false);
                }
                Ok::<(), StoreError>(())
            });
            edited.unwrap();
        }
        let how = Deletion {
            foreground: true,
            ..Deletion::default()
        };
        let key = Key::of(Resource::ConfigMaps, &owner);
        world.store.delete(&key, &how).unwrap();
        assert!(!world.collect(Resource::ConfigMaps, "owner"));
        assert!(world.has(Resource::ConfigMaps, "owner"));
        world
            .store
            .remove(&Key::of(Resource::Secrets, &blocking), None);
        world.index.note(
            &Key::of(Resource::Secrets, &blocking),
            Some(&blocking),
            None,
        );
        assert!(!world.collect(Resource::ConfigMaps, "owner"));
        assert!(!world.has(Resource::ConfigMaps, "owner"));
        assert!(world.has(Resource::Services, "loose"));
    }
}

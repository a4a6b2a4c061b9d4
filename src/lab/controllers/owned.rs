//! Who owns what: owner references, and the pods of a workload.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lab::kinds::Resource;
use crate::lab::selector::LabelSelector;
use crate::lab::store::{Key, Store, StoreError};

/// An owner as an object names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// Its uid: a successor of the same name is another owner.
    pub uid: String,
    /// Whether it manages the object.
    pub controller: bool,
}

/// The owners of an object, of the kinds that the lab keeps.
pub fn owners(object: &Value) -> impl Iterator<Item = Owner> {
    let references = object["metadata"]["ownerReferences"].as_array();
    references.into_iter().flatten().filter_map(|reference| {
        let version = reference["apiVersion"].as_str()?;
        let kind = reference["kind"].as_str()?;
        let resource = Resource::of_type(version, kind)?;
        Some(Owner {
            resource,
            name: reference["name"].as_str()?.to_owned(),
            uid: reference["uid"].as_str()?.to_owned(),
            controller: reference["controller"] == true,
        })
    })
}

/// A reference by which `owner` manages an object.
pub fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The objects of a kind that `owner` manages. On the way, objects that its
/// selector means and that nobody manages become its own, and those that it no
/// longer means are let go.
pub fn claimed(store: &Store, owner: &Value, resource: Resource) -> Vec<Arc<Value>> {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let namespace = owner["metadata"]["namespace"].as_str();
    let Some(selector) = LabelSelector::from_object(&owner["spec"]["selector"]) else {
        return Vec::new();
    };
    let ending = owner["metadata"]["deletionTimestamp"].is_string();
    let claim = |object: Arc<Value>| {
        let manager = owners(&object).find(|it| it.controller);
        let meant = selector.matches(&object["metadata"]["labels"]);
        let gone = object["metadata"]["deletionTimestamp"].is_string();
        match manager {
            Some(manager) if manager.uid == uid && meant => Some(object),
            Some(manager) if manager.uid == uid && !gone => {
                release(store, &Key::of(resource, &object), uid);
                None
            }
            None if meant && !gone && !ending => adopt(store, &Key::of(resource, &object), owner),
            _ => None,
        }
    };
    let items = store.list(resource, namespace).items;
    items.into_iter().filter_map(claim).collect()
}

fn adopt(store: &Store, key: &Key, owner: &Value) -> Option<Arc<Value>> {
    let adopted = store.update_with(key, |object| {
        let mut references = match object["metadata"]["ownerReferences"].take() {
            Value::Array(references) => references,
            _ => Vec::new(),
        };
        references.push(reference(owner));
        object["metadata"]["ownerReferences"] = Value::Array(references);
        Ok::<(), StoreError>(())
    });
    adopted.ok()
}

/// Removes the reference to an owner.
pub fn release(store: &Store, key: &Key, uid: &str) {
    // Gone in the meantime: nothing left to let go.
    let _ = store.update_with(key, |object| {
        let references = &mut object["metadata"]["ownerReferences"];
        if let Some(list) = references.as_array_mut() {
            list.retain(|reference| reference["uid"] != uid);
            if list.is_empty()
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove("ownerReferences");
            }
        }
        Ok::<(), StoreError>(())
    });
}

/// Whether a pod counts: it has not ended and is not to end.
pub fn is_active(pod: &Value) -> bool {
    let ended = matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    !ended && !pod["metadata"]["deletionTimestamp"].is_string()
}

/// Since when a pod is ready, if it is.
pub fn ready_since(pod: &Value) -> Option<Timestamp> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .find(|it| it["type"] == "Ready" && it["status"] == "True")?;
    let since = ready["lastTransitionTime"].as_str();
    // Ready without a time is ready since ever.
    Some(
        since
            .and_then(|since| since.parse().ok())
            .unwrap_or(Timestamp::UNIX_EPOCH),
    )
}

/// A count in an object, absent meaning `absent`.
pub fn count(value: &Value, absent: u64) -> u64 {
    value.as_u64().unwrap_or(absent)
}

//! Who owns what: owner references, and the pods of a workload.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::selector::LabelSelector;
use crate::lab::store::{Key, Store, StoreError};
use crate::lab::{SUFFIX_LETTERS, admission, api, defaults, random_suffix};

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

impl Owner {
    /// Where the owner is, of an object in `namespace`.
    pub fn key(&self, namespace: &str) -> Key {
        let namespace = if self.resource.names().namespaced {
            namespace
        } else {
            ""
        };
        Key::new(self.resource, namespace, &self.name)
    }
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

/// The uid of what manages an object, of whatever kind it may be.
pub fn manager(object: &Value) -> Option<&str> {
    let references = object["metadata"]["ownerReferences"].as_array()?;
    let manager = references.iter().find(|it| it["controller"] == true)?;
    manager["uid"].as_str()
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
    claimed_where(store, owner, resource, |_| true)
}

/// As [`claimed`], of those that `fits` says can be the owner's.
pub fn claimed_where(
    store: &Store,
    owner: &Value,
    resource: Resource,
    fits: impl Fn(&Value) -> bool,
) -> Vec<Arc<Value>> {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let namespace = owner["metadata"]["namespace"].as_str();
    let Some(selector) = LabelSelector::from_object(&owner["spec"]["selector"]) else {
        return Vec::new();
    };
    let ending = owner["metadata"]["deletionTimestamp"].is_string();
    let claim = |object: Arc<Value>| {
        let manager = manager(&object).map(|it| it == uid);
        let meant = selector.matches(&object["metadata"]["labels"]) && fits(&object);
        let gone = object["metadata"]["deletionTimestamp"].is_string();
        match manager {
            Some(true) if meant => Some(object),
            Some(true) if !gone => {
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

/// A pod as `owner`'s template says.
pub fn pod(owner: &Value, template: &Value, name: &str) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [reference(owner)],
        },
        "spec": template["spec"],
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = &template["metadata"][field];
        if value.is_object() || value.is_array() {
            pod["metadata"][field] = value.clone();
        }
    }
    pod
}

/// Why a controller's pod was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Its name is taken.
    Taken,
    /// Its namespace is gone or going: nothing is to be done.
    Homeless,
    /// The server does not want it, in the server's words.
    Forbidden(String),
}

/// Stores a pod that a controller made for `owner`, and says so when the server
/// does not want it.
///
/// # Errors
/// See [`Refused`].
pub fn create_pod(
    store: &Store,
    recorder: &Recorder,
    owner: &Value,
    mut pod: Value,
) -> Result<Arc<Value>, Refused> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let home = store.get(&Key::new(Resource::Namespaces, "", namespace));
    if home.is_none_or(|home| home["metadata"]["deletionTimestamp"].is_string()) {
        return Err(Refused::Homeless);
    }
    defaults::fill(Resource::Pods, &mut pod);
    if let Err(why) = admission::admit(store, Resource::Pods, &mut pod) {
        let metadata = &pod["metadata"];
        let name = metadata["generateName"].as_str();
        let name = name.or(metadata["name"].as_str()).unwrap_or_default();
        let why = format!("pods {name:?} is forbidden: {why}");
        return Err(refuse(recorder, owner, why));
    }
    if let Some(why) = api::pod_refusal(&pod) {
        return Err(refuse(recorder, owner, why));
    }
    store
        .create(Resource::Pods, pod)
        .map_err(|_| Refused::Taken)
}

fn refuse(recorder: &Recorder, owner: &Value, why: String) -> Refused {
    let note = Note {
        severity: Severity::Warning,
        reason: "FailedCreate",
        message: &format!("Error creating: {why}"),
        part: "",
    };
    recorder.record(owner, note);
    Refused::Forbidden(why)
}

/// Makes a pod of `owner` with a name that begins with `prefix`, as its template
/// says and as `adjust` leaves it. None when the server does not want it.
pub fn create_generated(
    store: &Store,
    recorder: &Recorder,
    owner: &Value,
    template: &Value,
    prefix: &str,
    adjust: impl Fn(&mut Value),
) -> Option<Arc<Value>> {
    loop {
        let mut pod = pod(owner, template, &format!("{prefix}{}", random_suffix()));
        pod["metadata"]["generateName"] = json!(prefix);
        adjust(&mut pod);
        match create_pod(store, recorder, owner, pod) {
            // The suffix is taken: another.
            Err(Refused::Taken) => {}
            made => return made.ok(),
        }
    }
}

/// When an object was made, as it is written: texts sort as times do.
pub fn created(object: &Value) -> String {
    let created = object["metadata"]["creationTimestamp"].as_str();
    created.unwrap_or_default().to_owned()
}

/// A short name for a template: the same template always has the same.
pub fn short_hash(template: &Value, collisions: u64) -> String {
    // FNV-1a over the canonical text: object keys are sorted.
    let text = format!("{template}{collisions}");
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let letters = SUFFIX_LETTERS;
    format!("{hash:010}")
        .bytes()
        .map(|digit| char::from(letters[usize::from(digit) % letters.len()]))
        .collect()
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

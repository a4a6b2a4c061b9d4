//! The claims of a stateful set: each pod has its own, and finds it again when
//! it comes back.

use serde_json::{Value, json};

use crate::lab::controllers::{owned, volumes};
use crate::lab::defaults;
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Key, Store, StoreError};

/// The claim templates of a set and the names of the claims of one pod.
fn names<'a>(set: &'a Value, pod: &str) -> Vec<(&'a Value, String)> {
    let templates = set["spec"]["volumeClaimTemplates"].as_array();
    templates
        .into_iter()
        .flatten()
        .map(|template| {
            let name = template["metadata"]["name"].as_str().unwrap_or_default();
            (template, format!("{name}-{pod}"))
        })
        .collect()
}

/// Puts a pod's claims in the place of the template's volumes of their names.
pub(super) fn mount(set: &Value, pod_name: &str, pod: &mut Value) {
    for (template, claim) in names(set, pod_name) {
        let volume = json!({
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim},
        });
        let mut volumes = match pod["spec"]["volumes"].take() {
            Value::Array(volumes) => volumes,
            _ => Vec::new(),
        };
        volumes.retain(|it| it["name"] != volume["name"]);
        volumes.push(volume);
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
}

/// Makes the claims of a pod that are not there. Whether all are there and
/// will stay.
pub(super) fn ensure(store: &Store, set: &Value, pod: &str, recorder: &Recorder) -> bool {
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default();
    let set_name = set["metadata"]["name"].as_str().unwrap_or_default();
    for (template, name) in names(set, pod) {
        let key = Key::new(Resource::PersistentVolumeClaims, namespace, &name);
        if let Some(claim) = store.get(&key) {
            if claim["metadata"]["deletionTimestamp"].is_string() {
                return false;
            }
            continue;
        }
        let mut labels = template["metadata"]["labels"].clone();
        for (label, value) in set["spec"]["selector"]["matchLabels"]
            .as_object()
            .into_iter()
            .flatten()
        {
            labels[label] = value.clone();
        }
        let mut claim = json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": template["spec"],
        });
        for (field, value) in [
            ("labels", &labels),
            ("annotations", &template["metadata"]["annotations"]),
        ] {
            if value.is_object() {
                claim["metadata"][field] = value.clone();
            }
        }
        volumes::admit(store, Resource::PersistentVolumeClaims, &mut claim);
        defaults::fill(Resource::PersistentVolumeClaims, &mut claim);
        if store
            .create(Resource::PersistentVolumeClaims, claim)
            .is_err()
        {
            return false;
        }
        let message = format!("create Claim {name} Pod {pod} in StatefulSet {set_name} success");
        recorder.normal(set, "SuccessfulCreate", &message);
    }
    true
}

/// Says of each claim of a pod what takes it along, by the set's
/// `persistentVolumeClaimRetentionPolicy`: the set, the pod, or nothing.
pub(super) fn hold(store: &Store, set: &Value, pod_name: &str, given_up: Option<&Value>) {
    let policy = &set["spec"]["persistentVolumeClaimRetentionPolicy"];
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default();
    let with_set = policy["whenDeleted"] == "Delete";
    let with_pod = given_up.filter(|_| policy["whenScaled"] == "Delete");
    let owner = with_pod.or(Some(set).filter(|_| with_set));
    let set_uid = &set["metadata"]["uid"];
    for (_, name) in names(set, pod_name) {
        let key = Key::new(Resource::PersistentVolumeClaims, namespace, name);
        // Gone in the meantime: nothing to hold.
        let _ = store.update_with(&key, |claim| {
            let mut references = match claim["metadata"]["ownerReferences"].take() {
                Value::Array(references) => references,
                _ => Vec::new(),
            };
            references.retain(|it| {
                let ours = it["uid"] == *set_uid
                    || (it["kind"] == "Pod" && it["name"].as_str() == Some(pod_name));
                !ours
            });
            references.extend(owner.map(|owner| {
                let mut reference = owned::reference(owner);
                if let Some(fields) = reference.as_object_mut() {
                    fields.remove("controller");
                    fields.remove("blockOwnerDeletion");
                }
                reference
            }));
            match (references.is_empty(), claim["metadata"].as_object_mut()) {
                (true, Some(metadata)) => {
                    metadata.remove("ownerReferences");
                }
                _ => claim["metadata"]["ownerReferences"] = Value::Array(references),
            }
            Ok::<(), StoreError>(())
        });
    }
}

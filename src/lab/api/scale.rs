//! The `scale` of what has replicas: their number as an object of its own.

use serde_json::{Value, json};

use super::status::ApiError;
use super::write::{self, Options, Part, Written};
use crate::lab::kinds::Replicas;
use crate::lab::selector::LabelSelector;
use crate::lab::store::{Key, Store};

/// The `Scale` of a workload.
pub fn of(workload: &Value, replicas: &Replicas) -> Value {
    let metadata = &workload["metadata"];
    let selector = match replicas.selector_of(workload) {
        Some(text) => Some(text.to_owned()),
        None => LabelSelector::from_object(&workload["spec"]["selector"]).map(|it| it.to_string()),
    };
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": replicas.wanted_of(workload).as_u64().unwrap_or(0)},
        "status": {
            "replicas": replicas.counted_of(workload),
            "selector": selector.unwrap_or_default(),
        },
    })
}

/// Changes a workload through its `Scale`.
///
/// # Errors
/// As [`write::replace`].
pub fn change(
    store: &Store,
    key: &Key,
    replicas: &Replicas,
    options: &Options,
    edit: impl FnOnce(&mut Value) -> Result<(), ApiError>,
) -> Result<Written, ApiError> {
    write::change(store, key, Part::Scale, options, |workload| {
        let mut scale = of(workload, replicas);
        edit(&mut scale)?;
        let (given, name) = (&scale["metadata"], &key.name);
        if given["name"] != name.as_str() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                given["name"].as_str().unwrap_or_default()
            )));
        }
        // The workload's own checks do the rest: uid, version, no negative count.
        for field in ["uid", "resourceVersion"] {
            if given[field].is_string() {
                workload["metadata"][field] = given[field].clone();
            }
        }
        let wanted = match &scale["spec"]["replicas"] {
            Value::Null => json!(0),
            wanted => wanted.clone(),
        };
        if !replicas.want(workload, wanted) {
            let path = replicas.wanted;
            return Err(ApiError::bad_request(format!(
                "there is no place for {path}"
            )));
        }
        Ok(())
    })
}

/// What an applied `Scale` wants of a workload.
///
/// # Errors
/// *400* for another kind, or when it names another object.
pub fn wanted(key: &Key, replicas: &Replicas, scale: &Value) -> Result<Value, ApiError> {
    let (version, kind) = (&scale["apiVersion"], &scale["kind"]);
    if version != "autoscaling/v1" || kind != "Scale" {
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: autoscaling/v1",
            version.as_str().unwrap_or_default()
        )));
    }
    let names = key.resource.names();
    let mut wanted = json!({
        "apiVersion": key.resource.api_version(),
        "kind": names.kind,
        "metadata": scale["metadata"],
    });
    if !scale["spec"]["replicas"].is_null() {
        replicas.want(&mut wanted, scale["spec"]["replicas"].clone());
    }
    Ok(wanted)
}

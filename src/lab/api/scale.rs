//! The `scale` of a deployment or a replica set: its number of replicas as an
//! object of its own.

use serde_json::{Value, json};

use super::status::ApiError;
use super::write::{self, Options, Part, Written};
use crate::lab::selector::LabelSelector;
use crate::lab::store::{Key, Store};

/// The `Scale` of a workload.
pub fn of(workload: &Value) -> Value {
    let metadata = &workload["metadata"];
    let selector = LabelSelector::from_object(&workload["spec"]["selector"]);
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
        "spec": {"replicas": workload["spec"]["replicas"]},
        "status": {
            "replicas": workload["status"]["replicas"].as_u64().unwrap_or(0),
            "selector": selector.unwrap_or_default().to_string(),
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
    options: &Options,
    edit: impl FnOnce(&mut Value) -> Result<(), ApiError>,
) -> Result<Written, ApiError> {
    write::change(store, key, Part::Scale, options, |workload| {
        let mut scale = of(workload);
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
        workload["spec"]["replicas"] = match &scale["spec"]["replicas"] {
            Value::Null => json!(0),
            replicas => replicas.clone(),
        };
        Ok(())
    })
}

/// What an applied `Scale` wants of a workload.
///
/// # Errors
/// *400* for another kind, or when it names another object.
pub fn wanted(key: &Key, scale: &Value) -> Result<Value, ApiError> {
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
        wanted["spec"]["replicas"] = scale["spec"]["replicas"].clone();
    }
    Ok(wanted)
}

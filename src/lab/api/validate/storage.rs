//! Volumes, claims and storage classes.

use serde_json::Value;

use super::super::status::FieldError;
use super::one_of;

const MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
/// The fields of a volume's spec that say where it is; one must be there.
const SOURCES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];
/// What of a claim's spec may change once it exists.
const CLAIM_MUTABLE: [&str; 3] = ["resources", "volumeAttributesClassName", "volumeName"];

/// A claim.
pub fn claim(claim: &Value, errors: &mut Vec<FieldError>) {
    let spec = &claim["spec"];
    modes(spec, "at least 1 access mode is required", errors);
    if spec["resources"]["requests"]["storage"].is_null() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    one_of(spec, "volumeMode", &["Block", "Filesystem"], "spec", errors);
}

fn modes(spec: &Value, missing: &str, errors: &mut Vec<FieldError>) {
    let modes = spec["accessModes"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if modes.is_empty() {
        errors.push(FieldError::required("spec.accessModes", missing));
    }
    for mode in modes {
        if !MODES.iter().any(|it| mode == it) {
            errors.push(FieldError::unsupported("spec.accessModes", mode, &MODES));
        }
    }
    let alone = modes.iter().any(|it| it == "ReadWriteOncePod");
    if alone && modes.len() > 1 {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden("spec.accessModes", why));
    }
}

/// What may not change in a claim.
pub fn claim_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |claim: &Value| {
        let mut spec = claim["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !CLAIM_MUTABLE.contains(&name.as_str()));
        }
        spec
    };
    let (had, has) = (&old["spec"]["volumeName"], &new["spec"]["volumeName"]);
    let moved = had.is_string() && had != has;
    let resized = old["spec"]["resources"] != new["spec"]["resources"];
    let bound = old["status"]["phase"] == "Bound";
    if fixed(old) != fixed(new) || moved || (resized && !bound) {
        errors.push(FieldError::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
}

/// A volume.
pub fn volume(volume: &Value, errors: &mut Vec<FieldError>) {
    let spec = &volume["spec"];
    modes(spec, "", errors);
    if spec["capacity"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        errors.push(FieldError::required("spec.capacity", ""));
    } else if spec["capacity"]["storage"].is_null() {
        let names = ["storage"];
        errors.push(FieldError::unsupported(
            "spec.capacity",
            &spec["capacity"],
            &names,
        ));
    }
    let sources: Vec<&&str> = SOURCES.iter().filter(|it| spec[**it].is_object()).collect();
    match sources.as_slice() {
        [] => errors.push(FieldError::required("spec", "must specify a volume type")),
        [_] => {}
        [_, second, ..] => {
            let why = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(format!("spec.{second}"), why));
        }
    }
    let policies = ["Delete", "Recycle", "Retain"];
    one_of(
        spec,
        "persistentVolumeReclaimPolicy",
        &policies,
        "spec",
        errors,
    );
    one_of(spec, "volumeMode", &["Block", "Filesystem"], "spec", errors);
}

/// What may not change in a volume.
pub fn volume_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if SOURCES
        .iter()
        .any(|it| old["spec"][*it] != new["spec"][*it])
    {
        errors.push(FieldError::forbidden(
            "spec.persistentvolumesource",
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
    if old["spec"]["volumeMode"] != new["spec"]["volumeMode"] {
        let mode = &new["spec"]["volumeMode"];
        errors.push(FieldError::invalid(
            "spec.volumeMode",
            mode,
            "field is immutable",
        ));
    }
}

/// A storage class.
pub fn class(class: &Value, errors: &mut Vec<FieldError>) {
    if class["provisioner"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("provisioner", ""));
    }
    for (field, values) in [
        ("reclaimPolicy", ["Delete", "Retain"]),
        ("volumeBindingMode", ["Immediate", "WaitForFirstConsumer"]),
    ] {
        if !values.iter().any(|it| class[field] == *it) {
            errors.push(FieldError::unsupported(field, &class[field], &values));
        }
    }
}

/// What may not change in a storage class.
pub fn class_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if old[field] != new[field] {
            let why = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(field, &why));
        }
    }
    if old["volumeBindingMode"] != new["volumeBindingMode"] {
        let mode = &new["volumeBindingMode"];
        errors.push(FieldError::invalid(
            "volumeBindingMode",
            mode,
            "field is immutable",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(check: impl Fn(&mut Vec<FieldError>)) -> Vec<String> {
        let mut errors = Vec::new();
        check(&mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_claim_says_what_it_wants_and_does_not_change_its_mind() {
        let empty = json!({"spec": {"volumeMode": "Filesystem"}});
        assert_eq!(
            texts(|errors| claim(&empty, errors)),
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ]
        );
        let old = json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "a"}});
        let mut new = old.clone();
        new["spec"]["volumeName"] = json!("v");
        assert_eq!(texts(|errors| claim_change(&old, &new, errors)), [""; 0]);
        new["spec"]["storageClassName"] = json!("b");
        assert!(texts(|errors| claim_change(&old, &new, errors))[0].contains("spec is immutable"));
    }

    #[test]
    fn a_volume_is_in_one_place() {
        let mut object = json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}});
        let none = texts(|errors| volume(&object, errors));
        assert_eq!(none, ["spec: Required value: must specify a volume type"]);
        object["spec"]["csi"] = json!({});
        assert_eq!(texts(|errors| volume(&object, errors)), [""; 0]);
        object["spec"]["nfs"] = json!({});
        assert!(texts(|errors| volume(&object, errors))[0].contains("more than 1 volume type"));
    }
}

//! Volumes of pods: the kinds that the node can make, and what each must say.

use serde_json::Value;

use super::super::{LABEL, is_label};
use super::items;
use super::variables::{field_reference, required};
use crate::lab::api::status::FieldError;
use crate::lab::quantity;
use crate::lab::shares::{DISK_DRIVER, FILE_DRIVER};

/// Kinds of volume, with the field that each must have, if any.
const KINDS: [(&str, &str); 9] = [
    ("azureDisk", "diskURI"),
    ("azureFile", "shareName"),
    ("configMap", "name"),
    ("csi", "driver"),
    ("downwardAPI", ""),
    ("emptyDir", ""),
    ("hostPath", "path"),
    ("persistentVolumeClaim", "claimName"),
    ("secret", "secretName"),
];

/// The fields that a file can be.
const FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// What stands against the volumes of a pod.
pub fn all(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for (index, volume) in items(&spec["volumes"]).enumerate() {
        let path = format!("{path}.volumes[{index}]");
        let name = &volume["name"];
        if !name.as_str().is_some_and(is_label) {
            errors.push(FieldError::invalid(format!("{path}.name"), name, LABEL));
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        seen.push(name);
        let fields = volume.as_object().into_iter().flatten();
        let given: Vec<_> = fields
            .filter(|(kind, value)| *kind != "name" && !value.is_null())
            .collect();
        match given.as_slice() {
            [] => errors.push(FieldError::required(path, "must specify a volume type")),
            [(kind, source)] => one(kind, source, &path, errors),
            [_, (second, _), ..] => {
                let why = "may not specify more than 1 volume type";
                errors.push(FieldError::forbidden(format!("{path}.{second}"), why));
            }
        }
    }
}

fn one(kind: &str, source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.{kind}");
    if kind == "projected" {
        projected(source, &path, errors);
        return;
    }
    let Some((_, must)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let why = format!(
            "the lab has no such volumes, only {} and projected",
            known.join(", ")
        );
        errors.push(FieldError::forbidden(path, &why));
        return;
    };
    if !must.is_empty() {
        required(&source[*must], &path, must, errors);
    }
    match kind {
        "csi" => {
            let driver = source["driver"].as_str().unwrap_or_default();
            if !driver.is_empty() && driver != FILE_DRIVER {
                let why = if driver == DISK_DRIVER {
                    "the lab has disks through claims only, as the real driver".to_owned()
                } else {
                    format!("the lab has the driver {FILE_DRIVER} only")
                };
                errors.push(FieldError::forbidden(format!("{path}.driver"), &why));
            } else if driver == FILE_DRIVER {
                let share = &source["volumeAttributes"]["shareName"];
                required(share, &path, "volumeAttributes.shareName", errors);
            }
        }
        "emptyDir" => empty(source, &path, errors),
        "downwardAPI" => downward(source, &path, errors),
        "configMap" | "secret" => paths(source, &path, errors),
        _ => {}
    }
}

/// A bound is a quantity, and memory the only medium besides the node's own.
fn empty(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let limit = &source["sizeLimit"];
    let text = limit.as_str().map(str::to_owned);
    let text = text.or_else(|| limit.as_number().map(ToString::to_string));
    if !limit.is_null() && text.as_deref().and_then(quantity::milli).is_none() {
        let why = "must be a valid resource quantity";
        errors.push(FieldError::invalid(format!("{path}.sizeLimit"), limit, why));
    }
    let medium = source["medium"].as_str().unwrap_or_default();
    if !matches!(medium, "" | "Memory") {
        let why = "the lab has no such medium for emptyDir volumes, only Memory";
        errors.push(FieldError::forbidden(format!("{path}.medium"), why));
    }
}

fn projected(volume: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, source) in items(&volume["sources"]).enumerate() {
        for (kind, source) in source.as_object().into_iter().flatten() {
            let path = format!("{path}.sources[{index}].{kind}");
            match kind.as_str() {
                _ if source.is_null() => {}
                "configMap" | "secret" => {
                    required(&source["name"], &path, "name", errors);
                    paths(source, &path, errors);
                }
                "downwardAPI" => downward(source, &path, errors),
                _ => errors.push(FieldError::forbidden(
                    path,
                    "the lab projects config maps, secrets and the downward API only",
                )),
            }
        }
    }
}

fn downward(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    paths(source, path, errors);
    for (index, item) in items(&source["items"]).enumerate() {
        let path = format!("{path}.items[{index}]");
        if item["resourceFieldRef"].is_object() {
            let resource = &item["resourceFieldRef"];
            let path = format!("{path}.resourceFieldRef");
            required(&resource["containerName"], &path, "containerName", errors);
            required(&resource["resource"], &path, "resource", errors);
        } else if item["fieldRef"].is_object() {
            let path = format!("{path}.fieldRef");
            field_reference(&item["fieldRef"], &path, &FIELDS, errors);
        } else {
            let why = "one of fieldRef and resourceFieldRef is required";
            errors.push(FieldError::required(path, why));
        }
    }
}

/// Paths of files stay in their volume.
fn paths(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, item) in items(&source["items"]).enumerate() {
        let field = format!("{path}.items[{index}].path");
        let value = &item["path"];
        match value.as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(field, "")),
            text if text.starts_with('/') => {
                errors.push(FieldError::invalid(field, value, "must be a relative path"));
            }
            text if text.split('/').any(|part| part == "..") => {
                errors.push(FieldError::invalid(field, value, "must not contain '..'"));
            }
            text if text.starts_with("..") => {
                errors.push(FieldError::invalid(
                    field,
                    value,
                    "must not start with '..'",
                ));
            }
            _ => {}
        }
    }
}

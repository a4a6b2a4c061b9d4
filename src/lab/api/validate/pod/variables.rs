//! Variables of containers, and where their values may come from.

use serde_json::Value;

use super::items;
use crate::lab::api::status::FieldError;

/// The fields that a variable can be.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// What stands against the variables of a container.
pub fn all(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, variable) in items(&container["env"]).enumerate() {
        let path = format!("{path}.env[{index}]");
        required(&variable["name"], &path, "name", errors);
        if variable["valueFrom"].is_object() {
            source(variable, &path, errors);
        }
    }
    for (index, from) in items(&container["envFrom"]).enumerate() {
        let path = format!("{path}.envFrom[{index}]");
        let given: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|kind| from[*kind].is_object())
            .collect();
        match given.as_slice() {
            [kind] => required(
                &from[*kind]["name"],
                &format!("{path}.{kind}"),
                "name",
                errors,
            ),
            [] => errors.push(FieldError::required(
                path,
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            _ => errors.push(FieldError::invalid(
                path,
                &Value::from(""),
                "may not have more than one field specified at a time",
            )),
        }
    }
}

fn source(variable: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let source = &variable["valueFrom"];
    let field = format!("{path}.valueFrom");
    let kinds = [
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
    ];
    let given: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| source[*kind].is_object())
        .collect();
    let empty = Value::from("");
    if variable["value"].as_str().is_some_and(|it| !it.is_empty()) {
        let why = "may not be specified when `value` is not empty";
        errors.push(FieldError::invalid(field.as_str(), &empty, why));
    }
    let [kind] = given.as_slice() else {
        let why = if given.is_empty() {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        } else {
            "may not have more than one field specified at a time"
        };
        errors.push(FieldError::invalid(field, &empty, why));
        return;
    };
    let field = format!("{field}.{kind}");
    let value = &source[*kind];
    match *kind {
        "fieldRef" => field_reference(value, &field, &FIELDS, errors),
        "resourceFieldRef" => required(&value["resource"], &field, "resource", errors),
        _ => {
            required(&value["name"], &field, "name", errors);
            required(&value["key"], &field, "key", errors);
        }
    }
}

/// A reference to a field of the pod: one of these, or one label or annotation.
pub(super) fn field_reference(
    value: &Value,
    path: &str,
    fields: &[&str],
    errors: &mut Vec<FieldError>,
) {
    let wanted = value["fieldPath"].as_str().unwrap_or_default();
    let one = ["metadata.labels['", "metadata.annotations['"];
    let one = wanted.ends_with("']") && one.iter().any(|start| wanted.starts_with(start));
    if wanted.is_empty() {
        errors.push(FieldError::required(format!("{path}.fieldPath"), ""));
    } else if !one && !fields.contains(&wanted) {
        errors.push(FieldError::invalid(
            format!("{path}.fieldPath"),
            &value["fieldPath"],
            &format!("error converting fieldPath: field label not supported: {wanted}"),
        ));
    }
}

pub(super) fn required(value: &Value, path: &str, field: &str, errors: &mut Vec<FieldError>) {
    if value.as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(format!("{path}.{field}"), ""));
    }
}

//! Definitions of custom resources: which of them the server accepts.

use regex::Regex;
use serde_json::Value;

use super::super::status::FieldError;
use super::path::JsonPath;

/// Where the schema of the one version is.
const SCHEMA: &str = "spec.versions[0].schema.openAPIV3Schema";
/// Formats of texts that the real server checks and the lab does not.
const UNCHECKED: [&str; 11] = [
    "bsonobjectid",
    "uri",
    "email",
    "mac",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
];

/// The annotation of definitions in Kubernetes' own groups.
const APPROVED: &str = "api-approved.kubernetes.io";

/// What stands against a definition.
pub fn check(definition: &Value, errors: &mut Vec<FieldError>) {
    let spec = &definition["spec"];
    names(definition, errors);
    if !matches!(spec["scope"].as_str(), Some("Cluster" | "Namespaced")) {
        let scopes = ["Cluster", "Namespaced"];
        errors.push(FieldError::unsupported(
            "spec.scope",
            &spec["scope"],
            &scopes,
        ));
    }
    if spec["preserveUnknownFields"] == true {
        errors.push(FieldError::invalid(
            "spec.preserveUnknownFields",
            &spec["preserveUnknownFields"],
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    if spec["conversion"]["strategy"] != "None" {
        let why = "the lab converts no objects: the strategy must be None";
        errors.push(FieldError::forbidden("spec.conversion.strategy", why));
    }
    match spec["versions"].as_array().map_or(&[][..], Vec::as_slice) {
        [] => errors.push(FieldError::required(
            "spec.versions",
            "must have at least one version",
        )),
        [version] => one_version(version, errors),
        _ => errors.push(FieldError::forbidden(
            "spec.versions",
            "the lab serves definitions of one version only",
        )),
    }
}

/// What may not change once a definition is in force.
pub fn check_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if !crate::lab::kinds::custom::is_established(old) {
        return;
    }
    for (path, pointer) in [
        ("spec.scope", "/spec/scope"),
        ("spec.names.kind", "/spec/names/kind"),
        ("spec.names.plural", "/spec/names/plural"),
        ("spec.group", "/spec/group"),
    ] {
        let value = new.pointer(pointer).unwrap_or(&Value::Null);
        if old.pointer(pointer) != Some(value) {
            errors.push(FieldError::invalid(path, value, "field is immutable"));
        }
    }
    if old["spec"]["versions"][0]["name"] != new["spec"]["versions"][0]["name"] {
        let stored = &old["spec"]["versions"][0]["name"];
        errors.push(FieldError::invalid(
            "status.storedVersions[0]",
            stored,
            &format!("missing from spec.versions; {} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {0} and removes {0} from status.storedVersions", stored.as_str().unwrap_or_default()),
        ));
    }
}

fn names(definition: &Value, errors: &mut Vec<FieldError>) {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !group.contains('.') {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", &spec["group"], why));
    }
    for field in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"][field]).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{field}"), ""));
        }
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|it| group == *it || group.ends_with(&format!(".{it}")));
    if protected && definition["metadata"]["annotations"][APPROVED].is_null() {
        errors.push(FieldError::required(
            format!("metadata.annotations[{APPROVED}]"),
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ));
    }
    let expected = format!("{plural}.{group}");
    let name = &definition["metadata"]["name"];
    if *name != expected.as_str() {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
}

fn one_version(version: &Value, errors: &mut Vec<FieldError>) {
    if version["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("spec.versions[0].name", ""));
    }
    if version["storage"] != true {
        let versions = Value::from(vec![version["name"].clone()]);
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &versions, why));
    }
    if version["served"] != true {
        let why = "the lab serves the one version of a definition";
        errors.push(FieldError::forbidden("spec.versions[0].served", why));
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    if schema.is_object() {
        root(schema, errors);
    } else {
        errors.push(FieldError::required(SCHEMA, "schemas are required"));
    }
    let columns = version["additionalPrinterColumns"].as_array();
    for (index, column) in columns.into_iter().flatten().enumerate() {
        let path = format!("spec.versions[0].additionalPrinterColumns[{index}]");
        let types = ["boolean", "date", "integer", "number", "string"];
        if !types.iter().any(|it| column["type"] == *it) {
            let field = format!("{path}.type");
            errors.push(FieldError::unsupported(field, &column["type"], &types));
        }
        let json_path = &column["jsonPath"];
        if json_path.as_str().and_then(JsonPath::parse).is_none() {
            errors.push(FieldError::invalid(
                format!("{path}.jsonPath"),
                json_path,
                "must be a simple json path starting with .",
            ));
        }
    }
    let scale = &version["subresources"]["scale"];
    for (field, root) in [
        ("specReplicasPath", ".spec."),
        ("statusReplicasPath", ".status."),
    ] {
        if scale.is_object() && !scale[field].as_str().is_some_and(|it| it.starts_with(root)) {
            errors.push(FieldError::invalid(
                format!("spec.versions[0].subresources.scale.{field}"),
                &scale[field],
                &format!("should be a json path under {}", root.trim_end_matches('.')),
            ));
        }
    }
}

fn root(schema: &Value, errors: &mut Vec<FieldError>) {
    match schema["type"].as_str() {
        None => errors.push(FieldError::required(
            format!("{SCHEMA}.type"),
            "must not be empty at the root",
        )),
        Some("object") => {}
        Some(_) => errors.push(FieldError::invalid(
            format!("{SCHEMA}.type"),
            &schema["type"],
            "must be object at the root",
        )),
    }
    parts(schema, SCHEMA, errors);
}

/// A schema below the root: it must say what it is the schema of.
fn structural(schema: &Value, path: &str, place: &str, errors: &mut Vec<FieldError>) {
    let free = [
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
    ];
    if schema["type"].is_null() && !free.iter().any(|it| schema[*it] == true) {
        errors.push(FieldError::required(
            format!("{path}.type"),
            &format!("must not be empty for specified {place}"),
        ));
    }
    parts(schema, path, errors);
}

fn parts(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    plain(schema, path, errors);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.properties[{name}]");
        structural(inner, &path, "object fields", errors);
    }
    if schema["items"].is_object() {
        structural(
            &schema["items"],
            &format!("{path}.items"),
            "array items",
            errors,
        );
    } else if schema["type"] == "array" {
        errors.push(FieldError::required(
            format!("{path}.items"),
            "must be specified",
        ));
    }
    if schema["additionalProperties"].is_object() {
        let inner = &schema["additionalProperties"];
        structural(
            inner,
            &format!("{path}.additionalProperties"),
            "map values",
            errors,
        );
    }
}

/// What a single schema may not say.
fn plain(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = Regex::new(pattern)
    {
        errors.push(FieldError::invalid(
            format!("{path}.pattern"),
            &schema["pattern"],
            &format!("must be a valid regular expression, but isn't: {error}"),
        ));
    }
    if schema["uniqueItems"] == true {
        errors.push(FieldError::forbidden(
            format!("{path}.uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    if schema["$ref"].is_string() {
        errors.push(FieldError::forbidden(
            format!("{path}.$ref"),
            "$ref is not supported",
        ));
    }
    if schema["x-kubernetes-validations"]
        .as_array()
        .is_some_and(|it| !it.is_empty())
    {
        errors.push(FieldError::forbidden(
            format!("{path}.x-kubernetes-validations"),
            "the lab evaluates no rules of the Common Expression Language",
        ));
    }
    if let Some(format) = schema["format"]
        .as_str()
        .filter(|it| UNCHECKED.contains(it))
    {
        errors.push(FieldError::forbidden(
            format!("{path}.format"),
            &format!("the lab does not check the format {format}"),
        ));
    }
}

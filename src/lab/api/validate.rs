//! Which objects the server accepts.
//!
//! Two kinds of rule stand side by side: those of the real server, in its
//! words, for the fields that the lab acts on; and refusals of what the lab
//! does not do, because an object that is accepted and then ignored is a lie.

use serde_json::Value;

use super::custom::definition;
use super::status::FieldError;
use crate::lab::kinds::Resource;
use crate::lab::selector::LabelSelector;

mod batch;
mod metadata;
mod objects;
mod rbac;
mod storage;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const SERVICE_NAME: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// What stands against a new object.
pub fn new_object(resource: Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = &object["metadata"]["name"];
    let text = name.as_str().unwrap_or_default();
    if text.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(why) = bad_name(resource, text) {
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
    metadata::check(&object["metadata"], "metadata", &mut errors);
    match resource {
        Resource::Pods => {
            pod_spec(&object["spec"], "spec", &mut errors);
        }
        Resource::Deployments | Resource::ReplicaSets => workload(object, &mut errors),
        Resource::StatefulSets => batch::stateful_set(object, &mut errors),
        Resource::Jobs => {
            batch::job(object, &mut errors);
            let template = &object["spec"]["template"]["spec"];
            pod_spec(template, "spec.template.spec", &mut errors);
        }
        _ => plain(resource, object, &mut errors),
    }
    errors
}

/// What is wrong with a name, by the rule for names of its kind.
fn bad_name(resource: Resource, name: &str) -> Option<&'static str> {
    let (fine, why) = match resource {
        Resource::Namespaces => (is_label(name), LABEL),
        Resource::Services => (is_service_name(name), SERVICE_NAME),
        Resource::Roles
        | Resource::RoleBindings
        | Resource::ClusterRoles
        | Resource::ClusterRoleBindings => return bad_segment(name),
        _ => (is_subdomain(name), SUBDOMAIN),
    };
    (!fine).then_some(why)
}

/// Names of roles and bindings may be anything that fits into a path.
fn bad_segment(name: &str) -> Option<&'static str> {
    match name {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        name if name.contains('/') => Some("may not contain '/'"),
        name if name.contains('%') => Some("may not contain '%'"),
        _ => None,
    }
}

/// What stands against an object that nothing runs, new or not.
fn plain(resource: Resource, object: &Value, errors: &mut Vec<FieldError>) {
    let namespaced = resource.names().namespaced;
    match resource {
        Resource::ConfigMaps => objects::config_map(object, errors),
        Resource::Secrets => objects::secret(object, errors),
        Resource::Services => objects::service(object, errors),
        Resource::EndpointSlices => objects::endpoint_slice(object, errors),
        Resource::PodDisruptionBudgets => objects::budget(object, errors),
        Resource::PersistentVolumes => storage::volume(object, errors),
        Resource::PersistentVolumeClaims => storage::claim(object, errors),
        Resource::StorageClasses => storage::class(object, errors),
        Resource::Roles | Resource::ClusterRoles => rbac::role(object, namespaced, errors),
        Resource::RoleBindings | Resource::ClusterRoleBindings => {
            rbac::binding(object, namespaced, errors);
        }
        Resource::PriorityClasses => rbac::priority(object, errors),
        Resource::CustomResourceDefinitions => definition::check(object, errors),
        _ => {}
    }
}

/// What stands against a change of an object that nothing runs.
fn plain_change(resource: Resource, old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    plain(resource, new, errors);
    match resource {
        Resource::ConfigMaps => objects::frozen(old, new, &["data", "binaryData"], errors),
        Resource::Secrets => objects::secret_change(old, new, errors),
        Resource::Services => objects::service_change(old, new, errors),
        Resource::PersistentVolumes => storage::volume_change(old, new, errors),
        Resource::PersistentVolumeClaims => storage::claim_change(old, new, errors),
        Resource::StorageClasses => storage::class_change(old, new, errors),
        Resource::RoleBindings | Resource::ClusterRoleBindings => {
            rbac::binding_change(old, new, errors);
        }
        Resource::PriorityClasses => rbac::priority_change(old, new, errors),
        Resource::CustomResourceDefinitions => definition::check_change(old, new, errors),
        _ => {}
    }
}

/// What stands against putting `new` in the place of `old`.
pub fn replacement(resource: Resource, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::check(&new["metadata"], "metadata", &mut errors);
    match resource {
        Resource::Pods if old["spec"] != new["spec"] => errors.push(FieldError::forbidden(
            "spec",
            "the lab does not change the spec of a pod that exists; delete it and create another",
        )),
        Resource::Deployments | Resource::ReplicaSets => {
            workload(new, &mut errors);
            if old["spec"]["selector"] != new["spec"]["selector"] {
                errors.push(FieldError::invalid(
                    "spec.selector",
                    &new["spec"]["selector"],
                    "field is immutable",
                ));
            }
        }
        Resource::StatefulSets => {
            batch::stateful_set(new, &mut errors);
            batch::stateful_set_change(old, new, &mut errors);
        }
        Resource::Jobs => {
            batch::job(new, &mut errors);
            batch::job_change(old, new, &mut errors);
        }
        Resource::Leases if new["metadata"]["resourceVersion"].is_null() => {
            errors.push(FieldError::invalid(
                "metadata.resourceVersion",
                &Value::from(0),
                "must be specified for an update",
            ));
        }
        _ => plain_change(resource, old, new, &mut errors),
    }
    errors
}

/// Deployments and replica sets: a selector, a template that it selects.
fn workload(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    if spec["replicas"].as_i64().is_some_and(|count| count < 0) {
        errors.push(FieldError::invalid(
            "spec.replicas",
            &spec["replicas"],
            "must be greater than or equal to 0",
        ));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    match LabelSelector::from_object(&spec["selector"]) {
        Some(selector) if !selector.is_empty() => {
            if !selector.matches(labels) {
                errors.push(FieldError::invalid(
                    "spec.template.metadata.labels",
                    labels,
                    "`selector` does not match template `labels`",
                ));
            }
        }
        _ => errors.push(FieldError::required("spec.selector", "")),
    }
    let strategy = &spec["strategy"]["type"];
    if !matches!(strategy.as_str(), None | Some("Recreate" | "RollingUpdate")) {
        errors.push(FieldError::unsupported(
            "spec.strategy.type",
            strategy,
            &["Recreate", "RollingUpdate"],
        ));
    }
    let restart = &spec["template"]["spec"]["restartPolicy"];
    if restart != "Always" {
        errors.push(FieldError::unsupported(
            "spec.template.spec.restartPolicy",
            restart,
            &["Always"],
        ));
    }
    pod_spec(&spec["template"]["spec"], "spec.template.spec", errors);
}

fn pod_spec(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let containers = spec["containers"].as_array();
    if containers.is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let restart = &spec["restartPolicy"];
    let policies = ["Always", "OnFailure", "Never"];
    if !policies.iter().any(|policy| restart == policy) {
        let field = format!("{path}.restartPolicy");
        errors.push(FieldError::unsupported(field, restart, &policies));
    }
    for absent in ["initContainers", "ephemeralContainers"] {
        if has_items(&spec[absent]) {
            errors.push(FieldError::forbidden(
                format!("{path}.{absent}"),
                "the lab runs plain containers only",
            ));
        }
    }
    volumes(spec, path, errors);
    let mut seen = Vec::new();
    for (index, it) in containers.into_iter().flatten().enumerate() {
        let path = format!("{path}.containers[{index}]");
        container(it, &path, spec, errors);
        if seen.contains(&&it["name"]) {
            errors.push(FieldError::duplicate(format!("{path}.name"), &it["name"]));
        }
        seen.push(&it["name"]);
    }
}

fn volumes(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        if !volume["name"].as_str().is_some_and(is_label) {
            let field = format!("{path}.name");
            errors.push(FieldError::invalid(field, &volume["name"], LABEL));
        }
        let known = ["name", "hostPath", "emptyDir"];
        for kind in volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(kind, _)| kind)
        {
            if !known.contains(&kind.as_str()) {
                errors.push(FieldError::forbidden(
                    format!("{path}.{kind}"),
                    "the lab has hostPath and emptyDir volumes only",
                ));
            }
        }
    }
}

fn container(container: &Value, path: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    let name = &container["name"];
    match name.as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(format!("{path}.name"), "")),
        text if !is_label(text) => {
            errors.push(FieldError::invalid(format!("{path}.name"), name, LABEL));
        }
        _ => {}
    }
    if container["image"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    for (field, what) in [
        ("livenessProbe", "probes"),
        ("readinessProbe", "probes"),
        ("startupProbe", "probes"),
        ("lifecycle", "lifecycle hooks"),
        ("envFrom", "config maps and secrets"),
        ("volumeDevices", "block devices"),
    ] {
        let value = &container[field];
        if value.is_object() || has_items(value) {
            errors.push(FieldError::forbidden(
                format!("{path}.{field}"),
                &format!("the lab has no {what}"),
            ));
        }
    }
    let variables = container["env"].as_array();
    for (index, variable) in variables.into_iter().flatten().enumerate() {
        let source = variable["valueFrom"].as_object();
        for kind in source.into_iter().flatten().map(|(kind, _)| kind) {
            if kind != "fieldRef" {
                errors.push(FieldError::forbidden(
                    format!("{path}.env[{index}].valueFrom.{kind}"),
                    "the lab has fieldRef only",
                ));
            }
        }
    }
    let mounts = container["volumeMounts"].as_array();
    for (index, mount) in mounts.into_iter().flatten().enumerate() {
        let volumes = spec["volumes"].as_array();
        let known = |volume: &Value| volume["name"] == mount["name"];
        if !volumes.is_some_and(|volumes| volumes.iter().any(known)) {
            errors.push(FieldError {
                field: format!("{path}.volumeMounts[{index}].name"),
                reason: "FieldValueNotFound",
                message: format!("Not found: {}", mount["name"]),
            });
        }
    }
}

/// The field must have one of these values.
fn one_of(object: &Value, field: &str, values: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    if !values.iter().any(|value| object[field] == *value) {
        let path = format!("{path}.{field}");
        errors.push(FieldError::unsupported(path, &object[field], values));
    }
}

fn has_items(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty())
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edges = text.starts_with(plain) && text.ends_with(plain);
    edges && text.len() <= 63 && text.chars().all(|c| plain(c) || c == '-')
}

fn is_service_name(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_subdomain(text: &str) -> bool {
    // Parts of a name may be longer than those of a label.
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let edges = part.starts_with(plain) && part.ends_with(plain);
        edges && part.chars().all(|c| plain(c) || c == '-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::defaults;
    use serde_json::json;

    fn pod(spec: &Value) -> Vec<String> {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
        defaults::fill(Resource::Pods, &mut pod);
        let errors = new_object(Resource::Pods, &pod);
        errors.iter().map(ToString::to_string).collect()
    }

    fn deployment() -> Value {
        let mut object = json!({
            "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": {"app": "d"}},
                "template": {
                    "metadata": {"labels": {"app": "d"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        });
        defaults::fill(Resource::Deployments, &mut object);
        object
    }

    #[test]
    fn a_plain_pod_is_accepted() {
        let spec = json!({
            "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
            "containers": [{
                "name": "c", "image": "i",
                "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "volumeMounts": [{"name": "v", "mountPath": "/y"}],
            }],
        });
        assert_eq!(pod(&spec), [""; 0]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_path() {
        assert_eq!(pod(&json!({})), ["spec.containers: Required value"]);
        assert_eq!(
            pod(&json!({"containers": [{}]})),
            [
                "spec.containers[0].name: Required value",
                "spec.containers[0].image: Required value",
            ]
        );
        let twice =
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]});
        assert_eq!(
            pod(&twice),
            ["spec.containers[1].name: Duplicate value: \"c\""]
        );
        let mount = json!({"containers": [
            {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/"}]}]});
        assert_eq!(
            pod(&mount),
            ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""]
        );
    }

    #[test]
    fn what_the_lab_does_not_do_is_refused_rather_than_ignored() {
        for spec in [
            json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c", "image": "i"}]}),
            json!({"containers": [{"name": "c", "image": "i", "readinessProbe": {}}]}),
            json!({"containers": [{"name": "c", "image": "i", "lifecycle": {"preStop": {}}}]}),
            json!({"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {}}]}]}),
            json!({"volumes": [{"name": "s", "secret": {}}], "containers": [{"name": "c", "image": "i"}]}),
        ] {
            let errors = pod(&spec);
            assert!(
                errors.len() == 1 && errors[0].contains("Forbidden: the lab"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn a_deployment_must_select_its_own_template() {
        let mut object = deployment();
        assert_eq!(new_object(Resource::Deployments, &object), []);
        object["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");
        assert_eq!(
            new_object(Resource::Deployments, &object)[0].to_string(),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"
        );
        object["spec"]["selector"] = json!({});
        let errors = new_object(Resource::Deployments, &object);
        assert_eq!(errors[0].to_string(), "spec.selector: Required value");
    }

    #[test]
    fn what_identifies_a_workloads_pods_cannot_change() {
        let old = deployment();
        let mut new = deployment();
        new["spec"]["selector"]["matchLabels"]["tier"] = json!("x");
        new["spec"]["template"]["metadata"]["labels"]["tier"] = json!("x");
        let errors = replacement(Resource::Deployments, &old, &new);
        assert!(errors[0].message.ends_with("field is immutable"));
    }

    #[test]
    fn names_follow_the_rules_of_dns() {
        for (name, fine) in [
            ("a", true),
            ("a.b-c", true),
            ("A", false),
            ("-a", false),
            ("a..b", false),
            ("a_b", false),
        ] {
            assert_eq!(is_subdomain(name), fine, "{name}");
        }
        assert!(!is_subdomain(&"a".repeat(254)));
        assert!(!is_label("a.b"));
    }
}

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
mod placement;
mod pod;
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
            pod::spec(&object["spec"], "spec", &mut errors);
        }
        Resource::Deployments | Resource::ReplicaSets => workload(object, &mut errors),
        Resource::StatefulSets => batch::stateful_set(object, &mut errors),
        Resource::Jobs => {
            batch::job(object, &mut errors);
            let template = &object["spec"]["template"]["spec"];
            pod::spec(template, "spec.template.spec", &mut errors);
        }
        _ => plain(resource, object, &mut errors),
    }
    errors
}

/// What the server says of an object that it accepts.
pub fn warnings(resource: Resource, object: &Value) -> Vec<String> {
    match resource {
        Resource::Pods => pod::warnings(&object["spec"], "spec"),
        Resource::Deployments | Resource::ReplicaSets | Resource::StatefulSets | Resource::Jobs => {
            pod::warnings(&object["spec"]["template"]["spec"], "spec.template.spec")
        }
        _ => Vec::new(),
    }
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
    pod::spec(&spec["template"]["spec"], "spec.template.spec", errors);
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

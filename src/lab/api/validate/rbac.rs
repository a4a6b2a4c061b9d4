//! Roles, bindings and priority classes.

use serde_json::Value;

use super::super::status::FieldError;

const GROUP: &str = "rbac.authorization.k8s.io";
/// Priorities above this are the system's.
const HIGHEST_PRIORITY: i64 = 1_000_000_000;

/// A role, or a cluster role.
pub fn role(role: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
        let path = format!("rules[{index}]");
        let empty = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
        let mut required = |field: &str, why: &str| {
            if empty(field) {
                errors.push(FieldError::required(format!("{path}.{field}"), why));
            }
        };
        required("verbs", "verbs must contain at least one value");
        if empty("nonResourceURLs") {
            required(
                "apiGroups",
                "resource rules must supply at least one api group",
            );
            required(
                "resources",
                "resource rules must supply at least one resource",
            );
            continue;
        }
        let why = if namespaced {
            "namespaced rules cannot apply to non-resource URLs"
        } else if ["apiGroups", "resources", "resourceNames"]
            .iter()
            .all(|it| empty(it))
        {
            continue;
        } else {
            "rules cannot apply to both regular resources and non-resource URLs"
        };
        let field = format!("{path}.nonResourceURLs");
        errors.push(FieldError::invalid(field, &rule["nonResourceURLs"], why));
    }
}

/// A role binding, or a cluster role binding.
pub fn binding(binding: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    let role = &binding["roleRef"];
    if role["apiGroup"] != GROUP {
        let field = "roleRef.apiGroup";
        errors.push(FieldError::unsupported(field, &role["apiGroup"], &[GROUP]));
    }
    let kinds: &[&str] = if namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.iter().any(|it| role["kind"] == *it) {
        errors.push(FieldError::unsupported(
            "roleRef.kind",
            &role["kind"],
            kinds,
        ));
    }
    if role["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    let subjects = binding["subjects"].as_array();
    for (index, subject) in subjects.into_iter().flatten().enumerate() {
        let path = format!("subjects[{index}]");
        let absent = |field: &str| subject[field].as_str().unwrap_or_default().is_empty();
        if absent("name") {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        match subject["kind"].as_str() {
            Some("ServiceAccount") if absent("namespace") => {
                errors.push(FieldError::required(format!("{path}.namespace"), ""));
            }
            Some("User" | "Group") if subject["apiGroup"] != GROUP => {
                let field = format!("{path}.apiGroup");
                errors.push(FieldError::unsupported(
                    field,
                    &subject["apiGroup"],
                    &[GROUP],
                ));
            }
            Some("ServiceAccount" | "User" | "Group") => {}
            _ => {
                let kinds = ["Group", "ServiceAccount", "User"];
                let field = format!("{path}.kind");
                errors.push(FieldError::unsupported(field, &subject["kind"], &kinds));
            }
        }
    }
}

/// What may not change in a binding.
pub fn binding_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if old["roleRef"] != new["roleRef"] {
        let why = "cannot change roleRef";
        errors.push(FieldError::invalid("roleRef", &new["roleRef"], why));
    }
}

/// A priority class.
pub fn priority(class: &Value, errors: &mut Vec<FieldError>) {
    let name = class["metadata"]["name"].as_str().unwrap_or_default();
    if name.starts_with("system-") {
        let why = "priority class names with 'system-' prefix are reserved for system use only";
        errors.push(FieldError::forbidden("metadata.name", why));
    }
    if class["value"]
        .as_i64()
        .is_some_and(|it| it > HIGHEST_PRIORITY)
    {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST_PRIORITY}");
        errors.push(FieldError::forbidden("value", &why));
    }
}

/// What may not change in a priority class.
pub fn priority_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    for field in ["value", "preemptionPolicy"] {
        if old[field] != new[field] {
            errors.push(FieldError::forbidden(
                field,
                "may not be changed in an update.",
            ));
        }
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
    fn a_rule_is_about_resources_or_about_paths() {
        let object = json!({"rules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["get"]},
            {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]});
        let found = texts(|errors| role(&object, true, errors));
        assert_eq!(
            found[..2],
            [
                "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[1].resources: Required value: resource rules must supply at least one resource",
            ]
        );
        assert!(found[2].ends_with("namespaced rules cannot apply to non-resource URLs"));
        assert_eq!(texts(|errors| role(&object, false, errors)).len(), 2);
    }

    #[test]
    fn a_binding_keeps_its_role() {
        let old = json!({"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "a"},
                         "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
        let mut new = old.clone();
        new["roleRef"]["name"] = json!("b");
        assert_eq!(
            texts(|errors| binding(&old, true, errors)),
            ["subjects[0].namespace: Required value"]
        );
        assert!(
            texts(|errors| binding_change(&old, &new, errors))[0]
                .ends_with("cannot change roleRef")
        );
    }
}

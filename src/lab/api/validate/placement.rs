//! Where a pod may be: tolerations, affinities, spreading.

use serde_json::Value;

use super::FieldError;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What stands against what a pod spec says of where the pod may be.
pub fn check(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, it) in items(&spec["tolerations"]) {
        toleration(it, &format!("{path}.tolerations[{index}]"), errors);
    }
    let affinity = &spec["affinity"];
    let path_of = |kind: &str, when: &str| {
        format!("{path}.affinity.{kind}.{when}DuringSchedulingIgnoredDuringExecution")
    };
    let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if required.is_object() && items(&required["nodeSelectorTerms"]).next().is_none() {
        errors.push(FieldError::required(
            format!("{}.nodeSelectorTerms", path_of("nodeAffinity", "required")),
            "must have at least one node selector term",
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let list = |when: &str| {
            affinity[kind].get(format!("{when}DuringSchedulingIgnoredDuringExecution"))
        };
        for (index, it) in items(list("required").unwrap_or(&Value::Null)) {
            term(
                it,
                &format!("{}[{index}]", path_of(kind, "required")),
                errors,
            );
        }
        for (index, it) in items(list("preferred").unwrap_or(&Value::Null)) {
            let path = format!("{}[{index}].podAffinityTerm", path_of(kind, "preferred"));
            term(&it["podAffinityTerm"], &path, errors);
        }
    }
    for (index, it) in items(&spec["topologySpreadConstraints"]) {
        spread(
            it,
            &format!("{path}.topologySpreadConstraints[{index}]"),
            errors,
        );
    }
    if items(&spec["schedulingGates"]).next().is_some() {
        errors.push(FieldError::forbidden(
            format!("{path}.schedulingGates"),
            "the lab has no scheduling gates",
        ));
    }
}

fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

fn toleration(it: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let text = |field: &str| it[field].as_str().unwrap_or_default();
    let (operator, effect) = (text("operator"), text("effect"));
    if text("key").is_empty() && operator != "Exists" {
        errors.push(FieldError::invalid(
            format!("{path}.operator"),
            &Value::from(operator),
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        ));
    }
    if operator == "Exists" && !text("value").is_empty() {
        errors.push(FieldError::invalid(
            format!("{path}.operator"),
            &Value::from(operator),
            "value must be empty when `operator` is 'Exists'",
        ));
    }
    if !matches!(operator, "" | "Equal" | "Exists") {
        let field = format!("{path}.operator");
        let known = ["Equal", "Exists"];
        errors.push(FieldError::unsupported(field, &it["operator"], &known));
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        let field = format!("{path}.effect");
        errors.push(FieldError::unsupported(field, &it["effect"], &EFFECTS));
    }
    if it["tolerationSeconds"].is_number() && effect != "NoExecute" {
        errors.push(FieldError::invalid(
            format!("{path}.effect"),
            &Value::from(effect),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ));
    }
}

fn term(term: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if term["topologyKey"].as_str().unwrap_or_default().is_empty() {
        let why = "can not be empty";
        errors.push(FieldError::required(format!("{path}.topologyKey"), why));
    }
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        if items(&term[field]).next().is_some() {
            let field = format!("{path}.{field}");
            errors.push(FieldError::forbidden(
                field,
                "the lab matches by selectors only",
            ));
        }
    }
}

fn spread(it: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if it["maxSkew"].as_i64().unwrap_or(0) < 1 {
        let field = format!("{path}.maxSkew");
        errors.push(FieldError::invalid(
            field,
            &it["maxSkew"],
            "must be greater than zero",
        ));
    }
    if it["topologyKey"].as_str().unwrap_or_default().is_empty() {
        let why = "can not be empty";
        errors.push(FieldError::required(format!("{path}.topologyKey"), why));
    }
    let known = ["DoNotSchedule", "ScheduleAnyway"];
    if !known.iter().any(|when| it["whenUnsatisfiable"] == *when) {
        let field = format!("{path}.whenUnsatisfiable");
        errors.push(FieldError::unsupported(
            field,
            &it["whenUnsatisfiable"],
            &known,
        ));
    }
    for (field, default) in [
        ("minDomains", ""),
        ("nodeAffinityPolicy", "Honor"),
        ("nodeTaintsPolicy", "Ignore"),
        ("matchLabelKeys", ""),
    ] {
        let value = &it[field];
        if !value.is_null() && *value != default && *value != Value::Array(Vec::new()) {
            let field = format!("{path}.{field}");
            let why = "the lab spreads by selector, over the nodes that the pod may be on, only";
            errors.push(FieldError::forbidden(field, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(spec: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(spec, "spec", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tolerations_follow_the_real_rules() {
        let of = |it: Value| errors(&json!({"tolerations": [it]}));
        assert_eq!(
            of(
                json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5})
            ),
            [""; 0]
        );
        assert_eq!(of(json!({"operator": "Exists"})), [""; 0]);
        assert_eq!(
            of(json!({"key": "k", "effect": "NoSchedule", "tolerationSeconds": 5})),
            [
                "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"
            ]
        );
        assert_eq!(of(json!({"effect": "NoSchedule"})).len(), 1);
        assert_eq!(of(json!({"key": "k", "effect": "Later"})).len(), 1);
    }

    #[test]
    fn what_the_scheduler_does_not_do_is_refused() {
        let selector = json!({"matchLabels": {"a": "b"}});
        let spread = |more: Value| {
            let mut it = json!({"maxSkew": 1, "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector});
            for (field, value) in more.as_object().unwrap() {
                it[field] = value.clone();
            }
            errors(&json!({"topologySpreadConstraints": [it]}))
        };
        assert_eq!(spread(json!({"nodeTaintsPolicy": "Ignore"})), [""; 0]);
        assert_eq!(spread(json!({"minDomains": 3})).len(), 1);
        assert_eq!(spread(json!({"maxSkew": 0})).len(), 1);
        let term =
            json!({"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": ["x"]});
        let affinity = json!({"affinity": {"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        assert!(errors(&affinity)[0].contains("[0].matchLabelKeys: Forbidden: the lab"));
        let nobody = json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}});
        assert_eq!(errors(&nobody).len(), 1);
    }
}

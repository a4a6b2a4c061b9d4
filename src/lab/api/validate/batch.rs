//! Stateful sets and jobs.

use serde_json::Value;

use super::super::status::FieldError;
use super::one_of;
use crate::lab::selector::LabelSelector;

/// What of a stateful set may change once it exists.
const SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// A stateful set. What its pods' spec says is checked when they are made, as
/// on the real server.
pub fn stateful_set(set: &Value, errors: &mut Vec<FieldError>) {
    let spec = &set["spec"];
    if !spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"].is_null() {
        errors.push(FieldError::forbidden(
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
            "the lab updates one pod after another",
        ));
    }
    not_negative(
        spec,
        &["replicas", "minReadySeconds", "revisionHistoryLimit"],
        errors,
    );
    one_of(
        spec,
        "podManagementPolicy",
        &["OrderedReady", "Parallel"],
        "spec",
        errors,
    );
    let strategy = &spec["updateStrategy"];
    let strategies = ["RollingUpdate", "OnDelete"];
    one_of(strategy, "type", &strategies, "spec.updateStrategy", errors);
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
        Some(_) => errors.push(FieldError::invalid(
            "spec.selector",
            &spec["selector"],
            "empty selector is invalid for statefulset",
        )),
        None => errors.push(FieldError::required("spec.selector", "")),
    }
    let template = &spec["template"]["spec"];
    one_of(
        template,
        "restartPolicy",
        &["Always"],
        "spec.template.spec",
        errors,
    );
}

/// What may not change in a stateful set.
pub fn stateful_set_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |set: &Value| {
        let mut spec = set["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !SET_MUTABLE.contains(&name.as_str()));
        }
        spec
    };
    if fixed(old) != fixed(new) {
        errors.push(FieldError::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

/// A job but for its pods' spec.
pub fn job(job: &Value, errors: &mut Vec<FieldError>) {
    let spec = &job["spec"];
    not_negative(
        spec,
        &[
            "parallelism",
            "completions",
            "backoffLimit",
            "activeDeadlineSeconds",
            "ttlSecondsAfterFinished",
        ],
        errors,
    );
    one_of(
        spec,
        "completionMode",
        &["NonIndexed", "Indexed"],
        "spec",
        errors,
    );
    if spec["completionMode"] == "Indexed" && spec["completions"].is_null() {
        errors.push(FieldError::required(
            "spec.completions",
            "when completion mode is Indexed",
        ));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    match LabelSelector::from_object(&spec["selector"]) {
        None => errors.push(FieldError::required("spec.selector", "")),
        Some(selector) if !selector.matches(labels) => errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            labels,
            "`selector` does not match template `labels`",
        )),
        Some(_) => {}
    }
    let template = &spec["template"]["spec"];
    one_of(
        template,
        "restartPolicy",
        &["OnFailure", "Never"],
        "spec.template.spec",
        errors,
    );
    for field in [
        "podFailurePolicy",
        "successPolicy",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        if !spec[field].is_null() {
            errors.push(FieldError::forbidden(
                format!("spec.{field}"),
                "the lab counts a job's successes and failures as a whole",
            ));
        }
    }
}

/// What may not change in a job.
pub fn job_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let indexed = new["spec"]["completionMode"] == "Indexed";
    let suspended = old["spec"]["suspend"] == true && old["status"]["startTime"].is_null();
    for field in [
        "completions",
        "selector",
        "completionMode",
        "template",
        "podFailurePolicy",
    ] {
        let free = match field {
            // An indexed job may grow and shrink with its parallelism.
            "completions" => indexed && new["spec"]["completions"] == new["spec"]["parallelism"],
            "template" => suspended,
            _ => false,
        };
        if !free && old["spec"][field] != new["spec"][field] {
            errors.push(FieldError::invalid(
                format!("spec.{field}"),
                &new["spec"][field],
                "field is immutable",
            ));
        }
    }
}

fn not_negative(spec: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    for field in fields {
        if spec[*field].as_i64().is_some_and(|count| count < 0) {
            errors.push(FieldError::invalid(
                format!("spec.{field}"),
                &spec[*field],
                "must be greater than or equal to 0",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::defaults;
    use crate::lab::kinds::Resource;
    use serde_json::json;

    fn errors(spec: &Value) -> Vec<String> {
        let mut object = json!({
            "metadata": {"name": "j", "uid": "u"},
            "spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
        });
        json_patch::merge(&mut object["spec"], spec);
        defaults::fill(Resource::Jobs, &mut object);
        let mut errors = Vec::new();
        job(&object, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_job_would_not_do_is_refused_rather_than_ignored() {
        assert_eq!(errors(&json!({})), [""; 0]);
        for field in ["podFailurePolicy", "successPolicy"] {
            let said = errors(&json!({field: {"rules": []}}));
            assert!(
                said.len() == 1 && said[0].starts_with(&format!("spec.{field}: Forbidden")),
                "{said:?}"
            );
        }
    }
}

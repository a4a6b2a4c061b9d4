//! Which pods the server accepts: those that the node can run as they are
//! written, and no others.

use serde_json::Value;

use super::{LABEL, has_items, is_label, placement};
use crate::lab::api::status::FieldError;
use crate::lab::quantity;

mod security;
mod variables;
mod volumes;

/// What stands against the spec of a pod, or of a workload's pods.
pub fn spec(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !has_items(&spec["containers"]) {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let restart = &spec["restartPolicy"];
    let policies = ["Always", "OnFailure", "Never"];
    if !policies.iter().any(|policy| restart == policy) {
        let field = format!("{path}.restartPolicy");
        errors.push(FieldError::unsupported(field, restart, &policies));
    }
    placement::check(spec, path, errors);
    security::pod(spec, path, errors);
    if has_items(&spec["ephemeralContainers"]) {
        let field = format!("{path}.ephemeralContainers");
        errors.push(FieldError::forbidden(field, "cannot be set on create"));
    }
    if has_items(&spec["readinessGates"]) {
        let field = format!("{path}.readinessGates");
        errors.push(FieldError::forbidden(
            field,
            "the lab has no readiness gates",
        ));
    }
    at_least(
        &spec["activeDeadlineSeconds"],
        1,
        || format!("{path}.activeDeadlineSeconds"),
        errors,
    );
    at_least(
        &spec["terminationGracePeriodSeconds"],
        0,
        || format!("{path}.terminationGracePeriodSeconds"),
        errors,
    );
    volumes::all(spec, path, errors);
    let mut seen = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, it) in items(&spec[list]).enumerate() {
            let path = format!("{path}.{list}[{index}]");
            container(it, &path, spec, errors);
            role(it, &path, list == "initContainers", errors);
            if seen.contains(&&it["name"]) {
                errors.push(FieldError::duplicate(format!("{path}.name"), &it["name"]));
            }
            seen.push(&it["name"]);
        }
    }
}

/// What is accepted of a pod and does less than its name says, in sentences.
pub fn warnings(spec: &Value, path: &str) -> Vec<String> {
    security::warnings(spec, path)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
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
    if has_items(&container["volumeDevices"]) {
        let field = format!("{path}.volumeDevices");
        errors.push(FieldError::forbidden(field, "the lab has no block devices"));
    }
    variables::all(container, path, errors);
    security::container(container, path, errors);
    resources(&container["resources"], path, errors);
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let field = format!("{path}.{kind}");
        probe(&container[kind], kind, &field, errors);
    }
    for hook in ["postStart", "preStop"] {
        let value = &container["lifecycle"][hook];
        if value.is_object() {
            let field = format!("{path}.lifecycle.{hook}");
            handler(value, &["exec", "httpGet", "sleep"], &field, errors);
        }
    }
    for (index, mount) in items(&container["volumeMounts"]).enumerate() {
        let known = |volume: &Value| volume["name"] == mount["name"];
        if !items(&spec["volumes"]).any(known) {
            errors.push(FieldError {
                field: format!("{path}.volumeMounts[{index}].name"),
                reason: "FieldValueNotFound",
                message: format!("Not found: {}", mount["name"]),
            });
        }
    }
}

/// Requests and limits: quantities, and no request above its limit.
fn resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let quantity = |value: &Value| value.as_str().and_then(quantity::milli);
    for list in ["limits", "requests"] {
        for (name, value) in resources[list].as_object().into_iter().flatten() {
            let field = format!("{path}.resources.{list}.{name}");
            let limit = &resources["limits"][name];
            match (quantity(value), quantity(limit)) {
                (None, _) => {
                    let why = "must be a quantity that is greater than or equal to 0";
                    errors.push(FieldError::invalid(field, value, why));
                }
                (Some(asked), Some(most)) if asked > most => {
                    let limit = limit.as_str().unwrap_or_default();
                    let why = format!("must be less than or equal to {name} limit of {limit}");
                    let field = format!("{path}.resources.requests");
                    errors.push(FieldError::invalid(field, value, &why));
                }
                _ => {}
            }
        }
    }
}

/// What a container may have by its place: only those that stay may be checked.
fn role(container: &Value, path: &str, init: bool, errors: &mut Vec<FieldError>) {
    let restart = &container["restartPolicy"];
    let field = format!("{path}.restartPolicy");
    if !init {
        if !restart.is_null() {
            let why = "may not be set for non-init containers";
            errors.push(FieldError::forbidden(field, why));
        }
        return;
    }
    if restart == "Always" {
        return;
    }
    if !restart.is_null() {
        errors.push(FieldError::unsupported(field, restart, &["Always"]));
    }
    for check in [
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ] {
        if container[check].is_object() {
            errors.push(FieldError::forbidden(
                format!("{path}.{check}"),
                "may not be set for init containers without restartPolicy=Always",
            ));
        }
    }
}

fn probe(probe: &Value, kind: &str, path: &str, errors: &mut Vec<FieldError>) {
    if !probe.is_object() {
        return;
    }
    handler(probe, &["exec", "httpGet", "tcpSocket"], path, errors);
    for (field, least) in [
        ("initialDelaySeconds", 0),
        ("timeoutSeconds", 1),
        ("periodSeconds", 1),
        ("successThreshold", 1),
        ("failureThreshold", 1),
        ("terminationGracePeriodSeconds", 1),
    ] {
        at_least(&probe[field], least, || format!("{path}.{field}"), errors);
    }
    if kind == "readinessProbe" {
        let grace = &probe["terminationGracePeriodSeconds"];
        if !grace.is_null() {
            let field = format!("{path}.terminationGracePeriodSeconds");
            let why = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(field, grace, why));
        }
    } else if probe["successThreshold"].as_i64().is_some_and(|it| it > 1) {
        let field = format!("{path}.successThreshold");
        errors.push(FieldError::invalid(
            field,
            &probe["successThreshold"],
            "must be 1",
        ));
    }
}

/// A probe's or a hook's deed: exactly one, of a kind that the lab does.
fn handler(handler: &Value, done: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
    let given: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| handler[*kind].is_object())
        .collect();
    let [kind] = given.as_slice() else {
        if let Some(second) = given.get(1) {
            let why = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(format!("{path}.{second}"), why));
        } else {
            errors.push(FieldError::required(path, "must specify a handler type"));
        }
        return;
    };
    let path = format!("{path}.{kind}");
    if !done.contains(kind) {
        let known = done.join(", ");
        let why = format!("the lab does not do this, only {known}");
        errors.push(FieldError::forbidden(path, &why));
        return;
    }
    let value = &handler[*kind];
    match *kind {
        "exec" if !has_items(&value["command"]) => {
            errors.push(FieldError::required(format!("{path}.command"), ""));
        }
        "httpGet" => {
            port(&value["port"], &path, errors);
            if value["scheme"]
                .as_str()
                .is_some_and(|scheme| scheme != "HTTP")
            {
                let why = "the lab asks over plain HTTP only";
                errors.push(FieldError::forbidden(format!("{path}.scheme"), why));
            }
            if value["host"].as_str().is_some_and(|host| !host.is_empty()) {
                let why = "the lab asks the pod itself only";
                errors.push(FieldError::forbidden(format!("{path}.host"), why));
            }
        }
        "tcpSocket" => {
            port(&value["port"], &path, errors);
            if value["host"].as_str().is_some_and(|host| !host.is_empty()) {
                let why = "the lab knocks at the pod itself only";
                errors.push(FieldError::forbidden(format!("{path}.host"), why));
            }
        }
        _ => {}
    }
}

fn port(port: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let fine = match port {
        Value::Number(number) => number.as_u64().is_some_and(|it| (1..=65535).contains(&it)),
        Value::String(name) => !name.is_empty(),
        _ => false,
    };
    if !fine {
        let field = format!("{path}.port");
        let why = "must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(field, port, why));
    }
}

fn at_least(value: &Value, least: i64, field: impl Fn() -> String, errors: &mut Vec<FieldError>) {
    if value.as_i64().is_some_and(|number| number < least) {
        let why = format!("must be greater than or equal to {least}");
        errors.push(FieldError::invalid(field(), value, &why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::defaults;
    use crate::lab::kinds::Resource;
    use serde_json::json;

    fn pod(spec: &Value) -> Vec<String> {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
        defaults::fill(Resource::Pods, &mut pod);
        let errors = super::super::new_object(Resource::Pods, &pod);
        errors.iter().map(ToString::to_string).collect()
    }

    /// A pod with this added to its one container.
    fn with(more: &Value) -> Vec<String> {
        let mut container = json!({"name": "c", "image": "i"});
        json_patch::merge(&mut container, more);
        pod(&json!({"containers": [container]}))
    }

    #[test]
    fn a_plain_pod_is_accepted() {
        let spec = json!({
            "volumes": [
                {"name": "v", "hostPath": {"path": "/x"}},
                {"name": "m", "configMap": {"name": "m"}},
                {"name": "s", "secret": {"secretName": "s"}},
                {"name": "p", "persistentVolumeClaim": {"claimName": "p"}},
                {"name": "f", "azureFile": {"shareName": "f", "secretName": "s"}},
                {"name": "d", "csi": {"driver": "file.csi.azure.com", "volumeAttributes": {"shareName": "f"}}},
                {"name": "i", "downwardAPI": {"items": [
                    {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "j", "projected": {"sources": [{"configMap": {"name": "m"}}]}},
            ],
            "containers": [{
                "name": "c", "image": "i",
                "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "volumeMounts": [{"name": "v", "mountPath": "/y"}],
                "envFrom": [{"prefix": "X_", "configMapRef": {"name": "m"}}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
                "livenessProbe": {"tcpSocket": {"port": "web"}},
                "readinessProbe": {"httpGet": {"port": 80}, "successThreshold": 2},
                "startupProbe": {"exec": {"command": ["true"]}},
            }],
            "initContainers": [
                {"name": "first", "image": "i"},
                {"name": "proxy", "image": "i", "restartPolicy": "Always",
                 "startupProbe": {"tcpSocket": {"port": 1}}},
            ],
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
        let twice = json!({
            "initContainers": [{"name": "c", "image": "i"}],
            "containers": [{"name": "c", "image": "i"}]});
        assert_eq!(
            pod(&twice),
            ["spec.containers[0].name: Duplicate value: \"c\""]
        );
        let mount = json!({"containers": [
            {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/"}]}]});
        assert_eq!(
            pod(&mount),
            ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""]
        );
    }

    #[test]
    fn checks_are_accepted_as_the_real_server_accepts_them() {
        let exec = json!({"command": ["true"]});
        for (more, expected) in [
            (
                json!({"livenessProbe": {}}),
                "livenessProbe: Required value: must specify a handler type",
            ),
            (
                json!({"livenessProbe": {"exec": exec, "tcpSocket": {"port": 1}}}),
                "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            ),
            (
                json!({"livenessProbe": {"exec": exec, "successThreshold": 2}}),
                "livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ),
            (
                json!({"readinessProbe": {"exec": exec, "periodSeconds": -1}}),
                "readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 1",
            ),
            (
                json!({"startupProbe": {"exec": {}}}),
                "startupProbe.exec.command: Required value",
            ),
            (
                json!({"readinessProbe": {"tcpSocket": {"port": 0}}}),
                "readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"resources": {"limits": {"memory": "1Mi"}, "requests": {"memory": "2Mi"}}}),
                "resources.requests: Invalid value: \"2Mi\": must be less than or equal to memory limit of 1Mi",
            ),
            (
                json!({"env": [{"value": "x"}]}),
                "env[0].name: Required value",
            ),
            (
                json!({"env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
                "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: field label not supported: spec.x",
            ),
            (
                json!({"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}),
                "env[0].valueFrom.secretKeyRef.key: Required value",
            ),
            (
                json!({"restartPolicy": "Always"}),
                "restartPolicy: Forbidden: may not be set for non-init containers",
            ),
        ] {
            assert_eq!(with(&more), [format!("spec.containers[0].{expected}")]);
        }
        let init = json!({
            "initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": exec}}],
            "containers": [{"name": "c", "image": "i"}]});
        assert_eq!(
            pod(&init),
            [
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
            ]
        );
    }

    #[test]
    fn what_the_lab_does_not_do_is_refused_rather_than_ignored() {
        for more in [
            json!({"volumeDevices": [{"name": "d"}]}),
            json!({"livenessProbe": {"grpc": {"port": 1}}}),
            json!({"livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTPS"}}}),
            json!({"livenessProbe": {"httpGet": {"port": 1, "host": "elsewhere"}}}),
            json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}}),
        ] {
            let errors = with(&more);
            assert!(
                errors.len() == 1 && errors[0].contains("Forbidden: the lab"),
                "{errors:?}"
            );
        }
        for spec in [
            json!({"volumes": [{"name": "s", "nfs": {}}], "containers": [{"name": "c", "image": "i"}]}),
            json!({"volumes": [{"name": "s", "csi": {"driver": "x"}}], "containers": [{"name": "c", "image": "i"}]}),
            json!({
                "volumes": [{"name": "s", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
                "containers": [{"name": "c", "image": "i"}]}),
            json!({"readinessGates": [{"conditionType": "x"}], "containers": [{"name": "c", "image": "i"}]}),
        ] {
            let errors = pod(&spec);
            assert!(
                errors.len() == 1 && errors[0].contains("Forbidden: the lab"),
                "{errors:?}"
            );
        }
    }
}

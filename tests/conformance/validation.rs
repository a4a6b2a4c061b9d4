//! What the server refuses, and in which words.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::frame::{Case, case};

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";
const SERVICES: &str = "/api/v1/namespaces/{ns}/services";
const CLAIMS: &str = "/api/v1/namespaces/{ns}/persistentvolumeclaims";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles";
const SETS: &str = "/apis/apps/v1/namespaces/{ns}/statefulsets";
const JOBS: &str = "/apis/batch/v1/namespaces/{ns}/jobs";
const BUDGETS: &str = "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets";

/// Sends a new object and expects a refusal that says this.
async fn refused(case: &Case, path: &str, object: &Value, words: &str) {
    let path = path.replace("{ns}", &case.namespace);
    let body = object.to_string();
    let (code, answer) = case
        .raw(Method::POST, &path, "application/json", body)
        .await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["reason"], "Invalid");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(words), "{words}\nis not in\n{message}");
}

#[test]
fn objects_that_make_no_sense_are_refused_field_by_field() {
    case("refusals", async |case| {
        let named = |rest: Value| {
            let mut object = json!({"metadata": {"name": "x"}});
            object
                .as_object_mut()
                .unwrap()
                .extend(rest.as_object().unwrap().clone());
            object
        };
        let template = json!({"metadata": {"labels": {"a": "b"}},
            "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]}});
        for (path, object, words) in [
            (
                MAPS,
                json!({"metadata": {"name": "x", "labels": {"a b": "c"}}}),
                "metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters",
            ),
            (
                MAPS,
                json!({"metadata": {"name": "x", "labels": {"a": "-"}}}),
                "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of",
            ),
            (
                MAPS,
                json!({"metadata": {}}),
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                MAPS,
                named(json!({"data": {"a/b": "c"}})),
                "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of",
            ),
            (
                SECRETS,
                named(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})),
                "data[tls.key]: Required value",
            ),
            (
                SERVICES,
                named(json!({"spec": {}})),
                "spec.ports: Required value",
            ),
            (
                SERVICES,
                json!({"metadata": {"name": "1x"}, "spec": {"ports": [{"port": 1}]}}),
                "metadata.name: Invalid value: \"1x\": a DNS-1035 label must consist of",
            ),
            (
                SERVICES,
                named(json!({"spec": {"ports": [{"port": 70000}]}})),
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                SERVICES,
                named(json!({"spec": {"ports": [{"port": 1}, {"port": 2}]}})),
                "spec.ports[0].name: Required value",
            ),
            (
                SERVICES,
                named(json!({"spec": {"type": "Odd", "ports": [{"port": 1}]}})),
                "spec.type: Unsupported value: \"Odd\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ),
            (
                CLAIMS,
                named(json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}})),
                "spec.accessModes: Required value: at least 1 access mode is required",
            ),
            (
                ROLES,
                named(json!({"rules": [{"verbs": ["get"], "resources": ["pods"]}]})),
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            ),
            (
                SETS,
                named(
                    json!({"spec": {"selector": {"matchLabels": {"a": "c"}}, "serviceName": "s", "template": template}}),
                ),
                "`selector` does not match template `labels`",
            ),
            (
                JOBS,
                named(json!({"spec": {"template": template}})),
                "spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\"",
            ),
            (
                BUDGETS,
                named(json!({"spec": {"minAvailable": 1, "maxUnavailable": 1}})),
                "minAvailable and maxUnavailable cannot be both set",
            ),
        ] {
            refused(case, path, &object, words).await;
        }
    });
}

#[test]
fn what_never_changes_is_not_changed() {
    case("fixed", async |case| {
        let maps = format!("/api/v1/namespaces/{}/configmaps", case.namespace);
        let object = json!({"metadata": {"name": "x"}, "immutable": true, "data": {"a": "1"}});
        case.raw(Method::POST, &maps, "application/json", object.to_string())
            .await;
        let patch = json!({"data": {"a": "2"}}).to_string();
        let path = format!("{maps}/x");
        let merge = "application/merge-patch+json";
        let (code, answer) = case.raw(Method::PATCH, &path, merge, patch).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.contains("data: Forbidden: field is immutable when `immutable` is set"),
            "{message}"
        );

        let secrets = format!("/api/v1/namespaces/{}/secrets", case.namespace);
        let object = json!({"metadata": {"name": "s"}, "stringData": {"a": "1"}});
        case.raw(
            Method::POST,
            &secrets,
            "application/json",
            object.to_string(),
        )
        .await;
        let patch = json!({"type": "example.com/other"}).to_string();
        let (code, answer) = case
            .raw(Method::PATCH, &format!("{secrets}/s"), merge, patch)
            .await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            answer["message"]
                .as_str()
                .unwrap()
                .contains("type: Invalid value: \"example.com/other\": field is immutable")
        );
    });
}

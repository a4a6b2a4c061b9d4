//! Kinds that are defined while the cluster runs.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::frame::{Case, case, eventually, kubectl_case, within};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const JSON: &str = "application/json";

/// The group of the case's kinds: no other case has it.
fn group(case: &Case) -> String {
    format!("{}.example.com", case.namespace)
}

/// A definition of backups, that may be scaled.
fn backups(case: &Case) -> Value {
    let group = group(case);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("backups.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "backups", "kind": "Backup", "shortNames": ["bk"], "categories": ["all"]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.copies", "statusReplicasPath": ".status.copies"}},
                "additionalPrinterColumns": [
                    {"name": "Target", "type": "string", "jsonPath": ".spec.target"},
                    {"name": "Copies", "type": "integer", "jsonPath": ".spec.copies"},
                    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
                ],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["target"], "properties": {
                        "target": {"type": "string", "pattern": "^[a-z]+$"},
                        "copies": {"type": "integer", "minimum": 0, "maximum": 5, "default": 1},
                        "mode": {"type": "string", "enum": ["full", "delta"], "default": "full"},
                    }},
                    "status": {"type": "object", "properties": {
                        "copies": {"type": "integer"}, "phase": {"type": "string"}}},
                }}},
            }],
        },
    })
}

/// Makes the kind and waits until it is served.
async fn define(case: &Case) {
    let body = backups(case).to_string();
    let (code, answer) = case.raw(Method::POST, DEFINITIONS, JSON, body).await;
    assert_eq!(code, StatusCode::CREATED, "{answer}");
    let list = format!("/apis/{}/v1alpha1/backups", group(case));
    eventually("the kind is served", async || {
        case.raw(Method::GET, &list, JSON, "").await.0 == StatusCode::OK
    })
    .await;
}

/// Takes the kind back, and with it all of its objects.
async fn undefine(case: &Case) {
    let path = format!("{DEFINITIONS}/backups.{}", group(case));
    case.raw(Method::DELETE, &path, JSON, "").await;
    let gone = eventually("the kind is gone", async || {
        case.raw(Method::GET, &path, JSON, "").await.0 == StatusCode::NOT_FOUND
    });
    within("the kind is gone", gone).await;
}

fn objects(case: &Case) -> String {
    let namespace = &case.namespace;
    format!(
        "/apis/{}/v1alpha1/namespaces/{namespace}/backups",
        group(case)
    )
}

fn backup(case: &Case, name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": format!("{}/v1alpha1", group(case)), "kind": "Backup",
        "metadata": {"name": name}, "spec": spec,
    })
    .to_string()
}

#[test]
fn a_defined_kind_is_kept_as_its_schema_says() {
    case("customs", async |case| {
        define(case).await;
        let path = objects(case);
        let body = backup(case, "a", &json!({"target": "disk", "odd": 1}));
        let (code, made) = case.raw(Method::POST, &path, JSON, body).await;
        assert_eq!(code, StatusCode::CREATED, "{made}");
        assert_eq!(
            made["spec"],
            json!({"target": "disk", "copies": 1, "mode": "full"})
        );
        assert_eq!(made["metadata"]["generation"], 1);
        for (spec, words) in [
            (json!({}), "spec.target: Required value"),
            (
                json!({"target": "x", "copies": 9}),
                "spec.copies: Invalid value: 9: spec.copies in body should be less than or equal to 5",
            ),
            (
                json!({"target": "x", "copies": "1"}),
                "spec.copies: Invalid value: \"string\": spec.copies in body must be of type integer: \"string\"",
            ),
            (
                json!({"target": "X"}),
                "spec.target: Invalid value: \"X\": spec.target in body should match '^[a-z]+$'",
            ),
            (
                json!({"target": "x", "mode": "no"}),
                "spec.mode: Unsupported value: \"no\": supported values: \"full\", \"delta\"",
            ),
        ] {
            let body = backup(case, "b", &spec);
            let (code, answer) = case.raw(Method::POST, &path, JSON, body).await;
            assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
            let message = answer["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
        }
        let strict = format!("{path}?fieldValidation=Strict");
        let body = backup(case, "b", &json!({"target": "x", "odd": 1}));
        let (code, answer) = case.raw(Method::POST, &strict, JSON, body).await;
        assert_eq!(code, StatusCode::BAD_REQUEST);
        assert!(
            answer["message"]
                .as_str()
                .unwrap()
                .contains("unknown field \"spec.odd\""),
            "{answer}"
        );
        undefine(case).await;
        let (code, _) = case.raw(Method::GET, &path, JSON, "").await;
        assert_eq!(code, StatusCode::NOT_FOUND);
    });
}

#[test]
fn status_and_scale_of_a_defined_kind_have_paths_of_their_own() {
    case("parts", async |case| {
        const MERGE: &str = "application/merge-patch+json";
        define(case).await;
        let path = objects(case);
        let body = backup(case, "a", &json!({"target": "x"}));
        case.raw(Method::POST, &path, JSON, body).await;
        let item = format!("{path}/a");
        let patch = json!({"status": {"phase": "Done", "copies": 2}}).to_string();
        let (_, unchanged) = case.raw(Method::PATCH, &item, MERGE, patch.clone()).await;
        assert!(unchanged["status"]["phase"].is_null(), "{unchanged}");
        let (_, changed) = case
            .raw(Method::PATCH, &format!("{item}/status"), MERGE, patch)
            .await;
        assert_eq!(changed["status"]["phase"], "Done");
        assert_eq!(changed["metadata"]["generation"], 1);
        let scale = format!("{item}/scale");
        let (_, found) = case.raw(Method::GET, &scale, JSON, "").await;
        assert_eq!(
            (&found["kind"], &found["status"]["replicas"]),
            (&json!("Scale"), &json!(2))
        );
        let patch = json!({"spec": {"replicas": 4}}).to_string();
        case.raw(Method::PATCH, &scale, MERGE, patch).await;
        let (_, found) = case.raw(Method::GET, &item, JSON, "").await;
        assert_eq!(found["spec"]["copies"], 4);
        assert_eq!(found["metadata"]["generation"], 2);
        undefine(case).await;
    });
}

#[test]
fn kubectl_works_with_a_defined_kind_as_with_any_other() {
    kubectl_case("define", async |case| {
        let group = group(case);
        let name = format!("customresourcedefinition.apiextensions.k8s.io/backups.{group}");
        assert_eq!(
            case.apply(&backups(case).to_string()),
            format!("{name} created\n")
        );
        let established = [
            "wait",
            "--for=condition=established",
            "--timeout=30s",
            &name,
        ];
        assert_eq!(case.ok(&established), format!("{name} condition met\n"));
        let manifest = backup(case, "nightly", &json!({"target": "disk"}));
        let created = format!("backup.{group}/nightly created\n");
        eventually("the kind is known", async || {
            let (out, _, _) = case.piped(&["apply", "-f", "-"], &manifest);
            out == created || out.ends_with("unchanged\n")
        })
        .await;
        assert_eq!(case.columns(&["get", "bk"]), ["NAME", "TARGET", "COPIES"]);
        assert_eq!(
            case.columns(&["get", "bk", "-o", "wide"]),
            ["NAME", "TARGET", "COPIES", "MODE"]
        );
        assert!(
            case.ok(&["get", "all"])
                .contains(&format!("backup.{group}/nightly"))
        );
        let words = case.ok(&["api-resources", "--api-group", &group]);
        assert!(words.contains("backups") && words.contains("bk"), "{words}");
        eventually("its fields are explained", async || {
            case.said(&["explain", "bk.spec"])
                .0
                .contains("target\t<string> -required-")
        })
        .await;
        case.ok(&["scale", "bk/nightly", "--replicas=3"]);
        let copies = ["get", "bk/nightly", "-o", "jsonpath={.spec.copies}"];
        assert_eq!(case.ok(&copies), "3");
        assert!(
            case.ok(&["describe", "bk/nightly"])
                .contains("Target:  disk")
        );
        case.ok(&["delete", &name, "--timeout=60s"]);
        assert!(
            case.refused(&["get", &format!("backups.{group}")])
                .contains("the server doesn't have a resource type")
        );
    });
}

#[test]
fn a_definition_that_makes_no_sense_is_refused() {
    case("senseless", async |case| {
        let good = backups(case);
        for (pointer, value, words) in [
            (
                "/metadata/name",
                json!("x.y"),
                "metadata.name: Invalid value: \"x.y\": must be spec.names.plural+\".\"+spec.group",
            ),
            (
                "/spec/scope",
                json!("Here"),
                "spec.scope: Unsupported value: \"Here\"",
            ),
            (
                "/spec/versions/0/storage",
                json!(false),
                "must have exactly one version marked as storage version",
            ),
            (
                "/spec/versions/0/schema/openAPIV3Schema/properties/spec/type",
                Value::Null,
                "type: Required value: must not be empty for specified object fields",
            ),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            let (code, answer) = case
                .raw(Method::POST, DEFINITIONS, JSON, bad.to_string())
                .await;
            assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
            let message = answer["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
        }
    });
}

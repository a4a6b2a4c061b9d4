//! Server-side apply and managed fields through kubectl, and what kubectl
//! explains: written for any cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/lab.rs"]
mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Lab, required};

fn kubectl_is_here() -> bool {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    if version.is_ok_and(|it| it.status.success()) {
        return true;
    }
    assert!(!required("kubectl"), "kubectl is required and not there");
    println!("skipped: there is no kubectl on this machine");
    false
}

/// What kubectl printed, its errors and its exit code, given some input.
fn said(lab: &Lab, arguments: &str, input: &str) -> (String, String, i32) {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(lab.kubeconfig())
        .args(arguments.split(' '))
        .env("HOME", lab.state.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap(),
    )
}

fn ok(lab: &Lab, arguments: &str, input: &str) -> String {
    let (out, err, code) = said(lab, arguments, input);
    assert_eq!(code, 0, "kubectl {arguments}: {err}");
    out
}

/// A deployment that never runs anything.
fn web(image: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  {more}\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers: [{{name: c, image: {image}, command: [sleep, '1000']}}]\n"
    )
}

fn managers(lab: &Lab) -> Vec<(String, String, Value)> {
    let text = ok(lab, "get deploy web -o json --show-managed-fields", "");
    let object: Value = serde_json::from_str(&text).unwrap();
    let list = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|it| {
            (
                text(&it["manager"]),
                text(&it["operation"]),
                it["fieldsV1"].clone(),
            )
        })
        .collect()
}

#[test]
fn managers_share_take_and_give_back_fields() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let apply = "apply --server-side -f -";
    let first = web("aks-tui/shell", "replicas: 0");
    assert_eq!(
        ok(&lab, apply, &first),
        "deployment.apps/web serverside-applied\n"
    );
    let yaml = ok(&lab, "get deploy web -o yaml", "");
    assert!(!yaml.contains("managedFields"), "{yaml}");

    // Another manager scales; the first then asks for what it had.
    ok(&lab, "scale deploy web --replicas=1", "");
    let scaled = managers(&lab);
    assert!(
        scaled
            .iter()
            .any(|it| it.1 == "Update" && it.2["f:spec"].get("f:replicas").is_some())
    );
    let (_, error, code) = said(&lab, apply, &first);
    assert_eq!(code, 1);
    assert!(error.contains("Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas"), "{error}");
    ok(&lab, "apply --server-side --force-conflicts -f -", &first);
    assert_eq!(
        ok(&lab, "get deploy web -o jsonpath={.spec.replicas}", ""),
        "0"
    );

    // A second applier adds its own, and takes it away by saying less.
    let second = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {team: blue}, annotations: {note: x}}\n";
    ok(
        &lab,
        "apply --server-side --field-manager=team -f -",
        second,
    );
    assert_eq!(
        ok(
            &lab,
            "get deploy web -o jsonpath={.metadata.labels.team}",
            ""
        ),
        "blue"
    );
    let less =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {note: x}}\n";
    ok(&lab, "apply --server-side --field-manager=team -f -", less);
    assert_eq!(
        ok(
            &lab,
            "get deploy web -o jsonpath={.metadata.labels}{.metadata.annotations.note}",
            ""
        ),
        "x"
    );

    let wrong = first.replace("replicas", "replika");
    let (_, error, _) = said(&lab, apply, &wrong);
    assert!(
        error.contains(".spec.replika: field not declared in schema"),
        "{error}"
    );
    let (out, _, code) = said(
        &lab,
        "diff --server-side --force-conflicts -f -",
        &first.replace("replicas: 0", "replicas: 3"),
    );
    assert!(
        code == 1 && out.contains("-  replicas: 0\n+  replicas: 3\n"),
        "{out}"
    );
}

#[test]
fn client_side_apply_becomes_server_side_apply() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    ok(&lab, "apply -f -", &web("aks-tui/shell", "replicas: 0"));
    let before = managers(&lab);
    assert_eq!(
        (before[0].0.as_str(), before[0].1.as_str()),
        ("kubectl-client-side-apply", "Update")
    );
    ok(
        &lab,
        "apply --server-side -f -",
        &web("aks-tui/shell:2", "replicas: 0"),
    );
    let after = managers(&lab);
    assert_eq!(
        (after[0].0.as_str(), after[0].1.as_str()),
        ("kubectl", "Apply")
    );
    assert!(
        !after.iter().any(|it| it.0 == "kubectl-client-side-apply"),
        "{after:?}"
    );
    // Now kubectl owns it alone, and a field that is left out goes.
    ok(
        &lab,
        "apply --server-side -f -",
        &web("aks-tui/shell:2", "minReadySeconds: 7"),
    );
    ok(
        &lab,
        "apply --server-side -f -",
        &web("aks-tui/shell:2", "replicas: 0"),
    );
    assert_eq!(
        ok(
            &lab,
            "get deploy web -o jsonpath={.spec.minReadySeconds}",
            ""
        ),
        ""
    );
    // And back: client-side apply merges by the schema that the server gives.
    ok(
        &lab,
        "apply --force-conflicts=false -f -",
        &web("aks-tui/shell:3", "replicas: 0"),
    );
    let image = "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}";
    assert_eq!(ok(&lab, image, ""), "aks-tui/shell:3");
}

#[test]
fn kubectl_explains_what_there_is() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty"]);
    let ports = ok(&lab, "explain pod.spec.containers.ports", "");
    assert!(
        ports.contains("containerPort\t<integer> -required-"),
        "{ports}"
    );
    let all = ok(&lab, "explain pod.spec --recursive", "");
    assert!(
        all.contains("tolerationSeconds") && all.contains("mountPath"),
        "{all}"
    );
    assert!(ok(&lab, "explain deploy.spec.strategy", "").contains("VERSION:    v1"));
    let (_, error, code) = said(&lab, "explain pod.spec.colour", "");
    assert!(
        error.contains("field \"colour\" does not exist") && code == 1,
        "{error}"
    );
}

//! Server-side apply and managed fields, and what kubectl explains.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::frame::{Case, kubectl_case};

/// What kubectl printed, its errors and its exit code, given some input.
fn said(case: &Case, arguments: &str, input: &str) -> (String, String, i32) {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut child = case
        .kubectl(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap(),
    )
}

fn ok(case: &Case, arguments: &str, input: &str) -> String {
    let (out, err, code) = said(case, arguments, input);
    assert_eq!(code, 0, "kubectl {arguments}: {err}");
    out
}

/// A deployment that never runs anything.
fn web(image: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  {more}\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers: [{{name: c, image: {image}, command: [sleep, '1000']}}]\n"
    )
}

fn managers(case: &Case) -> Vec<(String, String, Value)> {
    let text = ok(case, "get deploy web -o json --show-managed-fields", "");
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
    kubectl_case("managers", async |case| {
        let apply = "apply --server-side -f -";
        let first = web("aks-tui/shell", "replicas: 0");
        assert_eq!(
            ok(case, apply, &first),
            "deployment.apps/web serverside-applied\n"
        );
        let yaml = ok(case, "get deploy web -o yaml", "");
        assert!(!yaml.contains("managedFields"), "{yaml}");

        // Another manager scales; the first then asks for what it had.
        ok(case, "scale deploy web --replicas=1", "");
        let scaled = managers(case);
        assert!(
            scaled
                .iter()
                .any(|it| it.1 == "Update" && it.2["f:spec"].get("f:replicas").is_some())
        );
        let (_, error, code) = said(case, apply, &first);
        assert_eq!(code, 1);
        assert!(error.contains("Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas"), "{error}");
        ok(case, "apply --server-side --force-conflicts -f -", &first);
        assert_eq!(
            ok(case, "get deploy web -o jsonpath={.spec.replicas}", ""),
            "0"
        );

        // A second applier adds its own, and takes it away by saying less.
        let second = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {team: blue}, annotations: {note: x}}\n";
        ok(
            case,
            "apply --server-side --field-manager=team -f -",
            second,
        );
        assert_eq!(
            ok(
                case,
                "get deploy web -o jsonpath={.metadata.labels.team}",
                ""
            ),
            "blue"
        );
        let less = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {note: x}}\n";
        ok(case, "apply --server-side --field-manager=team -f -", less);
        assert_eq!(
            ok(
                case,
                "get deploy web -o jsonpath={.metadata.labels}{.metadata.annotations.note}",
                ""
            ),
            "x"
        );

        let wrong = first.replace("replicas", "replika");
        let (_, error, _) = said(case, apply, &wrong);
        assert!(
            error.contains(".spec.replika: field not declared in schema"),
            "{error}"
        );
        let (out, _, code) = said(
            case,
            "diff --server-side --force-conflicts -f -",
            &first.replace("replicas: 0", "replicas: 3"),
        );
        assert!(
            code == 1 && out.contains("-  replicas: 0\n+  replicas: 3\n"),
            "{out}"
        );
    });
}

#[test]
fn client_side_apply_becomes_server_side_apply() {
    kubectl_case("migrate", async |case| {
        ok(case, "apply -f -", &web("aks-tui/shell", "replicas: 0"));
        let before = managers(case);
        assert_eq!(
            (before[0].0.as_str(), before[0].1.as_str()),
            ("kubectl-client-side-apply", "Update")
        );
        ok(
            case,
            "apply --server-side -f -",
            &web("aks-tui/shell:2", "replicas: 0"),
        );
        let after = managers(case);
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
            case,
            "apply --server-side -f -",
            &web("aks-tui/shell:2", "minReadySeconds: 7"),
        );
        ok(
            case,
            "apply --server-side -f -",
            &web("aks-tui/shell:2", "replicas: 0"),
        );
        assert_eq!(
            ok(
                case,
                "get deploy web -o jsonpath={.spec.minReadySeconds}",
                ""
            ),
            ""
        );
        // And back: client-side apply merges by the schema that the server gives.
        ok(
            case,
            "apply --force-conflicts=false -f -",
            &web("aks-tui/shell:3", "replicas: 0"),
        );
        let image = "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}";
        assert_eq!(ok(case, image, ""), "aks-tui/shell:3");
    });
}

#[test]
fn kubectl_explains_what_there_is() {
    kubectl_case("explain", async |case| {
        let ports = ok(case, "explain pod.spec.containers.ports", "");
        assert!(
            ports.contains("containerPort\t<integer> -required-"),
            "{ports}"
        );
        let all = ok(case, "explain pod.spec --recursive", "");
        assert!(
            all.contains("tolerationSeconds") && all.contains("mountPath"),
            "{all}"
        );
        assert!(ok(case, "explain deploy.spec.strategy", "").contains("VERSION:    v1"));
        let (_, error, code) = said(case, "explain pod.spec.colour", "");
        assert!(
            error.contains("field \"colour\" does not exist") && code == 1,
            "{error}"
        );
    });
}

#[test]
fn custom_kinds_are_applied_by_their_own_schema() {
    kubectl_case("appliedcustoms", async |case| {
        let group = format!("{}.example.com", case.namespace);
        let crd = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            properties:\n              size: {{type: integer, description: How big it is}}\n              ports:\n                type: array\n                x-kubernetes-list-type: map\n                x-kubernetes-list-map-keys: [port]\n                items: {{type: object, required: [port], properties: {{port: {{type: integer}}, name: {{type: string}}}}}}\n"
        );
        ok(case, "apply -f -", &crd);
        let kind = format!("crd/widgets.{group}");
        ok(
            case,
            &format!("wait --for=condition=Established --timeout=60s {kind}"),
            "",
        );
        let widget = |spec: &str| {
            format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w}}\nspec: {spec}\n")
        };
        let apply = |who: &str, spec: &str| {
            said(
                case,
                &format!("apply --server-side --field-manager={who} -f -"),
                &widget(spec),
            )
        };
        let name = format!("widgets.{group}");
        assert_eq!(apply("one", "{size: 1, ports: [{port: 1, name: a}]}").2, 0);
        assert_eq!(apply("two", "{ports: [{port: 2, name: b}]}").2, 0);
        let (_, error, code) = apply("two", "{size: 2}");
        assert!(
            error.contains("conflict with \"one\": .spec.size") && code == 1,
            "{error}"
        );
        assert_eq!(apply("one", "{size: 1}").2, 0);
        let spec = ok(case, &format!("get {name} w -o jsonpath={{.spec}}"), "");
        assert_eq!(spec, r#"{"ports":[{"name":"b","port":2}],"size":1}"#);
        let explained = ok(case, &format!("explain {name}.spec"), "");
        assert!(explained.contains("How big it is"), "{explained}");
        let (_, error, _) = apply("one", "{sise: 1}");
        assert!(
            error.contains(".spec.sise: field not declared in schema"),
            "{error}"
        );
        ok(case, &format!("delete {kind}"), "");
    });
}

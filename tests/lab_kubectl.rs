//! The lab through kubectl, as a person uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/kubectl.rs"]
mod kubectl;
#[path = "support/lab.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use kubectl::{kubectl, kubectl_is_here, ok, said};
use support::{Lab, eventually, isolations};

/// The first words of the header line.
fn header(table: &str) -> Vec<String> {
    let line = table.lines().next().unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

const CLIENT: &str = "app=generated-perftestclient";

/// The name of the client's pod once it runs.
fn client(lab: &Lab) -> String {
    let wait = [
        "wait",
        "--for=condition=Ready",
        "pod",
        "-l",
        CLIENT,
        "--timeout=60s",
    ];
    eventually("the client's pod is ready", || said(lab, &wait).2 == 0);
    ok(
        lab,
        &[
            "get",
            "pods",
            "-l",
            CLIENT,
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ],
    )
}

#[test]
fn everyday_verbs_print_what_they_print_on_a_cluster() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--backoff", "none"]);
    let pod = client(&lab);
    for (arguments, columns) in [
        (vec!["get", "pods"], "NAME READY STATUS RESTARTS AGE"),
        (
            vec!["get", "pods", "-o", "wide"],
            "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES",
        ),
        (vec!["get", "deploy"], "NAME READY UP-TO-DATE AVAILABLE AGE"),
        (vec!["get", "rs"], "NAME DESIRED CURRENT READY AGE"),
        (vec!["get", "nodes"], "NAME STATUS ROLES AGE VERSION"),
        (
            vec!["get", "events"],
            "LAST SEEN TYPE REASON OBJECT MESSAGE",
        ),
        (vec!["get", "ns"], "NAME STATUS AGE"),
        (
            vec!["api-resources"],
            "NAME SHORTNAMES APIVERSION NAMESPACED KIND",
        ),
    ] {
        let expected: Vec<&str> = columns.split(' ').collect();
        assert_eq!(header(&ok(&lab, &arguments)), expected, "{arguments:?}");
    }
    let row = ok(&lab, &["get", "pod", &pod, "--no-headers"]);
    assert_eq!(row.split_whitespace().nth(2), Some("Running"), "{row}");
    assert!(ok(&lab, &["version"]).contains("Server Version: v1.33"));
    assert_eq!(ok(&lab, &["auth", "can-i", "delete", "pods"]).trim(), "yes");
    let described = ok(&lab, &["describe", "pod", &pod]);
    for part in [
        "Controlled By:  ReplicaSet/",
        "Started container perftestclient",
        "POD_IP:",
    ] {
        assert!(described.contains(part), "{part} in {described}");
    }
    assert!(ok(&lab, &["get", "all"]).contains("deployment.apps/generated-perftestserver"));
    let (_, error, code) = said(&lab, &["get", "daemonsets"]);
    assert!(
        error.contains("doesn't have a resource type") && code == 1,
        "{error}"
    );
}

#[test]
fn workloads_are_scaled_restarted_applied_and_deleted() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let manifest = lab.state.with_file_name("web.yaml");
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers: [{name: c, image: aks-tui/shell, command: [sleep, '1000']}]\n";
    std::fs::write(&manifest, text).unwrap();
    let file = manifest.to_str().unwrap();
    let rollout = ["rollout", "status", "deploy/web", "--timeout=60s"];
    assert_eq!(
        ok(&lab, &["apply", "-f", file]),
        "deployment.apps/web created\n"
    );
    assert!(ok(&lab, &rollout).contains("successfully rolled out"));
    assert_eq!(
        ok(&lab, &["apply", "-f", file]),
        "deployment.apps/web unchanged\n"
    );
    assert_eq!(
        ok(&lab, &["scale", "deploy/web", "--replicas=2"]),
        "deployment.apps/web scaled\n"
    );
    assert!(ok(&lab, &rollout).contains("successfully rolled out"));
    let before = ok(&lab, &["get", "pods", "-o", "name"]);
    assert_eq!(before.lines().count(), 2);
    ok(&lab, &["rollout", "restart", "deploy/web"]);
    assert!(ok(&lab, &rollout).contains("successfully rolled out"));
    eventually("the old pods are gone", || {
        let now = ok(&lab, &["get", "pods", "-o", "name"]);
        now.lines().count() == 2 && !now.lines().any(|name| before.contains(name))
    });
    std::fs::write(
        &manifest,
        text.replace("    spec:", "    specc: {}\n    spec:"),
    )
    .unwrap();
    let (_, error, code) = said(&lab, &["create", "-f", file]);
    assert!(
        error.contains("unknown field \"spec.template.specc\"") && code == 1,
        "{error}"
    );
    ok(
        &lab,
        &[
            "delete",
            "deploy",
            "web",
            "--cascade=foreground",
            "--timeout=60s",
        ],
    );
    assert_eq!(ok(&lab, &["get", "pods", "-o", "name"]), "");
    assert_eq!(
        ok(&lab, &["create", "ns", "team"]),
        "namespace/team created\n"
    );
    ok(&lab, &["delete", "ns", "team", "--timeout=60s"]);
}

#[test]
fn the_documents_own_steps_work_under_every_isolation() {
    if !kubectl_is_here() {
        return;
    }
    for isolation in isolations() {
        let lab = Lab::start(&["--backoff", "none", "--isolation", isolation]);
        let pod = client(&lab);
        let mut watch = kubectl(
            &lab,
            &["get", "pods", "-l", CLIENT, "--watch", "--no-headers"],
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut rows = BufReader::new(watch.stdout.take().unwrap()).lines();
        let first = rows.next().unwrap().unwrap();
        assert!(first.starts_with(&pod), "{first}");

        let mut follow = kubectl(&lab, &["logs", "-f", "--tail=1", &pod])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        let progress = lines
            .map_while(Result::ok)
            .find(|it| it.starts_with("*X* progress"));
        assert!(progress.is_some());

        // A command that kills the first process may die with its container.
        said(&lab, &["exec", &pod, "--", "sh", "-c", "kill $(pidof Job)"]);
        let again = rows.map_while(Result::ok).find(|row| {
            let mut words = row.split_whitespace();
            words.nth(2) == Some("Running") && words.next() == Some("1")
        });
        assert!(again.is_some());
        let _ = watch.kill();
        let _ = watch.wait();
        follow.wait().unwrap();
        let previous = ok(
            &lab,
            &["logs", &pod, "--previous", "--timestamps", "--tail=1"],
        );
        let (time, _) = previous.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{previous}");
        assert!(!ok(&lab, &["logs", &pod, "--since=1h"]).is_empty());
        let deleted = ok(&lab, &["delete", "pod", &pod]);
        assert!(
            deleted.starts_with(&format!("pod \"{pod}\" deleted")),
            "{deleted}"
        );
        assert_ne!(client(&lab), pod);
    }
}

#[test]
fn a_shell_in_a_pod_is_a_terminal() {
    if !kubectl_is_here() || !isolations().contains(&"namespaces") {
        return;
    }
    let lab = Lab::start(&["--backoff", "none", "--isolation", "namespaces"]);
    let pod = client(&lab);
    // `script` gives kubectl the terminal that a person's would be.
    let command = format!(
        "kubectl --kubeconfig {} exec -it {pod} -- sh",
        lab.kubeconfig().display()
    );
    let mut shell = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = shell.stdin.take().unwrap();
    keys.write_all(b"tty; kill $(pidof Job); echo rc=$?; exit 6\n")
        .unwrap();
    let output = BufReader::new(shell.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().map_while(Result::ok).collect();
    drop(keys);
    shell.wait().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("/dev/pts/") || line.contains("/dev/console")),
        "{lines:?}"
    );
    let restarted = [
        "get",
        "pod",
        &pod,
        "-o",
        "jsonpath={.status.containerStatuses[0].restartCount}",
    ];
    eventually("it runs again", || ok(&lab, &restarted) == "1");
}

/// Applies a manifest; what was printed, on either stream.
fn applied(lab: &Lab, manifest: &serde_json::Value) -> String {
    let file = lab.state.parent().unwrap().join("manifest.json");
    std::fs::write(&file, manifest.to_string()).unwrap();
    let (out, err, _) = said(lab, &["apply", "-f", file.to_str().unwrap()]);
    out + &err
}

#[test]
fn a_careful_manifest_runs_and_a_careless_one_is_refused_by_name() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let deployment = |name: &str, spec: serde_json::Value| {
        let mut deployment = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                    {"name": "main", "image": "aks-tui/pause"}]}},
            },
        });
        json_patch::merge(&mut deployment["spec"]["template"]["spec"], &spec);
        deployment
    };
    let careful = serde_json::json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "main", "image": "aks-tui/pause",
            "ports": [{"containerPort": 80, "hostPort": 8080}],
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
        }],
    });
    let told = applied(&lab, &deployment("careful", careful));
    let warned = "Warning: spec.template.spec.containers[0].ports[0].hostPort: the lab keeps the \
                  port for the pod and does not open it on the node";
    assert!(told.contains(warned), "{told}");
    let rollout = ["rollout", "status", "deploy/careful", "--timeout=60s"];
    assert!(ok(&lab, &rollout).contains("successfully rolled out"));
    let told = applied(
        &lab,
        &deployment("careless", serde_json::json!({"hostNetwork": true})),
    );
    let refused = "spec.template.spec.hostNetwork: Forbidden: the lab gives no pod the machine's \
                   network";
    assert!(told.contains(refused), "{told}");
    let run = ["run", "urgent", "--image=aks-tui/pause", "--overrides"];
    let urgent = r#"{"spec":{"priorityClassName":"high"}}"#;
    let (_, told, code) = said(&lab, &[&run[..], &[urgent]].concat());
    assert_eq!(code, 1);
    assert!(
        told.contains("pods \"urgent\" is forbidden: no PriorityClass with name high was found"),
        "{told}"
    );
}

#[test]
fn a_map_that_is_too_big_is_refused_in_words() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty"]);
    let file = lab.state.parent().unwrap().join("big");
    std::fs::write(&file, "x".repeat(20 * 1024 * 1024)).unwrap();
    let from = format!("--from-file={}", file.display());
    let (_, told, code) = said(&lab, &["create", "configmap", "big", &from]);
    assert_eq!(code, 1);
    assert!(
        told.contains("Request entity too large: limit is 3145728"),
        "{told}"
    );
}

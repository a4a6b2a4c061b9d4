//! One fault from the command line, on a cluster that nobody here started.

use std::process::Output;

use serde_json::Value;

use crate::{sandbox::Sandbox, standalone::Lab};

fn kill(sandbox: &Sandbox, lab: &Lab, args: &[&str]) -> Output {
    sandbox
        .command(&["kill", "--kubeconfig", lab.kubeconfig()])
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_fault_is_followed_to_its_verdict() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let output = kill(&sandbox, &lab, &[]);
    let (said, phases) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{phases}");
    assert!(
        said.starts_with("#1 process client: survived in "),
        "{said}"
    );
    assert!(said.ends_with("0 lost, 0 duplicated\n"), "{said}");
    assert!(phases.contains("#1 injected"), "{phases}");
    assert!(phases.contains("#1 recovered"), "{phases}");

    for (fault, target, name) in [
        ("stop", "server", "process (STOP)"),
        ("disk", "server", "disk fill"),
        ("container", "client", "container"),
        ("pod", "server", "pod"),
    ] {
        let args = [target, "--fault", fault, "--duration", "2s", "--json"];
        let output = kill(&sandbox, &lab, &args);
        let phases = text(&output.stderr);
        assert!(output.status.success(), "{phases}");
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verdict["survived"], true, "{verdict:#}");
        assert_eq!(verdict["fault"], name, "{verdict:#}");
        assert_eq!(verdict["target"], target, "{verdict:#}");
        let held = matches!(fault, "stop" | "disk");
        assert_eq!(phases.contains("#1 full"), fault == "disk", "{phases}");
        assert_eq!(phases.contains("#1 stalled"), held, "{phases}");
        assert_eq!(phases.contains("#1 healed"), held, "{phases}");
        assert_eq!(verdict["rto_from_heal_ms"].is_f64(), held, "{verdict:#}");
        let rto = verdict["rto_ms"].as_f64().unwrap();
        assert!(!held || rto > 2_000.0, "{verdict:#}");
    }
    lab.stop();
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 5, "each is recorded");
}

/// The network of a pod is cut for real, and put together again.
#[test]
fn a_cut_network_is_survived() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    for (fault, name) in [("cut", "network cut"), ("loss", "network loss")] {
        let args = ["server", "--fault", fault, "--duration", "3s", "--json"];
        let output = kill(&sandbox, &lab, &args);
        let phases = text(&output.stderr);
        assert!(output.status.success(), "{phases}");
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verdict["fault"], name, "{verdict:#}");
        assert_eq!(verdict["epoch_after"], Value::Null, "nobody died");
        assert!(verdict["rto_ms"].as_f64().unwrap() > 3_000.0, "{verdict:#}");
        assert!(phases.contains("#1 healed"), "{phases}");
        assert!(fault != "cut" || phases.contains("#1 stalled"), "{phases}");
    }
    lab.stop();
    sandbox.assert_clean();
}

/// The plug of a node is pulled; its pod comes back on the other, and the node
/// has power again when all is over.
#[test]
fn a_node_without_power_is_survived() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &["--nodes", "2"]);
    let args = ["client", "--fault", "node", "--json"];
    let refused = kill(&sandbox, &lab, &args);
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(said.contains("to power off lab-node-"), "{said}");
    let output = kill(&sandbox, &lab, &[&args[..], &["--yes"]].concat());
    let phases = text(&output.stderr);
    assert!(output.status.success(), "{phases}");
    assert!(phases.contains("#1 node down"), "{phases}");
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["fault"], "node", "{verdict:#}");
    assert!(verdict["phases_ms"]["evict"].is_f64(), "{verdict:#}");
    assert_ne!(verdict["container_before"], verdict["container_after"]);
    let switches = std::process::Command::new("kubectl")
        .args(["--kubeconfig", lab.kubeconfig(), "get", "nodes", "-o"])
        .arg("jsonpath={.items[*].metadata.annotations.aks-tui\\.dev/power}")
        .output()
        .unwrap();
    assert_eq!(text(&switches.stdout), "on on");
    lab.stop();
    sandbox.assert_clean();
}

#[test]
fn what_cannot_be_done_is_said_and_is_no_success() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let refused = |args: &[&str]| {
        let output = kill(&sandbox, &lab, args);
        assert!(!output.status.success(), "{args:?}");
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    let said = refused(&["--read-only"]);
    assert!(said.contains("nothing is killed"), "{said}");
    let said = refused(&["sideways"]);
    assert!(said.contains("client, server, random"), "{said}");
    let said = refused(&["--fault", "earthquake"]);
    assert!(
        said.contains("stop") && said.contains("container"),
        "{said}"
    );
    let said = refused(&["--client", "not!a!selector"]);
    assert!(said.contains("selector"), "{said}");
    // Somebody else's pods are not hit without being asked for. The label is in
    // the selectors of their owners, which must not replace them.
    for line in [
        "delete deployments,replicasets --all --cascade=orphan",
        "label pods --all app.kubernetes.io/managed-by-",
    ] {
        let output = std::process::Command::new("kubectl")
            .args(["--kubeconfig", lab.kubeconfig()])
            .args(line.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let said = refused(&[]);
    assert!(said.contains("which it did not make"), "{said}");
    assert!(!said.contains("injected"), "{said}");
    let output = kill(&sandbox, &lab, &["--yes"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    lab.stop();
    sandbox.assert_clean();
}

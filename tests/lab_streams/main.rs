//! The lab's long conversations: forwarded ports, commands, terminals, by the
//! kube crate and by kubectl in each protocol that it speaks.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "../lab_api/client.rs"]
mod client;
#[path = "../support/kubectl.rs"]
mod kubectl;
#[path = "../support/lab.rs"]
mod support;

mod attach;
mod commands;
mod copy;
mod forward;
mod proxy;

use support::{Lab, isolations};

/// kubectl as it is today, and as it was before it spoke WebSocket.
const KUBECTLS: [(&str, &str); 2] = [("websocket", "true"), ("spdy", "false")];

/// An empty lab with namespaces, or none: commands other than those of faults
/// need them.
fn isolated() -> Option<Lab> {
    isolations()
        .contains(&"namespaces")
        .then(|| Lab::start(&["--empty", "--backoff", "none", "--isolation", "namespaces"]))
}

/// Runs a pod and waits until it is ready.
fn run(lab: &Lab, name: &str, arguments: &[&str]) {
    let mut all = vec!["run", name];
    all.extend(arguments);
    kubectl::ok(lab, &all);
    let pod = format!("pod/{name}");
    let wait = ["wait", "--for=condition=Ready", &pod, "--timeout=60s"];
    kubectl::ok(lab, &wait);
}

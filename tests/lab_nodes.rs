//! A lab of several nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/kubectl.rs"]
mod kubectl;
#[path = "support/lab.rs"]
mod support;

use std::collections::BTreeSet;

use kubectl::{kubectl_is_here, ok, said};
use serde_json::Value;
use support::{Lab, eventually, marked};

/// What kubectl reads.
fn get(lab: &Lab, arguments: &[&str]) -> Value {
    let mut all = vec!["get", "-o", "json"];
    all.extend(arguments);
    serde_json::from_str(&ok(lab, &all)).unwrap()
}

fn items(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    match get(lab, arguments)["items"].take() {
        Value::Array(items) => items,
        other => panic!("{other}"),
    }
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|it| it["metadata"]["name"].as_str().unwrap())
        .collect()
}

/// Waits until perftest runs, both sides of it.
fn perftest(lab: &Lab) -> Vec<Value> {
    for side in ["client", "server"] {
        let deployment = format!("deploy/generated-perftest{side}");
        let wait = ["rollout", "status", &deployment, "--timeout=60s"];
        eventually(side, || said(lab, &wait).2 == 0);
    }
    items(lab, &["pods"])
}

#[test]
fn pods_are_spread_over_nodes_and_another_number_of_them_takes_the_state() {
    if !kubectl_is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut lab = Lab::start_on(&state, &["--nodes", "3"]).unwrap();
    assert_eq!(lab.about["nodes"], 3);
    let pods = perftest(&lab);
    let places: BTreeSet<_> = pods
        .iter()
        .map(|it| it["spec"]["nodeName"].to_string())
        .collect();
    assert_eq!(places.len(), 2, "each on a node of its own: {places:?}");
    for pod in &pods {
        // Each has the address of its own node, and only that.
        let node = get(&lab, &["node", pod["spec"]["nodeName"].as_str().unwrap()]);
        assert_eq!(
            pod["status"]["hostIP"],
            node["status"]["addresses"][0]["address"]
        );
        let about = format!(
            "reason=Started,involvedObject.name={}",
            pod["metadata"]["name"].as_str().unwrap()
        );
        eventually("its start is told by its node", || {
            let events = items(&lab, &["events", "--field-selector", &about]);
            let hosts: Vec<_> = events.iter().map(|it| &it["source"]["host"]).collect();
            hosts == [&pod["spec"]["nodeName"]]
        });
    }
    let leases = items(&lab, &["lease", "-n", "kube-node-lease"]);
    assert_eq!(names(&leases), ["lab-node-0", "lab-node-1", "lab-node-2"]);
    lab.kill();
    // The next lab has fewer nodes: everything goes on, on what is there.
    let mut next = Lab::start_on(&state, &["--nodes", "1"]).unwrap();
    for pod in perftest(&next) {
        assert_eq!(pod["spec"]["nodeName"], "lab-node-0");
    }
    assert_eq!(names(&items(&next, &["nodes"])), ["lab-node-0"]);
    next.stop();
    for run in [&lab.run, &next.run] {
        assert_eq!(marked(run), Vec::<String>::new(), "left behind");
    }
}

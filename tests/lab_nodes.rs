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

/// The newest account in a log: epoch and bytes that came back.
fn progress(log: &str) -> Option<(u64, u64)> {
    let line = log.lines().rev().find(|it| it.contains(" echoed="))?;
    let number = |field: &str| {
        let word = line.split(' ').find_map(|it| it.strip_prefix(field))?;
        word.parse::<u64>().ok()
    };
    Some((number("epoch=")?, number("echoed=")?))
}

/// The total that a side says at its end, if it has ended.
fn total(log: &str) -> Option<&str> {
    log.lines().find(|it| *it == "DONE")?;
    log.lines().find(|it| it.starts_with("Bytes received: "))
}

fn ready(node: &Value) -> &str {
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|it| it["type"] == "Ready").unwrap();
    ready["status"].as_str().unwrap()
}

fn taints(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array();
    let taints = taints.into_iter().flatten();
    taints
        .map(|it| format!("{}:{}", it["key"], it["effect"]).replace('"', ""))
        .collect()
}

const CLIENT: &str = "app.kubernetes.io/component=client";

/// Before anybody has noticed, a kubelet without power is as dead as it will be.
fn is_unreachable(lab: &Lab, pod: &Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    let address = pod["status"]["hostIP"].as_str().unwrap();
    eventually("the kubelet is silent", || {
        said(lab, &["logs", name]).2 != 0
    });
    let (_, error, _) = said(lab, &["logs", name]);
    assert_eq!(
        error.trim(),
        format!(
            "Error from server: Get \"https://{address}:10250/containerLogs/default/{name}/perftestclient\": \
             dial tcp {address}:10250: connect: no route to host"
        )
    );
    let (_, error, _) = said(lab, &["exec", name, "--", "true"]);
    assert_eq!(
        error.trim(),
        format!(
            "Error from server: error dialing backend: dial tcp {address}:10250: connect: no route to host"
        )
    );
}

#[test]
fn a_node_dies_and_what_ran_there_goes_on_elsewhere_with_nothing_lost() {
    if !kubectl_is_here() {
        return;
    }
    let mut lab = Lab::start(&[
        "--nodes",
        "3",
        "--node-monitor-grace",
        "2",
        "--bytes-per-round",
        "4MiB",
        "--rate",
        "16MiB",
    ]);
    perftest(&lab);
    let victim = items(&lab, &["pods", "-l", CLIENT]).remove(0);
    let name = victim["metadata"]["name"].as_str().unwrap();
    let node = victim["spec"]["nodeName"].as_str().unwrap();
    eventually("it makes progress", || {
        progress(&ok(&lab, &["logs", name])).is_some_and(|(_, echoed)| echoed > 1 << 20)
    });
    let (epoch, echoed) = progress(&ok(&lab, &["logs", name])).unwrap();

    let off = [
        "annotate",
        "node",
        node,
        "aks-tui.dev/power=off",
        "--overwrite",
    ];
    ok(&lab, &off);
    is_unreachable(&lab, &victim);
    eventually("the node is given up", || {
        ready(&get(&lab, &["node", node])) == "Unknown"
    });
    let line = ok(&lab, &["get", "node", node, "--no-headers"]);
    assert_eq!(line.split_whitespace().nth(1), Some("NotReady"), "{line}");
    eventually("it is tainted", || {
        taints(&get(&lab, &["node", node]))
            == [
                "node.kubernetes.io/unreachable:NoSchedule",
                "node.kubernetes.io/unreachable:NoExecute",
            ]
    });

    // The pod is evicted, cannot be finished, and has a successor elsewhere.
    let mut successor = Value::Null;
    eventually("another pod takes over", || {
        let pods = items(&lab, &["pods", "-l", CLIENT]);
        let mut others = pods.into_iter().filter(|it| it["spec"]["nodeName"] != node);
        successor = others.next_back().unwrap_or_default();
        successor["status"]["containerStatuses"][0]["ready"] == true
    });
    let old = get(&lab, &["pod", name]);
    assert!(old["metadata"]["deletionTimestamp"].is_string());
    let line = ok(&lab, &["get", "pod", name, "--no-headers"]);
    assert_eq!(
        line.split_whitespace().nth(2),
        Some("Terminating"),
        "{line}"
    );
    let next = successor["metadata"]["name"].as_str().unwrap();
    eventually("it has gone beyond where the other was", || {
        let now = progress(&ok(&lab, &["logs", next]));
        now.is_some_and(|now| now.0 > epoch && now.1 > echoed)
    });

    // The node comes back: it finishes what it had and takes part again.
    let on = [
        "annotate",
        "node",
        node,
        "aks-tui.dev/power=on",
        "--overwrite",
    ];
    ok(&lab, &on);
    eventually("the old pod is gone", || {
        said(&lab, &["get", "pod", name]).2 != 0
    });
    eventually("the node is as before", || {
        let node = get(&lab, &["node", node]);
        ready(&node) == "True" && taints(&node).is_empty()
    });

    // Both sides of the application agree on what was sent and received.
    ok(
        &lab,
        &["exec", next, "--", "sh", "-c", "kill -USR1 $(pidof Job)"],
    );
    let mut totals = Vec::new();
    eventually("both sides are done", || {
        totals = [next, "deploy/generated-perftestserver"]
            .iter()
            .filter_map(|side| total(&ok(&lab, &["logs", side])).map(str::to_owned))
            .collect();
        totals.len() == 2
    });
    assert_eq!(totals[0], totals[1]);
    lab.stop();
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}

#[test]
fn cordon_drain_and_pods_for_which_there_is_no_place() {
    if !kubectl_is_here() {
        return;
    }
    let mut lab = Lab::start(&["--empty", "--nodes", "2"]);
    let create = [
        "create",
        "deployment",
        "web",
        "--image=aks-tui/shell",
        "--replicas=2",
        "--",
        "sleep",
        "300",
    ];
    ok(&lab, &create);
    let wait = ["rollout", "status", "deploy/web", "--timeout=60s"];
    ok(&lab, &wait);
    ok(
        &lab,
        &[
            "drain",
            "lab-node-0",
            "--ignore-daemonsets",
            "--force",
            "--timeout=60s",
        ],
    );
    let line = ok(&lab, &["get", "node", "lab-node-0", "--no-headers"]);
    assert_eq!(
        line.split_whitespace().nth(1),
        Some("Ready,SchedulingDisabled"),
        "{line}"
    );
    ok(&lab, &wait);
    for pod in items(&lab, &["pods", "-l", "app=web"]) {
        if pod["metadata"]["deletionTimestamp"].is_null() {
            assert_eq!(pod["spec"]["nodeName"], "lab-node-1");
        }
    }
    ok(&lab, &["taint", "node", "lab-node-1", "team=a:NoSchedule"]);
    let run = [
        "run",
        "late",
        "--image=aks-tui/shell",
        "--command",
        "--",
        "sleep",
        "300",
    ];
    ok(&lab, &run);
    let why = [
        "get",
        "pod",
        "late",
        "-o",
        "jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].message}",
    ];
    let words = "0/2 nodes are available: 1 node(s) had untolerated taint {team: a}, \
                 1 node(s) were unschedulable. preemption: 0/2 nodes are available: \
                 2 Preemption is not helpful for scheduling.";
    eventually("it says why it waits", || ok(&lab, &why) == words);
    let events = ok(&lab, &["describe", "pod", "late"]);
    assert!(
        events.contains("FailedScheduling  ") && events.contains(words),
        "{events}"
    );
    // Every pod tolerates an outage for five minutes, unless it says otherwise.
    for key in ["not-ready", "unreachable"] {
        let text = format!("node.kubernetes.io/{key}:NoExecute op=Exists for 300s");
        assert!(events.contains(&text), "{text} in {events}");
    }
    ok(&lab, &["uncordon", "lab-node-0"]);
    ok(
        &lab,
        &["wait", "--for=condition=Ready", "pod/late", "--timeout=60s"],
    );
    assert_eq!(
        get(&lab, &["pod", "late"])["spec"]["nodeName"],
        "lab-node-0"
    );
    // A node that is deleted is forgotten, with its lease.
    ok(&lab, &["delete", "node", "lab-node-1"]);
    eventually("its lease is gone", || {
        said(
            &lab,
            &["get", "lease", "-n", "kube-node-lease", "lab-node-1"],
        )
        .2 != 0
    });
    lab.stop();
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}

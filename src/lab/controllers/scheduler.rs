//! The scheduler: gives each pod to a node.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::owned;
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::{Key, Store, StoreError, timestamp};

/// Gives a pod that has no node to the one with the fewest pods among those that
/// take it.
pub fn schedule(store: &Store, key: &Key, pod: &Value) {
    let placed = pod["spec"]["nodeName"]
        .as_str()
        .is_some_and(|it| !it.is_empty());
    if placed || pod["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let recorder = Recorder::new(store.clone(), "default-scheduler", None);
    let nodes = store.list(Resource::Nodes, None).items;
    let pods = store.list(Resource::Pods, None).items;
    let load = |node: &Value| {
        let here = |pod: &&Arc<Value>| pod["spec"]["nodeName"] == node["metadata"]["name"];
        pods.iter()
            .filter(here)
            .filter(|it| owned::is_active(it))
            .count()
    };
    let chosen = nodes
        .iter()
        .filter(|node| takes(node, pod))
        .min_by_key(|node| load(node));
    let Some(name) = chosen.and_then(|node| node["metadata"]["name"].as_str()) else {
        let why = format!(
            "0/{} nodes are available: {}",
            nodes.len(),
            reasons(&nodes, pod)
        );
        if condition(store, key, "False", Some(&why)) {
            recorder.record(
                pod,
                Note {
                    severity: Severity::Warning,
                    reason: "FailedScheduling",
                    message: &why,
                    part: "",
                },
            );
        }
        return;
    };
    let bound = store.update_with(key, |pod| {
        pod["spec"]["nodeName"] = json!(name);
        set_condition(pod, "True", None);
        Ok::<(), StoreError>(())
    });
    if bound.is_ok() {
        let message = format!(
            "Successfully assigned {}/{} to {name}",
            key.namespace, key.name
        );
        recorder.normal(pod, "Scheduled", &message);
    }
}

fn takes(node: &Value, pod: &Value) -> bool {
    is_ready(node) && node["spec"]["unschedulable"] != true && has_labels(node, pod)
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn has_labels(node: &Value, pod: &Value) -> bool {
    let wanted = pod["spec"]["nodeSelector"].as_object();
    wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| node["metadata"]["labels"].get(key) == Some(value))
}

fn reasons(nodes: &[Arc<Value>], pod: &Value) -> String {
    let count = |fails: &dyn Fn(&Value) -> bool, why: &str| {
        let failing = nodes.iter().filter(|node| fails(node)).count();
        (failing > 0).then(|| format!("{failing} {why}"))
    };
    let all: Vec<String> = [
        count(&|node| !is_ready(node), "node(s) were not ready"),
        count(
            &|node| node["spec"]["unschedulable"] == true,
            "node(s) were unschedulable",
        ),
        count(
            &|node| !has_labels(node, pod),
            "node(s) didn't match Pod's node affinity/selector",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    if all.is_empty() {
        "no nodes available to schedule pods".to_owned()
    } else {
        all.join(", ")
    }
}

/// Writes the `PodScheduled` condition; whether that changed anything.
fn condition(store: &Store, key: &Key, status: &str, message: Option<&str>) -> bool {
    let before = store.rv();
    let written = store.update_with(key, |pod| {
        set_condition(pod, status, message);
        Ok::<(), StoreError>(())
    });
    written.is_ok() && store.rv() != before
}

fn set_condition(pod: &mut Value, status: &str, message: Option<&str>) {
    let mut conditions = match pod["status"]["conditions"].take() {
        Value::Array(conditions) => conditions,
        _ => Vec::new(),
    };
    let same = |it: &Value| it["status"] == status && it["message"].as_str() == message;
    let place = conditions
        .iter()
        .position(|it| it["type"] == "PodScheduled");
    if !place.is_some_and(|place| same(&conditions[place])) {
        let mut condition = json!({
            "type": "PodScheduled",
            "status": status,
            "lastProbeTime": null,
            "lastTransitionTime": timestamp(Timestamp::now()),
        });
        if let Some(message) = message {
            condition["reason"] = json!("Unschedulable");
            condition["message"] = json!(message);
        }
        match place {
            Some(place) => conditions[place] = condition,
            None => conditions.push(condition),
        }
    }
    pod["status"]["conditions"] = Value::Array(conditions);
}

//! Replica sets: as many pods of one template as were asked for.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::owned::{self, count};
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// Makes or deletes the pods that are missing or too many, and writes the
/// status. Says how long to wait when a pod will count as available by time.
pub fn reconcile(store: &Store, key: &Key, set: &Value) -> Option<Duration> {
    let pods = owned::claimed(store, set, Resource::Pods);
    let active: Vec<Arc<Value>> = pods.into_iter().filter(|it| owned::is_active(it)).collect();
    let wanted = if set["metadata"]["deletionTimestamp"].is_string() {
        active.len()
    } else {
        count(&set["spec"]["replicas"], 1) as usize
    };
    let recorder = Recorder::new(store.clone(), "replicaset-controller", None);
    let prefix = format!("{}-", key.name);
    for _ in active.len()..wanted {
        let template = &set["spec"]["template"];
        if let Some(pod) = owned::create_generated(store, &recorder, set, template, &prefix, |_| ())
        {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            recorder.normal(set, "SuccessfulCreate", &format!("Created pod: {name}"));
        }
    }
    let surplus = active.len().saturating_sub(wanted);
    for pod in first_to_go(active.clone()).into_iter().take(surplus) {
        let key = Key::of(Resource::Pods, &pod);
        if store.delete(&key, &Deletion::default()).is_ok() {
            recorder.normal(
                set,
                "SuccessfulDelete",
                &format!("Deleted pod: {}", key.name),
            );
        }
    }
    status(store, key, set, &active)
}

/// What a person says a pod is worth: the cheapest goes first.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Pods in the order in which they are given up: those that serve least first,
/// then the cheapest, those that share their node with most others, and the
/// youngest.
fn first_to_go(mut pods: Vec<Arc<Value>>) -> Vec<Arc<Value>> {
    let mut here: BTreeMap<String, usize> = BTreeMap::new();
    let node = |pod: &Value| pod["spec"]["nodeName"].as_str().map(str::to_owned);
    for node in pods.iter().filter_map(|pod| node(pod)) {
        *here.entry(node).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        let node = node(pod);
        let ready = owned::ready_since(pod);
        let cost = pod["metadata"]["annotations"][COST].as_str();
        let statuses = pod["status"]["containerStatuses"].as_array();
        let restarts = statuses.into_iter().flatten();
        let restarts: u64 = restarts.map(|it| count(&it["restartCount"], 0)).sum();
        (
            node.is_some(),
            pod["status"]["phase"] == "Running",
            ready.is_some(),
            cost.and_then(|it| it.parse::<i32>().ok()).unwrap_or(0),
            Reverse(node.and_then(|node| here.get(&node).copied())),
            Reverse(ready),
            Reverse(restarts),
            Reverse(owned::created(pod)),
        )
    });
    pods
}

fn status(store: &Store, key: &Key, set: &Value, active: &[Arc<Value>]) -> Option<Duration> {
    let now = Timestamp::now();
    let minimum = SignedDuration::from_secs(count(&set["spec"]["minReadySeconds"], 0) as i64);
    let ready: Vec<Timestamp> = active
        .iter()
        .filter_map(|it| owned::ready_since(it))
        .collect();
    let left = |since: &Timestamp| minimum - now.duration_since(*since);
    let available = ready.iter().filter(|it| !left(it).is_positive()).count();
    let soonest = ready
        .iter()
        .map(left)
        .filter(SignedDuration::is_positive)
        .min();
    let mut status = json!({
        "replicas": active.len(),
        "observedGeneration": set["metadata"]["generation"],
    });
    for (field, number) in [
        ("fullyLabeledReplicas", active.len()),
        ("readyReplicas", ready.len()),
        ("availableReplicas", available),
    ] {
        // Zero is left out, as the API does.
        if number > 0 {
            status[field] = json!(number);
        }
    }
    // Gone in the meantime: nobody asks for its status.
    let _ = store.update_with(key, |set| {
        set["status"] = status;
        Ok::<(), StoreError>(())
    });
    soonest.and_then(|left| Duration::try_from(left).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, since: Option<&str>, cost: &str) -> Arc<Value> {
        let ready = since.map_or("False", |_| "True");
        Arc::new(json!({
            "metadata": {"name": name, "annotations": {COST: cost}},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": since}]},
        }))
    }

    #[test]
    fn what_serves_least_goes_first() {
        let (early, late) = (Some("2020-01-01T00:00:00Z"), Some("2020-01-02T00:00:00Z"));
        let pods = vec![
            pod("other", "b", late, "0"),
            pod("dear", "a", late, "5"),
            pod("old", "a", early, "0"),
            pod("young", "a", late, "0"),
            pod("cheap", "b", early, "-5"),
            pod("unready", "b", None, "9"),
        ];
        let order: Vec<String> = first_to_go(pods)
            .iter()
            .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(order, ["unready", "cheap", "other", "young", "old", "dear"]);
    }
}

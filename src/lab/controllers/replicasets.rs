//! Replica sets: as many pods of one template as were asked for.

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

/// Pods in the order in which they are given up: those that serve least first,
/// then the youngest.
fn first_to_go(mut pods: Vec<Arc<Value>>) -> Vec<Arc<Value>> {
    pods.sort_by_cached_key(|pod| {
        let placed = pod["spec"]["nodeName"].is_string();
        let running = pod["status"]["phase"] == "Running";
        let ready = owned::ready_since(pod);
        let created = pod["metadata"]["creationTimestamp"]
            .as_str()
            .map(str::to_owned);
        (
            placed,
            running,
            ready.is_some(),
            std::cmp::Reverse(ready),
            std::cmp::Reverse(created),
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

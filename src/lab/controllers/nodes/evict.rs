//! Sending pods away from nodes that are tainted so.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::Monitor;
use crate::lab::controllers::{conditions, taints};
use crate::lab::recorder::Recorder;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// The name under which it records events.
const COMPONENT: &str = "taint-eviction-controller";

impl Monitor {
    /// Deletes a pod that does not tolerate a taint of its node, or not any
    /// longer. Says how long it still does. A pod whose kubelet is silent stays
    /// marked as deleted until that comes back or somebody deletes it by force.
    pub fn evict(&mut self, store: &Store, key: &Key, pod: &Value) -> Option<Duration> {
        if pod["metadata"]["deletionTimestamp"].is_string() {
            self.leaving.remove(key);
            return None;
        }
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let taints = self
            .known
            .get(node)
            .map_or(&[][..], |it| it.sends_away.as_slice());
        let Some(end) = end(pod, taints) else {
            if self.leaving.remove(key) {
                let text = format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name);
                recorder(store).normal(pod, "TaintManagerEviction", &text);
            }
            return None;
        };
        let left = end.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            self.leaving.insert(key.clone());
            return Some(left);
        }
        self.leaving.remove(key);
        let text = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
        recorder(store).normal(pod, "TaintManagerEviction", &text);
        let why = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        });
        // Gone in the meantime: that is what it was to be.
        let _ = store.update_with(key, |pod| {
            conditions::put(&mut pod["status"], &why);
            Ok::<(), StoreError>(())
        });
        let this = Deletion {
            uid: pod["metadata"]["uid"].as_str().map(str::to_owned),
            ..Deletion::default()
        };
        let _ = store.delete(key, &this);
        None
    }
}

/// When a pod's time with these taints is over; none when it never is.
fn end(pod: &Value, taints: &[(Value, Instant)]) -> Option<Instant> {
    let ends = taints.iter().filter_map(|(taint, since)| {
        let stay = taints::stay(pod, taint)?;
        // Longer than any clock counts is for ever.
        since.checked_add(stay)
    });
    ends.min()
}

fn recorder(store: &Store) -> Recorder {
    Recorder::new(store.clone(), COMPONENT, None)
}

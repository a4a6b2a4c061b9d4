//! Pods that no kubelet will ever finish: their node is not there any more, or
//! somebody vouches for its being down for good.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::{Monitor, is_ready};
use crate::lab::controllers::{conditions, taints};
use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// How long a node may be missing before its pods are given up; the real
/// garbage collector's.
const QUARANTINE: Duration = Duration::from_secs(40);

impl Monitor {
    /// Removes a bound pod that nobody else can. Says how long to wait for its
    /// node to turn up.
    pub fn collect(&mut self, store: &Store, key: &Key, pod: &Value) -> Option<Duration> {
        let name = pod["spec"]["nodeName"]
            .as_str()
            .filter(|it| !it.is_empty())?;
        let Some(node) = store.get(&Key::new(Resource::Nodes, "", name)) else {
            let since = self.missing.entry(name.to_owned());
            let since = *since.or_insert_with(Instant::now);
            let left = QUARANTINE.saturating_sub(since.elapsed());
            if !left.is_zero() {
                return Some(left);
            }
            let why = json!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
            });
            give_up(store, key, Some(&why));
            return None;
        };
        let marked = pod["metadata"]["deletionTimestamp"].is_string();
        let mut taints = taints::taints(&node).iter();
        let down = taints.any(|it| it["key"] == taints::OUT_OF_SERVICE) && !is_ready(&node);
        if marked && down {
            give_up(store, key, None);
        }
        None
    }
}

/// Removes a pod at once, failed if it had not ended.
fn give_up(store: &Store, key: &Key, why: Option<&Value>) {
    // Somebody else may have removed it: just as well.
    let _ = store.update_with(key, |pod| {
        let over = ["Succeeded", "Failed"]
            .iter()
            .any(|it| pod["status"]["phase"] == *it);
        if !over {
            pod["status"]["phase"] = json!("Failed");
            if let Some(why) = why {
                conditions::put(&mut pod["status"], why);
            }
        }
        Ok::<(), StoreError>(())
    });
    let now = Deletion {
        grace: Some(0),
        ..Deletion::default()
    };
    let _ = store.delete(key, &now);
}

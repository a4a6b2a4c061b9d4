//! From one template to the next: all at once after the old ones are gone
//! (`Recreate`), or a few at a time (`RollingUpdate`).

use serde_json::Value;

use super::Look;
use crate::lab::controllers::owned::{self, count};
use crate::lab::kinds::Resource;

impl Look<'_> {
    /// The next step of the strategy.
    pub(super) fn roll_out(&self) {
        let Some(new) = &self.new else { return };
        if self.deployment["spec"]["strategy"]["type"] == "Recreate" {
            self.recreate(new);
        } else {
            self.roll(new);
        }
    }

    fn recreate(&self, new: &Value) {
        for set in &self.old {
            self.scale(set, 0);
        }
        if !self.old_pods_remain() {
            self.scale(new, self.wanted());
        }
    }

    /// Whether a pod of an earlier template has not ended yet.
    fn old_pods_remain(&self) -> bool {
        let namespace = Some(self.key.namespace.as_str());
        let pods = self.store.list(Resource::Pods, namespace).items;
        pods.iter().any(|pod| {
            let phase = pod["status"]["phase"].as_str();
            !matches!(phase, Some("Succeeded" | "Failed"))
                && owned::owners(pod).any(|owner| {
                    let uid = owner.uid.as_str();
                    self.old.iter().any(|set| set["metadata"]["uid"] == uid)
                })
        })
    }

    fn roll(&self, new: &Value) {
        let wanted = self.wanted();
        let rolling = &self.deployment["spec"]["strategy"]["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], wanted, true);
        let mut unavailable = share(&rolling["maxUnavailable"], wanted, false);
        if surge == 0 && unavailable == 0 {
            // Otherwise nothing could ever move.
            unavailable = 1;
        }
        let size = |set: &Value| count(&set["spec"]["replicas"], 0);
        let total: u64 = self.sets().map(|set| size(set)).sum();
        let own = size(new);
        let room = (wanted + surge).saturating_sub(total);
        let next = if own > wanted {
            wanted
        } else {
            own + room.min(wanted - own)
        };
        self.scale(new, next);

        let available = |set: &Value| count(&set["status"]["availableReplicas"], 0).min(size(set));
        let serving: u64 = self.sets().map(|set| available(set)).sum();
        // What does not serve is given up first, and freely.
        let mut spare = serving.saturating_sub(wanted.saturating_sub(unavailable));
        for set in &self.old {
            let useful = available(set);
            let given = useful.min(spare);
            spare -= given;
            self.scale(set, useful - given);
        }
    }
}

/// A number of pods, or a percentage of them.
pub(super) fn share(value: &Value, of: u64, round_up: bool) -> u64 {
    if let Some(number) = value.as_u64() {
        return number;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
    let percent: u64 = percent.and_then(|text| text.parse().ok()).unwrap_or(25);
    let scaled = percent.saturating_mul(of);
    if round_up {
        scaled.div_ceil(100)
    } else {
        scaled / 100
    }
}

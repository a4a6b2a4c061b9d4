//! From one template to the next: all at once after the old ones are gone
//! (`Recreate`), or a few at a time (`RollingUpdate`).

use std::sync::Arc;

use serde_json::Value;

use super::{Look, size};
use crate::lab::controllers::owned::{self, count};
use crate::lab::kinds::Resource;

impl Look<'_> {
    /// The next step of the strategy.
    pub(super) fn roll_out(&mut self) {
        if self.is_rolling() {
            self.name_new_set();
            if let Some(new) = &self.new {
                self.roll(new);
            }
        } else {
            self.recreate();
        }
    }

    fn recreate(&mut self) {
        for set in &self.old {
            self.scale(set, 0);
        }
        if self.old_pods_remain() {
            return;
        }
        self.name_new_set();
        if let Some(new) = &self.new {
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
        let (wanted, own) = (self.wanted(), size(new));
        let total: u64 = self.sets().map(|set| size(set)).sum();
        let room = (wanted + self.surge()).saturating_sub(total);
        let next = if own > wanted {
            wanted
        } else {
            own + room.min(wanted - own)
        };
        if next != own {
            self.scale(new, next);
            return;
        }
        self.shrink_old(new, total);
    }

    /// Gives up old pods: first those that do not serve, then as many others as
    /// may be missing.
    fn shrink_old(&self, new: &Value, total: u64) {
        let wanted = self.wanted();
        let minimum = wanted.saturating_sub(self.may_be_missing());
        let available = |set: &Value| count(&set["status"]["availableReplicas"], 0).min(size(set));
        // What the new set does not serve yet must not be missing from the old.
        let starting = size(new) - available(new);
        let mut spare = total.saturating_sub(minimum + starting);
        if spare == 0 {
            return;
        }
        let mut sets: Vec<(&Arc<Value>, u64)> =
            self.old.iter().map(|set| (set, size(set))).collect();
        sets.sort_by_key(|(set, _)| owned::created(set));
        for (set, left) in &mut sets {
            let given = (*left - available(set)).min(spare);
            *left -= given;
            spare -= given;
        }
        let serving: u64 = self.sets().map(|set| available(set)).sum();
        let mut spare = serving.saturating_sub(minimum);
        for (_, left) in &mut sets {
            let given = (*left).min(spare);
            *left -= given;
            spare -= given;
        }
        for (set, left) in sets {
            if left != size(set) {
                self.scale(set, left);
            }
        }
    }

    /// How many pods fewer than asked for may serve.
    pub(super) fn may_be_missing(&self) -> u64 {
        if !self.is_rolling() {
            return 0;
        }
        let rolling = &self.deployment["spec"]["strategy"]["rollingUpdate"];
        let wanted = self.wanted();
        match share(&rolling["maxUnavailable"], wanted, false) {
            // Otherwise nothing could ever move.
            0 if self.surge() == 0 => 1.min(wanted),
            missing => missing.min(wanted),
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

//! A deployment's status: how many pods it has, and how its rollout goes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Look;
use crate::lab::controllers::owned::count;
use crate::lab::store::{StoreError, timestamp};

/// What its replica sets add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Totals {
    replicas: u64,
    updated: u64,
    ready: u64,
    available: u64,
}

impl Look<'_> {
    /// Writes the status. Says how long the rollout may stand still.
    pub(super) fn write_status(&self) -> Option<Duration> {
        let sum = |field: &str| -> u64 {
            let counts = self
                .sets()
                .map(|set| count(&self.fresh(set)["status"][field], 0));
            counts.sum()
        };
        let totals = Totals {
            replicas: sum("replicas"),
            updated: self
                .new
                .as_ref()
                .map_or(0, |set| count(&self.fresh(set)["status"]["replicas"], 0)),
            ready: sum("readyReplicas"),
            available: sum("availableReplicas"),
        };
        let mut wait = None;
        let paused = self.deployment["spec"]["paused"] == true;
        // Gone in the meantime: nobody asks for its status.
        let _ = self.store.update_with(self.key, |deployment| {
            let old = deployment["status"].take();
            let wanted = count(&deployment["spec"]["replicas"], 1);
            let mut status =
                json!({"observedGeneration": self.deployment["metadata"]["generation"]});
            for (field, number) in [
                ("replicas", totals.replicas),
                ("updatedReplicas", totals.updated),
                ("readyReplicas", totals.ready),
                ("availableReplicas", totals.available),
                (
                    "unavailableReplicas",
                    totals.replicas.max(wanted).saturating_sub(totals.available),
                ),
                ("collisionCount", count(&old["collisionCount"], 0)),
            ] {
                // Zero is left out, as the API does.
                if number > 0 {
                    status[field] = json!(number);
                }
            }
            let availability = self.availability(totals, wanted);
            let progress = if paused || self.deadline().is_none() {
                self.paused(&old, paused).map(|it| (it, false))
            } else {
                let (progress, left) = self.progress(&old, totals, wanted);
                wait = left;
                Some(progress)
            };
            let mut conditions = vec![merged(&old, availability, false)];
            conditions.extend(progress.map(|(progress, moved)| merged(&old, progress, moved)));
            status["conditions"] = json!(conditions);
            deployment["status"] = status;
            Ok::<(), StoreError>(())
        });
        wait
    }

    /// A set as it is now: this look may have changed it.
    fn fresh(&self, set: &Value) -> std::sync::Arc<Value> {
        let key = crate::lab::store::Key::of(crate::lab::kinds::Resource::ReplicaSets, set);
        self.store.get(&key).unwrap_or_default()
    }

    /// Whether all pods there are are of the present template and serve.
    pub(super) fn is_complete(&self) -> bool {
        let sum = |field: &str| -> u64 {
            let counts = self.sets().map(|set| count(&set["status"][field], 0));
            counts.sum()
        };
        let new = self.new.as_ref();
        let updated = new.map_or(0, |set| count(&set["status"]["replicas"], 0));
        [updated, sum("replicas"), sum("availableReplicas")]
            .into_iter()
            .all(|number| number == self.wanted())
    }

    /// How long nothing may move, in seconds; none for ever.
    fn deadline(&self) -> Option<u64> {
        let seconds = count(&self.deployment["spec"]["progressDeadlineSeconds"], 600);
        (seconds < i32::MAX as u64).then_some(seconds)
    }

    /// The `Progressing` condition of a deployment that is paused, or that has
    /// all the time there is.
    fn paused(&self, old: &Value, paused: bool) -> Option<Value> {
        let known = find(old, "Progressing");
        self.deadline()?;
        let stuck = known.is_some_and(|it| it["reason"] == "ProgressDeadlineExceeded");
        if stuck || !paused {
            return known.cloned();
        }
        Some(condition(
            "Progressing",
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused",
        ))
    }

    fn availability(&self, totals: Totals, wanted: u64) -> Value {
        let spare = self.may_be_missing();
        if totals.available >= wanted.saturating_sub(spare) {
            condition(
                "Available",
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
            )
        } else {
            condition(
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        }
    }

    /// The `Progressing` condition, whether something moved, and how long
    /// nothing may move before the rollout counts as stuck.
    fn progress(
        &self,
        old: &Value,
        totals: Totals,
        wanted: u64,
    ) -> ((Value, bool), Option<Duration>) {
        let name = match &self.new {
            Some(set) => set["metadata"]["name"].as_str().unwrap_or_default(),
            None => &self.key.name,
        };
        let complete =
            totals.updated == wanted && totals.replicas == wanted && totals.available == wanted;
        if complete {
            let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
            let done = condition("Progressing", "True", "NewReplicaSetAvailable", &message);
            return ((done, false), None);
        }
        let before = Totals {
            replicas: count(&old["replicas"], 0),
            updated: count(&old["updatedReplicas"], 0),
            ready: count(&old["readyReplicas"], 0),
            available: count(&old["availableReplicas"], 0),
        };
        let moved = totals.updated > before.updated
            || totals.ready > before.ready
            || totals.available > before.available
            || totals.replicas.saturating_sub(totals.updated)
                < before.replicas.saturating_sub(before.updated);
        let known = find(old, "Progressing");
        let reason = known.and_then(|it| it["reason"].as_str());
        // Pods that fail after a rollout was complete are no rollout.
        let complete_before = reason == Some("NewReplicaSetAvailable");
        if complete_before && (!moved || totals.updated == totals.replicas) {
            return ((known.cloned().unwrap_or_default(), false), None);
        }
        if reason == Some("DeploymentPaused") {
            let message = "Deployment is resumed";
            let resumed = condition("Progressing", "Unknown", "DeploymentResumed", message);
            let wait = self.deadline().map(Duration::from_secs);
            return ((resumed, true), wait);
        }
        let deadline = self.deadline().unwrap_or(u64::from(u32::MAX));
        let since = known
            .and_then(|it| it["lastUpdateTime"].as_str()?.parse::<Timestamp>().ok())
            .unwrap_or_else(Timestamp::now);
        let left = SignedDuration::from_secs(deadline.min(u64::from(u32::MAX)) as i64)
            - Timestamp::now().duration_since(since);
        if !moved && known.is_some() && !left.is_positive() {
            let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
            let stuck = condition("Progressing", "False", "ProgressDeadlineExceeded", &message);
            return ((stuck, false), None);
        }
        if let (Some(known), false) = (known, moved) {
            let wait = Duration::try_from(left).unwrap_or_default();
            return ((known.clone(), false), Some(wait));
        }
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        let going = condition("Progressing", "True", "ReplicaSetUpdated", &message);
        ((going, true), Some(Duration::from_secs(deadline)))
    }
}

/// Notes in a deployment's status that a set was made for it.
pub(super) fn created(status: &mut Value, set: &str) {
    let message = format!("Created new replica set \"{set}\"");
    put(
        status,
        condition("Progressing", "True", "NewReplicaSetCreated", &message),
    );
}

/// Notes in a deployment's status that its set was there already, if nothing is
/// said of its rollout yet.
pub(super) fn found(status: &mut Value, set: &str) {
    if find(status, "Progressing").is_none() {
        let message = format!("Found new replica set \"{set}\"");
        put(
            status,
            condition("Progressing", "True", "FoundNewReplicaSet", &message),
        );
    }
}

fn put(status: &mut Value, condition: Value) {
    let new = merged(status, condition, true);
    let mut all = match status["conditions"].take() {
        Value::Array(all) => all,
        _ => Vec::new(),
    };
    all.retain(|it| it["type"] != new["type"]);
    all.push(new);
    status["conditions"] = Value::Array(all);
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == kind)
}

/// A condition with its times: kept while it says the same, unless `touch`.
fn merged(old: &Value, mut new: Value, touch: bool) -> Value {
    let known = find(old, new["type"].as_str().unwrap_or_default());
    let now = json!(timestamp(Timestamp::now()));
    let same = |field: &str| known.is_some_and(|it| it[field] == new[field]);
    let kept = |field: &str| known.map_or_else(|| now.clone(), |it| it[field].clone());
    let transition = if same("status") {
        kept("lastTransitionTime")
    } else {
        now.clone()
    };
    let said = same("status") && same("reason") && same("message");
    let update = if said && !touch {
        kept("lastUpdateTime")
    } else {
        now.clone()
    };
    new["lastTransitionTime"] = transition;
    new["lastUpdateTime"] = update;
    new
}

//! Disruption budgets: how many pods may be evicted now.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{conditions, owned};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::selector::LabelSelector;
use crate::lab::store::{Key, Store, StoreError};

/// How long an eviction that was allowed may take to show: a pod that is still
/// there after that was not evicted.
const SHOWS_WITHIN: SignedDuration = SignedDuration::from_secs(120);

/// What a budget comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    expected: u64,
    desired: u64,
    healthy: u64,
}

/// Writes what a budget allows now. Says how long to wait for evictions that
/// have not shown yet.
pub fn reconcile(store: &Store, key: &Key, budget: &Value) -> Option<Duration> {
    let pods = selected(store, budget);
    let now = Timestamp::now();
    let (evicted, wait) = still_evicted(&budget["status"]["disruptedPods"], &pods, now);
    let healthy = pods.iter().filter(|pod| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let ending = pod["metadata"]["deletionTimestamp"].is_string();
        !ending && !evicted.contains_key(name) && owned::ready_since(pod).is_some()
    });
    let healthy = healthy.count() as u64;
    let counted = expected(store, budget, &pods);
    if let Err(why) = &counted {
        let note = Note {
            severity: Severity::Warning,
            reason: "CalculateExpectedPodCountFailed",
            message: &format!("Failed to calculate the number of expected pods: {why}"),
            part: "",
        };
        Recorder::new(store.clone(), "controllermanager", None).record(budget, note);
    }
    // Gone in the meantime: nobody asks for its status.
    let _ = store.update_with(key, |budget| {
        let generation = budget["metadata"]["generation"].clone();
        let status = &mut budget["status"];
        let (allowed, reason, message) = match &counted {
            Ok((expected, desired)) => {
                let count = Count {
                    expected: *expected,
                    desired: *desired,
                    healthy,
                };
                let allowed = count.allowed();
                *status = json!({
                    "observedGeneration": generation,
                    "currentHealthy": healthy,
                    "desiredHealthy": desired,
                    "expectedPods": expected,
                    "disruptionsAllowed": allowed,
                    "conditions": status["conditions"].as_array().cloned().unwrap_or_default(),
                });
                if !evicted.is_empty() {
                    status["disruptedPods"] = json!(evicted);
                }
                let reason = if allowed > 0 {
                    "SufficientPods"
                } else {
                    "InsufficientPods"
                };
                (allowed, reason, String::new())
            }
            // What cannot be counted allows nothing.
            Err(why) => {
                for field in ["currentHealthy", "desiredHealthy", "expectedPods"] {
                    if status[field].is_null() {
                        status[field] = json!(0);
                    }
                }
                status["disruptionsAllowed"] = json!(0);
                status["observedGeneration"] = generation.clone();
                (0, "SyncFailed", why.clone())
            }
        };
        let condition = json!({
            "type": "DisruptionAllowed",
            "status": if allowed > 0 { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
        });
        conditions::put(status, &condition);
        Ok::<(), StoreError>(())
    });
    wait
}

impl Count {
    fn allowed(self) -> u64 {
        if self.expected == 0 {
            return 0;
        }
        self.healthy.saturating_sub(self.desired)
    }
}

/// The budgets that mean a pod.
pub fn of_pod(store: &Store, pod: &Value) -> Vec<std::sync::Arc<Value>> {
    let namespace = pod["metadata"]["namespace"].as_str();
    let budgets = store.list(Resource::PodDisruptionBudgets, namespace).items;
    let labels = &pod["metadata"]["labels"];
    let means = |budget: &std::sync::Arc<Value>| {
        let selector = LabelSelector::from_object(&budget["spec"]["selector"]);
        selector.is_some_and(|selector| selector.matches(labels))
    };
    budgets.into_iter().filter(means).collect()
}

fn selected(store: &Store, budget: &Value) -> Vec<std::sync::Arc<Value>> {
    let Some(selector) = LabelSelector::from_object(&budget["spec"]["selector"]) else {
        return Vec::new();
    };
    let pods = store.list(Resource::Pods, budget["metadata"]["namespace"].as_str());
    let meant = pods.items.into_iter();
    meant
        .filter(|pod| selector.matches(&pod["metadata"]["labels"]))
        .collect()
}

/// Evictions that were allowed and have not shown yet, and until when they are
/// believed.
fn still_evicted(
    noted: &Value,
    pods: &[std::sync::Arc<Value>],
    now: Timestamp,
) -> (BTreeMap<String, Value>, Option<Duration>) {
    let mut evicted = BTreeMap::new();
    let mut wait: Option<Duration> = None;
    for (name, at) in noted.as_object().into_iter().flatten() {
        let there = pods.iter().any(|pod| {
            pod["metadata"]["name"] == name.as_str()
                && !pod["metadata"]["deletionTimestamp"].is_string()
        });
        let left = at
            .as_str()
            .and_then(|at| at.parse::<Timestamp>().ok())
            .map(|at| SHOWS_WITHIN - now.duration_since(at))
            .filter(SignedDuration::is_positive);
        if let (true, Some(left)) = (there, left) {
            evicted.insert(name.clone(), at.clone());
            let left = Duration::try_from(left).ok();
            wait = wait.into_iter().chain(left).min();
        }
    }
    (evicted, wait)
}

/// How many pods there should be, and how many of them must stay healthy.
fn expected(
    store: &Store,
    budget: &Value,
    pods: &[std::sync::Arc<Value>],
) -> Result<(u64, u64), String> {
    let spec = &budget["spec"];
    if !spec["maxUnavailable"].is_null() {
        let expected = scale(store, pods)?;
        let spare = share(&spec["maxUnavailable"], expected);
        return Ok((expected, expected.saturating_sub(spare)));
    }
    match &spec["minAvailable"] {
        text @ Value::String(_) => {
            let expected = scale(store, pods)?;
            Ok((expected, share(text, expected)))
        }
        Value::Null => Ok((pods.len() as u64, 0)),
        number => Ok((pods.len() as u64, owned::count(number, 0))),
    }
}

/// A number of pods, or a percentage of them, rounded up as the real
/// controller rounds both.
fn share(value: &Value, of: u64) -> u64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
    match percent.and_then(|text| text.parse::<u64>().ok()) {
        Some(percent) => percent.saturating_mul(of).div_ceil(100),
        None => owned::count(value, 0),
    }
}

/// How many pods the workloads of these pods ask for.
fn scale(store: &Store, pods: &[std::sync::Arc<Value>]) -> Result<u64, String> {
    let mut workloads: BTreeMap<String, u64> = BTreeMap::new();
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let Some(owner) = owned::owners(pod).find(|owner| owner.controller) else {
            return Err(format!("found no controllers for pod {name:?}"));
        };
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let Some(set) = store.get(&Key::new(owner.resource, namespace, &owner.name)) else {
            continue;
        };
        let above = owned::owners(&set).find(|owner| owner.controller);
        let above = above.and_then(|owner| {
            let key = Key::new(owner.resource, namespace, &owner.name);
            Some((owner.resource, store.get(&key)?))
        });
        let (resource, workload) = above.unwrap_or((owner.resource, set));
        let Some(scale) = resource.about().scale else {
            let qualified = resource.qualified();
            return Err(format!(
                "{qualified} does not implement the scale subresource"
            ));
        };
        let uid = workload["metadata"]["uid"].as_str().unwrap_or_default();
        let replicas = owned::count(scale.wanted_of(&workload), 1);
        workloads.insert(uid.to_owned(), replicas);
    }
    Ok(workloads.into_values().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store with a replica set of four pods, of which some are ready.
    fn world(ready: usize) -> Store {
        let store = Store::new(0);
        let set = json!({"metadata": {"name": "web", "namespace": "d"}, "spec": {"replicas": 4}});
        let set = store.create(Resource::ReplicaSets, set).unwrap();
        for index in 0..4 {
            let status = if index < ready { "True" } else { "False" };
            let pod = json!({
                "metadata": {
                    "name": format!("web-{index}"), "namespace": "d", "labels": {"app": "web"},
                    "ownerReferences": [owned::reference(&set)],
                },
                "status": {"conditions": [{"type": "Ready", "status": status}]},
            });
            store.create(Resource::Pods, pod).unwrap();
        }
        store
    }

    fn status(store: &Store, rule: &Value) -> Value {
        let mut budget = json!({"metadata": {"name": "b", "namespace": "d"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}}});
        json_patch::merge(&mut budget["spec"], rule);
        let budget = store
            .create(Resource::PodDisruptionBudgets, budget)
            .unwrap();
        let key = Key::of(Resource::PodDisruptionBudgets, &budget);
        reconcile(store, &key, &budget);
        let status = store.get(&key).unwrap()["status"].clone();
        store.remove(&key, None);
        status
    }

    #[test]
    fn numbers_and_percentages_say_how_many_must_stay() {
        let store = world(4);
        for (rule, desired, allowed) in [
            (json!({"minAvailable": 3}), 3, 1),
            (json!({"minAvailable": "50%"}), 2, 2),
            (json!({"minAvailable": "51%"}), 3, 1),
            (json!({"maxUnavailable": 1}), 3, 1),
            (json!({"maxUnavailable": "30%"}), 2, 2),
            (json!({"maxUnavailable": 0}), 4, 0),
            (json!({"minAvailable": 9}), 9, 0),
        ] {
            let status = status(&store, &rule);
            assert_eq!(status["desiredHealthy"], desired, "{rule}");
            assert_eq!(status["disruptionsAllowed"], allowed, "{rule}");
            assert_eq!(status["expectedPods"], 4, "{rule}");
            let reason = &status["conditions"][0]["reason"];
            let sufficient = if allowed > 0 {
                "SufficientPods"
            } else {
                "InsufficientPods"
            };
            assert_eq!(reason, sufficient, "{rule}");
        }
    }

    #[test]
    fn pods_that_are_not_ready_are_not_healthy() {
        let status = status(&world(2), &json!({"minAvailable": 2}));
        assert_eq!(status["currentHealthy"], 2);
        assert_eq!(status["disruptionsAllowed"], 0);
    }

    #[test]
    fn a_pod_of_nobody_cannot_be_a_share() {
        let store = world(4);
        let lone =
            json!({"metadata": {"name": "lone", "namespace": "d", "labels": {"app": "web"}}});
        store.create(Resource::Pods, lone).unwrap();
        let share = status(&store, &json!({"maxUnavailable": 1}));
        assert_eq!(share["conditions"][0]["reason"], "SyncFailed");
        assert_eq!(share["disruptionsAllowed"], 0);
        let number = status(&store, &json!({"minAvailable": 1}));
        assert_eq!(number["expectedPods"], 5);
    }

    #[test]
    fn an_eviction_counts_before_it_shows_but_not_for_ever() {
        let store = world(4);
        let pods = store.list(Resource::Pods, None).items;
        let now = Timestamp::now();
        let at = |seconds| {
            let at = now - SignedDuration::from_secs(seconds);
            json!(crate::lab::store::timestamp(at))
        };
        let noted = json!({"web-0": at(1), "web-1": at(500), "gone": at(1)});
        let (evicted, wait) = still_evicted(&noted, &pods, now);
        assert_eq!(evicted.into_keys().collect::<Vec<_>>(), ["web-0"]);
        assert!(wait.is_some_and(|wait| wait < Duration::from_secs(121)));
    }
}

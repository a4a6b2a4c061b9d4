//! Room for a pod of higher priority: which pods of lower priority go for it.
//!
//! As the real scheduler has it: on a node where the pod would fit if all pods of
//! lower priority were gone, as many as possible of them stay, those first whose
//! budget allows no disruption, and of several nodes the one whose victims matter
//! least. The pod is nominated for the node, and nobody of a lower priority takes
//! the room meanwhile.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Cluster, NAME, name};
use crate::lab::controllers::{conditions, disruption};
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// A node, and who goes from it.
#[derive(Debug)]
struct Room {
    node: String,
    victims: Vec<Arc<Value>>,
}

/// A pod that waits for its victims to end, on the node that it is nominated for,
/// if it matters at least as much as another that looks for a place.
pub fn reserved(waiting: &Arc<Value>, other: &Value) -> Option<Arc<Value>> {
    let node = waiting["status"]["nominatedNodeName"].as_str()?;
    let ends = waiting["metadata"]["deletionTimestamp"].is_string();
    let same = waiting["metadata"]["uid"] == other["metadata"]["uid"];
    if node.is_empty() || ends || same || priority(waiting) < priority(other) {
        return None;
    }
    let mut placed = Value::clone(waiting);
    placed["spec"]["nodeName"] = json!(node);
    Some(Arc::new(placed))
}

/// Makes room for a pod that nothing takes, if that can be. Gives the sentence
/// that says why it waits, which begins as the one that is given.
pub fn attempt(store: &Store, key: &Key, pod: &Value, cluster: &Cluster, why: String) -> String {
    let Some((refusals, _)) = why.split_once(" preemption: ") else {
        return why;
    };
    if let Some(reason) = not_eligible(cluster, pod) {
        return format!("{refusals} preemption: {reason}");
    }
    match find(cluster, pod, &|it| is_guarded(store, it)) {
        Some(room) => {
            make(store, key, pod, &room);
            refusals.to_owned()
        }
        None => why,
    }
}

/// How much a pod matters.
fn priority(pod: &Value) -> i64 {
    pod["spec"]["priority"].as_i64().unwrap_or(0)
}

/// Why a pod may not make others go, in the words of the real scheduler.
fn not_eligible(cluster: &Cluster, pod: &Value) -> Option<&'static str> {
    if pod["spec"]["preemptionPolicy"] == "Never" {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = &pod["status"]["nominatedNodeName"];
    let makes_room = cluster.pods.iter().any(|it| {
        nominated.is_string()
            && it["spec"]["nodeName"] == *nominated
            && it["metadata"]["deletionTimestamp"].is_string()
            && priority(it) < priority(pod)
    });
    makes_room.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The best room that can be made for a pod. A pod is `guarded` that is not to be
/// disrupted.
fn find(cluster: &Cluster, pod: &Value, guarded: &dyn Fn(&Value) -> bool) -> Option<Room> {
    let own = priority(pod);
    if cluster.pods.iter().all(|it| priority(it) >= own) {
        return None;
    }
    let rooms = cluster.nodes.iter().filter_map(|node| {
        let hopeless = cluster.refusals(node, pod).iter().any(|it| it.hopeless);
        let victims = (!hopeless).then(|| victims(cluster, node, pod, guarded))??;
        let node = name(node).to_owned();
        Some(Room { node, victims })
    });
    rooms.min_by_key(|room| {
        let all = || room.victims.iter();
        (
            all().filter(|it| guarded(it)).count(),
            all().map(|it| priority(it)).max(),
            all().map(|it| priority(it)).sum::<i64>(),
            all().count(),
        )
    })
}

/// As few pods as must go from a node for the pod to fit; none if that does not
/// help.
fn victims(
    cluster: &Cluster,
    node: &Value,
    pod: &Value,
    guarded: &dyn Fn(&Value) -> bool,
) -> Option<Vec<Arc<Value>>> {
    let goes =
        |it: &Arc<Value>| it["spec"]["nodeName"] == name(node) && priority(it) < priority(pod);
    let (mut lower, stay): (Vec<_>, Vec<_>) = cluster.pods.iter().cloned().partition(goes);
    let mut without = Cluster {
        nodes: cluster.nodes.clone(),
        pods: stay,
        namespaces: cluster.namespaces.clone(),
    };
    if lower.is_empty() || !without.refusals(node, pod).is_empty() {
        return None;
    }
    // Whoever matters most, and has run longest, is the first to be spared.
    lower.sort_by_key(|it| {
        let since = it["status"]["startTime"].as_str().unwrap_or("~").to_owned();
        (Reverse(guarded(it)), Reverse(priority(it)), since)
    });
    let mut victims = Vec::new();
    for it in lower {
        without.pods.push(it);
        if !without.refusals(node, pod).is_empty() {
            victims.extend(without.pods.pop());
        }
    }
    Some(victims)
}

/// Makes the room: the victims go, and the pod is nominated.
fn make(store: &Store, key: &Key, pod: &Value, room: &Room) {
    let recorder = Recorder::new(store.clone(), NAME, None);
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    for victim in &room.victims {
        let its = Key::of(Resource::Pods, victim);
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": format!("{NAME}: preempting to accommodate a higher priority pod"),
        });
        // Gone in the meantime: that is what it was to be.
        let _ = store.update_with(&its, |victim| {
            conditions::put(&mut victim["status"], &condition);
            Ok::<(), StoreError>(())
        });
        let text = format!("Preempted by pod {uid} on node {}", room.node);
        recorder.normal(victim, "Preempted", &text);
        let this = Deletion {
            uid: victim["metadata"]["uid"].as_str().map(str::to_owned),
            ..Deletion::default()
        };
        let _ = store.delete(&its, &this);
    }
    let _ = store.update_with(key, |pod| {
        pod["status"]["nominatedNodeName"] = json!(room.node);
        Ok::<(), StoreError>(())
    });
}

/// Whether a budget of a pod allows no disruption.
fn is_guarded(store: &Store, pod: &Value) -> bool {
    let budgets = disruption::of_pod(store, pod);
    budgets
        .iter()
        .any(|budget| budget["status"]["disruptionsAllowed"] == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::controllers::world::World;

    fn asking(name: &str, cpu: &str, class: &str) -> Value {
        json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "priorityClassName": class,
                "containers": [{"name": "c", "image": "i",
                    "resources": {"requests": {"cpu": cpu}}}],
            },
        })
    }

    fn message(world: &World, pod: &str) -> String {
        let pod = world.get(Resource::Pods, pod);
        let condition = conditions::find(&pod["status"], "PodScheduled");
        let message = condition.and_then(|it| it["message"].as_str());
        message.unwrap_or_default().to_owned()
    }

    /// A world whose node has 64 processors, and these pods on it.
    async fn world(pods: &[(&str, &str, &str)]) -> World {
        let world = World::start();
        for (name, value) in [("low", 1), ("middle", 10), ("high", 100)] {
            let class = json!({"metadata": {"name": name}, "value": value});
            world.create(Resource::PriorityClasses, class);
        }
        for (name, cpu, class) in pods {
            world.create(Resource::Pods, asking(name, cpu, class));
            world
                .until("it has a node", |it| {
                    it.get(Resource::Pods, name)["spec"]["nodeName"] == "n"
                })
                .await;
        }
        world
    }

    fn ends(world: &World, pod: &str) -> bool {
        world.get(Resource::Pods, pod)["metadata"]["deletionTimestamp"].is_string()
    }

    #[tokio::test]
    async fn as_few_go_as_must_and_nobody_takes_the_room() {
        let world = world(&[
            ("a", "30", "low"),
            ("b", "20", "low"),
            ("c", "14", "middle"),
        ])
        .await;
        world.create(Resource::Pods, asking("urgent", "25", "high"));
        world.until("a ends", |it| ends(it, "a")).await;
        assert!(!ends(&world, "b") && !ends(&world, "c"));
        let a = world.get(Resource::Pods, "a");
        let target = conditions::find(&a["status"], "DisruptionTarget").unwrap();
        assert_eq!(target["reason"], "PreemptionByScheduler");
        world
            .until("nominated", |it| {
                it.get(Resource::Pods, "urgent")["status"]["nominatedNodeName"] == "n"
            })
            .await;
        world
            .until("it waits for the end", |it| {
                message(it, "urgent")
                    == "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible \
                        due to a terminating pod on the nominated node."
            })
            .await;
        assert!(!ends(&world, "b") && !ends(&world, "c"));
        // Who comes in the place of the one that went finds it taken.
        world.create(Resource::Pods, asking("d", "30", "low"));
        world.store.ended(&Key::of(Resource::Pods, &a), None);
        world
            .until("it has its place", |it| {
                it.get(Resource::Pods, "urgent")["spec"]["nodeName"] == "n"
            })
            .await;
        let none = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are \
                    available: 1 No preemption victims found for incoming pod.";
        world
            .until("there is none left", |it| message(it, "d") == none)
            .await;
    }

    #[tokio::test]
    async fn who_is_guarded_goes_last_and_who_may_not_push_waits() {
        let world = world(&[("a", "32", "low"), ("b", "32", "low")]).await;
        let budget = json!({
            "metadata": {"name": "a"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}},
        });
        world.create(Resource::PodDisruptionBudgets, budget);
        world
            .until("the budget allows nothing", |it| {
                let budget = it.get(Resource::PodDisruptionBudgets, "a");
                budget["status"]["disruptionsAllowed"] == 0
            })
            .await;
        let mut polite = asking("polite", "32", "high");
        polite["spec"]["preemptionPolicy"] = json!("Never");
        world.create(Resource::Pods, polite);
        world
            .until("it waits", |it| {
                message(it, "polite").ends_with("not eligible due to preemptionPolicy=Never.")
            })
            .await;
        world.create(Resource::Pods, asking("urgent", "32", "high"));
        world.until("b ends", |it| ends(it, "b")).await;
        assert!(!ends(&world, "a"));
    }
}

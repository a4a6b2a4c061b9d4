//! The scheduler: gives each pod to a node.
//!
//! A node that cannot take the pod falls out by the first rule that says so,
//! in the order of the real scheduler and in its words. Of those that are left
//! the best takes it: first one without taints that would rather have others,
//! then by what the pod prefers, then the one with the fewest pods of the same
//! owner, then with the fewest pods. A pod for which there is no place makes
//! others of lower priority go, if that helps; else it waits until
//! something changes, and so does one whose claims have no volumes yet.

mod affinity;
mod between;
mod fit;
mod preempt;
mod spread;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::taints::{self, NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE, UNSCHEDULABLE};
use super::{conditions, owned};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::{Change, Key, Store, StoreError, WatchEvent};
use volumes::Claims;

/// Who binds pods, unless they ask for somebody else.
const NAME: &str = "default-scheduler";

/// Gives a pod that has no node to the best of those that take it. Says whether
/// it waits for one.
pub fn schedule(store: &Store, key: &Key, pod: &Value) -> bool {
    let placed = pod["spec"]["nodeName"]
        .as_str()
        .is_some_and(|it| !it.is_empty());
    let other = pod["spec"]["schedulerName"]
        .as_str()
        .is_some_and(|it| it != NAME);
    if placed || other || pod["metadata"]["deletionTimestamp"].is_string() {
        return false;
    }
    let cluster = Cluster::of(store, pod);
    let recorder = Recorder::new(store.clone(), NAME, None);
    let claims = volumes::claims(store, &key.namespace, pod);
    match cluster.place_with(pod, &claims) {
        Ok(name) => {
            if let Claims::Delayed(claims) = claims {
                volumes::select(store, &claims, &name);
                return true;
            }
            let bound = store.update_with(key, |pod| {
                pod["spec"]["nodeName"] = json!(name);
                let scheduled = json!({"type": "PodScheduled", "status": "True"});
                conditions::put(&mut pod["status"], &scheduled);
                Ok::<(), StoreError>(())
            });
            if bound.is_ok() {
                let (namespace, pod_name) = (&key.namespace, &key.name);
                let message = format!("Successfully assigned {namespace}/{pod_name} to {name}");
                recorder.normal(pod, "Scheduled", &message);
            }
            false
        }
        Err(why) => {
            let why = match claims {
                Claims::Hopeless(_) => why,
                _ => preempt::attempt(store, key, pod, &cluster, why),
            };
            let before = conditions::find(&pod["status"], "PodScheduled");
            let known = before.is_some_and(|it| it["message"] == why.as_str());
            // Gone in the meantime: it waits no more.
            let _ = store.update_with(key, |pod| {
                let condition = json!({
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": why,
                });
                conditions::put(&mut pod["status"], &condition);
                Ok::<(), StoreError>(())
            });
            if !known {
                let note = Note {
                    severity: Severity::Warning,
                    reason: "FailedScheduling",
                    message: &why,
                    part: "",
                };
                recorder.record(pod, note);
            }
            true
        }
    }
}

/// Whether a change of a pod may make room for another one, or company.
pub fn matters(event: &WatchEvent) -> bool {
    let Some(before) = &event.previous else {
        return false;
    };
    let now = &event.object;
    event.change == Change::Deleted
        || before["spec"]["nodeName"] != now["spec"]["nodeName"]
        || before["metadata"]["labels"] != now["metadata"]["labels"]
        || before["status"]["phase"] != now["status"]["phase"]
        || before["metadata"]["deletionTimestamp"] != now["metadata"]["deletionTimestamp"]
}

/// Why a node does not take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    /// In the words of the real scheduler.
    why: String,
    /// Whether fewer pods on it would not help either.
    hopeless: bool,
}

impl Refusal {
    /// It would help if there were fewer pods.
    fn for_now(why: impl Into<String>) -> Vec<Self> {
        let why = why.into();
        vec![Self {
            why,
            hopeless: false,
        }]
    }

    /// It would not.
    fn for_good(why: impl Into<String>) -> Vec<Self> {
        let why = why.into();
        vec![Self {
            why,
            hopeless: true,
        }]
    }
}

/// What the scheduler knows.
struct Cluster {
    nodes: Vec<Arc<Value>>,
    /// Pods that have a node, or are to have it before the pod that is looked at,
    /// and have not ended.
    pods: Vec<Arc<Value>>,
    namespaces: Vec<Arc<Value>>,
}

impl Cluster {
    /// What there is, as it looks to a pod.
    fn of(store: &Store, pod: &Value) -> Self {
        let list = |resource| store.list(resource, None).items;
        let pods = list(Resource::Pods).into_iter().filter_map(|it| {
            let over = ["Succeeded", "Failed"]
                .iter()
                .any(|phase| it["status"]["phase"] == *phase);
            let node = it["spec"]["nodeName"].as_str().unwrap_or_default();
            match (over, node) {
                (true, _) => None,
                (false, "") => preempt::reserved(&it, pod),
                (false, _) => Some(it),
            }
        });
        Self {
            pods: pods.collect(),
            nodes: list(Resource::Nodes),
            namespaces: list(Resource::Namespaces),
        }
    }

    /// As [`place`](Self::place), for a pod with such claims.
    fn place_with(&self, pod: &Value, claims: &Claims) -> Result<String, String> {
        match claims {
            Claims::Hopeless(why) if !self.nodes.is_empty() => {
                let nodes = self.nodes.len();
                Err(format!(
                    "0/{nodes} nodes are available: {why}. preemption: 0/{nodes} nodes are \
                     available: {nodes} Preemption is not helpful for scheduling."
                ))
            }
            _ => self.place(pod),
        }
    }

    /// The node for a pod, or why there is none.
    fn place(&self, pod: &Value) -> Result<String, String> {
        if self.nodes.is_empty() {
            return Err("no nodes available to schedule pods".to_owned());
        }
        let mut refusals = Vec::new();
        let mut best = None;
        for node in &self.nodes {
            let refused = self.refusals(node, pod);
            if refused.is_empty() {
                let rank = self.rank(node, pod);
                if best.as_ref().is_none_or(|(known, _)| rank > *known) {
                    best = Some((rank, node));
                }
            } else {
                refusals.push(refused);
            }
        }
        match best {
            Some((_, node)) => Ok(name(node).to_owned()),
            None => Err(explain(self.nodes.len(), &refusals)),
        }
    }

    /// Why a node does not take a pod; nothing when it does.
    fn refusals(&self, node: &Value, pod: &Value) -> Vec<Refusal> {
        let rules: [&dyn Fn() -> Vec<Refusal>; 7] = [
            &|| cordon(node, pod),
            &|| taint(node, pod),
            &|| affinity::refusal(node, pod),
            &|| fit::ports(node, pod, &self.pods),
            &|| fit::refusal(node, pod, &self.pods),
            &|| spread::refusal(node, pod, self),
            &|| between::refusal(node, pod, self),
        ];
        let found = rules.iter().map(|rule| rule());
        found
            .into_iter()
            .find(|it| !it.is_empty())
            .unwrap_or_default()
    }

    /// How good a node is for a pod; the greatest takes it.
    fn rank(&self, node: &Value, pod: &Value) -> impl Ord + use<> {
        let here = || {
            self.pods
                .iter()
                .filter(|it| it["spec"]["nodeName"] == name(node))
        };
        let owner = owned::owners(pod).find(|it| it.controller);
        let siblings = here().filter(|it| {
            let its = owned::owners(it).find(|it| it.controller);
            owner.is_some() && its == owner
        });
        let minus = |count: usize| -(count as i64);
        (
            minus(taints::untolerated(node, pod, &[PREFER_NO_SCHEDULE]).count()),
            affinity::preference(node, pod) + between::preference(node, pod, self),
            minus(spread::excess(node, pod, self)),
            minus(siblings.count()),
            minus(here().filter(|it| owned::is_active(it)).count()),
        )
    }
}

/// A cordoned node takes who tolerates even that.
fn cordon(node: &Value, pod: &Value) -> Vec<Refusal> {
    let as_taint = json!({"key": UNSCHEDULABLE, "effect": NO_SCHEDULE});
    if node["spec"]["unschedulable"] == true && !taints::tolerates(pod, &as_taint) {
        return Refusal::for_good("node(s) were unschedulable");
    }
    Vec::new()
}

fn taint(node: &Value, pod: &Value) -> Vec<Refusal> {
    let mut untolerated = taints::untolerated(node, pod, &[NO_SCHEDULE, NO_EXECUTE]);
    let Some(taint) = untolerated.next() else {
        return Vec::new();
    };
    let text = |field: &str| taint[field].as_str().unwrap_or_default();
    Refusal::for_good(format!(
        "node(s) had untolerated taint {{{}: {}}}",
        text("key"),
        text("value")
    ))
}

/// The sentence that says why no node takes a pod: how many for which reason.
fn explain(nodes: usize, refusals: &[Vec<Refusal>]) -> String {
    let reasons = refusals.iter().flatten().map(|it| it.why.as_str());
    let hopeless = |refused: &[Refusal]| refused.iter().any(|it| it.hopeless);
    let preemption = refusals.iter().map(|refused| {
        if hopeless(refused) {
            "Preemption is not helpful for scheduling"
        } else {
            "No preemption victims found for incoming pod"
        }
    });
    format!(
        "0/{nodes} nodes are available: {}. preemption: 0/{nodes} nodes are available: {}.",
        counted(reasons),
        counted(preemption)
    )
}

/// `1 this, 2 that`, in the order of the words.
fn counted<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut all: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    all.sort_unstable();
    all.join(", ")
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The value of a label of a node, or nothing.
fn label<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node["metadata"]["labels"].get(key)?.as_str()
}

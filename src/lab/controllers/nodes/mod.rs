//! Nodes: who is alive, and what becomes of the pods of who is not.
//!
//! A kubelet tells that it is alive by its lease and its node's status. Of one
//! that has been silent for too long nothing is known any more, and the node
//! says so; its conditions become taints, and the taints send pods away as these
//! tolerate it ([`evict`]). What nobody can finish any more is put away
//! ([`gone`]).
//!
//! As in Kubernetes, nobody is sent away while no node at all is ready, nor out
//! of a zone in which more than two nodes and most of them are not: it is more
//! likely then that the cluster is wrong than that all of them are dead. Unlike
//! there, nodes are not tainted one in ten seconds, but all at once.

pub mod evict;
pub mod gone;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::conditions;
use super::taints::{self, NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, UNSCHEDULABLE};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::{Key, Store, StoreError, timestamp};

/// How long a node may be silent; the real default since Kubernetes 1.32.
pub const GRACE: Duration = Duration::from_secs(50);

/// How long a node that never said anything may take to; the real default.
const STARTUP: Duration = Duration::from_mins(1);

/// Namespace of the leases that nodes renew.
const LEASES: &str = "kube-node-lease";

/// Share of the nodes of a zone from which on its evictions stop; the real
/// default.
const UNHEALTHY: f64 = 0.55;

/// Label of a node: where it stands.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The name under which it records events.
const COMPONENT: &str = "node-controller";

/// Conditions that a kubelet posts, and the taint of each when it holds.
const PRESSURES: [(&str, &str); 3] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
];

/// What is known of one node.
#[derive(Debug)]
struct Known {
    /// What it said last, and when that was heard.
    word: String,
    heard: Instant,
    /// Whether it was ready when it was looked at last.
    ready: bool,
    /// Taints that send pods away, and since when.
    sends_away: Vec<(Value, Instant)>,
}

/// Watches over the nodes.
#[derive(Debug)]
pub struct Monitor {
    grace: Duration,
    known: HashMap<String, Known>,
    /// Pods that are to leave, for telling when they need not.
    leaving: BTreeSet<Key>,
    /// Nodes that pods name and that are not there, and since when.
    missing: HashMap<String, Instant>,
}

impl Monitor {
    /// Takes a node that has been silent for `grace` for dead.
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            known: HashMap::new(),
            leaving: BTreeSet::new(),
            missing: HashMap::new(),
        }
    }

    /// Looks at a node. Says when to look again if it says nothing until then.
    pub fn reconcile(&mut self, store: &Store, key: &Key, node: &Value) -> Option<Duration> {
        let now = Instant::now();
        self.missing.remove(&key.name);
        let silent = now - self.hear(store, key, node, now);
        let entitled = if conditions::find(&node["status"], "Ready").is_some() {
            self.grace
        } else {
            STARTUP
        };
        let wait = entitled.saturating_sub(silent);
        let all = store.list(Resource::Nodes, None).items;
        if wait.is_zero() {
            // Nodes that fell silent together count together, whoever of them is
            // looked at first.
            for other in &all {
                self.hear(store, &Key::of(Resource::Nodes, other), other, now);
            }
        }
        let ready = |it: &Value| is_ready(it) && !self.is_silent(it, now);
        let sends_away = may_send_away(&all, node, ready);
        let written = store.update_with(key, |node| {
            if wait.is_zero() {
                nothing_is_known(node);
            }
            taint(node, sends_away);
            Ok::<(), StoreError>(())
        });
        let Ok(node) = written else {
            return None;
        };
        self.note(store, key, &node, now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Whether a node that is known has been silent for too long.
    fn is_silent(&self, node: &Value, now: Instant) -> bool {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let known = self.known.get(name);
        known.is_some_and(|known| now - known.heard >= self.grace)
    }

    /// Notes what a node says; gives when it said something new.
    fn hear(&mut self, store: &Store, key: &Key, node: &Value, now: Instant) -> Instant {
        let word = word(store, key, node);
        if let Some(known) = self.known.get_mut(&key.name) {
            if known.word != word {
                known.word = word;
                known.heard = now;
            }
            return known.heard;
        }
        let text = format!(
            "Node {0} event: Registered Node {0} in Controller",
            key.name
        );
        Recorder::new(store.clone(), COMPONENT, None).normal(node, "RegisteredNode", &text);
        let known = Known {
            word,
            heard: now,
            ready: is_ready(node),
            sends_away: Vec::new(),
        };
        self.known.insert(key.name.clone(), known);
        now
    }

    /// Notes how a node is now, and tells its pods when it has become unready.
    fn note(&mut self, store: &Store, key: &Key, node: &Value, now: Instant) {
        let Some(known) = self.known.get_mut(&key.name) else {
            return;
        };
        let before = std::mem::take(&mut known.sends_away);
        let same = |one: &Value, other: &Value| {
            ["key", "value", "effect"]
                .iter()
                .all(|field| one[*field] == other[*field])
        };
        let taints = taints::taints(node).iter();
        known.sends_away = taints
            .filter(|taint| taint["effect"] == NO_EXECUTE)
            .map(|taint| {
                let since = before.iter().find(|(old, _)| same(old, taint));
                (taint.clone(), since.map_or(now, |(_, since)| *since))
            })
            .collect();
        let ready = is_ready(node);
        if std::mem::replace(&mut known.ready, ready) && !ready {
            let text = format!("Node {} status is now: NodeNotReady", key.name);
            Recorder::new(store.clone(), COMPONENT, None).normal(node, "NodeNotReady", &text);
            pods_are_not_ready(store, &key.name);
        }
    }

    /// Forgets a node that is not there any more, with its lease.
    pub fn node_gone(&mut self, store: &Store, key: &Key) {
        if self.known.remove(&key.name).is_none() {
            return;
        }
        store.remove(&Key::new(Resource::Leases, LEASES, &key.name), None);
        let text = format!(
            "Node {0} event: Removing Node {0} from Controller",
            key.name
        );
        let about = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": key.name}});
        Recorder::new(store.clone(), COMPONENT, None).normal(&about, "RemovingNode", &text);
    }
}

/// The node whose lease that is, if it is one.
pub fn of_lease(lease: &Key) -> Option<Key> {
    (lease.namespace == LEASES).then(|| Key::new(Resource::Nodes, "", &lease.name))
}

/// Whether between two states of a node something has changed that matters to
/// pods: heartbeats do not.
pub fn matters(before: Option<&Value>, now: &Value) -> bool {
    let Some(before) = before else { return true };
    let states = |node: &Value| {
        let all = node["status"]["conditions"].as_array();
        let all = all.into_iter().flatten();
        all.map(|it| (it["type"].to_string(), it["status"].to_string()))
            .collect::<BTreeSet<_>>()
    };
    before["spec"] != now["spec"]
        || before["metadata"]["labels"] != now["metadata"]["labels"]
        || before["status"]["allocatable"] != now["status"]["allocatable"]
        || states(before) != states(now)
}

/// Whether a node says, and is believed, that it is ready.
pub fn is_ready(node: &Value) -> bool {
    conditions::find(&node["status"], "Ready").is_some_and(|it| it["status"] == "True")
}

/// What a node said last: it is another with every heartbeat.
fn word(store: &Store, key: &Key, node: &Value) -> String {
    let lease = store.get(&Key::new(Resource::Leases, LEASES, &key.name));
    let ready = conditions::find(&node["status"], "Ready");
    format!(
        "{} {}",
        lease
            .map(|it| it["spec"]["renewTime"].to_string())
            .unwrap_or_default(),
        ready
            .map(|it| it["lastHeartbeatTime"].to_string())
            .unwrap_or_default(),
    )
}

/// Writes into a node that nothing is known of it any more. When it was heard of
/// last stays.
fn nothing_is_known(node: &mut Value) {
    let created = node["metadata"]["creationTimestamp"].clone();
    let kinds = PRESSURES.iter().map(|(kind, _)| *kind);
    for kind in std::iter::once("Ready").chain(kinds) {
        let known = conditions::find(&node["status"], kind);
        if known.is_some_and(|it| it["status"] == "Unknown") {
            continue;
        }
        let (reason, message, heard) = match known {
            Some(known) => (
                "NodeStatusUnknown",
                "Kubelet stopped posting node status.",
                known["lastHeartbeatTime"].clone(),
            ),
            None => (
                "NodeStatusNeverUpdated",
                "Kubelet never posted node status.",
                created.clone(),
            ),
        };
        let unknown = json!({
            "type": kind,
            "status": "Unknown",
            "lastHeartbeatTime": heard,
            "reason": reason,
            "message": message,
        });
        conditions::put(&mut node["status"], &unknown);
    }
}

/// Puts the taints on a node that its conditions ask for, and takes away those
/// that they do not ask for any more. Others stay as they are.
fn taint(node: &mut Value, sends_away: bool) {
    let ready = conditions::find(&node["status"], "Ready").map(|it| it["status"].clone());
    let state = match ready.as_ref().and_then(Value::as_str) {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        _ => Some(NOT_READY),
    };
    let mut wanted: Vec<(&str, &str)> = state.map(|key| (key, NO_SCHEDULE)).into_iter().collect();
    for (kind, key) in PRESSURES {
        let pressure = conditions::find(&node["status"], kind);
        if pressure.is_some_and(|it| it["status"] == "True") {
            wanted.push((key, NO_SCHEDULE));
        }
    }
    if node["spec"]["unschedulable"] == true {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    // Before it has ever said anything there is nobody to send away.
    if let Some(key) = state.filter(|_| sends_away && ready.is_some()) {
        wanted.push((key, NO_EXECUTE));
    }
    let ours = |taint: &Value| {
        let key = taint["key"].as_str().unwrap_or_default();
        let of_state = [NOT_READY, UNREACHABLE].contains(&key);
        match taint["effect"].as_str() {
            Some(NO_EXECUTE) => of_state,
            Some(NO_SCHEDULE) => {
                of_state || key == UNSCHEDULABLE || PRESSURES.iter().any(|(_, it)| *it == key)
            }
            _ => false,
        }
    };
    let is = |taint: &Value, (key, effect): (&str, &str)| {
        taint["key"] == key && taint["effect"] == effect
    };
    let before = taints::taints(node).to_vec();
    let kept = before
        .iter()
        .filter(|taint| !ours(taint) || wanted.iter().any(|it| is(taint, *it)));
    let mut all: Vec<Value> = kept.cloned().collect();
    for one in wanted {
        if !all.iter().any(|taint| is(taint, one)) {
            let now = timestamp(Timestamp::now());
            all.push(json!({"key": one.0, "effect": one.1, "timeAdded": now}));
        }
    }
    if all != before {
        if all.is_empty() {
            if let Some(spec) = node["spec"].as_object_mut() {
                spec.remove("taints");
            }
        } else {
            node["spec"]["taints"] = Value::Array(all);
        }
    }
}

/// Whether pods may be sent away from a node, seen how all nodes are.
fn may_send_away(all: &[Arc<Value>], node: &Value, ready: impl Fn(&Value) -> bool) -> bool {
    let zone = |node: &Value| node["metadata"]["labels"][ZONE].clone();
    let here: Vec<bool> = all
        .iter()
        .filter(|it| zone(it) == zone(node))
        .map(|it| ready(it))
        .collect();
    let down = here.iter().filter(|ready| !**ready).count();
    let partly = down < here.len() && down > 2 && down as f64 / here.len() as f64 >= UNHEALTHY;
    !partly && all.iter().any(|it| ready(it))
}

/// Tells the cluster that the pods of a node are not ready, because the node is
/// not: their kubelet cannot.
fn pods_are_not_ready(store: &Store, node: &str) {
    let recorder = Recorder::new(store.clone(), COMPONENT, None);
    for pod in store.list(Resource::Pods, None).items {
        if pod["spec"]["nodeName"] != node {
            continue;
        }
        // Gone in the meantime: it is not ready either.
        let _ = store.update_with(&Key::of(Resource::Pods, &pod), |pod| {
            let ready = conditions::find(&pod["status"], "Ready").cloned();
            if let Some(mut ready) = ready.filter(|it| it["status"] == "True") {
                ready["status"] = json!("False");
                conditions::put(&mut pod["status"], &ready);
            }
            Ok::<(), StoreError>(())
        });
        let note = Note {
            severity: Severity::Warning,
            reason: "NodeNotReady",
            message: "Node is not ready",
            part: "",
        };
        recorder.record(&pod, note);
    }
}

#[cfg(test)]
mod tests;

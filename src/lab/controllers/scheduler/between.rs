//! Which other pods a pod wants near it, or not.

use serde_json::Value;

use super::{Cluster, Refusal, label, name};
use crate::lab::selector::LabelSelector;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Why a pod cannot be with, or cannot be without, the pods near a node.
pub fn refusal(node: &Value, pod: &Value, cluster: &Cluster) -> Vec<Refusal> {
    let near = |term: &Value| cluster.near(node, pod, term);
    let affinity = &pod["spec"]["affinity"];
    // The first of a group that wants to be together may be anywhere where there
    // is the kind of place at all.
    let first = |term: &Value| {
        let place = term["topologyKey"].as_str().unwrap_or_default();
        label(node, place).is_some()
            && meant(pod, pod, term, cluster)
            && !cluster.anywhere(pod, term)
    };
    if !terms(&affinity["podAffinity"], REQUIRED).all(|term| near(term) > 0 || first(term)) {
        return Refusal::for_good("node(s) didn't match pod affinity rules");
    }
    if terms(&affinity["podAntiAffinity"], REQUIRED).any(|term| near(term) > 0) {
        return Refusal::for_now("node(s) didn't match pod anti-affinity rules");
    }
    if cluster.is_shunned(node, pod) {
        return Refusal::for_now("node(s) didn't satisfy existing pods anti-affinity rules");
    }
    Vec::new()
}

/// How much a pod would like to be near the pods that are near a node.
pub fn preference(node: &Value, pod: &Value, cluster: &Cluster) -> i64 {
    let affinity = &pod["spec"]["affinity"];
    let weigh = |kind: &str| -> i64 {
        let weighed = terms(&affinity[kind], PREFERRED).map(|it| {
            let count = cluster.near(node, pod, &it["podAffinityTerm"]) as i64;
            it["weight"].as_i64().unwrap_or(0) * count
        });
        weighed.sum()
    };
    weigh("podAffinity") - weigh("podAntiAffinity")
}

fn terms<'a>(affinity: &'a Value, when: &str) -> impl Iterator<Item = &'a Value> {
    affinity[when].as_array().into_iter().flatten()
}

/// Whether a term of the pod `of` means `other`.
fn meant(of: &Value, other: &Value, term: &Value, cluster: &Cluster) -> bool {
    let namespace = &other["metadata"]["namespace"];
    let listed = term["namespaces"].as_array().filter(|it| !it.is_empty());
    let selector = LabelSelector::from_object(&term["namespaceSelector"]);
    let here = match (&listed, &selector) {
        (None, None) => *namespace == of["metadata"]["namespace"],
        _ => {
            let all = &cluster.namespaces;
            let theirs = all.iter().find(|it| it["metadata"]["name"] == *namespace);
            let labels = theirs.map(|it| &it["metadata"]["labels"]);
            listed.is_some_and(|it| it.contains(namespace))
                || selector.is_some_and(|it| it.matches(labels.unwrap_or(&Value::Null)))
        }
    };
    let pods = LabelSelector::from_object(&term["labelSelector"]);
    here && pods.is_some_and(|it| it.matches(&other["metadata"]["labels"]))
}

impl Cluster {
    /// How many pods that a term means are in the same place as a node.
    fn near(&self, node: &Value, pod: &Value, term: &Value) -> usize {
        let key = term["topologyKey"].as_str().unwrap_or_default();
        let Some(place) = label(node, key) else {
            return 0;
        };
        let pods = self
            .pods
            .iter()
            .filter(|other| self.place_of(other, key) == Some(place));
        pods.filter(|other| meant(pod, other, term, self)).count()
    }

    /// Whether there is any pod that a term means, wherever the term looks.
    fn anywhere(&self, pod: &Value, term: &Value) -> bool {
        let key = term["topologyKey"].as_str().unwrap_or_default();
        let mut pods = self
            .pods
            .iter()
            .filter(|other| self.place_of(other, key).is_some());
        pods.any(|other| meant(pod, other, term, self))
    }

    /// Whether a pod near a node does not want this one near it.
    fn is_shunned(&self, node: &Value, pod: &Value) -> bool {
        self.pods.iter().any(|other| {
            terms(&other["spec"]["affinity"]["podAntiAffinity"], REQUIRED).any(|term| {
                let key = term["topologyKey"].as_str().unwrap_or_default();
                let place = label(node, key);
                place.is_some()
                    && self.place_of(other, key) == place
                    && meant(other, pod, term, self)
            })
        })
    }

    /// Where a pod is, by a label of its node.
    fn place_of(&self, pod: &Value, key: &str) -> Option<&str> {
        let node = self
            .nodes
            .iter()
            .find(|it| pod["spec"]["nodeName"] == name(it))?;
        label(node, key)
    }
}

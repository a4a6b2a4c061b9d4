//! How evenly pods are to stand in zones or on nodes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Cluster, Refusal, affinity, label, name};
use crate::lab::selector::LabelSelector;

/// Why a pod on a node would make things too uneven.
pub fn refusal(node: &Value, pod: &Value, cluster: &Cluster) -> Vec<Refusal> {
    for constraint in constraints(pod, "DoNotSchedule") {
        let key = constraint["topologyKey"].as_str().unwrap_or_default();
        let Some(place) = label(node, key) else {
            return Refusal::for_good(
                "node(s) didn't match pod topology spread constraints (missing required label)",
            );
        };
        let counts = cluster.counts(pod, constraint);
        let least = counts.values().min().copied().unwrap_or(0);
        let here = counts.get(place).copied().unwrap_or(0);
        let itself = usize::from(is_counted(pod, pod, constraint));
        let skew = (here + itself).saturating_sub(least);
        if skew as u64 > constraint["maxSkew"].as_u64().unwrap_or(1) {
            return Refusal::for_now("node(s) didn't match pod topology spread constraints");
        }
    }
    Vec::new()
}

/// By how many pods a node's places are ahead of the emptiest ones, where a pod
/// would rather not have it so.
pub fn excess(node: &Value, pod: &Value, cluster: &Cluster) -> usize {
    constraints(pod, "ScheduleAnyway")
        .map(|constraint| {
            let key = constraint["topologyKey"].as_str().unwrap_or_default();
            let counts = cluster.counts(pod, constraint);
            let least = counts.values().min().copied().unwrap_or(0);
            let here = label(node, key).and_then(|place| counts.get(place));
            here.map_or(0, |here| here - least)
        })
        .sum()
}

fn constraints<'a>(pod: &'a Value, when: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = pod["spec"]["topologySpreadConstraints"].as_array();
    let all = all.into_iter().flatten();
    all.filter(move |it| it["whenUnsatisfiable"].as_str().unwrap_or("DoNotSchedule") == when)
}

/// Whether a constraint of the pod `of` counts `other`.
fn is_counted(of: &Value, other: &Value, constraint: &Value) -> bool {
    let same = of["metadata"]["namespace"] == other["metadata"]["namespace"];
    let going = other["metadata"]["deletionTimestamp"].is_string();
    let selector = LabelSelector::from_object(&constraint["labelSelector"]);
    same && !going && selector.is_some_and(|it| it.matches(&other["metadata"]["labels"]))
}

impl Cluster {
    /// How many pods that a constraint counts there are in each place that the
    /// pod could be in.
    fn counts(&self, pod: &Value, constraint: &Value) -> BTreeMap<&str, usize> {
        let key = constraint["topologyKey"].as_str().unwrap_or_default();
        let mut counts = BTreeMap::new();
        for node in self.nodes.iter().filter(|it| affinity::is_wanted(it, pod)) {
            if let Some(place) = label(node, key) {
                let here = self
                    .pods
                    .iter()
                    .filter(|it| it["spec"]["nodeName"] == name(node));
                let counted = here.filter(|it| is_counted(pod, it, constraint)).count();
                *counts.entry(place).or_default() += counted;
            }
        }
        counts
    }
}

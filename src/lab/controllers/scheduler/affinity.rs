//! Which nodes a pod wants, by their labels.

use serde_json::{Value, json};

use super::{Refusal, label, name};
use crate::lab::selector::LabelSelector;

/// Why a node is none of those that a pod asks for.
pub fn refusal(node: &Value, pod: &Value) -> Vec<Refusal> {
    if is_wanted(node, pod) {
        return Vec::new();
    }
    Refusal::for_good("node(s) didn't match Pod's node affinity/selector")
}

/// Whether a pod's selector and its required affinity mean a node.
pub fn is_wanted(node: &Value, pod: &Value) -> bool {
    let spec = &pod["spec"];
    let selector = spec["nodeSelector"].as_object();
    let selected = selector
        .into_iter()
        .flatten()
        .all(|(key, value)| label(node, key) == value.as_str());
    let required =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    selected && (required.is_null() || any(node, &required["nodeSelectorTerms"]))
}

/// How much a pod would like to be on a node.
pub fn preference(node: &Value, pod: &Value) -> i64 {
    let affinity = &pod["spec"]["affinity"]["nodeAffinity"];
    let preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array();
    let met = preferred
        .into_iter()
        .flatten()
        .filter(|it| term(node, &it["preference"]));
    met.filter_map(|it| it["weight"].as_i64()).sum()
}

/// One of the terms has to hold.
fn any(node: &Value, terms: &Value) -> bool {
    let terms = terms.as_array();
    terms.into_iter().flatten().any(|it| term(node, it))
}

/// All of a term has to hold; an empty one means no node.
fn term(node: &Value, term: &Value) -> bool {
    let list = |field: &str| term[field].as_array().cloned().unwrap_or_default();
    let (expressions, fields) = (list("matchExpressions"), list("matchFields"));
    let names = json!({"metadata.name": name(node)});
    !(expressions.is_empty() && fields.is_empty())
        && expressions
            .iter()
            .all(|it| holds(&node["metadata"]["labels"], it))
        && fields.iter().all(|it| holds(&names, it))
}

fn holds(labels: &Value, expression: &Value) -> bool {
    let greater = match expression["operator"].as_str() {
        Some("Gt") => true,
        Some("Lt") => false,
        _ => {
            let selector = LabelSelector::from_object(&json!({"matchExpressions": [expression]}));
            return selector.is_some_and(|it| it.matches(labels));
        }
    };
    let number = |value: &Value| value.as_str()?.parse::<i64>().ok();
    let label = expression["key"].as_str().and_then(|key| labels.get(key));
    match (label.and_then(number), number(&expression["values"][0])) {
        (Some(label), Some(bound)) => (label > bound) == greater && label != bound,
        _ => false,
    }
}

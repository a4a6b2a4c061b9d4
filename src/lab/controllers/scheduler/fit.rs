//! What a pod asks for, and what a node has left.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Refusal, name};
use crate::lab::quantity;

/// Why a node has not enough for a pod.
pub fn refusal(node: &Value, pod: &Value, pods: &[Arc<Value>]) -> Vec<Refusal> {
    let here: Vec<_> = pods
        .iter()
        .filter(|it| it["spec"]["nodeName"] == name(node))
        .collect();
    let allocatable = |resource: &str| {
        let amount = node["status"]["allocatable"].get(resource);
        amount.and_then(milli).unwrap_or(0)
    };
    let mut refusals = Vec::new();
    let most = allocatable("pods");
    if (here.len() as u128 + 1) * 1000 > most {
        refusals.extend(Refusal::for_now("Too many pods"));
    }
    for (resource, asked) in requests(pod) {
        if asked == 0 {
            continue;
        }
        let used: u128 = here
            .iter()
            .map(|it| requests(it).get(&resource).copied().unwrap_or(0))
            .sum();
        let has = allocatable(&resource);
        if asked + used > has {
            refusals.push(Refusal {
                why: format!("Insufficient {resource}"),
                hopeless: asked > has,
            });
        }
    }
    refusals
}

/// Why a node has no port of its own left for a pod that asks for one.
pub fn ports(node: &Value, pod: &Value, pods: &[Arc<Value>]) -> Vec<Refusal> {
    let wanted = host_ports(pod);
    let here = pods
        .iter()
        .filter(|it| it["spec"]["nodeName"] == name(node));
    let clash = here
        .flat_map(|it| host_ports(it))
        .any(|taken| wanted.iter().any(|it| clashes(it, &taken)));
    if clash {
        return Refusal::for_now("node(s) didn't have free ports for the requested pod ports");
    }
    Vec::new()
}

/// Address, protocol and number.
type HostPort = (String, String, u64);

fn host_ports(pod: &Value) -> Vec<HostPort> {
    let containers = pod["spec"]["containers"].as_array();
    let ports = containers
        .into_iter()
        .flatten()
        .filter_map(|it| it["ports"].as_array());
    ports
        .flatten()
        .filter_map(|port| {
            let text = |field: &str, absent: &str| {
                let text = port[field].as_str().filter(|it| !it.is_empty());
                text.unwrap_or(absent).to_owned()
            };
            let number = port["hostPort"].as_u64().filter(|it| *it > 0)?;
            Some((text("hostIP", ANY), text("protocol", "TCP"), number))
        })
        .collect()
}

/// All addresses of a node.
const ANY: &str = "0.0.0.0";

fn clashes(one: &HostPort, other: &HostPort) -> bool {
    let address = one.0 == other.0 || one.0 == ANY || other.0 == ANY;
    address && one.1 == other.1 && one.2 == other.2
}

/// What a pod asks for in thousandths, by resource: what its containers ask for
/// together, or the most that one of those asks for that run before them, and
/// what the pod itself costs.
fn requests(pod: &Value) -> BTreeMap<String, u128> {
    let spec = &pod["spec"];
    let mut sum = BTreeMap::new();
    for container in spec["containers"].as_array().into_iter().flatten() {
        for (resource, amount) in amounts(&container["resources"]["requests"]) {
            *sum.entry(resource).or_default() += amount;
        }
    }
    for container in spec["initContainers"].as_array().into_iter().flatten() {
        for (resource, amount) in amounts(&container["resources"]["requests"]) {
            let most: &mut u128 = sum.entry(resource).or_default();
            *most = amount.max(*most);
        }
    }
    for (resource, amount) in amounts(&spec["overhead"]) {
        *sum.entry(resource).or_default() += amount;
    }
    sum
}

fn amounts(list: &Value) -> impl Iterator<Item = (String, u128)> {
    let list = list.as_object().into_iter().flatten();
    list.filter_map(|(resource, amount)| Some((resource.clone(), milli(amount)?)))
}

/// A quantity, which the API also takes as a number.
fn milli(value: &Value) -> Option<u128> {
    match value {
        Value::String(text) => quantity::milli(text),
        Value::Number(number) => quantity::milli(&number.to_string()),
        _ => None,
    }
}

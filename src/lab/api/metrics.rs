//! `metrics.k8s.io`: what pods and nodes use. Nothing of it is stored; it is
//! made from the pods in the store and from what the nodes measured last.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::request::{self, Format, Query};
use super::status::ApiError;
use crate::lab::kinds::Resource;
use crate::lab::node::{Node, Usage};
use crate::lab::selector::{FieldSelector, LabelSelector};
use crate::lab::store::{Key, Store, timestamp};

/// The group.
pub const GROUP: &str = "metrics.k8s.io";

/// Its only version.
pub const VERSION: &str = "v1beta1";

/// What can be done with all of it.
pub const VERBS: &[&str] = &["get", "list"];

/// Whose use is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Of nodes.
    Nodes,
    /// Of pods.
    Pods,
}

impl Measured {
    /// Both, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Nodes, Self::Pods];

    /// Plural name, kind, and whether it lives in namespaces.
    pub const fn names(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Nodes => ("nodes", "NodeMetrics", false),
            Self::Pods => ("pods", "PodMetrics", true),
        }
    }

    fn resource(self) -> Resource {
        match self {
            Self::Nodes => Resource::Nodes,
            Self::Pods => Resource::Pods,
        }
    }
}

/// A question for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of what.
    pub of: Measured,
    /// In which namespace; none means all.
    pub namespace: Option<String>,
    /// Of which one; none means all.
    pub name: Option<String>,
}

/// Answers a question.
///
/// # Errors
/// *404* for what is not there or not measured yet, *400* for selectors that
/// make no sense.
pub fn answer(
    question: &Question,
    store: &Store,
    node: &dyn Node,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Value, ApiError> {
    let format = request::accepted(headers)?;
    let usage = node.usage();
    let all = match question.of {
        Measured::Nodes => nodes(store, &usage),
        Measured::Pods => pods(store, &usage),
    };
    let (_, kind, _) = question.of.names();
    let namespace = question.namespace.as_deref();
    let here =
        |it: &Value| namespace.is_none_or(|namespace| it["metadata"]["namespace"] == namespace);
    if let Some(name) = &question.name {
        let one = |it: &Value| here(it) && it["metadata"]["name"] == name.as_str();
        let mut found = all
            .into_iter()
            .find(one)
            .ok_or_else(|| missing(question, name))?;
        if format == Format::Table {
            return Ok(table(&[found]));
        }
        found["kind"] = json!(kind);
        found["apiVersion"] = json!(format!("{GROUP}/{VERSION}"));
        return Ok(found);
    }
    let labels = query.get("labelSelector").unwrap_or_default();
    let labels = LabelSelector::parse(labels).map_err(ApiError::bad_request)?;
    let fields = query.get("fieldSelector").unwrap_or_default();
    let known = ["metadata.name", "metadata.namespace"];
    let fields = FieldSelector::parse(fields, &known).map_err(ApiError::bad_request)?;
    let chosen: Vec<Value> = all
        .into_iter()
        .filter(|it| here(it) && labels.matches(&it["metadata"]["labels"]) && fields.matches(it))
        .collect();
    if format == Format::Table {
        return Ok(table(&chosen));
    }
    Ok(json!({
        "kind": format!("{kind}List"),
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {},
        "items": chosen,
    }))
}

fn missing(question: &Question, name: &str) -> ApiError {
    let mut error = ApiError::not_found(question.of.resource(), name);
    let (plural, _, _) = question.of.names();
    let place = question.namespace.as_ref();
    let name = place.map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"));
    let kind = if plural == "nodes" {
        "nodemetrics"
    } else {
        "podmetrics"
    };
    error.code = StatusCode::NOT_FOUND;
    error.message = format!("{kind}.{GROUP} {name:?} not found");
    error
}

fn pods(store: &Store, usage: &[Usage]) -> Vec<Value> {
    let pods = store.list(Resource::Pods, None).items;
    let measured = pods.iter().filter_map(|pod| {
        let own = used_by(pod, usage);
        let newest = own.iter().max_by_key(|it| it.at)?;
        let containers: Vec<Value> = own
            .iter()
            .map(|it| json!({"name": it.container, "usage": amounts(it.nanocores, it.memory)}))
            .collect();
        let mut metrics = head(pod, newest);
        metrics["containers"] = json!(containers);
        Some(metrics)
    });
    measured.collect()
}

/// A node uses what its pods use.
fn nodes(store: &Store, usage: &[Usage]) -> Vec<Value> {
    let pods = store.list(Resource::Pods, None).items;
    let of = |node: &Value| {
        let name = &node["metadata"]["name"];
        let here = pods.iter().filter(|pod| pod["spec"]["nodeName"] == *name);
        here.flat_map(|pod| used_by(pod, usage)).collect::<Vec<_>>()
    };
    let nodes = store.list(Resource::Nodes, None).items;
    let metrics = nodes.iter().filter_map(|node| {
        // One that is silent measures nothing.
        let conditions = node["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|it| it["type"] == "Ready")?;
        if ready["status"] != "True" {
            return None;
        }
        let own = of(node);
        let idle = Usage {
            at: Timestamp::now(),
            ..Usage::default()
        };
        let newest = own.iter().max_by_key(|it| it.at).copied().unwrap_or(&idle);
        let mut metrics = head(node, newest);
        metrics["usage"] = amounts(
            own.iter().map(|it| it.nanocores).sum(),
            own.iter().map(|it| it.memory).sum(),
        );
        Some(metrics)
    });
    metrics.collect()
}

fn used_by<'a>(pod: &Value, usage: &'a [Usage]) -> Vec<&'a Usage> {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let mut own: Vec<_> = usage.iter().filter(|it| it.pod == uid).collect();
    own.sort_by(|one, other| one.container.cmp(&other.container));
    own
}

fn head(object: &Value, newest: &Usage) -> Value {
    let key = Key::of(Resource::Pods, object);
    let mut metadata = json!({"name": key.name, "creationTimestamp": timestamp(newest.at)});
    if !key.namespace.is_empty() {
        metadata["namespace"] = json!(key.namespace);
    }
    if object["metadata"]["labels"].is_object() {
        metadata["labels"] = object["metadata"]["labels"].clone();
    }
    json!({
        "metadata": metadata,
        "timestamp": timestamp(newest.at),
        "window": format!("{:.3}s", newest.window.as_secs_f64()),
    })
}

fn amounts(nanocores: u64, memory: u64) -> Value {
    json!({"cpu": format!("{nanocores}n"), "memory": format!("{}Ki", memory / 1024)})
}

fn table(metrics: &[Value]) -> Value {
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let sum = |it: &Value, name: &str| -> u64 {
        let number = |usage: &Value| {
            let text = usage[name].as_str().unwrap_or_default();
            text.trim_end_matches(['n', 'K', 'i'])
                .parse::<u64>()
                .unwrap_or(0)
        };
        let parts = it["containers"].as_array().into_iter().flatten();
        parts.map(|part| number(&part["usage"])).sum::<u64>() + number(&it["usage"])
    };
    let rows: Vec<Value> = metrics
        .iter()
        .map(|it| {
            let cells = json!([
                it["metadata"]["name"],
                format!("{}n", sum(it, "cpu")),
                format!("{}Ki", sum(it, "memory")),
                it["window"],
            ]);
            json!({"cells": cells, "object": super::table::metadata_only(it)})
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [
            column("Name", "name"), column("cpu", ""), column("memory", ""),
            column("Window", "duration"),
        ],
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_and_nodes_are_told_by_what_was_measured() {
        let store = Store::new(0);
        for name in ["a", "b"] {
            let pod = json!({
                "metadata": {"namespace": "default", "name": name, "labels": {"app": name}},
                "spec": {"nodeName": "n"}});
            store.create(Resource::Pods, pod).unwrap();
        }
        let node = json!({"metadata": {"name": "n"}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}]}});
        store.create(Resource::Nodes, node).unwrap();
        let silent = json!({"metadata": {"name": "silent"}, "status": {
            "conditions": [{"type": "Ready", "status": "Unknown"}]}});
        store.create(Resource::Nodes, silent).unwrap();
        let a = store
            .get(&Key::new(Resource::Pods, "default", "a"))
            .unwrap();
        let used = |container: &str, memory| Usage {
            pod: a["metadata"]["uid"].as_str().unwrap().to_owned(),
            container: container.to_owned(),
            nanocores: 1_000_000,
            memory,
            ..Usage::default()
        };
        let usage = [used("main", 2048), used("beside", 1024)];
        let measured = pods(&store, &usage);
        assert_eq!(measured.len(), 1, "what was not measured is not there");
        assert_eq!(measured[0]["metadata"]["labels"]["app"], "a");
        assert_eq!(measured[0]["containers"][0]["name"], "beside");
        assert_eq!(measured[0]["containers"][1]["usage"]["memory"], "2Ki");
        let whole = nodes(&store, &usage);
        assert_eq!(whole.len(), 1);
        assert_eq!(
            whole[0]["usage"],
            json!({"cpu": "2000000n", "memory": "3Ki"})
        );
        assert_eq!(table(&measured)["rows"][0]["cells"][1], "2000000n");
    }
}

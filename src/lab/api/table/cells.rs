//! The words in the cells, kind by kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use crate::lab::selector::LabelSelector;

/// A namespace's.
pub fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(text(&object["status"]["phase"], "")),
        age(object, now),
    ]
}

/// A lease's.
pub fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(text(&object["spec"]["holderIdentity"], "")),
        age(object, now),
    ]
}

pub(super) fn name(object: &Value) -> Value {
    json!(text(&object["metadata"]["name"], ""))
}

pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(&object["metadata"]["creationTimestamp"], now))
}

pub(super) fn text<'a>(value: &'a Value, absent: &'a str) -> &'a str {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or(absent)
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let conditions = items(&status["conditions"]);
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind);
    found.map_or("", |condition| text(&condition["status"], ""))
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

pub(super) fn template(workload: &Value) -> [Value; 3] {
    let spec = &workload["spec"];
    let containers = items(&spec["template"]["spec"]["containers"]);
    let join = |field: &str| {
        let texts: Vec<&str> = containers.iter().map(|it| text(&it[field], "")).collect();
        json!(texts.join(","))
    };
    let selector = LabelSelector::from_object(&spec["selector"]).unwrap_or_default();
    let selector = match selector.to_string() {
        empty if empty.is_empty() => "<none>".to_owned(),
        selector => selector,
    };
    [join("name"), join("image"), json!(selector)]
}

/// A deployment's.
pub fn deployment(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let status = &deployment["status"];
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let [names, images, selector] = template(deployment);
    vec![
        name(deployment),
        json!(format!("{}/{wanted}", number(&status["readyReplicas"]))),
        json!(number(&status["updatedReplicas"])),
        json!(number(&status["availableReplicas"])),
        age(deployment, now),
        names,
        images,
        selector,
    ]
}

/// A replica set's.
pub fn replica_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images, selector] = template(set);
    vec![
        name(set),
        json!(set["spec"]["replicas"].as_u64().unwrap_or(1)),
        json!(number(&set["status"]["replicas"])),
        json!(number(&set["status"]["readyReplicas"])),
        age(set, now),
        names,
        images,
        selector,
    ]
}

/// A node's.
pub fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let status = &node["status"];
    let mut states = vec![match condition(status, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }];
    if node["spec"]["unschedulable"] == true {
        states.push("SchedulingDisabled");
    }
    let address = |kind: &str| {
        let addresses = items(&status["addresses"]);
        let found = addresses.iter().find(|address| address["type"] == kind);
        json!(found.map_or("<none>", |address| text(&address["address"], "<none>")))
    };
    let info = |field: &str| json!(text(&status["nodeInfo"][field], "<unknown>"));
    vec![
        name(node),
        json!(states.join(",")),
        json!(roles(node)),
        age(node, now),
        json!(text(&status["nodeInfo"]["kubeletVersion"], "")),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    match roles.join(",") {
        none if none.is_empty() => "<none>".to_owned(),
        roles => roles,
    }
}

/// An event's.
pub fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let first = match &event["firstTimestamp"] {
        Value::Null => &event["eventTime"],
        first => first,
    };
    let last = match &event["series"]["lastObservedTime"] {
        Value::Null => &event["lastTimestamp"],
        last => last,
    };
    let last = if last.is_null() { first } else { last };
    let count = match &event["series"]["count"] {
        Value::Null => event["count"].as_u64().unwrap_or(1),
        count => number(count),
    };
    let about = &event["involvedObject"];
    let mut object = text(&about["kind"], "").to_lowercase();
    if let Some(name) = about["name"].as_str() {
        object = format!("{object}/{name}");
    }
    let component = text(
        &event["source"]["component"],
        text(&event["reportingComponent"], ""),
    );
    let host = text(
        &event["source"]["host"],
        text(&event["reportingInstance"], ""),
    );
    let source: Vec<&str> = [component, host]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect();
    vec![
        json!(since(last, now)),
        json!(text(&event["type"], "")),
        json!(text(&event["reason"], "")),
        json!(object),
        json!(text(&about["fieldPath"], "")),
        json!(source.join(", ")),
        json!(text(&event["message"], "").trim()),
        json!(since(first, now)),
        json!(count),
        name(event),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-01-01T01:00:00Z")
    }

    #[test]
    fn a_deployment_shows_ready_of_wanted() {
        let deployment = json!({
            "metadata": {"name": "d", "creationTimestamp": "2026-01-01T00:59:00Z"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "d"}},
                "template": {"spec": {"containers": [
                    {"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}},
            },
            "status": {"readyReplicas": 1, "updatedReplicas": 2},
        });
        let cells = super::deployment(&deployment, now());
        let expected = [
            json!("d"),
            json!("1/3"),
            json!(2),
            json!(0),
            json!("60s"),
            json!("a,b"),
            json!("x,y"),
            json!("app=d"),
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn a_node_shows_its_conditions_roles_and_addresses() {
        let node = json!({
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/agent": ""}},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1.33.0"},
            },
        });
        let cells = super::node(&node, now());
        assert_eq!(cells[1], "Ready,SchedulingDisabled");
        assert_eq!(cells[2], "agent");
        assert_eq!(cells[3], "<unknown>");
        assert_eq!(cells[5], "127.0.0.1");
        assert_eq!(cells[6], "<none>");
    }

    #[test]
    fn an_event_shows_what_happened_to_what() {
        let object = json!({
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
            "type": "Warning", "reason": "BackOff", "message": "Back-off \n",
            "count": 4,
            "firstTimestamp": "2026-01-01T00:58:00Z",
            "lastTimestamp": "2026-01-01T00:59:50Z",
            "source": {"component": "kubelet", "host": "n"},
        });
        let cells = event(&object, now());
        let expected = [
            json!("10s"),
            json!("Warning"),
            json!("BackOff"),
            json!("pod/p"),
            json!("spec.containers{a}"),
            json!("kubelet, n"),
            json!("Back-off"),
            json!("2m"),
            json!(4),
            json!("e"),
        ];
        assert_eq!(cells, expected);
    }
}

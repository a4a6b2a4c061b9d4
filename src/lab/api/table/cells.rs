//! The words in the cells, kind by kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, parse, since};
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

/// A pod's.
pub fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let summary = PodSummary::of(pod);
    let gates = items(&spec["readinessGates"]);
    let gates = if gates.is_empty() {
        "<none>".to_owned()
    } else {
        let holds = |gate: &&Value| condition(status, text(&gate["conditionType"], "")) == "True";
        format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
    };
    vec![
        name(pod),
        json!(format!(
            "{}/{}",
            summary.ready,
            items(&spec["containers"]).len() + sidecars(spec).count()
        )),
        json!(summary.reason),
        json!(summary.restarts(now)),
        age(pod, now),
        json!(text(&status["podIP"], "<none>")),
        json!(text(&spec["nodeName"], "<none>")),
        json!(text(&status["nominatedNodeName"], "<none>")),
        json!(gates),
    ]
}

/// The names of the containers that start first and stay.
fn sidecars(spec: &Value) -> impl Iterator<Item = &str> {
    let first = items(&spec["initContainers"]).iter();
    let stay = first.filter(|container| container["restartPolicy"] == "Always");
    stay.map(|container| text(&container["name"], ""))
}

/// What a pod's containers add up to.
struct PodSummary {
    reason: String,
    ready: usize,
    restarts: u64,
    last_restart: Option<Timestamp>,
}

impl PodSummary {
    fn of(pod: &Value) -> Self {
        let status = &pod["status"];
        let phase = text(&status["phase"], "");
        let mut summary = Self {
            reason: text(&status["reason"], phase).to_owned(),
            ready: 0,
            restarts: 0,
            last_restart: None,
        };
        if summary.initializes(pod) && condition(status, "Initialized") != "True" {
            summary.note_deletion(pod);
            return summary;
        }
        let mut running = false;
        // The first container has the last word.
        for container in items(&status["containerStatuses"]).iter().rev() {
            running |= summary.add(container);
        }
        if summary.reason == "Completed" && running {
            let ready = condition(status, "Ready") == "True";
            if ready { "Running" } else { "NotReady" }.clone_into(&mut summary.reason);
        }
        summary.note_deletion(pod);
        summary
    }

    fn note_deletion(&mut self, pod: &Value) {
        let status = &pod["status"];
        let phase = text(&status["phase"], "");
        let deleted = pod["metadata"]["deletionTimestamp"].is_string();
        if deleted && status["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if deleted && !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut self.reason);
        }
    }

    /// Adds the containers that come first; whether one of them is what the pod
    /// waits for.
    fn initializes(&mut self, pod: &Value) -> bool {
        let spec = &pod["spec"];
        let statuses = items(&pod["status"]["initContainerStatuses"]);
        let mut of_sidecars = Self {
            reason: String::new(),
            ready: 0,
            restarts: 0,
            last_restart: None,
        };
        for (index, container) in statuses.iter().enumerate() {
            let stays = sidecars(spec).any(|name| container["name"] == name);
            self.count_restarts(container);
            if stays {
                of_sidecars.count_restarts(container);
            }
            let state = &container["state"];
            let ended = &state["terminated"];
            if ended["exitCode"] == 0 {
                continue;
            }
            if stays && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            let waits_for = text(&state["waiting"]["reason"], "");
            let why = if ended.is_object() {
                how_it_ended(ended)
            } else if !matches!(waits_for, "" | "PodInitializing") {
                waits_for.to_owned()
            } else {
                format!("{index}/{}", items(&spec["initContainers"]).len())
            };
            self.reason = format!("Init:{why}");
            return true;
        }
        // What has run to its end is of no more interest.
        self.restarts = of_sidecars.restarts;
        self.last_restart = of_sidecars.last_restart;
        false
    }

    fn count_restarts(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_u64().unwrap_or(0);
        let finished = &container["lastState"]["terminated"]["finishedAt"];
        self.last_restart = self.last_restart.max(parse(finished));
    }

    /// Adds a container; whether it runs and is ready.
    fn add(&mut self, container: &Value) -> bool {
        self.count_restarts(container);
        let state = &container["state"];
        let (waiting, ended) = (&state["waiting"], &state["terminated"]);
        let waits_for = text(&waiting["reason"], "");
        if waiting.is_object() && !waits_for.is_empty() {
            waits_for.clone_into(&mut self.reason);
        } else if ended.is_object() {
            self.reason = how_it_ended(ended);
        } else if container["ready"] == true && state["running"].is_object() {
            self.ready += 1;
            return true;
        }
        false
    }

    fn restarts(&self, now: Timestamp) -> String {
        match self.last_restart {
            Some(last) if self.restarts > 0 => {
                let ago = human_duration(now.duration_since(last).as_secs());
                format!("{} ({ago} ago)", self.restarts)
            }
            _ => self.restarts.to_string(),
        }
    }
}

fn how_it_ended(ended: &Value) -> String {
    match (text(&ended["reason"], ""), ended["signal"].as_u64()) {
        ("", Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        ("", _) => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or(0)),
        (reason, _) => reason.to_owned(),
    }
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

    fn pod_with(status: &Value) -> Value {
        json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n", "containers": [{"name": "a"}, {"name": "b"}]},
            "status": status,
        })
    }

    fn shown(pod: &Value) -> (String, String, String) {
        let cells = super::pod(pod, now());
        let cell = |index: usize| cells[index].as_str().unwrap().to_owned();
        (cell(1), cell(2), cell(3))
    }

    fn expect(status: &Value, ready: &str, word: &str, restarts: &str) {
        let pod = pod_with(status);
        assert_eq!(
            shown(&pod),
            (ready.to_owned(), word.to_owned(), restarts.to_owned())
        );
    }

    #[test]
    fn a_pods_status_is_the_word_that_explains_it() {
        let running = json!({"ready": true, "state": {"running": {"startedAt": "x"}}});
        let backoff = json!({
            "restartCount": 3,
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:55Z"}},
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        });
        let ended = |state: Value| json!({"state": {"terminated": state}});
        expect(&json!({"phase": "Pending"}), "0/2", "Pending", "0");
        expect(
            &json!({"phase": "Running", "containerStatuses": [running, running]}),
            "2/2",
            "Running",
            "0",
        );
        expect(
            &json!({"phase": "Running", "containerStatuses": [running, backoff]}),
            "1/2",
            "CrashLoopBackOff",
            "3 (5s ago)",
        );
        expect(
            &json!({"phase": "Failed", "containerStatuses": [ended(json!({"reason": "Error"}))]}),
            "0/2",
            "Error",
            "0",
        );
        expect(
            &json!({"phase": "Failed", "containerStatuses": [ended(json!({"exitCode": 7}))]}),
            "0/2",
            "ExitCode:7",
            "0",
        );
        expect(
            &json!({"phase": "Failed", "containerStatuses": [ended(json!({"signal": 9}))]}),
            "0/2",
            "Signal:9",
            "0",
        );
        let completed = ended(json!({"reason": "Completed"}));
        expect(
            &json!({"phase": "Running", "containerStatuses": [completed, running]}),
            "1/2",
            "NotReady",
            "0",
        );
        expect(
            &json!({"phase": "Failed", "reason": "Evicted"}),
            "0/2",
            "Evicted",
            "0",
        );
    }

    #[test]
    fn a_pod_that_initializes_says_what_it_waits_for() {
        let shown = |first: Value, initialized: &str| {
            let mut pod = pod_with(&json!({
                "phase": "Pending",
                "conditions": [{"type": "Initialized", "status": initialized}],
                "initContainerStatuses": first,
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
            }));
            pod["spec"]["initContainers"] =
                json!([{"name": "x"}, {"name": "y", "restartPolicy": "Always"}]);
            shown(&pod)
        };
        let done =
            json!({"name": "x", "restartCount": 2, "state": {"terminated": {"exitCode": 0}}});
        let runs = json!({"name": "x", "state": {"running": {}}});
        let failed = json!({"name": "x", "restartCount": 1, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        let proxy = json!({"name": "y", "restartCount": 3, "started": true, "ready": true, "state": {"running": {}}});
        let waits = json!({"name": "y", "state": {"waiting": {"reason": "PodInitializing"}}});
        for (first, initialized, expected) in [
            (json!([runs, waits]), "False", ("0/3", "Init:0/2", "0")),
            (json!([failed, waits]), "False", ("0/3", "Init:Error", "1")),
            (json!([done, waits]), "False", ("0/3", "Init:1/2", "2")),
            (
                json!([done, proxy]),
                "True",
                ("1/3", "PodInitializing", "3"),
            ),
        ] {
            let (ready, word, restarts) = shown(first, initialized);
            assert_eq!((ready.as_str(), word.as_str(), restarts.as_str()), expected);
        }
    }

    #[test]
    fn a_deleted_pod_is_terminating_until_it_has_ended() {
        let mut pod = pod_with(&json!({"phase": "Running"}));
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:05Z");
        assert_eq!(shown(&pod).1, "Terminating");
        pod["status"]["phase"] = json!("Succeeded");
        assert_eq!(shown(&pod).1, "Succeeded");
    }

    #[test]
    fn wide_cells_of_a_pod_say_none_rather_than_nothing() {
        let cells = pod(&pod_with(&json!({})), now());
        assert_eq!(cells[4], "60m");
        assert_eq!(
            cells[5..],
            ["<none>", "n", "<none>", "<none>"].map(|it| json!(it))
        );
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

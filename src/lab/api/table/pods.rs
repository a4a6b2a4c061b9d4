//! The words in a pod's cells.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, parse};
use super::cells::{age, condition, items, name, text};

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
}

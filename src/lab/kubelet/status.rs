//! The status of a pod: a pure function of what its containers do, in the
//! shape and the words of the real kubelet.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is what the pod is for.
    Main,
    /// It runs to its end before the main ones.
    Init,
    /// It starts before the main ones and runs as long as they do.
    Sidecar,
}

/// One container of a pod, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub name: String,
    pub image: String,
    pub image_id: String,
    pub role: Role,
    /// The running execution has passed its startup probe, if it has one.
    pub started: bool,
    /// The running execution has passed its readiness probe, if it has one.
    pub passing: bool,
    /// Executions before the present one.
    pub restarts: u32,
    pub state: State,
    pub last: Option<Ended>,
    /// Name of the newest execution.
    pub id: String,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Waiting { reason: String, message: String },
    Running { since: Timestamp },
    Ended(Ended),
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    pub code: i32,
    pub signal: Option<i32>,
    pub reason: Cow<'static, str>,
    pub message: String,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub id: String,
}

impl Ended {
    /// How long it ran.
    pub fn ran(&self) -> Duration {
        match (self.started, self.finished) {
            (Some(started), Some(finished)) => {
                // The wall clock may have been set back meanwhile.
                let ran = finished.duration_since(started);
                ran.try_into().unwrap_or_default()
            }
            _ => Duration::ZERO,
        }
    }
}

impl State {
    pub fn waiting(reason: &str) -> Self {
        Self::Waiting {
            reason: reason.to_owned(),
            message: String::new(),
        }
    }
}

impl Unit {
    fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    fn succeeded(&self) -> bool {
        matches!(&self.state, State::Ended(ended) if ended.code == 0)
    }

    /// It runs, and its startup probe has passed.
    pub fn is_started(&self) -> bool {
        self.running() && self.started
    }

    /// Ready: an init container that is done, any other that runs and passes
    /// its probes.
    fn ready(&self) -> bool {
        match self.role {
            Role::Init => self.succeeded(),
            Role::Main | Role::Sidecar => self.is_started() && self.passing,
        }
    }

    /// Whether the containers after it may start, for one that comes first.
    fn initialized(&self) -> bool {
        match self.role {
            Role::Main => true,
            Role::Init => self.succeeded(),
            // One that has run before has started once.
            Role::Sidecar => self.is_started() || self.last.is_some() || self.ended(),
        }
    }

    fn ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    fn status(&self) -> ContainerStatus {
        ContainerStatus {
            name: self.name.clone(),
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            container_id: (!self.id.is_empty()).then(|| uri(&self.id)),
            ready: self.ready(),
            started: Some(self.is_started()),
            restart_count: self.restarts as i32,
            state: Some(self.state.to_kubernetes()),
            last_state: Some(self.last.as_ref().map(terminated).unwrap_or_default()),
            ..ContainerStatus::default()
        }
    }
}

fn uri(id: &str) -> String {
    format!("lab://{id}")
}

impl State {
    fn to_kubernetes(&self) -> ContainerState {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        match self {
            Self::Waiting { reason, message } => ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: text(reason),
                    message: text(message),
                }),
                ..ContainerState::default()
            },
            Self::Running { since } => ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: Some(Time(*since)),
                }),
                ..ContainerState::default()
            },
            Self::Ended(ended) => terminated(ended),
        }
    }
}

fn terminated(ended: &Ended) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: (!ended.id.is_empty()).then(|| uri(&ended.id)),
        exit_code: ended.code,
        // The real runtime's code says it as 128 + n; here the field does, too.
        signal: ended.signal,
        reason: Some(ended.reason.clone().into_owned()),
        message: (!ended.message.is_empty()).then(|| ended.message.clone()),
        started_at: ended.started.map(Time),
        finished_at: ended.finished.map(Time),
    };
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}

/// What a pod's status is made of.
#[derive(Debug, Clone)]
pub(super) struct Facts<'a> {
    pub units: &'a [Unit],
    pub restart_policy: &'a str,
    /// Why the node gave the pod up, if it did: reason and message.
    pub fate: Option<&'a (&'static str, String)>,
    pub pod_ip: Option<String>,
    pub host_ip: String,
    pub started: Timestamp,
    pub now: Timestamp,
    /// The status as it stands, for the times of its conditions.
    pub before: &'a PodStatus,
}

/// The status that these facts make.
pub(super) fn status(facts: &Facts<'_>) -> PodStatus {
    let (main, first): (Vec<_>, Vec<_>) =
        facts.units.iter().partition(|unit| unit.role == Role::Main);
    let phase = match facts.fate {
        Some(_) if !facts.units.iter().any(Unit::running) => "Failed",
        _ => phase(&first, &main, facts.restart_policy),
    };
    let statuses = |units: &[&Unit]| units.iter().map(|unit| unit.status()).collect::<Vec<_>>();
    let pod_ips = facts.pod_ip.clone().map(|ip| vec![PodIP { ip }]);
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: facts.fate.map(|(reason, _)| (*reason).to_owned()),
        message: facts.fate.map(|(_, message)| message.clone()),
        conditions: Some(conditions(facts, phase)),
        container_statuses: Some(statuses(&main)),
        init_container_statuses: (!first.is_empty()).then(|| statuses(&first)),
        host_ip: Some(facts.host_ip.clone()),
        host_ips: Some(vec![HostIP {
            ip: facts.host_ip.clone(),
        }]),
        pod_ip: facts.pod_ip.clone(),
        pod_ips,
        qos_class: facts
            .before
            .qos_class
            .clone()
            .or_else(|| Some("BestEffort".into())),
        start_time: facts
            .before
            .start_time
            .clone()
            .or(Some(Time(facts.started))),
        ..PodStatus::default()
    }
}

/// The rule of the real kubelet.
fn phase(first: &[&Unit], main: &[&Unit], restart_policy: &str) -> &'static str {
    // Sidecars do not count: while one has not started, no main one has.
    let mut init = first.iter().filter(|unit| unit.role == Role::Init);
    let failed_for_good = init.clone().any(|unit| {
        restart_policy == "Never" && matches!(&unit.state, State::Ended(ended) if ended.code != 0)
    });
    if failed_for_good {
        return "Failed";
    }
    if init.any(|unit| !unit.succeeded()) {
        return "Pending";
    }
    let count = |test: &dyn Fn(&Unit) -> bool| main.iter().filter(|unit| test(unit)).count();
    // One that waits after an execution counts as stopped.
    let never = count(&|it| matches!(it.state, State::Waiting { .. }) && it.last.is_none());
    if never > 0 {
        return "Pending";
    }
    if count(&Unit::running) > 0 || restart_policy == "Always" {
        return "Running";
    }
    if count(&Unit::succeeded) == main.len() {
        return "Succeeded";
    }
    if restart_policy == "Never" {
        return "Failed";
    }
    "Running"
}

/// Whether a condition holds: the reason to give all the same, if any, or
/// reason and message why not.
type Holds = Result<&'static str, (&'static str, String)>;

/// The types of the conditions that are the kubelet's own. Others are kept.
const OWN: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

fn conditions(facts: &Facts<'_>, phase: &str) -> Vec<PodCondition> {
    let completed = phase == "Succeeded";
    let ready = match phase {
        "Succeeded" => Err(("PodCompleted", String::new())),
        "Failed" => Err(("PodFailed", String::new())),
        _ => all(
            facts.units,
            |unit| unit.role == Role::Init || unit.ready(),
            "ContainersNotReady",
            "unready",
        ),
    };
    let initialized = if completed {
        Ok("PodCompleted")
    } else {
        all(
            facts.units,
            Unit::initialized,
            "ContainersNotInitialized",
            "incomplete",
        )
    };
    let sandbox = match facts.pod_ip {
        Some(_) if !matches!(phase, "Succeeded" | "Failed") => Ok(""),
        _ => Err(("", String::new())),
    };
    let holds = [sandbox, initialized, ready.clone(), ready, Ok("")];
    let own = OWN
        .into_iter()
        .zip(holds)
        .map(|(kind, holds)| condition(facts, kind, holds));
    let others = facts.before.conditions.iter().flatten();
    let others = others.filter(|it| !OWN.contains(&it.type_.as_str()));
    own.chain(others.cloned()).collect()
}

/// Holds when every container passes the test; else names those that do not.
fn all(units: &[Unit], test: impl Fn(&Unit) -> bool, reason: &'static str, word: &str) -> Holds {
    let failing: Vec<_> = units
        .iter()
        .filter(|unit| !test(unit))
        .map(|unit| unit.name.as_str())
        .collect();
    if failing.is_empty() {
        return Ok("");
    }
    let names = failing.join(" ");
    Err((reason, format!("containers with {word} status: [{names}]")))
}

fn condition(facts: &Facts<'_>, kind: &str, holds: Holds) -> PodCondition {
    let status = if holds.is_ok() { "True" } else { "False" };
    let before = facts.before.conditions.iter().flatten();
    let before = before.into_iter().find(|it| it.type_ == kind);
    let since = before
        .filter(|it| it.status == status)
        .and_then(|it| it.last_transition_time.clone())
        .unwrap_or(Time(facts.now));
    let (reason, message) = holds.map_or_else(|not| not, |reason| (reason, String::new()));
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(since),
        reason: text(reason),
        message: text(&message),
        ..PodCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended(code: i32) -> Ended {
        Ended {
            code,
            signal: (code > 128).then_some(code - 128),
            reason: if code == 0 { "Completed" } else { "Error" }.into(),
            message: String::new(),
            started: Some(at(1)),
            finished: Some(at(2)),
            id: "x".into(),
        }
    }

    fn unit(state: State, last: Option<Ended>) -> Unit {
        Unit {
            name: "main".into(),
            image: "i".into(),
            image_id: "i".into(),
            role: Role::Main,
            started: true,
            passing: true,
            restarts: u32::from(last.is_some()),
            state,
            last,
            id: "x".into(),
        }
    }

    fn made(units: &[Unit], policy: &str, before: &PodStatus) -> PodStatus {
        status(&Facts {
            units,
            restart_policy: policy,
            fate: None,
            pod_ip: Some("127.1.1.2".into()),
            host_ip: "127.1.1.1".into(),
            started: at(0),
            now: at(100),
            before,
        })
    }

    #[test]
    fn the_phase_follows_the_containers() {
        let running = || State::Running { since: at(1) };
        let crash = || State::waiting("CrashLoopBackOff");
        let cases = [
            (
                vec![unit(State::waiting("ContainerCreating"), None)],
                "Always",
                "Pending",
            ),
            (vec![unit(running(), None)], "Always", "Running"),
            (
                vec![unit(State::Ended(ended(137)), None)],
                "Always",
                "Running",
            ),
            (vec![unit(crash(), Some(ended(137)))], "Always", "Running"),
            (
                vec![unit(State::Ended(ended(0)), None)],
                "OnFailure",
                "Succeeded",
            ),
            (
                vec![unit(State::Ended(ended(0)), None)],
                "Never",
                "Succeeded",
            ),
            (vec![unit(State::Ended(ended(1)), None)], "Never", "Failed"),
            (vec![unit(crash(), Some(ended(1)))], "OnFailure", "Running"),
            (
                vec![unit(running(), None), unit(State::Ended(ended(1)), None)],
                "Never",
                "Running",
            ),
            (
                vec![unit(running(), None), unit(State::waiting("x"), None)],
                "Always",
                "Pending",
            ),
        ];
        for (units, policy, expected) in cases {
            let phase = made(&units, policy, &PodStatus::default()).phase;
            assert_eq!(phase.as_deref(), Some(expected), "{policy} {units:?}");
        }
        let mut init = unit(running(), None);
        init.role = Role::Init;
        let mut units = vec![init, unit(State::waiting("PodInitializing"), None)];
        let phase = |units: &[Unit], policy| made(units, policy, &PodStatus::default()).phase;
        assert_eq!(phase(&units, "Always").as_deref(), Some("Pending"));
        units[0].state = State::Ended(ended(1));
        assert_eq!(phase(&units, "Never").as_deref(), Some("Failed"));
        units[0].role = Role::Sidecar;
        units[1].state = State::Ended(ended(0));
        assert_eq!(phase(&units, "Never").as_deref(), Some("Succeeded"));
    }

    #[test]
    fn ready_is_what_runs_and_passes_its_probes() {
        let mut units = vec![
            unit(State::Running { since: at(1) }, None),
            unit(State::Running { since: at(1) }, None),
        ];
        units[0].role = Role::Sidecar;
        let ready = |units: &[Unit]| {
            let made = made(units, "Always", &PodStatus::default());
            let conditions = made.conditions.unwrap();
            let ready = conditions.into_iter().find(|it| it.type_ == "Ready");
            ready.unwrap().message.unwrap_or_default()
        };
        assert_eq!(ready(&units), "");
        units[0].passing = false;
        units[1].started = false;
        assert_eq!(ready(&units), "containers with unready status: [main main]");
        let gated = PodStatus {
            conditions: Some(vec![PodCondition {
                type_: "DisruptionTarget".into(),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        };
        let kept = made(&units, "Always", &gated).conditions.unwrap();
        assert_eq!(kept.last().unwrap().type_, "DisruptionTarget");
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let running = [unit(State::Running { since: at(1) }, None)];
        let first = made(&running, "Always", &PodStatus::default());
        let mut second = first.clone();
        for condition in second.conditions.iter_mut().flatten() {
            condition.last_transition_time = Some(Time(at(50)));
        }
        let down = [unit(State::Ended(ended(137)), None)];
        let after = made(&down, "Always", &second);
        for condition in after.conditions.unwrap() {
            let (status, since) = match condition.type_.as_str() {
                "Ready" | "ContainersReady" => ("False", at(100)),
                _ => ("True", at(50)),
            };
            assert_eq!(condition.status, status, "{}", condition.type_);
            assert_eq!(condition.last_transition_time, Some(Time(since)));
        }
    }

    #[test]
    fn a_kill_is_told_with_its_signal() {
        let units = [unit(State::Running { since: at(3) }, Some(ended(137)))];
        let made = made(&units, "Always", &PodStatus::default());
        let value = serde_json::to_value(made).unwrap();
        let status = &value["containerStatuses"][0];
        let last = &status["lastState"]["terminated"];
        assert_eq!(last["exitCode"], 137);
        assert_eq!(last["signal"], 9);
        assert_eq!(last["reason"], "Error");
        assert_eq!(last["containerID"], "lab://x");
        assert_eq!(last["finishedAt"], "1970-01-01T00:00:02Z");
        assert_eq!(status["restartCount"], 1);
        assert_eq!(
            status["state"]["running"]["startedAt"],
            "1970-01-01T00:00:03Z"
        );
        assert_eq!(
            (&status["ready"], &status["started"]),
            (&true.into(), &true.into())
        );
        assert_eq!(value["podIP"], "127.1.1.2");
        assert_eq!(value["podIPs"][0]["ip"], "127.1.1.2");
    }
}

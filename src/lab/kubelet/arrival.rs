//! A pod as it arrives on the node: new, or with a past.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};

use super::pod::Executions;
use super::status::{Ended, Role, State, Unit};

/// The containers of a pod as it arrives: new, or with the past that an earlier
/// life of the lab has written down.
pub(super) fn units(pod: &Pod) -> (Vec<Unit>, HashMap<String, Executions>) {
    let Some(spec) = &pod.spec else {
        return (Vec::new(), HashMap::new());
    };
    let first = spec.init_containers.iter().flatten();
    let first = first.map(|it| match it.restart_policy.as_deref() {
        Some("Always") => (Role::Sidecar, it),
        _ => (Role::Init, it),
    });
    let main = spec.containers.iter().map(|it| (Role::Main, it));
    let waits_for_init = spec
        .init_containers
        .as_ref()
        .is_some_and(|it| !it.is_empty());
    let mut executions = HashMap::new();
    let units = first
        .chain(main)
        .map(|(role, container)| {
            let mut unit = new_unit(container, role);
            if waits_for_init {
                unit.state = State::waiting("PodInitializing");
            }
            if remember(pod, &mut unit) {
                let past = Executions {
                    newest: Some(unit.restarts),
                    container: None,
                };
                executions.insert(unit.name.clone(), past);
            }
            unit
        })
        .collect();
    (units, executions)
}

fn new_unit(container: &ContainerSpec, role: Role) -> Unit {
    let image = container.image.clone().unwrap_or_default();
    Unit {
        name: container.name.clone(),
        image_id: String::new(),
        image,
        role,
        started: false,
        passing: false,
        restarts: 0,
        state: State::waiting("ContainerCreating"),
        last: None,
        id: String::new(),
    }
}

/// Fills in what the status says of earlier executions; says whether there
/// were any.
fn remember(pod: &Pod, unit: &mut Unit) -> bool {
    let status = pod.status.as_ref();
    let statuses = status.and_then(|it| {
        if unit.role == Role::Main {
            it.container_statuses.as_ref()
        } else {
            it.init_container_statuses.as_ref()
        }
    });
    let mut statuses = statuses.into_iter().flatten();
    let Some(before) = statuses.find(|it| it.name == unit.name) else {
        return false;
    };
    let id = before.container_id.clone().unwrap_or_default();
    let id = id.trim_start_matches("lab://").to_owned();
    if id.is_empty() {
        return false;
    }
    unit.restarts = before.restart_count.max(0) as u32;
    unit.image_id.clone_from(&before.image_id);
    let state = before.state.clone().unwrap_or_default();
    let last = before.last_state.clone().unwrap_or_default();
    if let Some(running) = state.running {
        // What became of it nobody saw: the real kubelet says so, too.
        unit.last = Some(Ended {
            code: 255,
            signal: None,
            reason: "Unknown".into(),
            message: "the node that ran it has ended".into(),
            started: running.started_at.map(|time| time.0),
            finished: Some(Timestamp::now()),
            id: id.clone(),
        });
    } else if let Some(ended) = state.terminated.or(last.terminated) {
        unit.last = Some(Ended {
            code: ended.exit_code,
            signal: ended.signal,
            reason: match ended.reason {
                Some(reason) => reason.into(),
                None if ended.exit_code == 0 => "Completed".into(),
                None => "Error".into(),
            },
            message: ended.message.unwrap_or_default(),
            started: ended.started_at.map(|time| time.0),
            finished: ended.finished_at.map(|time| time.0),
            id: id.clone(),
        });
    }
    unit.id = id;
    true
}

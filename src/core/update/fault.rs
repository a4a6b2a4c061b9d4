//! From "kill it" to one named victim, or to a sentence that says why not.

use super::ui::{Dialog, FaultMenu, Ui};
use crate::core::{
    action::Target,
    effect::Effect,
    event::{ContainerState, Permitted, Pod},
    model::Model,
    trial::{Fault, Victim},
    workload::Role,
};

/// The victim that a fault would hit now, or why there is none.
pub fn victim(model: &Model, role: Role) -> Result<Victim, String> {
    let Some(pod) = model.pods.playing(role) else {
        return Err(format!(
            "no {role} pod here: deploy the workload, or name it with --{role}"
        ));
    };
    let container = pod
        .containers
        .iter()
        .find(|container| container.program)
        .or_else(|| pod.containers.first())
        .ok_or_else(|| format!("{} has no container yet", pod.name))?;
    Ok(Victim {
        role,
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        pod_uid: pod.uid.clone(),
        container: container.name.clone(),
        container_id: container.id.clone(),
        restarts: container.restarts,
        pid: None,
    })
}

/// Why a fault cannot be injected now into `role`, if it cannot.
pub fn obstacle(ui: &Ui, model: &Model, fault: Fault, role: Role) -> Option<String> {
    if let Some(why) = ui.locked {
        return Some(format!("{why}: nothing is killed"));
    }
    if ui.injecting.is_some() {
        return Some("a fault is being injected already".into());
    }
    if let Some(open) = model.ledger.open() {
        return Some(format!(
            "trial {} is still open ({}): one fault at a time",
            open.id,
            open.state.name()
        ));
    }
    if let Some(unhealed) = model.ledger.unhealed() {
        return Some(format!(
            "what trial {} did still lasts: heal it first",
            unhealed.id
        ));
    }
    let (needed, verb) = match fault {
        Fault::PodDelete => (Permitted::DeletePods, "delete pods"),
        _ => (Permitted::ExecPods, "run commands in pods"),
    };
    if !model.allows(needed) {
        return Some(format!(
            "you may not {verb} in {}: ask for the role",
            model.cluster.namespace
        ));
    }
    let pod = model.pods.playing(role)?;
    if pod.deleting {
        return Some(format!("{} is on its way out already", pod.name));
    }
    let process = fault != Fault::PodDelete;
    if process && !runs_program(pod) {
        return Some(format!("{} runs no process now", pod.name));
    }
    let others = fault == Fault::ContainerKill && pod.shares_pids;
    others.then(|| {
        format!(
            "the processes of {} share a pid namespace with others: kill -9 of all would hit them",
            pod.name
        )
    })
}

/// Takes back what lasts, or says why there is nothing to take back.
pub(super) fn heal(ui: &Ui, model: &Model) -> Result<Effect, String> {
    if let Some(why) = ui.locked {
        return Err(format!("{why}: nothing is healed"));
    }
    healing(model).ok_or_else(|| "nothing is to be healed".into())
}

/// The effect that takes back what lasts, if anything does.
pub fn healing(model: &Model) -> Option<Effect> {
    let trial = model.ledger.unhealed()?;
    let (fault, victim) = trial.to_heal()?;
    Some(Effect::Heal {
        trial: trial.id,
        fault,
        victim: victim.clone(),
    })
}

fn runs_program(pod: &Pod) -> bool {
    let program = pod
        .containers
        .iter()
        .find(|c| c.program)
        .or_else(|| pod.containers.first());
    program.is_some_and(|container| container.state == ContainerState::Running)
}

/// Injects `fault` into the target of the menu, asks for confirmation, or says
/// why not. Where the menu is not open it is opened instead: every victim is
/// named before it dies.
pub(super) fn inject(ui: &mut Ui, model: &Model, fault: Fault) -> Result<Option<Effect>, String> {
    let Some(Dialog::Fault(menu)) = ui.dialog.clone() else {
        if let Some(why) = ui.locked {
            return Err(format!("{why}: nothing is killed"));
        }
        let selected = Fault::ALL.iter().position(|known| *known == fault);
        ui.dialog = Some(Dialog::Fault(FaultMenu {
            selected: selected.unwrap_or_default(),
            ..FaultMenu::default()
        }));
        return Ok(None);
    };
    let role = match menu.target {
        Target::Role(role) => role,
        Target::Random => ui.lots.role(),
    };
    if let Some(why) = obstacle(ui, model, fault, role) {
        return Err(why);
    }
    let victim = victim(model, role)?;
    if model
        .pods
        .get(&victim.pod_uid)
        .is_some_and(|pod| pod.managed)
    {
        return Ok(Some(begin(ui, model, fault, victim)));
    }
    ui.dialog = Some(Dialog::Fault(FaultMenu {
        confirm: Some((fault, victim)),
        ..menu
    }));
    Ok(None)
}

/// The trial begins: the request goes out.
pub(super) fn begin(ui: &mut Ui, model: &Model, fault: Fault, victim: Victim) -> Effect {
    let trial = model.ledger.next_id();
    ui.injecting = Some(trial);
    ui.dialog = None;
    Effect::Inject {
        trial,
        fault,
        victim,
        lasts: fault.lasts().then_some(ui.lasts),
    }
}

//! From "kill it" to one named victim, or to a sentence that says why not.

use super::ui::{Confirm, Demand, Dialog, FaultMenu, Ui};
use crate::core::{
    action::Target,
    around::Ability,
    azure::machines::Machine,
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
        node: pod.node.clone(),
        pod_uid: pod.uid.clone(),
        container: container.name.clone(),
        container_id: container.id.clone(),
        restarts: container.restarts,
        pid: None,
        volume: None,
    })
}

/// The faults that the menu offers: those of Azure's machines where there are any,
/// else the switch that other nodes may have.
pub fn offered(model: &Model) -> Vec<Fault> {
    let azure = model.around.abilities.get(&Ability::Machines) == Some(&None);
    let is_offered = |fault: &Fault| match fault.needs() {
        Some(Ability::Machines) => azure,
        Some(Ability::Power) => !azure,
        _ => true,
    };
    Fault::ALL.into_iter().filter(is_offered).collect()
}

/// Has somebody look for what a full disk would hit, before the menu speaks of
/// it.
pub(super) fn look_for_volumes(model: &Model) -> Option<Effect> {
    if !model.allows(Permitted::ExecPods) {
        return None;
    }
    let victims: Vec<Victim> = Role::ALL
        .into_iter()
        .filter_map(|role| victim(model, role).ok())
        .collect();
    (!victims.is_empty()).then_some(Effect::LookForVolumes { victims })
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
    if fault.by_azure().is_some() && !has_machines(model) {
        return Some("no node here is a machine of Azure's".into());
    }
    if let Some(why) = fault.needs().and_then(|a| model.around.why_not(a)) {
        return Some(why.to_owned());
    }
    if let Some((needed, verb)) = needed(fault)
        && !model.allows(needed)
    {
        return Some(format!(
            "you may not {verb} in {}: ask for the role",
            model.cluster.namespace
        ));
    }
    let pod = model.pods.playing(role)?;
    if pod.deleting {
        return Some(format!("{} is on its way out already", pod.name));
    }
    // What nobody has looked for yet is looked for when it is injected.
    if fault == Fault::DiskFill
        && let Some(Err(why)) = model.around.volumes.get(&pod.uid)
    {
        return Some(why.clone());
    }
    let obstacle = match fault {
        Fault::NodeOff => without_power(model, pod),
        _ if fault.by_azure().is_some() => return without_machine(model, pod),
        _ if fault.is_command() && !runs_program(pod) => Some("runs no process now"),
        Fault::ContainerKill if pod.shares_pids => {
            Some("shares a pid namespace with others, and kill -9 of all would hit them, too")
        }
        _ => None,
    };
    obstacle.map(|what| format!("{} {what}", pod.name))
}

/// What the user must be allowed to do for a fault, beside what the cluster was
/// asked when it was asked whether it can do it at all.
const fn needed(fault: Fault) -> Option<(Permitted, &'static str)> {
    match fault {
        Fault::PodDelete => Some((Permitted::DeletePods, "delete pods")),
        _ if fault.is_command() => Some((Permitted::ExecPods, "run commands in pods")),
        _ => None,
    }
}

fn without_power(model: &Model, pod: &Pod) -> Option<&'static str> {
    let Some(node) = pod.node.as_deref() else {
        return Some("is on no node yet");
    };
    match model.around.nodes.get(node).and_then(|node| node.powered) {
        Some(true) => None,
        Some(false) => Some("is on a node that is switched off already"),
        None => Some("is on a node without a power switch"),
    }
}

/// Whether any node says that it is one of Azure's machines.
pub fn has_machines(model: &Model) -> bool {
    model
        .around
        .nodes
        .values()
        .any(|node| node.machine.is_some())
}

/// Why Azure can do nothing to the machine that a pod's node is. The node names its
/// machine itself: another test bed may have a node of the same name.
fn without_machine(model: &Model, pod: &Pod) -> Option<String> {
    let Some(node) = pod.node.as_deref() else {
        return Some(format!("{} is on no node yet", pod.name));
    };
    let own = model.around.nodes.get(node)?.machine.as_deref();
    match model.bed.machines.get(node) {
        Some(machine) if !own.is_some_and(|own| own.eq_ignore_ascii_case(&machine.id)) => Some(
            format!("node {node} is not the machine of that name in the test bed of the settings"),
        ),
        Some(machine) if machine.is_off() => Some(format!("node {node} is {}", machine.power)),
        Some(_) => None,
        None => Some(format!(
            "node {node} is no machine of the test bed that the settings name"
        )),
    }
}

/// What it takes to confirm a fault, as far as is known what it would hit.
pub(super) fn demand(model: &Model, confirm: &Confirm) -> Demand {
    let Some(node) = confirm.victim.node.as_deref() else {
        return Demand::Key;
    };
    if !confirm.fault.hits_node() {
        return Demand::Key;
    }
    match model.around.residents.get(node) {
        Some((at, residents)) if *at >= confirm.asked => {
            if residents.any_foreign() {
                Demand::Name(node.to_owned())
            } else {
                Demand::Key
            }
        }
        _ => Demand::Wait,
    }
}

/// Injects what was asked about, if the answer is what it takes.
pub(super) fn confirm(ui: &mut Ui, model: &Model, menu: FaultMenu) -> Result<Effect, String> {
    let Some(confirm) = menu.confirm.clone() else {
        return Err("nothing was asked".into());
    };
    let refusal = match demand(model, &confirm) {
        Demand::Wait => Some("still looking at what runs on the node".to_owned()),
        Demand::Name(name) if confirm.typed.trim() != name => {
            Some(format!("not done: type {name}, or leave it alone"))
        }
        Demand::Key | Demand::Name(_) => None,
    };
    if let Some(refusal) = refusal {
        ui.dialog = Some(Dialog::Fault(menu));
        return Err(refusal);
    }
    // The world may have moved on while the question stood.
    if let Some(why) = obstacle(ui, model, confirm.fault, confirm.victim.role) {
        return Err(why);
    }
    Ok(begin(ui, model, confirm.fault, *confirm.victim))
}

/// Takes back what lasts, or says why there is nothing to take back.
pub(super) fn heal(ui: &Ui, model: &Model) -> Result<Effect, String> {
    if let Some(why) = ui.locked {
        return Err(format!("{why}: nothing is healed"));
    }
    healing(model)
        .or_else(|| (!leftovers(model).is_empty()).then_some(Effect::HealLeftovers))
        .ok_or_else(|| "nothing is to be healed".into())
}

/// What earlier runs left in force, in words.
pub fn leftovers(model: &Model) -> Vec<String> {
    let ledger = &model.ledger;
    if ledger.unhealed().is_some() || ledger.open().is_some() {
        return Vec::new();
    }
    let off = model.around.nodes.values().filter(|node| node.off_by_us);
    let off = off.map(|node| format!("node {} is switched off", node.name));
    let azures = model.bed.off().map(|machine| {
        let Machine { node, power, .. } = machine;
        format!("node {node} is {power} in Azure")
    });
    let all = model.around.leftovers.iter().cloned();
    all.chain(off).chain(azures).collect()
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
        let selected = offered(model).iter().position(|known| *known == fault);
        ui.dialog = Some(Dialog::Fault(FaultMenu {
            selected: selected.unwrap_or_default(),
            ..FaultMenu::default()
        }));
        return Ok(look_for_volumes(model));
    };
    let role = match menu.target {
        Target::Role(role) => role,
        Target::Random => ui.lots.role(),
    };
    if let Some(why) = obstacle(ui, model, fault, role) {
        return Err(why);
    }
    let victim = victim(model, role)?;
    let managed = model.pods.get(&victim.pod_uid).is_some_and(|p| p.managed);
    if managed && !fault.hits_node() {
        return Ok(Some(begin(ui, model, fault, victim)));
    }
    let look = victim.node.clone().filter(|_| fault.hits_node());
    let mut confirm = Confirm {
        fault,
        victim: Box::new(victim),
        asked: model.now,
        demand: Demand::Key,
        typed: String::new(),
    };
    confirm.demand = demand(model, &confirm);
    ui.dialog = Some(Dialog::Fault(FaultMenu {
        confirm: Some(confirm),
        ..menu
    }));
    Ok(look.map(|node| Effect::LookAtNode { node }))
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
        lasts: fault.holds().then_some(ui.lasts),
    }
}

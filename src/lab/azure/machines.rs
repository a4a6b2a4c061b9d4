//! Virtual machines of scale sets: the nodes of clusters.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::{self, Call};
use super::guard;
use super::ids;
use super::lro::{Effect, Plan};
use super::resources::{Resource, page};
use super::world::World;
use crate::lab::store::new_uid;

/// Type of a scale set.
pub const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
/// Type of a machine in one.
pub const MACHINE: &str = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines";

/// What becomes of a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// It runs.
    Running,
    /// It has no power, and is still paid for.
    Stopped,
    /// It has no place.
    Deallocated,
    /// It boots anew.
    Reboots,
    /// It boots anew from a fresh disk.
    Reimaged,
}

/// All machines there are.
pub fn all(world: &World) -> impl Iterator<Item = &Resource> {
    world.of_kind(MACHINE, "/")
}

/// The machines of a scale set.
pub fn of_set<'a>(world: &'a World, set: &'a str) -> impl Iterator<Item = &'a Resource> {
    world.of_kind(MACHINE, set)
}

/// Name of a machine's node: the set's, and the number with 36 digits.
fn computer(set: &str, number: u64) -> String {
    let mut digits = Vec::new();
    let mut rest = number;
    for _ in 0..6 {
        digits.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
    }
    let digits: String = digits.iter().rev().collect();
    format!("{}{digits}", ids::name(set))
}

/// Makes a machine in a set, with the next number.
pub fn create(world: &mut World, set: &str) {
    let Some(there) = world.get_mut(set) else {
        return;
    };
    let number = there.secret["next"].as_u64().unwrap_or(0);
    there.secret["next"] = json!(number + 1);
    let body = there.body.clone();
    let id = format!("{set}/virtualMachines/{number}");
    let made = json!({
        "id": id,
        "name": format!("{}_{number}", ids::name(set)),
        "instanceId": number.to_string(),
        "type": MACHINE,
        "location": body["location"],
        "tags": body["tags"],
        "sku": {"name": body["sku"]["name"], "tier": "Standard"},
        "properties": {
            "latestModelApplied": true,
            "modelDefinitionApplied": "VirtualMachineScaleSet",
            "vmId": new_uid(),
            "provisioningState": "Succeeded",
            "timeCreated": world.now.to_string(),
            "hardwareProfile": {},
            "osProfile": {
                "computerName": computer(set, number),
                "adminUsername": "azureuser",
            },
            "storageProfile": {
                "imageReference": {"id": "aks-ubuntu-2404-gen2"},
                "osDisk": {"osType": "Linux", "createOption": "FromImage", "diskSizeGB": 128},
            },
        },
    });
    let machine = world.put(&id, made);
    machine.secret = json!({"power": "running", "boots": 0});
}

/// Does something to a machine's power.
pub fn switch(world: &mut World, id: &str, power: Power) {
    let Some(machine) = world.get_mut(id) else {
        return;
    };
    let word = match power {
        Power::Running | Power::Reboots | Power::Reimaged => "running",
        Power::Stopped => "stopped",
        Power::Deallocated => "deallocated",
    };
    machine.secret["power"] = json!(word);
    let mut count = |what: &str| {
        let before = machine.secret[what].as_u64().unwrap_or(0);
        machine.secret[what] = json!(before + 1);
    };
    if matches!(power, Power::Reboots | Power::Reimaged) {
        count("boots");
    }
    if power == Power::Reimaged {
        count("disks");
    }
}

fn view(machine: &Resource) -> Value {
    let at = machine.changed.to_string();
    let power = machine.secret["power"].as_str().unwrap_or_default();
    let status = |code: &str, shown: &str| {
        json!({
            "code": code, "level": "Info", "displayStatus": shown, "time": at,
        })
    };
    json!({
        "statuses": [
            status("ProvisioningState/succeeded", "Provisioning succeeded"),
            status(&format!("PowerState/{power}"), &format!("VM {power}")),
        ],
        "computerName": machine.body["properties"]["osProfile"]["computerName"],
        "vmAgent": {"vmAgentVersion": "2.12.0.2", "statuses": [
            status("ProvisioningState/succeeded", "Ready"),
        ]},
    })
}

fn shown(machine: &Resource, call: &Call) -> Value {
    let mut body = machine.body.clone();
    if call.query("$expand").eq_ignore_ascii_case("instanceView") {
        body["properties"]["instanceView"] = view(machine);
    }
    body
}

/// `GET …/virtualMachines`
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let set = call.split().0;
    world.need(set)?;
    let found = of_set(world, set).map(|it| shown(it, call));
    Ok(page(call, found.collect()))
}

/// `GET …/virtualMachines/{machine}`
pub fn get(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let machine = need(world, &call.path)?;
    Ok(Answer::ok(shown(machine, call)))
}

/// `GET …/virtualMachines/{machine}/instanceView`
pub fn instance_view(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = call.split().0;
    Ok(Answer::ok(view(need(world, id)?)))
}

/// `GET …/virtualMachineScaleSets`
pub fn sets(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.path.split("/providers/").next().unwrap_or_default();
    let found = world.of_kind(SET, scope).map(|it| it.body.clone());
    Ok(page(call, found.collect()))
}

fn need<'a>(world: &'a World, id: &str) -> Result<&'a Resource, ArmError> {
    world.get(id).ok_or_else(|| {
        ArmError::not_found(
            "InstanceIdNotFound",
            format!(
                "The instance '{}' is not there in the scale set.",
                ids::name(id)
            ),
        )
    })
}

/// What an action does: how long it takes, and what becomes of the power when,
/// as parts of that.
fn course(action: &str) -> Option<(f64, &'static [(f64, Power)])> {
    let course: (f64, &[(f64, Power)]) = match action {
        "start" => (40.0, &[(0.5, Power::Running)]),
        "restart" => (30.0, &[(0.1, Power::Stopped), (0.6, Power::Reboots)]),
        "poweroff" => (25.0, &[(0.2, Power::Stopped)]),
        "deallocate" => (60.0, &[(0.2, Power::Stopped), (1.0, Power::Deallocated)]),
        "reimage" | "reimageall" => (100.0, &[(0.1, Power::Stopped), (0.7, Power::Reimaged)]),
        "redeploy" => (120.0, &[(0.1, Power::Stopped), (0.7, Power::Reboots)]),
        _ => return None,
    };
    Some(course)
}

/// `POST …/virtualMachines/{machine}/{action}`
pub fn act(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let (id, action) = call.split();
    let id = need(world, id)?.id.clone();
    act_on(world, call, &[id], action)
}

/// `POST …/virtualMachineScaleSets/{set}/{action}`, of some of its machines or
/// of all.
pub fn act_on_set(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let (set, action) = call.split();
    world.need(set)?;
    let chosen = chosen(world, set, &call.body)?;
    act_on(world, call, &chosen, action)
}

/// The machines that a body names by their numbers.
fn chosen(world: &World, set: &str, body: &Value) -> Result<Vec<String>, ArmError> {
    let Some(numbers) = body["instanceIds"].as_array() else {
        return Ok(of_set(world, set).map(|it| it.id.clone()).collect());
    };
    let mut chosen = Vec::new();
    for number in numbers {
        let number = number.as_str().unwrap_or_default();
        if number == "*" {
            return Ok(of_set(world, set).map(|it| it.id.clone()).collect());
        }
        let id = format!("{set}/virtualMachines/{number}");
        chosen.push(need(world, &id)?.id.clone());
    }
    Ok(chosen)
}

fn act_on(
    world: &mut World,
    call: &Call,
    chosen: &[String],
    action: &str,
) -> Result<Answer, ArmError> {
    let action = action.to_ascii_lowercase();
    let Some((seconds, steps)) = course(&action) else {
        let message = format!("The action '{action}' is not supported.");
        return Err(ArmError::bad("OperationNotAllowed", message));
    };
    for id in chosen {
        guard::act(world, id, &format!("{action}/action"))?;
    }
    for id in chosen {
        guard::record(world, id, &format!("{action}/action"), None);
        for (part, power) in steps {
            world.later(seconds * part, Effect::Switch(id.clone(), *power));
        }
    }
    let plan = Plan {
        seconds,
        ..Plan::default()
    };
    let subject = chosen.first().cloned().unwrap_or_default();
    let operation = world.begin(&subject, plan);
    Ok(accepted(world, call, &subject, &operation))
}

/// *202*, with both ways to follow an operation of machines.
fn accepted(world: &World, call: &Call, id: &str, operation: &str) -> Answer {
    let version = call.query("api-version");
    let followed = super::kinds::status_url(world, id, operation, version);
    let location = super::kinds::result_url(world, id, operation, version);
    Answer::empty(StatusCode::ACCEPTED)
        .with("azure-asyncoperation", followed)
        .with("location", location)
        .with("retry-after", world.retry_after(10.0))
}

/// `DELETE …/virtualMachines/{machine}`
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let Some(machine) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let id = machine.id.clone();
    remove(world, call, &[id])
}

/// `POST …/virtualMachineScaleSets/{set}/delete`
pub fn delete_of_set(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let set = call.split().0;
    world.need(set)?;
    call::require(call.object()?, &["instanceIds"])?;
    let chosen = chosen(world, set, &call.body)?;
    remove(world, call, &chosen)
}

fn remove(world: &mut World, call: &Call, chosen: &[String]) -> Result<Answer, ArmError> {
    for id in chosen {
        guard::act(world, id, "delete")?;
        guard::delete(world, id)?;
    }
    for id in chosen {
        guard::record(world, id, "delete", None);
        world.later(10.0, Effect::Removed(id.clone()));
    }
    let plan = Plan {
        seconds: 30.0,
        ..Plan::default()
    };
    let subject = chosen.first().cloned().unwrap_or_default();
    let operation = world.begin(&subject, plan);
    Ok(accepted(world, call, &subject, &operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_36_digits() {
        assert_eq!(
            computer("/x/aks-nodepool1-12345678-vmss", 0),
            "aks-nodepool1-12345678-vmss000000"
        );
        assert_eq!(computer("/x/aks-p-1-vmss", 35), "aks-p-1-vmss00000z");
        assert_eq!(computer("/x/aks-p-1-vmss", 36), "aks-p-1-vmss000010");
    }
}

//! Pools of nodes.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError};
use super::super::call::Call;
use super::super::guard;
use super::super::ids;
use super::super::kinds::{self, Put};
use super::super::lro::{Effect, Plan};
use super::super::resources::{Resource, page};
use super::super::sizes;
use super::super::world::World;
use super::{POOL, bad, check_idle, check_running, nodes, of};
use crate::lab::kubelet::MOST_NODES;

/// How long a pool takes to be there or to be changed, in seconds.
const CHANGING: f64 = 75.0;

/// The profiles of a cluster that is asked for.
///
/// # Errors
/// When there is none, or none for the system.
pub fn asked(properties: &Value) -> Result<Vec<Value>, ArmError> {
    let profiles = properties["agentPoolProfiles"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if profiles.is_empty() {
        return Err(bad(
            "InvalidParameter",
            "Required parameter properties.agentPoolProfiles is missing (null).",
        ));
    }
    let system = |it: &Value| it["mode"].is_null() || it["mode"] == "System";
    if !profiles.iter().any(system) {
        return Err(bad(
            "InvalidParameter",
            "The managed cluster must have at least one agent pool of mode System.",
        ));
    }
    Ok(profiles)
}

/// The pool of a name.
pub fn find<'a>(world: &'a World, cluster: &str, name: &str) -> Option<&'a Resource> {
    world.get(&format!("{cluster}/agentPools/{name}"))
}

/// Refuses a pool that cannot be.
///
/// # Errors
/// When its name, its size or its count is none, or its size is another than
/// it was.
pub fn check(
    world: &World,
    location: &str,
    there: Option<&Resource>,
    asked: &Value,
) -> Result<(), ArmError> {
    let name = asked["name"].as_str().unwrap_or_default();
    let fine = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    if name.is_empty()
        || name.len() > 12
        || !name.chars().all(fine)
        || !name.starts_with(|it: char| it.is_ascii_lowercase())
    {
        return Err(bad(
            "InvalidParameter",
            format!(
                "The value of parameter agentPoolProfile.name '{name}' is invalid. It must have 1 to 12 small letters and digits, and begin with a letter."
            ),
        ));
    }
    if asked["type"]
        .as_str()
        .is_some_and(|it| it != "VirtualMachineScaleSets")
    {
        return Err(bad(
            "InvalidParameter",
            "The lab has pools of type VirtualMachineScaleSets only.",
        ));
    }
    let count = asked["count"].as_u64().unwrap_or(1);
    if count > 1000 || (count == 0 && asked["mode"] != "User") {
        return Err(bad(
            "InvalidParameter",
            format!(
                "The value of parameter agentPoolProfile.count '{count}' is invalid: a pool of mode System has 1 to 1000 nodes."
            ),
        ));
    }
    let wanted = asked["vmSize"].as_str().filter(|it| !it.is_empty());
    if let (Some(there), Some(wanted)) = (there, wanted)
        && there.body["properties"]["vmSize"]
            .as_str()
            .is_some_and(|it| !it.eq_ignore_ascii_case(wanted))
    {
        return Err(bad(
            "PropertyChangeNotAllowed",
            "Changing property 'properties.vmSize' is not allowed.",
        ));
    }
    let wanted = wanted.unwrap_or(sizes::USUAL);
    let size = sizes::find(wanted).filter(|it| !sizes::is_restricted(world, it));
    if size.is_none() {
        let can = sizes::SIZES
            .iter()
            .filter(|it| !sizes::is_restricted(world, it));
        let can: Vec<_> = can.map(|it| it.name.to_ascii_lowercase()).collect();
        return Err(bad(
            "VMSizeNotSupported",
            format!(
                "The VM size of {wanted} is not allowed in your subscription in location '{location}'. The available VM sizes are '{}'. For more details, please visit https://aka.ms/cpu-quota",
                can.join(",")
            ),
        ));
    }
    Ok(())
}

fn needed(profile: &Value) -> (u64, Option<&'static sizes::Size>) {
    let size = profile["vmSize"].as_str().filter(|it| !it.is_empty());
    let size = sizes::find(size.unwrap_or(sizes::USUAL));
    let count = profile["count"].as_u64().unwrap_or(1);
    (count, size)
}

/// Refuses a new cluster for which there are not enough processors.
///
/// # Errors
/// *400*, with how many are left and how many are needed.
pub fn check_quota(world: &World, location: &str, profiles: &[Value]) -> Result<(), ArmError> {
    check_processors(world, location, profiles, 0)
}

/// The same for a cluster that is there: its own machines are free to it.
///
/// # Errors
/// As [`check_quota`].
pub fn check_quota_of(
    world: &World,
    location: &str,
    cluster: &str,
    profiles: &[Value],
) -> Result<(), ArmError> {
    let own = world.of_kind(POOL, cluster).map(|pool| {
        let (count, size) = needed(&pool.body["properties"]);
        count * size.map_or(0, |it| it.cpus)
    });
    check_processors(world, location, profiles, own.sum())
}

fn check_processors(
    world: &World,
    location: &str,
    profiles: &[Value],
    own: u64,
) -> Result<(), ArmError> {
    let (in_all, of_family) = sizes::limits(world);
    let (mut cpus, mut count) = (0, 0);
    for profile in profiles {
        let (nodes, size) = needed(profile);
        let Some(size) = size else { continue };
        cpus += nodes * size.cpus;
        count += nodes;
        let left =
            (of_family + own).saturating_sub(sizes::used(world, location, Some(size.family)));
        if nodes * size.cpus > left {
            return Err(bad(
                "ErrCode_InsufficientVCPUQuota",
                format!(
                    "Insufficient vcpu quota requested {}, remaining {left} for family {} for region {location}.",
                    nodes * size.cpus,
                    size.family
                ),
            ));
        }
    }
    let left = (in_all + own).saturating_sub(sizes::used(world, location, None));
    if cpus > left {
        return Err(bad(
            "ErrCode_InsufficientVCPUQuota",
            format!(
                "Insufficient regional vcpu quota left for location {location}. left regional vcpu quota {left}, requested quota {cpus}. If you want to increase the quota, please follow this instruction: https://aka.ms/cpu-quota."
            ),
        ));
    }
    if count > MOST_NODES as u64 {
        return Err(bad(
            "QuotaExceeded",
            format!("The lab has room for {MOST_NODES} nodes; {count} were requested."),
        ));
    }
    Ok(())
}

/// Makes a pool, or changes the one that is there. Gives its id.
pub fn create(world: &mut World, cluster: &str, asked: &Value, version: &str) -> String {
    let name = asked["name"].as_str().unwrap_or_default();
    let id = format!("{cluster}/agentPools/{name}");
    let there = world.get(&id).map(|it| it.body["properties"].clone());
    let state = if there.is_some() {
        "Updating"
    } else {
        "Creating"
    };
    let mut properties = there.unwrap_or_else(|| {
        json!({
            "count": 1, "vmSize": sizes::USUAL, "osDiskSizeGB": 128, "osDiskType": "Managed",
            "kubeletDiskType": "OS", "maxPods": 250, "type": "VirtualMachineScaleSets",
            "enableAutoScaling": false, "scaleDownMode": "Delete", "mode": "System",
            "powerState": {"code": "Running"}, "osType": "Linux", "osSKU": "Ubuntu",
            "nodeImageVersion": nodes::IMAGE, "enableFIPS": false,
            "upgradeSettings": {"maxSurge": "10%", "maxUnavailable": "0"},
            "securityProfile": {"enableVTPM": false, "enableSecureBoot": false},
        })
    });
    let mut asked = asked.clone();
    if let Some(asked) = asked.as_object_mut() {
        asked.remove("name");
        asked.remove("provisioningState");
        asked.remove("powerState");
        asked.retain(|_, value| value != "");
    }
    kinds::merge(&mut properties, &asked);
    properties["orchestratorVersion"] = json!(version);
    properties["currentOrchestratorVersion"] = json!(version);
    properties["provisioningState"] = json!(state);
    world.put(
        &id,
        json!({"id": id, "name": name, "type": POOL, "properties": properties}),
    );
    id
}

/// Creates a pool of a cluster that is there, or changes one.
///
/// # Errors
/// As for the cluster.
pub fn put(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let cluster = of(id).to_owned();
    let there = world.need(&cluster)?;
    let location = there.body["location"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let version = there.body["properties"]["kubernetesVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    check_idle(world, &cluster)?;
    check_running(world, &cluster)?;
    let mut asked = body["properties"].clone();
    asked["name"] = json!(ids::name(id));
    if asked["mode"].is_null() && world.get(id).is_none() {
        asked["mode"] = json!("User");
    }
    check(world, &location, world.get(id), &asked)?;
    let others = world
        .of_kind(POOL, &cluster)
        .filter(|it| ids::key(&it.id) != ids::key(id));
    let mut all: Vec<Value> = others.map(|it| it.body["properties"].clone()).collect();
    all.push(asked.clone());
    check_quota_of(world, &location, &cluster, &all)?;
    let created = world.get(id).is_none();
    let id = create(world, &cluster, &asked, &version);
    world.later(CHANGING * 0.6, Effect::Machines(cluster));
    let plan = Plan {
        seconds: CHANGING,
        effects: vec![Effect::Provisioned(id.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&id, plan);
    Ok(Put {
        created,
        operation: Some(operation),
    })
}

/// `GET …/agentPools`
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let cluster = call.split().0;
    world.need(cluster)?;
    let all = world.of_kind(POOL, cluster).map(|it| it.body.clone());
    Ok(page(call, all.collect()))
}

/// `DELETE …/agentPools/{pool}`
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let Some(pool) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let id = pool.id.clone();
    let cluster = of(&id).to_owned();
    guard::delete(world, &id)?;
    check_idle(world, &cluster)?;
    let is_other_system = |it: &Resource| it.id != id && it.body["properties"]["mode"] == "System";
    if !world.of_kind(POOL, &cluster).any(is_other_system) {
        return Err(bad(
            "OperationNotAllowed",
            "There must be at least one agent pool of mode System.",
        ));
    }
    guard::record(world, &id, "delete", None);
    world.set_state(&id, "Deleting");
    let plan = Plan {
        seconds: CHANGING,
        effects: vec![Effect::Removed(id.clone()), Effect::Machines(cluster)],
        ..Plan::default()
    };
    let operation = world.begin(&id, plan);
    Ok(super::calls::accepted(world, call, &id, &operation))
}

/// `GET …/agentPools/{pool}/machines`: which machine is which node.
pub fn machines(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let pool = kinds::subject(world, call)?;
    let all = nodes::of_pool(world, &pool).map(|machine| nodes::machine(&pool, machine));
    Ok(page(call, all.collect()))
}

/// `GET …/machines/{machine}`
pub fn machine(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let path = call.path.trim_end_matches('/');
    let pool = path.rsplitn(3, '/').nth(2).unwrap_or_default();
    let pool = world.need(pool)?.id.clone();
    let mut all = nodes::of_pool(world, &pool).map(|machine| nodes::machine(&pool, machine));
    let found = all.find(|it| it["name"] == ids::name(path));
    found
        .map(Answer::ok)
        .ok_or_else(|| super::super::resources::not_found(path))
}

/// `POST …/agentPools/{pool}/deleteMachines`
pub fn delete_machines(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let pool = kinds::subject(world, call)?;
    let cluster = of(&pool).to_owned();
    check_idle(world, &cluster)?;
    check_running(world, &cluster)?;
    let names = call.object()?["machineNames"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut chosen = Vec::new();
    for name in &names {
        let found = nodes::of_pool(world, &pool)
            .find(|it| it.body["properties"]["osProfile"]["computerName"] == *name);
        let Some(found) = found else {
            return Err(bad(
                "InvalidParameter",
                format!("The machine {name} is not there in the agent pool."),
            ));
        };
        chosen.push(found.id.clone());
    }
    if chosen.is_empty() {
        return Err(bad(
            "InvalidParameter",
            "Required parameter machineNames is missing (null).",
        ));
    }
    guard::record(world, &pool, "deleteMachines/action", None);
    if let Some(there) = world.get_mut(&pool) {
        let count = there.body["properties"]["count"].as_u64().unwrap_or(0);
        there.body["properties"]["count"] = json!(count.saturating_sub(chosen.len() as u64));
        there.body["properties"]["provisioningState"] = json!("Updating");
    }
    for machine in chosen {
        world.later(CHANGING * 0.3, Effect::Removed(machine));
    }
    let plan = Plan {
        seconds: CHANGING,
        effects: vec![Effect::Provisioned(pool.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&pool, plan);
    Ok(super::calls::accepted(world, call, &pool, &operation))
}

/// `POST …/agentPools/{pool}/upgradeNodeImageVersion`: every node gets a fresh
/// disk, one after the other.
pub fn upgrade_image(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    use super::super::machines::Power;
    let pool = kinds::subject(world, call)?;
    let cluster = of(&pool).to_owned();
    check_idle(world, &cluster)?;
    check_running(world, &cluster)?;
    guard::record(world, &pool, "upgradeNodeImageVersion/action", None);
    world.set_state(&pool, "UpgradingNodeImageVersion");
    let machines: Vec<String> = nodes::of_pool(world, &pool)
        .map(|it| it.id.clone())
        .collect();
    let mut seconds = 10.0;
    for machine in machines {
        world.later(seconds, Effect::Switch(machine, Power::Reboots));
        seconds += 60.0;
    }
    let plan = Plan {
        seconds,
        effects: vec![Effect::Provisioned(pool.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&pool, plan);
    Ok(super::calls::accepted(world, call, &pool, &operation))
}

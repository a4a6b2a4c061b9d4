//! Resource groups.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::account::{self, REGIONS};
use super::aks::CLUSTER;
use super::answer::{Answer, ArmError};
use super::authorization;
use super::call::Call;
use super::faults::Fault;
use super::guard;
use super::ids;
use super::lro::{Effect, Plan, Status};
use super::resources::{Filter, page};
use super::world::World;

/// How long an empty group takes to go, in seconds.
const GOING: f64 = 15.0;
/// How long each thing in it takes.
const EACH: f64 = 10.0;

/// How much longer a cluster takes.
const CLUSTER_GOES: f64 = 150.0;

/// The id of a group.
pub fn id(world: &World, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{name}",
        world.account.subscription
    )
}

/// *404*, as of a group.
pub fn not_found(name: &str) -> ArmError {
    ArmError::not_found(
        "ResourceGroupNotFound",
        format!("Resource group '{name}' could not be found."),
    )
}

/// The region that a body names.
///
/// # Errors
/// When it names none, or one that is not there.
pub fn location(body: &Value, kind: &str) -> Result<&'static str, ArmError> {
    let Some(asked) = body["location"].as_str().filter(|it| !it.is_empty()) else {
        return Err(ArmError::bad(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    account::region(asked).ok_or_else(|| {
        let known = REGIONS.map(|(name, ..)| name).join(",");
        ArmError::bad(
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{asked}' is not available for resource type '{kind}'. List of available regions for the resource type is '{known}'."
            ),
        )
    })
}

/// `PUT` and `PATCH` of a group.
pub fn put(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let name = call.arg("group");
    let body = call.object()?;
    let fine = |it: char| it.is_alphanumeric() || "._-()".contains(it);
    if name.len() > 90 || name.ends_with('.') || !name.chars().all(fine) {
        return Err(ArmError::bad(
            "InvalidResourceGroup",
            format!(
                "The provided resource group name '{name}' has these invalid characters or is too long. The name can only be a letter, digit, '-', '.', '(', ')' or '_', has at most 90 of them and does not end with '.'."
            ),
        ));
    }
    let id = id(world, name);
    let before = world.get(&id).cloned();
    if call.method == Method::PATCH {
        let Some(mut before) = before else {
            return Err(not_found(name));
        };
        if body["tags"].is_object() {
            before.body["tags"] = body["tags"].clone();
        }
        return Ok(Answer::ok(world.put(&id, before.body).body.clone()));
    }
    let location = location(body, "Microsoft.Resources/resourceGroups")?;
    if let Some(before) = &before {
        let there = before.body["location"].as_str().unwrap_or_default();
        if there != location {
            return Err(ArmError::conflict(
                "InvalidResourceGroupLocation",
                format!(
                    "Invalid resource group location '{location}'. The Resource group already exists in location '{there}'."
                ),
            ));
        }
        check_not_going(&before.body, name)?;
    }
    guard::write(world, &id, body)?;
    let made = create(world, name, location, &body["tags"], &body["managedBy"]);
    guard::record(world, &id, "write", None);
    if before.is_none() && world.has(Fault::Lock) {
        let lock = format!("{id}/providers/Microsoft.Authorization/locks/keep");
        let body = json!({"properties": {
            "level": "CanNotDelete", "notes": "The lab was asked for it.",
        }});
        authorization::put_lock(world, &lock, &body)?;
    }
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(Answer::json(status, made))
}

/// Makes a group, or gives one other tags.
pub fn create(
    world: &mut World,
    name: &str,
    location: &str,
    tags: &Value,
    managed_by: &Value,
) -> Value {
    let id = id(world, name);
    let mut body = json!({
        "id": id,
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "properties": {"provisioningState": "Succeeded"},
    });
    if tags.is_object() {
        body["tags"] = tags.clone();
    }
    if managed_by.is_string() {
        body["managedBy"] = managed_by.clone();
    }
    world.put(&id, body).body.clone()
}

/// Refuses what is asked of a group that is going.
///
/// # Errors
/// *409*.
pub fn check_not_going(group: &Value, name: &str) -> Result<(), ArmError> {
    if group["properties"]["provisioningState"] != "Deleting" {
        return Ok(());
    }
    Err(ArmError::conflict(
        "ResourceGroupBeingDeleted",
        format!(
            "The resource group '{name}' is in deprovisioning state and cannot perform this operation."
        ),
    ))
}

/// `GET` and `HEAD` of a group.
pub fn get(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let name = call.arg("group");
    let group = world.get(&id(world, name)).ok_or_else(|| not_found(name))?;
    if call.method == Method::HEAD {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    }
    Ok(Answer::ok(group.body.clone()))
}

/// `GET …/resourcegroups`
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let filter = Filter::parse(call.query("$filter"))?;
    let groups = world.of_kind("Microsoft.Resources/resourceGroups", "/");
    let items = groups.map(|it| it.body.clone());
    let items = items.filter(|it| filter.fits(it)).collect();
    Ok(page(call, items))
}

/// `DELETE` of a group: it goes with all that is in it, what is nested first.
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let name = call.arg("group");
    let id = id(world, name);
    let Some(group) = world.get(&id) else {
        return Err(not_found(name));
    };
    guard::delete(world, &id)?;
    let operation = if group.body["properties"]["provisioningState"] == "Deleting" {
        // It goes already: whoever asks again follows the same operation.
        let all = world.operations.values();
        let mut of_group = all.filter(|it| it.subject.eq_ignore_ascii_case(&id));
        let under_way = of_group.find(|it| it.status == Status::InProgress);
        under_way.map(|it| it.id.clone()).unwrap_or_default()
    } else {
        begin_to_go(world, &id, name)
    };
    let location = format!(
        "/subscriptions/{}/operationresults/{operation}?api-version={}",
        world.account.subscription,
        call.query("api-version")
    );
    Ok(Answer::empty(StatusCode::ACCEPTED)
        .with("location", location)
        .with("retry-after", world.retry_after(15.0)))
}

fn begin_to_go(world: &mut World, id: &str, name: &str) -> String {
    world.set_state(id, "Deleting");
    guard::record(world, id, "delete", None);
    let mut inside: Vec<String> = world
        .resources
        .values()
        .filter(|it| ids::is_below(&it.id, id) && it.id.len() > id.len())
        .map(|it| it.id.clone())
        .collect();
    inside.sort_by_key(|it| std::cmp::Reverse(it.matches('/').count()));
    let mut seconds = 0.0;
    for resource in inside {
        let kind = ids::kind(&resource);
        if kind.matches('/').count() == 1 {
            seconds += EACH;
        }
        world.set_state(&resource, "Deleting");
        if kind == CLUSTER {
            seconds += CLUSTER_GOES;
            world.later(seconds, Effect::ClusterGone(resource));
        } else if !kind.starts_with(CLUSTER) {
            world.later(seconds, Effect::Removed(resource));
        }
    }
    let plan = Plan {
        seconds: seconds + GOING,
        effects: vec![Effect::GroupRemoved(name.to_owned())],
        ..Plan::default()
    };
    world.begin(id, plan)
}

/// A group is gone.
pub fn removed(world: &mut World, name: &str) {
    let id = id(world, name);
    world.remove_below(&id);
}

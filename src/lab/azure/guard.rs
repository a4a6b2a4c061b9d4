//! What stands between a caller and a change: locks and policies; and the
//! activity log, which tells of every change that was tried.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::aks;
use super::answer::{Answer, ArmError};
use super::call::Call;
use super::faults::Fault;
use super::ids;
use super::resources::{Filter, page};
use super::world::World;
use crate::lab::store::new_uid;

/// How many entries the activity log remembers.
const REMEMBERED: usize = 2000;

/// Refuses a change of a resource that a lock or a policy forbids.
///
/// # Errors
/// *409* for locks, *403* for policies.
pub fn write(world: &World, id: &str, body: &Value) -> Result<(), ArmError> {
    act(world, id, "write")?;
    policy(world, id, body)
}

/// The tag that the policy demands of everything that has a region.
const TAG: &str = "costCenter";

fn assignment(world: &World) -> String {
    format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/policyAssignments/require-cost-center",
        world.account.subscription
    )
}

fn policy(world: &World, id: &str, body: &Value) -> Result<(), ArmError> {
    let tagged = body["tags"][TAG].as_str().is_some_and(|it| !it.is_empty());
    if !world.has(Fault::Policy)
        || body["location"].is_null()
        || tagged
        || ids::namespace(id).is_empty()
    {
        return Ok(());
    }
    let assignment = assignment(world);
    let policy = json!([{
        "policyAssignment": {"name": "Require a cost center", "id": assignment},
        "policyDefinition": {"name": "Require a tag on resources", "id": "/providers/Microsoft.Authorization/policyDefinitions/871b6d14-10aa-478d-b590-94f262ecfa99"},
    }]);
    let info = json!({
        "policyDefinitionDisplayName": "Require a tag on resources",
        "policyAssignmentDisplayName": "Require a cost center",
        "policyAssignmentName": "require-cost-center",
        "policyAssignmentId": assignment,
        "policyAssignmentScope": format!("/subscriptions/{}", world.account.subscription),
        "evaluationDetails": {"evaluatedExpressions": [{
            "result": "True", "expressionKind": "Field", "expression": format!("tags[{TAG}]"),
            "path": format!("tags[{TAG}]"), "targetValue": "false", "operator": "Exists",
        }]},
    });
    let message = format!(
        "Resource '{}' was disallowed by policy. Policy identifiers: '{policy}'.",
        ids::name(id)
    );
    Err(ArmError::forbidden("RequestDisallowedByPolicy", message)
        .with("target", json!(ids::name(id)))
        .with(
            "additionalInfo",
            json!([{"type": "PolicyViolation", "info": info}]),
        ))
}

/// `GET {scope}/…/policyAssignments`
pub fn policies(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let assigned = world.has(Fault::Policy).then(|| {
        json!({
            "id": assignment(world),
            "name": "require-cost-center",
            "type": "Microsoft.Authorization/policyAssignments",
            "properties": {
                "displayName": "Require a cost center",
                "policyDefinitionId": "/providers/Microsoft.Authorization/policyDefinitions/871b6d14-10aa-478d-b590-94f262ecfa99",
                "scope": format!("/subscriptions/{}", world.account.subscription),
                "enforcementMode": "Default",
                "parameters": {"tagName": {"value": TAG}},
            },
        })
    });
    Ok(Answer::list(assigned.into_iter().collect()))
}

/// Refuses to delete what a lock holds, on it, above it or in it.
///
/// # Errors
/// *409*, naming the scopes that are locked.
pub fn delete(world: &World, id: &str) -> Result<(), ArmError> {
    let levels = ["CanNotDelete", "ReadOnly"];
    let mut locks = locks(world, id, &levels);
    let inside = world.of_kind("Microsoft.Authorization/locks", id);
    locks.extend(inside.map(|it| ids::scope(&it.id).to_owned()));
    locks.sort();
    locks.dedup();
    refuse(id, "delete", &locks)
}

/// Refuses an action on a resource that somebody else manages and denies to
/// everybody.
///
/// # Errors
/// *403*, naming the deny assignment; *409* for locks.
pub fn act(world: &World, id: &str, what: &str) -> Result<(), ArmError> {
    let locks = locks(world, id, &["ReadOnly"]);
    refuse(id, what, &locks)?;
    denied(world, id, what)
}

fn denied(world: &World, id: &str, what: &str) -> Result<(), ArmError> {
    let Some((name, scope)) = deny_assignment(world, id) else {
        return Ok(());
    };
    let account = &world.account;
    Err(ArmError::forbidden(
        "DenyAssignmentAuthorizationFailed",
        format!(
            "The client '{}' with object id '{}' has permission to perform action '{}/{what}' on scope '{id}'; however, the access is denied because of the deny assignment with name '{name}' and Id '{}' at scope '{scope}'.",
            account.client,
            account.principal,
            ids::kind(id),
            account.tenant.replace('-', "")
        ),
    ))
}

/// The deny assignment that a resource is under: name and scope. A cluster may
/// keep everybody from its node resource group.
fn deny_assignment(world: &World, id: &str) -> Option<(String, String)> {
    world.of_kind(aks::CLUSTER, "/").find_map(|cluster| {
        let restricted =
            &cluster.body["properties"]["nodeResourceGroupProfile"]["restrictionLevel"];
        let group = aks::nodes::group(world, &cluster.id);
        (*restricted == "ReadOnly" && ids::is_below(id, &group))
            .then(|| (format!("aks-deny-{}", ids::name(&cluster.id)), group))
    })
}

/// `GET {scope}/…/denyAssignments`
pub fn deny_assignments(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let found = deny_assignment(world, call.arg("scope"));
    let found = found.map(|(name, scope)| {
        json!({
            "id": format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{}", world.account.tenant),
            "name": world.account.tenant,
            "type": "Microsoft.Authorization/denyAssignments",
            "properties": {
                "denyAssignmentName": name,
                "scope": scope,
                "isSystemProtected": true,
                "doNotApplyToChildScopes": false,
                "permissions": [{
                    "actions": ["*/action", "*/delete", "*/write"], "notActions": [],
                    "dataActions": [], "notDataActions": [],
                }],
                "principals": [{
                    "id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined",
                    "displayName": "All Principals",
                }],
                "excludePrincipals": [],
            },
        })
    });
    Ok(Answer::list(found.into_iter().collect()))
}

/// The scopes at or above a resource that carry a lock of one of these levels.
fn locks(world: &World, id: &str, levels: &[&str]) -> Vec<String> {
    if ids::kind(id) == "Microsoft.Authorization/locks" {
        return Vec::new();
    }
    world
        .of_kind("Microsoft.Authorization/locks", "/")
        .filter(|it| {
            levels
                .iter()
                .any(|level| it.body["properties"]["level"] == *level)
        })
        .map(|it| ids::scope(&it.id).to_owned())
        .filter(|scope| ids::is_below(id, scope))
        .collect()
}

fn refuse(id: &str, what: &str, locks: &[String]) -> Result<(), ArmError> {
    if locks.is_empty() {
        return Ok(());
    }
    let locks = locks.join(",");
    Err(ArmError::conflict(
        "ScopeLocked",
        format!(
            "The scope '{id}' cannot perform {what} operation because following scope(s) are locked: '{locks}'. Please remove the lock and try again."
        ),
    ))
}

/// Notes in the activity log that somebody did something, or was refused.
pub fn record(world: &mut World, id: &str, what: &str, refused: Option<&ArmError>) {
    let action = format!("{}/{what}", ids::kind(id));
    let status = if refused.is_some() {
        "Failed"
    } else {
        "Succeeded"
    };
    let entry = json!({
        "eventTimestamp": world.now.to_string(),
        "submissionTimestamp": world.now.to_string(),
        "eventDataId": new_uid(),
        "operationId": new_uid(),
        "correlationId": world.correlation,
        "caller": world.account.principal,
        "category": {"value": "Administrative", "localizedValue": "Administrative"},
        "eventName": {"value": "EndRequest", "localizedValue": "End request"},
        "level": if refused.is_some() { "Error" } else { "Informational" },
        "operationName": {"value": action, "localizedValue": action},
        "resourceGroupName": ids::group(id).unwrap_or_default(),
        "resourceId": id,
        "resourceProviderName": {"value": ids::namespace(id), "localizedValue": ids::namespace(id)},
        "resourceType": {"value": ids::kind(id), "localizedValue": ids::kind(id)},
        "status": {"value": status, "localizedValue": status},
        "subStatus": {"value": refused.map_or("", ArmError::code), "localizedValue": ""},
        "subscriptionId": world.account.subscription,
        "properties": refused.map_or(Value::Null, |it| json!({"statusMessage": it.error.to_string()})),
    });
    world.activity.push_back(entry);
    if world.activity.len() > REMEMBERED {
        world.activity.pop_front();
    }
}

/// `GET …/Microsoft.Insights/eventtypes/management/values`: the activity log,
/// the newest first.
pub fn activity(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let text = call.query("$filter");
    // Times are compared; everything else must be equal.
    let (times, rest): (Vec<&str>, Vec<&str>) = text
        .split(" and ")
        .map(str::trim)
        .partition(|it| it.starts_with("eventTimestamp "));
    let filter = Filter::parse(&rest.join(" and "))?;
    if times.is_empty() {
        return Err(ArmError::bad(
            "BadRequest",
            "The $filter must contain eventTimestamp ge '<time>'.",
        ));
    }
    let within = |entry: &Value| {
        let at: Option<Timestamp> = entry["eventTimestamp"]
            .as_str()
            .and_then(|it| it.parse().ok());
        times.iter().all(|bound| {
            let mut words = bound.split_whitespace().skip(1);
            let (verb, value) = (words.next(), words.next().unwrap_or_default());
            let value: Option<Timestamp> = value.trim_matches('\'').parse().ok();
            match (verb, at, value) {
                (Some("ge"), Some(at), Some(value)) => at >= value,
                (Some("le"), Some(at), Some(value)) => at <= value,
                _ => false,
            }
        })
    };
    let entries = world.activity.iter().rev();
    let found = entries
        .filter(|it| within(it) && fits(&filter, it))
        .cloned();
    Ok(page(call, found.collect()))
}

fn fits(filter: &Filter, entry: &Value) -> bool {
    let asked = |field: &str| filter.value(field);
    let is = |field: &str, found: &Value| {
        asked(field).is_none_or(|it| {
            found
                .as_str()
                .is_some_and(|found| found.eq_ignore_ascii_case(it))
        })
    };
    is("resourceGroupName", &entry["resourceGroupName"])
        && is("resourceUri", &entry["resourceId"])
        && is("resourceProvider", &entry["resourceProviderName"]["value"])
        && is("correlationId", &entry["correlationId"])
        && is("status", &entry["status"]["value"])
}

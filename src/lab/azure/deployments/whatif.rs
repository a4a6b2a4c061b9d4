//! What a deployment would change.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::aks;
use super::super::answer::{Answer, ArmError};
use super::super::call::Call;
use super::super::ids;
use super::super::kinds;
use super::super::lro::Plan;
use super::super::template::Frame;
use super::super::world::World;
use super::{Deployment, Step, expand, of_call, place, preflight, prepare, unmet};

/// How long it takes, in seconds.
const TAKES: f64 = 6.0;

/// `POST …/whatIf`: *202*, and the changes at its location.
pub fn what_if(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = &of_call(world, call);
    let body = call.object()?;
    let deployment = prepare(world, id, body)?;
    preflight::check(world, &deployment)?;
    let only_ids = body["properties"]["whatIfSettings"]["resultFormat"] == "ResourceIdOnly";
    let mut changes = Vec::new();
    for step in &deployment.steps {
        changes.push(change(world, &deployment, step).map_err(unmet)?);
    }
    changes.extend(ignored(world, &deployment));
    changes.sort_by_key(|it| {
        it["resourceId"]
            .as_str()
            .unwrap_or_default()
            .to_ascii_lowercase()
    });
    if only_ids {
        for change in &mut changes {
            *change = json!({"resourceId": change["resourceId"], "changeType": "Deploy"});
        }
    }
    let result = json!({
        "status": "Succeeded",
        "properties": {
            "correlationId": call.correlation,
            "changes": changes,
            "potentialChanges": [],
            "diagnostics": [],
        },
    });
    let operation = world.begin(
        id,
        Plan {
            seconds: TAKES,
            result: Some(result),
            ..Plan::default()
        },
    );
    let location = format!(
        "/subscriptions/{}/operationresults/{operation}?api-version={}",
        world.account.subscription,
        call.query("api-version")
    );
    Ok(Answer::empty(StatusCode::ACCEPTED)
        .with("location", location)
        .with("retry-after", world.retry_after(TAKES)))
}

fn change(world: &World, deployment: &Deployment, step: &Step) -> Result<Value, super::Stop> {
    let known = deployment.known();
    let (group, name) = place(&deployment.id);
    let frame = Frame {
        world,
        group,
        name,
        template: deployment.template(),
        parameters: &deployment.parameters,
        known: &known,
        copies: &step.copies,
        live: false,
    };
    let evaluated = frame.evaluate(&step.raw)?;
    let version = evaluated["apiVersion"].clone();
    let mut asked = expand::body(&evaluated);
    if let Some(location) = asked["location"]
        .as_str()
        .and_then(super::super::account::region)
    {
        asked["location"] = json!(location);
    }
    let mut change = json!({"resourceId": step.id, "symbolicName": Value::Null});
    let Ok(before) = kinds::shown(world, &step.id) else {
        let mut after = json!({
            "apiVersion": version, "id": step.id, "name": ids::name(&step.id), "type": ids::kind(&step.id),
        });
        kinds::merge(&mut after, &asked);
        change["changeType"] = json!("Create");
        change["after"] = after;
        return Ok(change);
    };
    let mut deltas = Vec::new();
    differences("", &before, &asked, &mut deltas);
    if ids::kind(&step.id).eq_ignore_ascii_case(aks::CLUSTER) {
        noise(&before, &asked, &mut deltas);
    }
    let mut after = before.clone();
    kinds::merge(&mut after, &asked);
    let mut before = before;
    before["apiVersion"] = version.clone();
    after["apiVersion"] = version;
    change["changeType"] = json!(if deltas.is_empty() {
        "NoChange"
    } else {
        "Modify"
    });
    change["before"] = before;
    change["after"] = after;
    if !deltas.is_empty() {
        change["delta"] = json!(deltas);
    }
    Ok(change)
}

/// Where what is asked for differs from what is there. What is not known yet
/// does not, and neither does what is left to the provider.
fn differences(path: &str, before: &Value, asked: &Value, deltas: &mut Vec<Value>) {
    let unknown = |it: &Value| {
        it.as_str()
            .is_some_and(|it| it.is_empty() || it.starts_with('['))
    };
    if asked.is_null() || unknown(asked) {
        return;
    }
    match (before, asked) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let there = old.get(name).unwrap_or(&Value::Null);
                differences(&path, there, value, deltas);
            }
            // Tags are replaced as a whole: those that are not named go.
            for (name, value) in old
                .iter()
                .filter(|(name, _)| path == "tags" && !new.contains_key(*name))
            {
                deltas.push(json!({
                    "path": format!("tags.{name}"), "propertyChangeType": "Delete", "before": value,
                }));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let mut children = Vec::new();
            for (at, value) in new.iter().enumerate() {
                let mut inner = Vec::new();
                let there = old.get(at).unwrap_or(&Value::Null);
                differences("", there, value, &mut inner);
                match (there.is_null(), value.is_object(), inner.is_empty()) {
                    (true, _, _) => children.push(json!({"path": at.to_string(), "propertyChangeType": "Create", "after": value})),
                    (false, true, false) => children.push(json!({"path": at.to_string(), "propertyChangeType": "Modify", "before": there, "after": value, "children": inner})),
                    (false, false, false) => children.push(json!({"path": at.to_string(), "propertyChangeType": "Modify", "before": there, "after": value})),
                    (false, _, true) => {}
                }
            }
            for (at, value) in old.iter().enumerate().skip(new.len()) {
                children.push(json!({"path": at.to_string(), "propertyChangeType": "Delete", "before": value}));
            }
            if !children.is_empty() {
                deltas.push(json!({
                    "path": path, "propertyChangeType": "Array", "before": before, "after": asked, "children": children,
                }));
            }
        }
        (Value::Null, _) => {
            deltas.push(json!({"path": path, "propertyChangeType": "Create", "after": asked}));
        }
        (_, _) if before != asked => deltas.push(json!({
            "path": path, "propertyChangeType": "Modify", "before": before, "after": asked,
        })),
        _ => {}
    }
}

/// What the real service says of clusters that nobody has changed: defaults
/// that a template does not repeat seem to go.
fn noise(before: &Value, asked: &Value, deltas: &mut Vec<Value>) {
    for path in ["autoUpgradeProfile", "storageProfile", "supportPlan"] {
        let there = &before["properties"][path];
        if !there.is_null() && asked["properties"][path].is_null() {
            deltas.push(json!({
                "path": format!("properties.{path}"), "propertyChangeType": "Delete", "before": there,
            }));
        }
    }
    for (path, field) in [
        ("agentPoolProfiles", "upgradeSettings"),
        ("networkProfile", "podCidr"),
    ] {
        let there = &before["properties"][path];
        let first = if there.is_array() { &there[0] } else { there };
        let wanted = &asked["properties"][path];
        let wanted = if wanted.is_array() {
            &wanted[0]
        } else {
            wanted
        };
        if first[field].is_null() || !wanted[field].is_null() {
            continue;
        }
        if there.is_array() {
            deltas.push(json!({
                "path": format!("properties.{path}"), "propertyChangeType": "Array",
                "children": [{"path": "0", "propertyChangeType": "Modify", "children": [
                    {"path": field, "propertyChangeType": "Delete", "before": first[field]},
                ]}],
            }));
        } else {
            deltas.push(json!({
                "path": format!("properties.{path}.{field}"), "propertyChangeType": "Delete", "before": first[field],
            }));
        }
    }
}

/// What is in the group and not in the template: a deployment leaves it alone.
fn ignored(world: &World, deployment: &Deployment) -> Vec<Value> {
    let (group, _) = place(&deployment.id);
    let named = |id: &str| {
        deployment
            .steps
            .iter()
            .any(|it| ids::key(&it.id) == ids::key(id))
    };
    let others = world.listed(group).filter(|it| !named(&it.id));
    others
        .map(|it| {
            json!({
                "resourceId": it.id, "changeType": "Ignore", "before": it.body, "after": it.body,
            })
        })
        .collect()
}

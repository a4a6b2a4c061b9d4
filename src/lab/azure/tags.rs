//! The tags of a resource or a group, apart from the rest of it.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{Answer, ArmError};
use super::call::{self, Call};
use super::guard;
use super::ids;
use super::world::World;

fn shown(scope: &str, tags: &Value) -> Value {
    json!({
        "id": format!("{scope}/providers/Microsoft.Resources/tags/default"),
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": {"tags": tags.as_object().cloned().unwrap_or_default()},
    })
}

fn not_found(scope: &str) -> ArmError {
    match ids::kind(scope).as_str() {
        "Microsoft.Resources/resourceGroups" => super::groups::not_found(ids::name(scope)),
        _ => super::resources::not_found(scope),
    }
}

/// `GET {scope}/…/tags/default`
pub fn get(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.arg("scope");
    let resource = world.get(scope).ok_or_else(|| not_found(scope))?;
    Ok(Answer::ok(shown(scope, &resource.body["tags"])))
}

/// `PUT` replaces all tags, `PATCH` merges, replaces or deletes some.
pub fn change(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.arg("scope");
    let before = world.get(scope).ok_or_else(|| not_found(scope))?;
    let mut tags: Map<String, Value> = before.body["tags"].as_object().cloned().unwrap_or_default();
    guard::act(world, scope, "write")?;
    let body = call.object()?;
    call::require(body, &["properties"])?;
    let asked = body["properties"]["tags"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let operation = if call.method == Method::PUT {
        "Replace"
    } else {
        body["operation"].as_str().unwrap_or_default()
    };
    match operation {
        "Replace" => tags = asked,
        "Merge" => tags.extend(asked),
        "Delete" => tags.retain(|name, value| asked.get(name) != Some(value)),
        other => {
            return Err(ArmError::bad(
                "InvalidTagsOperation",
                format!(
                    "The tags operation '{other}' is not valid: it is Replace, Merge or Delete."
                ),
            ));
        }
    }
    let id = before_id(world, scope);
    if let Some(resource) = world.get_mut(&id) {
        resource.body["tags"] = Value::Object(tags.clone());
    }
    guard::record(world, &id, "write", None);
    Ok(Answer::ok(shown(scope, &Value::Object(tags))))
}

fn before_id(world: &World, scope: &str) -> String {
    world
        .get(scope)
        .map_or_else(|| scope.to_owned(), |it| it.id.clone())
}

/// `DELETE {scope}/…/tags/default`
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.arg("scope");
    guard::act(world, scope, "write")?;
    let resource = world.get_mut(scope).ok_or_else(|| not_found(scope))?;
    resource.body["tags"] = json!({});
    Ok(Answer::empty(StatusCode::OK))
}

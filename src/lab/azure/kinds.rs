//! The kinds of resource that can be created, and what all of them have in
//! common when they are: by a call of its own or by a template.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::aks;
use super::answer::{Answer, ArmError};
use super::authorization;
use super::call::Call;
use super::guard;
use super::ids;
use super::registry;
use super::storage;
use super::world::World;

/// What came of creating a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Whether it was not there before.
    pub created: bool,
    /// The operation that goes on, if one does.
    pub operation: Option<String>,
}

type Create = fn(&mut World, &str, &Value) -> Result<Put, ArmError>;

/// Type, and who creates it.
const KINDS: &[(&str, Create)] = &[
    ("Microsoft.Storage/storageAccounts", storage::put),
    (
        "Microsoft.Storage/storageAccounts/fileServices",
        storage::put_service,
    ),
    (
        "Microsoft.Storage/storageAccounts/fileServices/shares",
        storage::put_share,
    ),
    (
        "Microsoft.Authorization/roleAssignments",
        authorization::put_assignment,
    ),
    ("Microsoft.Authorization/locks", authorization::put_lock),
    (registry::REGISTRY, registry::put),
    (aks::CLUSTER, aks::cluster::put),
    (aks::POOL, aks::pools::put),
];

/// Creates a resource or changes the one that is there.
///
/// # Errors
/// What the provider refuses, and what policies and locks do.
pub fn put(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let kind = ids::kind(id);
    let found = KINDS.iter().find(|(it, _)| it.eq_ignore_ascii_case(&kind));
    let Some((_, create)) = found else {
        return Err(ArmError::bad(
            "InvalidResourceType",
            format!(
                "The resource type '{}' could not be found in the namespace '{}'.",
                kind.split_once('/').map_or("", |it| it.1),
                ids::namespace(id)
            ),
        ));
    };
    guard::write(world, id, body)?;
    let put = create(world, id, body);
    guard::record(world, id, "write", put.as_ref().err());
    put
}

/// `PUT` of a resource by the path of the call: *201* for a new one and *200*
/// else, with where its operation is followed.
pub fn put_call(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = call.path.trim_end_matches('/');
    let put = put(world, id, call.object()?)?;
    let status = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let answer = Answer::json(status, shown(world, id)?);
    let Some(operation) = put.operation else {
        return Ok(answer);
    };
    let followed = status_url(world, id, &operation, call.query("api-version"));
    Ok(answer
        .with("azure-asyncoperation", followed)
        .with("retry-after", world.retry_after(10.0)))
}

/// `PATCH` of a resource by the path of the call: what is not said stays.
pub fn patch_call(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let there = world.need(&call.path)?;
    let id = there.id.clone();
    let mut body = json!({
        "location": there.body["location"], "sku": {"name": there.body["sku"]["name"]},
    });
    merge(&mut body, call.object()?);
    put(world, &id, &body)?;
    Ok(Answer::ok(shown(world, &id)?))
}

/// `GET` of a resource by the path of the call.
pub fn get_call(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    Ok(Answer::ok(shown(world, &call.path)?))
}

/// A resource as clients see it.
///
/// # Errors
/// *404*.
pub fn shown(world: &World, id: &str) -> Result<Value, ArmError> {
    let resource = world.need(id)?;
    Ok(if ids::kind(id).eq_ignore_ascii_case(aks::CLUSTER) {
        aks::cluster::view(world, id)
    } else {
        resource.body.clone()
    })
}

/// The id of the resource that a call acts on, or whose children it lists.
///
/// # Errors
/// *404* when it is not there.
pub fn subject(world: &World, call: &Call) -> Result<String, ArmError> {
    Ok(world.need(call.split().0)?.id.clone())
}

/// Where the status of an operation on a resource is found: below the region of
/// its provider.
pub fn status_url(world: &World, id: &str, operation: &str, version: &str) -> String {
    place(world, id, "operations", operation, version)
}

/// Where the result of an operation on a resource is found.
pub fn result_url(world: &World, id: &str, operation: &str, version: &str) -> String {
    place(world, id, "operationresults", operation, version)
}

fn place(world: &World, id: &str, what: &str, operation: &str, version: &str) -> String {
    let location = world.get(id).and_then(|it| it.body["location"].as_str());
    format!(
        "/subscriptions/{}/providers/{}/locations/{}/{what}/{operation}?api-version={version}",
        world.account.subscription,
        ids::namespace(id),
        location.unwrap_or("eastus"),
    )
}

/// The body of a new resource: what every one has, and these properties.
pub fn body(id: &str, location: &str, asked: &Value, properties: Value) -> Value {
    let mut body = json!({
        "id": id,
        "name": ids::name(id),
        "type": ids::kind(id),
        "location": location,
        "tags": asked["tags"].as_object().cloned().unwrap_or_default(),
    });
    body["properties"] = properties;
    body
}

/// Puts what is asked for over what is there; objects are joined, everything
/// else is replaced. What is null is left as it is.
pub fn merge(into: &mut Value, asked: &Value) {
    let Some(asked) = asked.as_object() else {
        if !asked.is_null() {
            *into = asked.clone();
        }
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (name, value) in asked {
        merge(&mut into[name], value);
    }
}

/// Refuses to move a resource that is elsewhere.
///
/// # Errors
/// *409*.
pub fn check_location(world: &World, id: &str, location: &str) -> Result<(), ArmError> {
    let there = world.get(id).and_then(|it| it.body["location"].as_str());
    match there {
        Some(there) if there != location => Err(ArmError::conflict(
            "InvalidResourceLocation",
            format!(
                "The resource '{}' already exists in location '{there}' in resource group '{}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name.",
                ids::name(id),
                ids::group(id).unwrap_or_default(),
            ),
        )),
        _ => Ok(()),
    }
}

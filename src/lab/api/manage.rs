//! Managed fields on the way through the API: who writes, through which part,
//! and how a refusal to apply is worded.

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::custom::Definition;
use super::request::Query;
use super::status::{ApiError, FieldError};
use super::write::Part;
use crate::lab::kinds::Resource;
use crate::lab::managed::{self, Conflict, Manager, Refusal, Scope};
use crate::lab::schema::Place;

/// The longest name of a manager.
const LONGEST: usize = 128;

/// Who a request says it is: `fieldManager`, else the client's program.
///
/// # Errors
/// *422* for a name that cannot be one.
pub fn manager(query: &Query, headers: &HeaderMap) -> Result<String, ApiError> {
    if let Some(given) = query.get("fieldManager") {
        let refused = |detail: &str| {
            let error = FieldError::invalid("fieldManager", &json!(given), detail);
            Err(ApiError::invalid_options("PatchOptions", &error))
        };
        if given.chars().count() > LONGEST {
            return refused("may not be longer than 128");
        }
        if given.chars().any(char::is_control) {
            return refused("should only contain printable characters");
        }
        return Ok(given.to_owned());
    }
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    let name: String = name.chars().take(LONGEST).collect();
    Ok(if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    })
}

/// What the schema says of a kind's objects.
pub fn place(resource: Resource, definition: Option<&Definition>) -> Place<'_> {
    if let Some(definition) = definition {
        return Place::custom(definition.schema());
    }
    let names = resource.names();
    Place::builtin(names.group, names.version, names.kind)
}

fn scope(resource: Resource, part: Part) -> Scope {
    match part {
        Part::Status => Scope::Status,
        Part::Main | Part::Scale if resource.about().status => Scope::Main,
        Part::Main | Part::Scale => Scope::Whole,
    }
}

/// Records that `name` made `new` out of `live`.
pub fn record(
    resource: Resource,
    place: Place<'_>,
    part: Part,
    live: Option<&Value>,
    new: &mut Value,
    name: &str,
) {
    let manager = Manager::update(name, resource.api_version()).through(part.subresource());
    let scope = scope(resource, part);
    managed::record(live, new, &manager, scope, place, Timestamp::now());
}

/// Applies what `name` wants to `live`, or makes the first object of it.
///
/// # Errors
/// *400* for what is no configuration of this kind, *409* for conflicts, *500*
/// for fields that the type does not have: the real server's answer.
pub fn apply(
    resource: Resource,
    place: Place<'_>,
    part: Part,
    live: Option<&Value>,
    config: &Value,
    name: &str,
    force: bool,
) -> Result<Value, ApiError> {
    check(resource, config)?;
    let manager = Manager::apply(name, resource.api_version()).through(part.subresource());
    let mut wanted = config.clone();
    if let Some(fields) = wanted.as_object_mut() {
        match part {
            Part::Status => fields.retain(|name, _| {
                matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status")
            }),
            Part::Main | Part::Scale if resource.about().status => {
                fields.remove("status");
            }
            Part::Main | Part::Scale => {}
        }
    }
    let scope = scope(resource, part);
    let now = Timestamp::now();
    let applied = managed::apply(live, &wanted, &manager, scope, place, force, now);
    applied.map_err(|refusal| match refusal {
        Refusal::Conflicts(conflicts) => conflict(&conflicts),
        Refusal::Mismatch(why) => mismatch(resource, config, &why),
    })
}

/// An applied object must say what it is, and leave the managers to the server.
fn check(resource: Resource, config: &Value) -> Result<(), ApiError> {
    let expected = resource.api_version();
    let version = config["apiVersion"].as_str().unwrap_or_default();
    if version != expected {
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {expected}"
        )));
    }
    if config["kind"].as_str().unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request(
            "Object 'Kind' is missing in the applied object",
        ));
    }
    if config["metadata"]["managedFields"].is_array() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

fn mismatch(resource: Resource, config: &Value, why: &str) -> ApiError {
    let metadata = &config["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let object = match metadata["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    ApiError {
        code: StatusCode::INTERNAL_SERVER_ERROR,
        reason: "",
        message: format!(
            "failed to create typed patch object ({object}; {}, Kind={}): {why}",
            resource.api_version(),
            resource.names().kind
        ),
        details: None,
    }
}

fn conflict(conflicts: &[Conflict]) -> ApiError {
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|it| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", it.manager),
                "field": it.path,
            })
        })
        .collect();
    let list = match conflicts {
        [one] => format!("1 conflict: conflict with {}: {}", one.manager, one.path),
        many => {
            let mut lines = Vec::new();
            for of_one in many.chunk_by(|a, b| a.manager == b.manager) {
                lines.push(format!("conflicts with {}:", of_one[0].manager));
                lines.extend(of_one.iter().map(|it| format!("- {}", it.path)));
            }
            format!("{} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    ApiError {
        code: StatusCode::CONFLICT,
        reason: "Conflict",
        message: format!("Apply failed with {list}"),
        details: Some(json!({"causes": causes})),
    }
}

//! Deployments of templates to resource groups.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::groups;
use super::guard;
use super::ids;
use super::lro::Plan;
use super::resources::{Filter, page};
use super::template::{Frame, Stop, values};
use super::world::World;
use crate::lab::store::new_uid;

mod expand;
mod preflight;
mod progress;
mod whatif;

pub use progress::advance_all;
pub use whatif::what_if;

/// How many deployments a group remembers.
const HISTORY: usize = 800;

/// All deployments, by id in small letters.
pub type Deployments = BTreeMap<String, Deployment>;

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// Id of the operation that it is.
    operation: String,
    state: String,
    correlation: String,
    started: Timestamp,
    ended: Option<Timestamp>,
    /// As it was asked for.
    asked: Value,
    /// Values of its parameters.
    parameters: Map<String, Value>,
    steps: Vec<Step>,
    outputs: Value,
    error: Option<Value>,
}

/// A resource of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Step {
    /// Id of the resource.
    id: String,
    /// Id of the operation, in the deployment.
    operation: String,
    /// Its name where the template has names for its resources, else the
    /// resource's.
    symbol: String,
    /// What the template says of it, not evaluated.
    raw: Value,
    /// The loops that it comes from.
    copies: Vec<(String, u64)>,
    /// Ids of what must be there before.
    depends: Vec<String>,
    state: State,
    /// The operation of its provider.
    provider: Option<String>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    error: Option<Value>,
    status: u16,
}

/// How a resource of a deployment is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Waiting,
    Running,
    Succeeded,
    Failed,
}

impl Deployment {
    fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    fn template(&self) -> &Value {
        &self.asked["template"]
    }

    /// Names, ids and readiness of its resources.
    fn known(&self) -> Vec<(String, String, bool)> {
        let steps = self.steps.iter();
        steps
            .map(|it| {
                (
                    it.symbol.clone(),
                    it.id.clone(),
                    it.state == State::Succeeded,
                )
            })
            .collect()
    }
}

/// The parts of an id that a deployment needs: the id of its group and its name.
fn place(id: &str) -> (&str, &str) {
    let group = id
        .to_ascii_lowercase()
        .find("/providers/")
        .map_or("", |at| &id[..at]);
    (group, ids::name(id))
}

/// A deployment as it is asked for, checked and taken apart.
fn prepare(world: &World, id: &str, body: &Value) -> Result<Deployment, ArmError> {
    let asked = &body["properties"];
    let mode = asked["mode"].as_str().unwrap_or_default();
    if !mode.eq_ignore_ascii_case("Incremental") {
        return Err(ArmError::bad(
            "InvalidDeploymentParameterValue",
            format!(
                "The lab deploys in mode 'Incremental' only, not '{mode}': it deletes nothing that a template does not name."
            ),
        ));
    }
    if !asked["template"].is_object() {
        return Err(ArmError::bad(
            "InvalidRequestContent",
            "The request content was invalid: the lab needs the template itself in 'properties.template'.",
        ));
    }
    let name = ids::name(id);
    let fine = |it: char| it.is_ascii_alphanumeric() || "-._()".contains(it);
    if name.len() > 64 || !name.chars().all(fine) {
        return Err(ArmError::bad(
            "InvalidDeploymentName",
            format!(
                "The deployment name '{name}' is not valid: it has up to 64 letters, digits, '-', '.', '_', '(' and ')'."
            ),
        ));
    }
    let none = Map::new();
    let (group, name) = place(id);
    let frame = Frame {
        world,
        group,
        name,
        template: &asked["template"],
        parameters: &none,
        known: &[],
        copies: &[],
        live: false,
    };
    let parameters = values(&frame, &asked["parameters"])?;
    let frame = Frame {
        parameters: &parameters,
        ..frame
    };
    let steps = expand::steps(&frame)?;
    Ok(Deployment {
        id: id.to_owned(),
        operation: new_uid(),
        state: "Accepted".to_owned(),
        correlation: world.correlation.clone(),
        started: world.now,
        ended: None,
        asked: asked.clone(),
        parameters,
        steps,
        outputs: Value::Null,
        error: None,
    })
}

/// `PUT` of a deployment: it begins.
pub fn put(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = &of_call(world, call);
    let key = ids::key(id);
    let before = world.deployments.get(&key);
    if before.is_some_and(Deployment::is_active) {
        return Err(ArmError::conflict(
            "DeploymentActiveAndUneditable",
            format!(
                "The deployment '{}' is still active and cannot be edited or replaced. Please see https://aka.ms/arm-deployment-operations for usage details.",
                ids::name(id)
            ),
        ));
    }
    let created = before.is_none();
    let (group, _) = place(id);
    let others = world
        .deployments
        .keys()
        .filter(|it| ids::is_below(it, group))
        .count();
    if created && others >= HISTORY {
        return Err(ArmError::conflict(
            "DeploymentQuotaExceeded",
            format!(
                "Creating the deployment '{}' would exceed the quota of '{HISTORY}'. The current deployment count is '{others}'. Please delete some deployments before creating a new one.",
                ids::name(id)
            ),
        ));
    }
    guard::write(world, id, &Value::Null)?;
    let deployment = prepare(world, id, call.object()?)?;
    preflight::check(world, &deployment)?;
    let followed = format!(
        "{id}/operationStatuses/{}?api-version={}",
        deployment.operation,
        call.query("api-version")
    );
    guard::record(world, id, "write", None);
    let shown = view(&deployment);
    world.deployments.insert(key, deployment);
    // It begins a moment later, as of the next who looks.
    world.later(0.5, super::lro::Effect::Deploys);
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(Answer::json(status, shown)
        .with("azure-asyncoperation", followed)
        .with("retry-after", world.retry_after(5.0)))
}

/// A time span as ISO 8601 writes it.
fn span(from: Timestamp, to: Timestamp) -> String {
    let millis = to.duration_since(from).as_millis().max(0);
    format!("PT{}.{:03}S", millis / 1000, millis % 1000)
}

/// A deployment as clients see it.
fn view(it: &Deployment) -> Value {
    let end = it.ended.unwrap_or(it.started);
    let parameters = it.parameters.iter().map(|(name, value)| {
        let kind = it.template()["parameters"][name.as_str()]["type"].clone();
        let secret = kind
            .as_str()
            .is_some_and(|it| it.to_ascii_lowercase().starts_with("secure"));
        let about = if secret {
            json!({"type": kind})
        } else {
            json!({"type": kind, "value": value})
        };
        (name.clone(), about)
    });
    let done = it.steps.iter().filter(|it| it.state == State::Succeeded);
    let mut properties = json!({
        "mode": "Incremental",
        "provisioningState": it.state,
        "correlationId": it.correlation,
        "timestamp": end.to_string(),
        "duration": span(it.started, end),
        "templateHash": hash(it.template()),
        "parameters": parameters.collect::<Map<_, _>>(),
        "providers": [],
        "dependencies": it.steps.iter().filter(|it| !it.depends.is_empty()).map(|step| json!({
            "id": step.id, "resourceType": ids::kind(&step.id), "resourceName": ids::name(&step.id),
            "dependsOn": step.depends.iter().map(|it| json!({"id": it})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "outputResources": done.map(|it| json!({"id": it.id})).collect::<Vec<_>>(),
    });
    if it.outputs.is_object() {
        properties["outputs"] = it.outputs.clone();
    }
    if let Some(error) = &it.error {
        properties["error"] = error.clone();
    }
    json!({
        "id": it.id,
        "name": ids::name(&it.id),
        "type": "Microsoft.Resources/deployments",
        "properties": properties,
    })
}

/// A number that belongs to a template.
fn hash(template: &Value) -> String {
    let text = template.to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.to_string()
}

fn need<'a>(world: &'a World, id: &str) -> Result<&'a Deployment, ArmError> {
    world.deployments.get(&ids::key(id)).ok_or_else(|| {
        ArmError::not_found(
            "DeploymentNotFound",
            format!("Deployment '{}' could not be found.", ids::name(id)),
        )
    })
}

/// The id of the deployment that a call is about.
fn of_call(world: &World, call: &Call) -> String {
    let group = groups::id(world, call.arg("group"));
    format!(
        "{group}/providers/Microsoft.Resources/deployments/{}",
        call.arg("deployment")
    )
}

/// `GET` and `HEAD` of a deployment.
pub fn get(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let deployment = need(world, &of_call(world, call))?;
    if call.method == Method::HEAD {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    }
    Ok(Answer::ok(view(deployment)))
}

/// `GET` of all deployments of a group.
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let filter = Filter::parse(call.query("$filter"))?;
    let (group, _) = place(&call.path);
    let all = world
        .deployments
        .values()
        .filter(|it| ids::is_below(&it.id, group));
    let found = all.map(view).filter(|it| filter.fits(it));
    Ok(page(call, found.collect()))
}

/// `DELETE` of a deployment: of what is remembered of it, not of its resources.
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let Ok(there) = need(world, &of_call(world, call)) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    if there.is_active() {
        return Err(ArmError::conflict(
            "DeploymentActiveAndUneditable",
            format!(
                "The deployment '{}' is still active and cannot be deleted.",
                ids::name(&call.path)
            ),
        ));
    }
    let id = there.id.clone();
    guard::delete(world, &id)?;
    world.deployments.remove(&ids::key(&id));
    guard::record(world, &id, "delete", None);
    let operation = world.begin(
        &id,
        Plan {
            seconds: 2.0,
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
        .with("retry-after", world.retry_after(2.0)))
}

/// `GET …/operationStatuses/{operation}`
pub fn status(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let deployment = need(world, &of_call(world, call))?;
    if deployment.operation != call.arg("operation") {
        return Err(ArmError::not_found(
            "OperationNotFound",
            "The operation belongs to an earlier deployment of the name.",
        ));
    }
    let mut body = json!({"status": deployment.state});
    if let Some(error) = &deployment.error {
        body["error"] = error.clone();
    }
    let active = deployment.is_active();
    let answer = Answer::ok(body);
    Ok(if active {
        answer.with("retry-after", world.retry_after(5.0))
    } else {
        answer
    })
}

/// `POST …/cancel`: nothing more is begun.
pub fn cancel(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = need(world, &of_call(world, call))?.id.clone();
    let now = world.now;
    let Some(there) = world
        .deployments
        .get_mut(&ids::key(&id))
        .filter(|it| it.is_active())
    else {
        return Err(ArmError::conflict(
            "DeploymentCannotBeCancelled",
            format!(
                "The deployment '{}' cannot be cancelled because it is not running.",
                ids::name(&id)
            ),
        ));
    };
    "Canceled".clone_into(&mut there.state);
    there.ended = Some(now);
    guard::record(world, &id, "cancel/action", None);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// `POST …/exportTemplate`
pub fn export(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let deployment = need(world, &of_call(world, call))?;
    Ok(Answer::ok(json!({"template": deployment.template()})))
}

/// `POST …/validate`
pub fn validate(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = &of_call(world, call);
    let deployment = prepare(world, id, call.object()?)?;
    preflight::check(world, &deployment)?;
    let mut body = view(&deployment);
    body["properties"]["provisioningState"] = json!("Succeeded");
    body["properties"]["validatedResources"] = deployment
        .steps
        .iter()
        .map(|it| json!({"id": it.id}))
        .collect();
    Ok(Answer::ok(body))
}

/// `GET …/operations`: how each resource is going.
pub fn operations(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let deployment = need(world, &of_call(world, call))?;
    let now = world.now;
    let mut all: Vec<Value> = deployment
        .steps
        .iter()
        .filter(|it| it.started.is_some())
        .map(|it| operation(deployment, it, now))
        .collect();
    if deployment.state == "Succeeded"
        && let Some(ended) = deployment.ended
    {
        let id = format!("{:016X}", ended.as_nanosecond() as u64);
        all.push(json!({
            "id": format!("{}/operations/{id}", deployment.id),
            "operationId": id,
            "properties": {
                "provisioningOperation": "EvaluateDeploymentOutput", "provisioningState": "Succeeded",
                "timestamp": ended.to_string(), "duration": "PT0.05S", "trackingId": deployment.operation,
                "statusCode": "OK",
            },
        }));
    }
    Ok(page(call, all))
}

/// `GET …/operations/{step}`
pub fn get_operation(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let deployment = need(world, &of_call(world, call))?;
    let wanted = call.arg("step");
    let found = deployment.steps.iter().find(|it| it.operation == wanted);
    let found = found.map(|it| operation(deployment, it, world.now));
    found.map(Answer::ok).ok_or_else(|| {
        ArmError::not_found(
            "DeploymentOperationNotFound",
            format!("Deployment operation '{wanted}' could not be found."),
        )
    })
}

fn operation(deployment: &Deployment, step: &Step, now: Timestamp) -> Value {
    let started = step.started.unwrap_or(deployment.started);
    let end = step.ended.unwrap_or(now);
    let state = match step.state {
        State::Waiting | State::Running => "Running",
        State::Succeeded => "Succeeded",
        State::Failed => "Failed",
    };
    let status = StatusCode::from_u16(step.status).unwrap_or(StatusCode::OK);
    let word: String = status
        .canonical_reason()
        .unwrap_or("OK")
        .split(' ')
        .collect();
    let mut properties = json!({
        "provisioningOperation": "Create",
        "provisioningState": state,
        "timestamp": end.to_string(),
        "duration": span(started, end),
        "trackingId": deployment.operation,
        "serviceRequestId": step.operation,
        "statusCode": word,
        "targetResource": {
            "id": step.id,
            "resourceType": ids::kind(&step.id),
            "resourceName": ids::name(&step.id),
            "symbolicName": if step.symbol == ids::name(&step.id) { Value::Null } else { json!(step.symbol) },
        },
    });
    if let Some(error) = &step.error {
        properties["statusMessage"] = json!({"status": "Failed", "error": error});
    }
    json!({
        "id": format!("{}/operations/{}", deployment.id, step.operation),
        "operationId": step.operation,
        "properties": properties,
    })
}

/// What stopped an evaluation where nothing can be waited for.
fn unmet(stop: Stop) -> ArmError {
    match stop {
        Stop::Error(error) => error,
        Stop::Pending(id) => ArmError::bad(
            "InvalidTemplate",
            format!(
                "Deployment template validation failed: 'The template function 'reference' is not expected at this location: it refers to '{id}'. Please see https://aka.ms/arm-functions for usage details.'."
            ),
        ),
    }
}

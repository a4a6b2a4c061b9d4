//! How a deployment goes on: every resource as soon as what it depends on is
//! there.

use serde_json::{Map, Value, json};

use super::super::answer::ArmError;
use super::super::ids;
use super::super::kinds;
use super::super::lro::Status;
use super::super::template::{Frame, Stop};
use super::super::world::World;
use super::{Deployment, State, Step, expand, unmet};

/// Brings every deployment as far as it goes now.
pub fn advance_all(world: &mut World) {
    let active = world.deployments.iter().filter(|(_, it)| it.is_active());
    let active: Vec<String> = active.map(|(key, _)| key.clone()).collect();
    for key in active {
        if let Some(mut deployment) = world.deployments.remove(&key) {
            let correlation =
                std::mem::replace(&mut world.correlation, deployment.correlation.clone());
            advance(world, &mut deployment);
            world.correlation = correlation;
            world.deployments.insert(key, deployment);
        }
    }
}

fn advance(world: &mut World, deployment: &mut Deployment) {
    "Running".clone_into(&mut deployment.state);
    let mut moved = true;
    while moved {
        moved = false;
        for at in 0..deployment.steps.len() {
            moved |= match deployment.steps[at].state {
                State::Waiting => begin(world, deployment, at),
                State::Running => see(world, &mut deployment.steps[at]),
                State::Succeeded | State::Failed => false,
            };
        }
    }
    let of = |state: State| deployment.steps.iter().any(|it| it.state == state);
    let (waiting, running, failed) = (of(State::Waiting), of(State::Running), of(State::Failed));
    if running || (waiting && !failed) {
        return;
    }
    deployment.ended = Some(world.now);
    if failed {
        fail(deployment);
        return;
    }
    match outputs(world, deployment) {
        Ok(outputs) => {
            deployment.outputs = outputs;
            "Succeeded".clone_into(&mut deployment.state);
        }
        Err(error) => {
            "Failed".clone_into(&mut deployment.state);
            deployment.error = Some(json!({
                "code": "DeploymentOutputEvaluationFailed",
                "message": "Unable to evaluate template outputs. Please see error details and deployment operations. Please see https://aka.ms/arm-common-errors for usage details.",
                "details": [error.error],
            }));
        }
    }
}

fn frame<'a>(
    world: &'a World,
    deployment: &'a Deployment,
    known: &'a [(String, String, bool)],
    copies: &'a [(String, u64)],
) -> Frame<'a> {
    let (group, name) = super::place(&deployment.id);
    Frame {
        world,
        group,
        name,
        template: deployment.template(),
        parameters: &deployment.parameters,
        known,
        copies,
        live: true,
    }
}

/// Begins a resource whose time has come.
fn begin(world: &mut World, deployment: &mut Deployment, at: usize) -> bool {
    let step = &deployment.steps[at];
    let ready = |id: &String| {
        let mut all = deployment.steps.iter();
        all.any(|it| ids::key(&it.id) == ids::key(id) && it.state == State::Succeeded)
    };
    if !step.depends.iter().all(ready) {
        return false;
    }
    let known = deployment.known();
    let evaluated = frame(world, deployment, &known, &step.copies).evaluate(&step.raw);
    let id = step.id.clone();
    let evaluated = match evaluated {
        Err(Stop::Pending(_)) => return false,
        evaluated => evaluated.map_err(unmet),
    };
    let put = evaluated.and_then(|it| kinds::put(world, &id, &expand::body(&it)));
    let now = world.now;
    let step = &mut deployment.steps[at];
    step.started = Some(now);
    match put {
        Ok(put) => {
            step.status = if put.created { 201 } else { 200 };
            step.provider = put.operation;
            step.state = if step.provider.is_some() {
                State::Running
            } else {
                step.ended = Some(now);
                State::Succeeded
            };
        }
        Err(error) => {
            step.status = error.status.as_u16();
            step.state = State::Failed;
            step.ended = Some(now);
            step.error = Some(wrapped(&error));
        }
    }
    true
}

/// A refusal of a provider as deployments show it: its body as text.
fn wrapped(error: &ArmError) -> Value {
    if !error.flat {
        return error.error.clone();
    }
    let text = serde_json::to_string_pretty(&error.error).unwrap_or_default();
    let word = error
        .status
        .canonical_reason()
        .unwrap_or("BadRequest")
        .replace(' ', "");
    json!({"code": word, "message": text.replace('\n', "\r\n")})
}

/// Looks how a resource's own operation is going.
fn see(world: &World, step: &mut Step) -> bool {
    let operation = step
        .provider
        .as_ref()
        .and_then(|it| world.operations.get(it));
    let Some(operation) = operation.filter(|it| it.status != Status::InProgress) else {
        return false;
    };
    step.ended = operation.ended;
    if operation.status == Status::Succeeded {
        step.state = State::Succeeded;
        return true;
    }
    step.state = State::Failed;
    step.status = 409;
    let state = operation.status.as_str();
    step.error = Some(json!({
        "code": "ResourceDeploymentFailure",
        "target": step.id,
        "message": format!("The resource write operation failed to complete successfully, because it reached terminal provisioning state '{state}'."),
        "details": operation.error.iter().collect::<Vec<_>>(),
    }));
    true
}

fn fail(deployment: &mut Deployment) {
    let failed = deployment.steps.iter().filter_map(|it| it.error.clone());
    let details: Vec<Value> = failed.collect();
    "Failed".clone_into(&mut deployment.state);
    deployment.error = Some(json!({
        "code": "DeploymentFailed",
        "target": deployment.id,
        "message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        "details": details,
    }));
}

fn outputs(world: &World, deployment: &Deployment) -> Result<Value, ArmError> {
    let known = deployment.known();
    let frame = frame(world, deployment, &known, &[]);
    let mut outputs = Map::new();
    let declared = deployment.template()["outputs"].as_object();
    for (name, about) in declared.into_iter().flatten() {
        if !about["condition"].is_null()
            && frame.evaluate(&about["condition"]).map_err(unmet)? != true
        {
            continue;
        }
        let value = frame.evaluate(&about["value"]).map_err(unmet)?;
        let kind = about["type"].as_str().unwrap_or("String");
        let mut kind = kind.to_owned();
        if let Some(first) = kind.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        outputs.insert(name.clone(), json!({"type": kind, "value": value}));
    }
    Ok(Value::Object(outputs))
}

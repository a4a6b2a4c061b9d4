//! What can be done with a cluster that is there.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError};
use super::super::call::Call;
use super::super::guard;
use super::super::ids;
use super::super::kinds;
use super::super::lro::{Effect, Plan, Status};
use super::super::machines::{self, Power};
use super::super::resources::page;
use super::super::world::World;
use super::{CLUSTER, check_idle, cluster, nodes};

/// How long things take, in seconds.
const DELETING: f64 = 180.0;
const STOPPING: f64 = 90.0;
const STARTING: f64 = 120.0;
const ROTATING: f64 = 120.0;
const TAGGING: f64 = 10.0;

/// *202*, with both ways to follow an operation of a cluster.
pub fn accepted(world: &World, call: &Call, id: &str, operation: &str) -> Answer {
    let (cluster, version) = (super::of(id), call.query("api-version"));
    let followed = kinds::status_url(world, cluster, operation, version);
    let location = kinds::result_url(world, cluster, operation, version);
    Answer::empty(StatusCode::ACCEPTED)
        .with("azure-asyncoperation", followed)
        .with("location", location)
        .with("retry-after", world.retry_after(10.0))
}

/// `GET …/managedClusters`
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let scope = call.path.split("/providers/").next().unwrap_or_default();
    let all = world
        .of_kind(CLUSTER, scope)
        .map(|it| cluster::view(world, &it.id));
    Ok(page(call, all.collect()))
}

/// `PATCH` of a cluster: its tags.
pub fn tag(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = world.need(&call.path)?.id.clone();
    guard::write(world, &id, &call.body)?;
    check_idle(world, &id)?;
    let tags = call.object()?["tags"].clone();
    if let Some(cluster) = world.get_mut(&id) {
        cluster.body["tags"] = tags;
        cluster.body["properties"]["provisioningState"] = json!("Updating");
    }
    guard::record(world, &id, "write", None);
    let plan = Plan {
        seconds: TAGGING,
        effects: vec![Effect::Provisioned(id.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&id, plan);
    let followed = kinds::status_url(world, &id, &operation, call.query("api-version"));
    Ok(Answer::ok(cluster::view(world, &id))
        .with("azure-asyncoperation", followed)
        .with("retry-after", world.retry_after(5.0)))
}

/// `DELETE` of a cluster, with its node resource group.
pub fn delete(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let Some(there) = world.get(&call.path) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let id = there.id.clone();
    guard::delete(world, &id)?;
    let going = there.body["properties"]["provisioningState"] == "Deleting";
    let operation = if going {
        let mut all = world.operations.values();
        let under_way = all.find(|it| it.status == Status::InProgress && it.subject == id);
        under_way.map(|it| it.id.clone()).unwrap_or_default()
    } else {
        // What else goes on is given up.
        cancel(world, &id);
        world.set_state(&id, "Deleting");
        guard::record(world, &id, "delete", None);
        let plan = Plan {
            seconds: DELETING,
            effects: vec![Effect::ClusterGone(id.clone())],
            ..Plan::default()
        };
        world.begin(&id, plan)
    };
    Ok(accepted(world, call, &id, &operation))
}

/// Gives up what goes on with a cluster.
fn cancel(world: &mut World, cluster: &str) -> bool {
    let now = world.now;
    let mut any = false;
    for operation in world.operations.values_mut() {
        if operation.status == Status::InProgress
            && ids::key(super::of(&operation.subject)) == ids::key(cluster)
        {
            operation.status = Status::Canceled;
            operation.ended = Some(now);
            any = true;
        }
    }
    any
}

/// `POST …/abort`
pub fn abort(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    if !cancel(world, &id) {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    }
    guard::record(world, &id, "abort/action", None);
    world.set_state(&id, "Canceled");
    let operation = world.begin(
        &id,
        Plan {
            seconds: 5.0,
            ..Plan::default()
        },
    );
    Ok(accepted(world, call, &id, &operation))
}

/// `POST …/stop` and `…/start`
pub fn power(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    let run = call
        .path
        .to_ascii_lowercase()
        .trim_end_matches('/')
        .ends_with("/start");
    guard::write(world, &id, &Value::Null)?;
    check_idle(world, &id)?;
    let runs = world
        .get(&id)
        .is_some_and(|it| it.secret["running"] == true);
    if runs == run {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    }
    let (state, seconds, action) = if run {
        ("Starting", STARTING, "start/action")
    } else {
        ("Stopping", STOPPING, "stop/action")
    };
    guard::record(world, &id, action, None);
    world.set_state(&id, state);
    world.later(seconds * 0.5, Effect::ClusterRuns(id.clone(), run));
    let plan = Plan {
        seconds,
        effects: vec![Effect::Provisioned(id.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&id, plan);
    Ok(accepted(world, call, &id, &operation))
}

/// A cluster runs from now on, or does not.
pub fn runs(world: &mut World, id: &str, run: bool) {
    let code = if run { "Running" } else { "Stopped" };
    let pools: Vec<String> = world
        .of_kind(super::POOL, id)
        .map(|it| it.id.clone())
        .collect();
    // A cluster that stops gives its machines' hardware back; one that starts has
    // all of them, whoever had switched one off.
    let power = if run {
        Power::Running
    } else {
        Power::Deallocated
    };
    let machines: Vec<String> = pools
        .iter()
        .flat_map(|pool| nodes::of_pool(world, pool))
        .map(|it| it.id.clone())
        .collect();
    for machine in machines {
        machines::switch(world, &machine, power);
    }
    for it in pools.iter().map(String::as_str).chain([id]) {
        if let Some(resource) = world.get_mut(it) {
            resource.body["properties"]["powerState"]["code"] = json!(code);
        }
    }
    if let Some(cluster) = world.get_mut(id) {
        cluster.secret["running"] = json!(run);
    }
}

/// `POST …/rotateClusterCertificates`
pub fn rotate(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let id = kinds::subject(world, call)?;
    guard::write(world, &id, &Value::Null)?;
    check_idle(world, &id)?;
    super::check_running(world, &id)?;
    guard::record(world, &id, "rotateClusterCertificates/action", None);
    world.set_state(&id, "RotatingClusterCertificates");
    world.later(ROTATING * 0.5, Effect::Rotated(id.clone()));
    let plan = Plan {
        seconds: ROTATING,
        effects: vec![Effect::Provisioned(id.clone())],
        ..Plan::default()
    };
    let operation = world.begin(&id, plan);
    Ok(accepted(world, call, &id, &operation))
}

/// What opened a cluster opens it no more.
pub fn rotated(world: &mut World, id: &str) {
    if let Some(cluster) = world.get_mut(id) {
        let turn = cluster.secret["turn"].as_u64().unwrap_or(0);
        cluster.secret["turn"] = json!(turn + 1);
        cluster.secret["papers"] = Value::Null;
    }
}

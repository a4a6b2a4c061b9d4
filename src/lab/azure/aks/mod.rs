//! Managed clusters: one is the lab's own, with nodes and a control plane; the others
//! are what Azure Resource Manager knows of a cluster, and no more.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::ArmError;
use super::ids;
use super::lro::Status;
use super::resources::Resource;
use super::world::World;

pub mod calls;
pub mod cluster;
pub mod credentials;
pub mod nodes;
pub mod pools;
pub mod versions;

/// Type of a cluster.
pub const CLUSTER: &str = "Microsoft.ContainerService/managedClusters";
/// Type of a pool of nodes.
pub const POOL: &str = "Microsoft.ContainerService/managedClusters/agentPools";

/// The cluster that the lab is: the one that its store holds, else the oldest.
pub fn of_lab(world: &World) -> Option<&Resource> {
    let all = || world.of_kind(CLUSTER, "/");
    let held = world.applied.as_deref();
    let is_held = |it: &&Resource| held.is_some_and(|held| it.secret["uid"] == held);
    all()
        .find(is_held)
        .or_else(|| all().min_by_key(|it| it.created))
}

/// How the provider of clusters refuses: without a frame.
pub fn refusal(status: StatusCode, code: &str, message: impl Into<String>) -> ArmError {
    ArmError {
        status,
        error: json!({"code": code, "details": null, "message": message.into(), "subcode": ""}),
        flat: true,
        headers: Vec::new(),
    }
}

/// *400*, without a frame.
pub fn bad(code: &str, message: impl Into<String>) -> ArmError {
    refusal(StatusCode::BAD_REQUEST, code, message)
}

/// The cluster that an id is in.
pub fn of(id: &str) -> &str {
    let mark = "/agentpools/";
    id.to_ascii_lowercase()
        .find(mark)
        .map_or(id, |at| &id[..at])
}

/// Refuses to begin what another operation on the cluster stands in the way of.
///
/// # Errors
/// *409*, naming what goes on.
pub fn check_idle(world: &World, cluster: &str) -> Result<(), ArmError> {
    let busy = world.operations.values().any(|it| {
        it.status == Status::InProgress && ids::key(of(&it.subject)) == ids::key(cluster)
    });
    if !busy {
        return Ok(());
    }
    let state = world
        .get(cluster)
        .map(|it| &it.body["properties"]["provisioningState"]);
    let state = state.and_then(Value::as_str).unwrap_or("Updating");
    Err(refusal(
        StatusCode::CONFLICT,
        "OperationNotAllowed",
        format!(
            "Operation is not allowed: Another operation ({state}) is in progress, please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details"
        ),
    ))
}

/// Refuses what a stopped cluster cannot do.
///
/// # Errors
/// *400*.
pub fn check_running(world: &World, cluster: &str) -> Result<(), ArmError> {
    let stopped = world
        .get(cluster)
        .is_some_and(|it| it.body["properties"]["powerState"]["code"] == "Stopped");
    if !stopped {
        return Ok(());
    }
    Err(bad(
        "OperationNotAllowed",
        "managed cluster is in (Stopped) state, please start the cluster before making any change. See https://aka.ms/aks-pending-operation for more details",
    ))
}

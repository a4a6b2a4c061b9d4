//! Requests that the server passes on to a node: whether it answers at all.
//!
//! They are asked before anything is promised to the client, so that it is told
//! by a proper status, in the words that the real server has from its dialer.

use serde_json::Value;

use super::status::ApiError;
use crate::lab::node::Node;

/// Asks for the node of a pod whose streams are wanted: a command, a terminal,
/// a port.
///
/// # Errors
/// *500* when the node does not answer.
pub fn streams(node: &dyn Node, pod: &Value) -> Result<(), ApiError> {
    let reached = node.reach(name(pod));
    reached.map_err(|error| ApiError::unanswered(format!("error dialing backend: {error}")))
}

/// Asks for the node of a pod whose log is wanted.
///
/// # Errors
/// *500* when the node does not answer.
pub fn log(node: &dyn Node, pod: &Value, container: &str) -> Result<(), ApiError> {
    let reached = node.reach(name(pod));
    reached.map_err(|error| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &pod["metadata"];
        ApiError::unanswered(format!(
            "Get \"https://{}:10250/containerLogs/{}/{}/{container}\": {error}",
            text(&pod["status"]["hostIP"]),
            text(&metadata["namespace"]),
            text(&metadata["name"]),
        ))
    })
}

fn name(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or_default()
}

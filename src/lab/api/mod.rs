//! The API server: enough of Kubernetes' HTTP interface that kubectl and any
//! client library work for everyday verbs.
//!
//! One listener on the loopback address, TLS, HTTP/1.1, one bearer token. What
//! is not here answers *404*, *405* or *501* with a `Status` that says so; what
//! is accepted is done. The parts:
//!
//! - `path` reads what a request is about, `request` what else it carries;
//! - `read`, `write`, `watch` work on the [store](crate::lab::store);
//! - `logs` and `streams` carry a [node's](crate::lab::node) streams;
//! - `present` and `table` choose how objects are shown;
//! - `status` says no in the real server's words.

use serde_json::Value;

use super::kinds::Resource;
use super::store::Store;

mod allocate;
mod authorize;
mod connections;
mod custom;
mod delete;
mod discovery;
mod evict;
mod limits;
mod logs;
mod manage;
mod metrics;
mod openapi;
mod operations;
mod patch;
mod path;
mod present;
mod protobuf;
mod reach;
mod read;
mod refusals;
mod request;
mod respond;
mod reviews;
mod route;
mod scale;
mod server;
mod status;
mod streams;
mod table;
mod tls;
mod transport;
mod typed;
mod validate;
mod watch;
mod write;
mod yaml;

pub use route::VERSION;
pub use server::{Server, ServerError};
pub use tls::{Identity, IdentityError, Papers, api_names, loopback_names};

/// Why the server would not take a pod that a controller made, in the server's
/// words; none when it would.
pub fn pod_refusal(pod: &Value) -> Option<String> {
    let errors = validate::new_object(Resource::Pods, pod);
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    (!errors.is_empty()).then(|| status::ApiError::invalid(Resource::Pods, name, &errors).message)
}

/// Creates an object as a client would, with fields that the type does not
/// have refused.
///
/// # Errors
/// The sentence that a client would get.
pub fn create(
    store: &Store,
    resource: Resource,
    namespace: Option<&str>,
    object: Value,
) -> Result<(), String> {
    let options = write::Options::strict();
    match write::create(store, resource, namespace, object, &options) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.message),
    }
}

//! Deleting: one object, or all of a kind that a filter means.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use super::request::{self, Filter, Query};
use super::status::ApiError;
use super::write::Options;
use crate::lab::kinds::Resource;
use crate::lab::store::{Deleted, Deletion, Key, Store};

/// Deletes an object; the second value says whether it is gone already.
///
/// # Errors
/// *400*, *403*, *404* and *409*.
pub fn one(
    store: &Store,
    key: &Key,
    query: &Query,
    body: Option<&Value>,
) -> Result<(Arc<Value>, bool), ApiError> {
    if key.resource == Resource::Namespaces
        && matches!(key.name.as_str(), "default" | "kube-system" | "kube-public")
    {
        let why = "this namespace may not be deleted";
        return Err(ApiError::forbidden(key.resource, &key.name, why));
    }
    let how = How::parse(query, body)?;
    let store = how.options.store(store);
    Ok(match store.delete(key, &how.deletion)? {
        Deleted::Gone(object) => (object, true),
        Deleted::Terminating(object) => (object, false),
    })
}

/// Deletes every object of a kind that a filter means; says which.
///
/// # Errors
/// As [`one`].
pub fn collection(
    store: &Store,
    resource: Resource,
    filter: &Filter,
    query: &Query,
    body: Option<&Value>,
) -> Result<Vec<Arc<Value>>, ApiError> {
    let listing = store.list(resource, filter.namespace.as_deref());
    let mut deleted = Vec::new();
    for object in listing.items {
        if !filter.matches(&object) {
            continue;
        }
        match one(store, &Key::of(resource, &object), query, body) {
            Ok((object, _)) => deleted.push(object),
            // Somebody else was faster: it is gone all the same.
            Err(error) if error.code == http::StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}

/// How a deletion was asked for, in the query or in the body.
struct How {
    deletion: Deletion,
    options: Options,
}

impl How {
    fn parse(query: &Query, body: Option<&Value>) -> Result<Self, ApiError> {
        let nothing = Value::Null;
        let body = body.unwrap_or(&nothing);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = text(&body["propagationPolicy"])
            .or_else(|| query.get("propagationPolicy").map(str::to_owned));
        let policy = propagation.as_deref().unwrap_or("Background");
        if !matches!(policy, "Background" | "Foreground" | "Orphan") {
            return Err(ApiError::bad_request(format!(
                "invalid propagationPolicy {policy:?}: must be Foreground, Background or Orphan"
            )));
        }
        let grace = match &body["gracePeriodSeconds"] {
            Value::Null => query.number("gracePeriodSeconds")?,
            value => Some(value.as_u64().ok_or_else(|| {
                ApiError::bad_request("gracePeriodSeconds must be a number that is not negative")
            })?),
        };
        let deletion = Deletion {
            grace,
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            foreground: policy == "Foreground",
            orphan: policy == "Orphan",
        };
        // Who deletes manages nothing.
        let mut options = Options::parse(query, &HeaderMap::new())?;
        options.dry_run |= request::lists(&body["dryRun"], "All");
        Ok(Self { deletion, options })
    }
}

//! Reading objects: one, or a list in pages.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::Value;

use super::present::{ListMeta, Presenter};
use super::request::{Filter, Query};
use super::status::ApiError;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Listing, Store, StoreError};

/// One object.
///
/// # Errors
/// *404*.
pub fn get(store: &Store, key: &Key) -> Result<Arc<Value>, ApiError> {
    let object = store.get(key);
    object.ok_or_else(|| StoreError::NotFound(key.clone()).into())
}

/// A list, or one page of it.
///
/// # Errors
/// *400* for parameters that make no sense, *410* for a page of a state that
/// is forgotten.
pub fn list(
    store: &Store,
    resource: Resource,
    filter: &Filter,
    query: &Query,
    presenter: &Presenter,
) -> Result<Bytes, ApiError> {
    let (listing, after) = snapshot(store, resource, filter, query)?;
    let after = after.as_ref();
    let mut items: Vec<Arc<Value>> = listing
        .items
        .into_iter()
        .filter(|item| after.is_none_or(|after| position(item) > *after))
        .filter(|item| filter.matches(item))
        .collect();
    let limit = match query.number("limit")? {
        None | Some(0) => usize::MAX,
        Some(limit) => limit as usize,
    };
    let mut meta = ListMeta {
        rv: listing.rv,
        ..ListMeta::default()
    };
    if items.len() > limit {
        // With a selector the real server does not know how many would match.
        meta.remaining = filter.selects_all().then_some(items.len() - limit);
        items.truncate(limit);
        meta.next = items.last().map(|last| encode(listing.rv, &position(last)));
    }
    presenter.list(&items, &meta)
}

/// Namespace and name: the order of a list.
type Position = (String, String);

fn position(object: &Value) -> Position {
    let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (meta("namespace").to_owned(), meta("name").to_owned())
}

/// The state to list, and after which object to begin.
fn snapshot(
    store: &Store,
    resource: Resource,
    filter: &Filter,
    query: &Query,
) -> Result<(Listing, Option<Position>), ApiError> {
    let namespace = filter.namespace.as_deref();
    if let Some(token) = query.get("continue") {
        let (rv, after) = decode(token)
            .ok_or_else(|| ApiError::bad_request("continue key is not valid: cannot decode it"))?;
        let listing = store.list_at(resource, namespace, rv).map_err(|error| {
            let mut error = ApiError::from(error);
            if error.code == http::StatusCode::GONE {
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter."
                    .clone_into(&mut error.message);
            }
            error
        })?;
        return Ok((listing, Some(after)));
    }
    let exact = query.get("resourceVersionMatch") == Some("Exact");
    let listing = match parse_version(query)? {
        Some(rv) if exact => store.list_at(resource, namespace, rv)?,
        Some(asked) if asked > store.rv() => {
            return Err(StoreError::TooLarge {
                asked,
                current: store.rv(),
            }
            .into());
        }
        _ => store.list(resource, namespace),
    };
    Ok((listing, None))
}

/// Reads `resourceVersion`; zero and none are different things to a watch.
///
/// # Errors
/// *400* for anything but a number.
pub fn parse_version(query: &Query) -> Result<Option<u64>, ApiError> {
    let Some(text) = query.get("resourceVersion") else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        ApiError::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

fn encode(rv: u64, (namespace, name): &Position) -> String {
    let token = serde_json::json!({"rv": rv, "after": [namespace, name]});
    BASE64_URL_SAFE_NO_PAD.encode(token.to_string())
}

fn decode(token: &str) -> Option<(u64, Position)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let token: Value = serde_json::from_slice(&bytes).ok()?;
    let part = |index: usize| Some(token["after"][index].as_str()?.to_owned());
    Some((token["rv"].as_u64()?, (part(0)?, part(1)?)))
}

//! Objects in the format that the client asked for.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::request::{self, Format, Query};
use super::status::ApiError;
use super::table::{self, Include, Printer};
use crate::lab::kinds::Resource;
use crate::lab::store::Store;

/// Writes the objects of one kind for one request.
#[derive(Debug, Clone)]
pub struct Presenter {
    resource: Resource,
    format: Format,
    include: Include,
    printer: Printer,
}

/// What goes into a list's own metadata.
#[derive(Debug, Clone, Default)]
pub struct ListMeta {
    /// Version of the state that the list shows.
    pub rv: u64,
    /// Where the next page begins.
    pub next: Option<String>,
    /// How many objects follow this page, where that is known.
    pub remaining: Option<usize>,
}

impl Presenter {
    /// Reads what the client accepts.
    ///
    /// # Errors
    /// *406* and *400*.
    pub fn new(
        store: &Store,
        resource: Resource,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            resource,
            printer: Printer::of(store, resource),
            format: request::accepted(headers)?,
            include: Include::parse(query.get("includeObject"))?,
        })
    }

    /// One object.
    pub fn object<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        self.in_stream(object, true)
    }

    /// Whether objects are sent just as they are stored.
    pub fn is_plain(&self) -> bool {
        self.format == Format::Object
    }

    /// One object in a watch; only the first one's table describes its columns.
    pub fn in_stream<'a>(&self, object: &'a Value, first: bool) -> Cow<'a, Value> {
        match self.format {
            Format::Object => Cow::Borrowed(object),
            Format::Metadata => Cow::Owned(table::metadata_only(object)),
            Format::Table => {
                let now = Timestamp::now();
                let mut table = table::table(&self.printer, [object], self.include, first, now);
                table["metadata"]["resourceVersion"] =
                    object["metadata"]["resourceVersion"].clone();
                Cow::Owned(table)
            }
        }
    }

    /// A progress mark: no object, only a version.
    pub fn bookmark(&self, rv: u64, initial_events_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": rv.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.format {
            Format::Object => json!({
                "kind": self.resource.names().kind,
                "apiVersion": self.resource.api_version(),
                "metadata": metadata,
            }),
            Format::Metadata => table::metadata_only(&json!({"metadata": metadata})),
            Format::Table => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "columnDefinitions": [],
                "rows": [{"cells": [], "object": table::metadata_only(&json!({"metadata": metadata}))}],
            }),
        }
    }

    /// A list, written out: a large one is never there twice.
    ///
    /// # Errors
    /// *500* when it cannot be written, which would be a mistake of ours.
    pub fn list(&self, items: &[Arc<Value>], meta: &ListMeta) -> Result<Bytes, ApiError> {
        let objects = items.iter().map(AsRef::as_ref);
        let metadata = meta.to_json();
        let written = match self.format {
            Format::Object => serde_json::to_vec(&List {
                kind: &self.resource.list_kind(),
                api_version: &self.resource.api_version(),
                metadata,
                items: objects.map(Untyped).collect(),
            }),
            Format::Metadata => serde_json::to_vec(&List {
                kind: "PartialObjectMetadataList",
                api_version: "meta.k8s.io/v1",
                metadata,
                items: objects.map(table::metadata_only).collect(),
            }),
            Format::Table => {
                let now = Timestamp::now();
                let mut table = table::table(&self.printer, objects, self.include, true, now);
                table["metadata"] = metadata;
                serde_json::to_vec(&table)
            }
        };
        written.map(Bytes::from).map_err(ApiError::internal)
    }
}

impl ListMeta {
    fn to_json(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.rv.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a, T> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Value,
    items: Vec<T>,
}

/// Inside a list the real server leaves out what the list's kind says already.
struct Untyped<'a>(&'a Value);

impl Serialize for Untyped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.as_object().into_iter().flatten();
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in fields.filter(|(name, _)| *name != "kind" && *name != "apiVersion") {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

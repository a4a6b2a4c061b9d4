//! Objects in the format that the client asked for.

use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
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
    pub fn object(&self, object: &Value) -> Value {
        self.in_stream(object, true)
    }

    /// One object in a watch; only the first one's table describes its columns.
    pub fn in_stream(&self, object: &Value, first: bool) -> Value {
        match self.format {
            Format::Object => object.clone(),
            Format::Metadata => table::metadata_only(object),
            Format::Table => {
                let now = Timestamp::now();
                let mut table = table::table(&self.printer, [object], self.include, first, now);
                table["metadata"]["resourceVersion"] =
                    object["metadata"]["resourceVersion"].clone();
                table
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

    /// A list.
    pub fn list(&self, items: &[Arc<Value>], meta: &ListMeta) -> Value {
        let objects = items.iter().map(AsRef::as_ref);
        let mut list = match self.format {
            Format::Object => json!({
                "kind": self.resource.list_kind(),
                "apiVersion": self.resource.api_version(),
                "items": objects.map(without_type).collect::<Vec<_>>(),
            }),
            Format::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "items": objects.map(table::metadata_only).collect::<Vec<_>>(),
            }),
            Format::Table => {
                table::table(&self.printer, objects, self.include, true, Timestamp::now())
            }
        };
        list["metadata"] = json!({"resourceVersion": meta.rv.to_string()});
        if let Some(next) = &meta.next {
            list["metadata"]["continue"] = json!(next);
        }
        if let Some(remaining) = meta.remaining {
            list["metadata"]["remainingItemCount"] = json!(remaining);
        }
        list
    }
}

/// Inside a list the real server leaves out what the list's kind says already.
fn without_type(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

//! Rows and columns for a person: what `kubectl get` prints.
//!
//! The server chooses the columns and the words in the cells, so that every
//! client shows the same. Names, priorities and rules are the real server's.

mod age;
mod cells;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::status::ApiError;
use crate::lab::kinds::Resource;

/// How much of each object goes along with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    Nothing,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads `includeObject`.
    ///
    /// # Errors
    /// *400* for a value that there is not.
    pub fn parse(value: Option<&str>) -> Result<Self, ApiError> {
        match value {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::Nothing),
            Some("Object") => Ok(Self::Object),
            Some(odd) => Err(ApiError::bad_request(format!(
                "unrecognized includeObject value {odd:?}: must be None, Metadata or Object"
            ))),
        }
    }
}

/// A column: name, type, format, priority (0 is always shown) and meaning.
struct Column(&'static str, &'static str, u8, &'static str);

/// A table of objects. `header` says whether the columns are described; in a
/// watch only the first event does so.
pub fn table<'a>(
    resource: Resource,
    objects: impl IntoIterator<Item = &'a Value>,
    include: Include,
    header: bool,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let mut row = json!({"cells": cells::of(resource, object, now)});
            match include {
                Include::Nothing => {}
                Include::Metadata => row["object"] = metadata_only(object),
                Include::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    let columns: Vec<Value> = if header {
        columns(resource).iter().map(definition).collect()
    } else {
        Vec::new()
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// An object's metadata under a kind of its own.
pub fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

fn definition(Column(name, kind, priority, description): &Column) -> Value {
    json!({
        "name": name,
        "type": kind,
        "format": if *name == "Name" { "name" } else { "" },
        "description": description,
        "priority": priority,
    })
}

fn columns(resource: Resource) -> Vec<Column> {
    const NAME: Column = Column("Name", "string", 0, "Name is unique within a namespace.");
    const AGE: Column = Column("Age", "string", 0, "Time since the object was created.");
    match resource {
        Resource::Pods => vec![
            NAME,
            Column("Ready", "string", 0, "Containers that are ready, of all."),
            Column("Status", "string", 0, "What the pod is doing, in one word."),
            Column(
                "Restarts",
                "string",
                0,
                "Restarts of containers, and when the last one was.",
            ),
            AGE,
            Column("IP", "string", 1, "Address of the pod."),
            Column("Node", "string", 1, "Node the pod runs on."),
            Column("Nominated Node", "string", 1, "Node the pod waits for."),
            Column(
                "Readiness Gates",
                "string",
                1,
                "Extra conditions that hold, of all.",
            ),
        ],
        Resource::Deployments => vec![
            NAME,
            Column(
                "Ready",
                "string",
                0,
                "Pods that are ready, of those wanted.",
            ),
            Column("Up-to-date", "string", 0, "Pods of the newest template."),
            Column(
                "Available",
                "string",
                0,
                "Pods that have been ready long enough.",
            ),
            AGE,
            Column(
                "Containers",
                "string",
                1,
                "Names of the containers in the template.",
            ),
            Column(
                "Images",
                "string",
                1,
                "Images of the containers in the template.",
            ),
            Column(
                "Selector",
                "string",
                1,
                "Labels by which its pods are known.",
            ),
        ],
        Resource::ReplicaSets => vec![
            NAME,
            Column("Desired", "integer", 0, "Pods wanted."),
            Column("Current", "integer", 0, "Pods there are."),
            Column("Ready", "integer", 0, "Pods that are ready."),
            AGE,
            Column(
                "Containers",
                "string",
                1,
                "Names of the containers in the template.",
            ),
            Column(
                "Images",
                "string",
                1,
                "Images of the containers in the template.",
            ),
            Column(
                "Selector",
                "string",
                1,
                "Labels by which its pods are known.",
            ),
        ],
        Resource::Nodes => vec![
            NAME,
            Column(
                "Status",
                "string",
                0,
                "Whether the node takes and runs pods.",
            ),
            Column("Roles", "string", 0, "Roles of the node."),
            AGE,
            Column("Version", "string", 0, "Version the kubelet reports."),
            Column("Internal-IP", "string", 1, "Address inside the cluster."),
            Column("External-IP", "string", 1, "Address outside the cluster."),
            Column("OS-Image", "string", 1, "Operating system of the node."),
            Column("Kernel-Version", "string", 1, "Kernel of the node."),
            Column(
                "Container-Runtime",
                "string",
                1,
                "What runs the containers.",
            ),
        ],
        Resource::Events => vec![
            Column("Last Seen", "string", 0, "Time since it last happened."),
            Column("Type", "string", 0, "Normal or Warning."),
            Column("Reason", "string", 0, "What happened, in one word."),
            Column("Object", "string", 0, "What it happened to."),
            Column("Subobject", "string", 1, "Which part of it."),
            Column("Source", "string", 1, "Who reported it."),
            Column("Message", "string", 0, "What happened, in a sentence."),
            Column("First Seen", "string", 1, "Time since it first happened."),
            Column("Count", "string", 1, "How often it happened."),
            Column("Name", "string", 1, "Name of the event."),
        ],
        Resource::Namespaces => vec![
            NAME,
            Column("Status", "string", 0, "Active or Terminating."),
            AGE,
        ],
        Resource::Leases => vec![NAME, Column("Holder", "string", 0, "Who holds it."), AGE],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        for resource in Resource::ALL {
            let object = json!({"metadata": {"name": "a"}});
            let table = table(
                resource,
                [&object],
                Include::Nothing,
                true,
                Timestamp::now(),
            );
            assert_eq!(
                table["columnDefinitions"].as_array().unwrap().len(),
                table["rows"][0]["cells"].as_array().unwrap().len(),
                "{resource:?}"
            );
        }
    }

    #[test]
    fn rows_carry_what_was_asked_for_and_later_events_no_header() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"x": 1}});
        let row =
            |include, header| table(Resource::Pods, [&object], include, header, Timestamp::now());
        assert!(
            row(Include::Nothing, true)["rows"][0]
                .get("object")
                .is_none()
        );
        let metadata = row(Include::Metadata, true)["rows"][0]["object"].clone();
        assert_eq!(metadata["kind"], "PartialObjectMetadata");
        assert!(metadata.get("spec").is_none());
        assert_eq!(
            row(Include::Object, true)["rows"][0]["object"]["spec"]["x"],
            1
        );
        assert_eq!(row(Include::Nothing, false)["columnDefinitions"], json!([]));
    }
}

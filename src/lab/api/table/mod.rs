//! Rows and columns for a person: what `kubectl get` prints.
//!
//! The server chooses the columns and the words in the cells, so that every
//! client shows the same. Names, priorities and rules are the real server's.

mod age;
mod batch;
mod cells;
mod columns;
mod objects;
mod pods;
mod rbac;
mod storage;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::custom::{self, Definition};
use super::status::ApiError;
use crate::lab::kinds::Resource;
use crate::lab::store::Store;
pub use age::since;
use columns::Column;

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

/// How the objects of a kind become rows.
#[derive(Debug, Clone)]
pub enum Printer {
    /// Columns that are known, and one object's cells, as many as columns.
    Known(&'static [Column], fn(&Value, Timestamp) -> Vec<Value>),
    /// The name, and the columns that a definition names.
    Custom(Vec<custom::Column>),
}

impl Printer {
    /// How objects of a kind are printed.
    pub fn of(store: &Store, resource: Resource) -> Self {
        match Definition::of(store, resource) {
            Some(definition) => Self::Custom(definition.columns()),
            None => printer(resource),
        }
    }

    fn definitions(&self) -> Vec<Value> {
        match self {
            Self::Known(columns, _) => columns.iter().map(definition).collect(),
            Self::Custom(columns) => std::iter::once(definition(&columns::NAME))
                .chain(columns.iter().map(|column| column.definition.clone()))
                .collect(),
        }
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::Known(_, cells) => cells(object, now),
            Self::Custom(columns) => std::iter::once(cells::name(object))
                .chain(columns.iter().map(|column| column.cell(object, now)))
                .collect(),
        }
    }
}

/// The columns and cells of a kind; those of kinds that are not named here say
/// when an object was made, as on the real server.
fn printer(resource: Resource) -> Printer {
    let (columns, cells): (_, fn(&Value, Timestamp) -> Vec<Value>) = match resource {
        Resource::Pods => (columns::PODS, pods::pod),
        Resource::Deployments => (columns::DEPLOYMENTS, cells::deployment),
        Resource::ReplicaSets => (columns::REPLICA_SETS, cells::replica_set),
        Resource::Nodes => (columns::NODES, cells::node),
        Resource::Events => (columns::EVENTS, cells::event),
        Resource::Namespaces => (columns::NAMESPACES, cells::namespace),
        Resource::Leases => (columns::LEASES, cells::lease),
        Resource::ServiceAccounts => (objects::SERVICE_ACCOUNTS, objects::service_account),
        Resource::ConfigMaps => (objects::CONFIG_MAPS, objects::config_map),
        Resource::Secrets => (objects::SECRETS, objects::secret),
        Resource::Services => (objects::SERVICES, objects::service),
        Resource::EndpointSlices => (objects::ENDPOINT_SLICES, objects::endpoint_slice),
        Resource::PodDisruptionBudgets => (objects::BUDGETS, objects::budget),
        Resource::PersistentVolumes => (storage::VOLUMES, storage::volume),
        Resource::PersistentVolumeClaims => (storage::CLAIMS, storage::claim),
        Resource::StorageClasses => (storage::CLASSES, storage::class),
        Resource::StatefulSets => (batch::STATEFUL_SETS, batch::stateful_set),
        Resource::ControllerRevisions => (batch::REVISIONS, batch::revision),
        Resource::Jobs => (batch::JOBS, batch::job),
        Resource::RoleBindings | Resource::ClusterRoleBindings => (rbac::BINDINGS, rbac::binding),
        Resource::PriorityClasses => (rbac::PRIORITIES, rbac::priority),
        Resource::Roles
        | Resource::ClusterRoles
        | Resource::CustomResourceDefinitions
        | Resource::Custom(_) => (rbac::CREATED, rbac::created),
    };
    Printer::Known(columns, cells)
}

/// A table of objects. `header` says whether the columns are described; in a
/// watch only the first event does so.
pub fn table<'a>(
    printer: &Printer,
    objects: impl IntoIterator<Item = &'a Value>,
    include: Include,
    header: bool,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let mut row = json!({"cells": printer.cells(object, now)});
            match include {
                Include::Nothing => {}
                Include::Metadata => row["object"] = metadata_only(object),
                Include::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    let columns: Vec<Value> = if header {
        printer.definitions()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        for resource in Resource::ALL {
            let object = json!({"metadata": {"name": "a"}});
            let table = table(
                &printer(resource),
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
        let row = |include, header| {
            table(
                &printer(Resource::Pods),
                [&object],
                include,
                header,
                Timestamp::now(),
            )
        };
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

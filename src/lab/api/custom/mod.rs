//! Custom resources: objects whose type is an object itself.
//!
//! A definition is read anew for every request, so that a change of it holds
//! from the next request on.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::status::{ApiError, FieldError};
use super::table;
use super::typed::{self, Typed};
use crate::lab::kinds::Resource;
use crate::lab::store::Store;

mod check;
pub mod definition;
mod path;
mod schema;

use path::JsonPath;

/// The definition of a custom kind.
#[derive(Debug, Clone)]
pub struct Definition(Arc<Value>);

impl Definition {
    /// The definition of a kind; none for a kind that the lab brings along.
    pub fn of(store: &Store, resource: Resource) -> Option<Self> {
        store.definition(resource).map(Self)
    }

    fn version(&self) -> &Value {
        &self.0["spec"]["versions"][0]
    }

    /// What its objects may hold.
    pub fn schema(&self) -> &Value {
        &self.version()["schema"]["openAPIV3Schema"]
    }

    /// Refuses new objects of a kind that is about to go.
    ///
    /// # Errors
    /// *405*.
    pub fn takes(&self, verb: &str) -> Result<(), ApiError> {
        if !self.0["metadata"]["deletionTimestamp"].is_string() {
            return Ok(());
        }
        let mut error = ApiError::method_not_allowed();
        error.message =
            format!("{verb} not allowed while custom resource definition is terminating");
        Err(error)
    }

    /// An object without what its schema does not know.
    ///
    /// # Errors
    /// What is wrong with its metadata.
    pub fn decode(&self, object: &Value) -> Result<Typed, serde_json::Error> {
        let mut pruned = object.clone();
        let mut unknown = Vec::new();
        schema::prune(self.schema(), &mut pruned, true, "", &mut unknown);
        let metadata = serde_json::to_value(ObjectMeta::deserialize(&object["metadata"])?)?;
        typed::compare(&object["metadata"], &metadata, "metadata", &mut unknown);
        pruned["metadata"] = metadata;
        Ok(Typed {
            object: pruned,
            unknown,
        })
    }

    /// Fills in what an object leaves out.
    pub fn fill(&self, object: &mut Value) {
        schema::fill(self.schema(), object);
    }

    /// What stands against an object.
    pub fn check(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check::check(self.schema(), object, "", &mut errors);
        errors
    }

    /// The columns after the name.
    pub fn columns(&self) -> Vec<Column> {
        let given = self.version()["additionalPrinterColumns"].as_array();
        let columns = given.into_iter().flatten().filter_map(|column| {
            let path = JsonPath::parse(column["jsonPath"].as_str()?)?;
            let text = |field: &str| column[field].as_str().unwrap_or_default();
            Some(Column {
                path,
                kind: text("type").to_owned(),
                definition: json!({
                    "name": text("name"),
                    "type": text("type"),
                    "format": text("format"),
                    "description": match text("description") {
                        "" => format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath")),
                        text => text.to_owned(),
                    },
                    "priority": column["priority"].as_i64().unwrap_or(0),
                }),
            })
        });
        let columns: Vec<Column> = columns.collect();
        if columns.is_empty() { age() } else { columns }
    }
}

/// What is shown of kinds that name no columns.
fn age() -> Vec<Column> {
    let path = ".metadata.creationTimestamp";
    JsonPath::parse(path)
        .into_iter()
        .map(|path| Column {
            path,
            kind: "date".to_owned(),
            definition: json!({
                "name": "Age", "type": "date", "format": "", "priority": 0,
                "description": "Time since the object was created.",
            }),
        })
        .collect()
}

/// A column of a custom kind's table.
#[derive(Debug, Clone)]
pub struct Column {
    path: JsonPath,
    kind: String,
    /// As tables describe it.
    pub definition: Value,
}

impl Column {
    /// An object's cell; null when there is nothing to show.
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(value) = self.path.first(object) else {
            return Value::Null;
        };
        match (self.kind.as_str(), value) {
            ("integer", Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| Some(number.as_f64()? as i64));
                json!(whole)
            }
            ("number", Value::Number(_))
            | ("boolean", Value::Bool(_))
            | ("string", Value::String(_)) => value.clone(),
            ("date", Value::String(_)) => json!(table::since(value, now)),
            ("string", Value::Null) => Value::Null,
            ("string", other) => json!(other.to_string()),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_show_what_their_paths_lead_to() {
        let definition = Definition(Arc::new(json!({"spec": {"versions": [{
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
            {"name": "Since", "type": "date", "jsonPath": ".status.since"},
        ]}]}})));
        let object = json!({"spec": {"size": 3}, "status": {"since": "2026-01-01T00:00:00Z"}});
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let columns = definition.columns();
        let cells: Vec<Value> = columns.iter().map(|it| it.cell(&object, now)).collect();
        assert_eq!(cells, [json!(3), Value::Null, json!("60s")]);
        assert_eq!(columns[1].definition["priority"], 1);
        let plain = Definition(Arc::new(json!({}))).columns();
        assert_eq!(plain[0].definition["name"], "Age");
    }
}

//! OpenAPI, as far as it is true here: which paths there are, and that the
//! server checks the fields of what is written to them (`fieldValidation`).
//!
//! kubectl asks for this before it creates or applies anything; finding the
//! parameter, it leaves the check to the server. There are no schemas, so
//! `kubectl explain` has nothing to explain.

use serde_json::{Map, Value, json};

use super::discovery;
use crate::lab::kinds::Resource;

/// `/openapi/v3`: the documents there are.
pub fn index() -> Value {
    let mut paths = Map::new();
    for group in groups() {
        let path = prefix(group);
        // The name of a document says its content, so that clients may keep it.
        let hash = crc32fast::hash(document_of(group).to_string().as_bytes());
        let url = format!("/openapi/v3/{path}?hash={hash:08X}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// `/openapi/v3/PATH`; none when there is no such document.
pub fn document(path: &str) -> Option<Value> {
    groups()
        .into_iter()
        .find(|group| prefix(group) == path)
        .map(document_of)
}

fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = Resource::ALL.map(|it| it.names().group).to_vec();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn prefix(group: &str) -> String {
    if group.is_empty() {
        "api/v1".to_owned()
    } else {
        format!("apis/{group}/v1")
    }
}

fn document_of(group: &str) -> Value {
    let mut paths = Map::new();
    for resource in Resource::ALL {
        let names = resource.names();
        if names.group != group {
            continue;
        }
        let scope = if names.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("/{}{scope}/{}", prefix(group), names.plural);
        let item = format!("{collection}/{{name}}");
        let mut of_item = Map::new();
        let mut of_collection = Map::new();
        for verb in discovery::verbs(resource) {
            let (method, action, target) = match *verb {
                "create" => ("post", "post", &mut of_collection),
                "list" => ("get", "list", &mut of_collection),
                "get" => ("get", "get", &mut of_item),
                "update" => ("put", "put", &mut of_item),
                "patch" => ("patch", "patch", &mut of_item),
                "delete" => ("delete", "delete", &mut of_item),
                _ => continue,
            };
            target.insert(method.to_owned(), operation(resource, action));
        }
        paths.insert(collection, Value::Object(of_collection));
        paths.insert(item, Value::Object(of_item));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": super::route::VERSION},
        "paths": paths,
        "components": {},
    })
}

fn operation(resource: Resource, action: &str) -> Value {
    let names = resource.names();
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": names.group, "version": names.version, "kind": names.kind,
        },
        "responses": {"200": {"description": "OK"}},
    });
    if matches!(action, "post" | "put" | "patch") {
        operation["parameters"] = json!(["dryRun", "fieldValidation"].map(|name| {
            json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
        }));
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_in_the_index_is_there_and_names_field_validation() {
        let index = index();
        let paths = index["paths"].as_object().unwrap();
        assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
        for path in paths.keys() {
            let document = document(path).unwrap();
            assert!(
                document["paths"].to_string().contains("fieldValidation"),
                "{path}"
            );
        }
        assert!(document("apis/autoscaling/v1").is_none());
    }
}

//! OpenAPI: which paths there are, what is written to them and read from them,
//! and the schemas of all of it (see [`crate::lab::schema`]).
//!
//! kubectl explains types from here, finds out how the lists of a type merge,
//! and, finding the parameter `fieldValidation`, leaves the check of fields to
//! the server.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::discovery;
use crate::lab::kinds::Resource;
use crate::lab::schema;
use crate::lab::store::Store;

mod custom;

/// A document as it is sent.
#[derive(Debug)]
struct Document {
    /// Below `/openapi/v3/`.
    path: String,
    text: String,
    /// The name of a document says its content, so that clients may keep it.
    hash: u32,
}

impl Document {
    fn new(path: String, content: &Value) -> Self {
        let text = content.to_string();
        Self {
            path,
            hash: crc32fast::hash(text.as_bytes()),
            text,
        }
    }
}

static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let documents = groups().into_iter();
    documents
        .map(|group| Document::new(prefix(group), &document_of(group)))
        .collect()
});

/// `/openapi/v3`: the documents there are.
pub fn index(store: &Store) -> Value {
    let made = custom::documents(store);
    let paths: Map<String, Value> = DOCUMENTS
        .iter()
        .chain(&made)
        .map(|it| {
            let url = format!("/openapi/v3/{}?hash={:08X}", it.path, it.hash);
            (it.path.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// `/openapi/v3/PATH`; none when there is no such document.
pub fn find(store: &Store, path: &str) -> Option<String> {
    if let Some(known) = DOCUMENTS.iter().find(|it| it.path == path) {
        return Some(known.text.clone());
    }
    let mut made = custom::documents(store).into_iter();
    made.find(|it| it.path == path).map(|it| it.text)
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

/// What a path reads or writes.
#[derive(Clone, Copy)]
struct Body<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// The full name of its schema.
    schema: Option<&'a str>,
}

impl Body<'static> {
    fn known(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        let schema = schema::of_kind(group, version, kind);
        Self {
            group,
            version,
            kind,
            schema: schema.map(|(name, _)| name),
        }
    }

    fn of(resource: Resource) -> Self {
        let names = resource.names();
        Self::known(names.group, names.version, names.kind)
    }
}

fn document_of(group: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let here = Resource::ALL.into_iter();
    for resource in here.filter(|it| it.names().group == group) {
        let whole = Body::of(resource);
        for part in discovery::subresources(resource) {
            let (group, version, kind) = part.kind;
            collect_kind(Body::known(group, version, kind), &mut schemas);
        }
        collect_kind(whole, &mut schemas);
        paths_of(resource, whole, &prefix(group), &mut paths);
    }
    document(&paths, &schemas)
}

/// Adds the paths of a kind and of its subresources.
fn paths_of(resource: Resource, whole: Body<'_>, prefix: &str, paths: &mut Map<String, Value>) {
    let names = resource.names();
    let scope = if names.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("/{prefix}{scope}/{}", names.plural);
    let item = format!("{collection}/{{name}}");
    for part in discovery::subresources(resource) {
        let (group, version, kind) = part.kind;
        let body = if kind == whole.kind {
            whole
        } else {
            Body::known(group, version, kind)
        };
        let path = format!("{item}/{}", part.name);
        paths.insert(path, operations(body, part.verbs, &ON_PART));
    }
    let verbs = discovery::verbs(resource);
    paths.insert(collection, operations(whole, verbs, &ON_COLLECTION));
    paths.insert(item, operations(whole, verbs, &ON_ITEM));
}

fn document(paths: &Map<String, Value>, schemas: &Map<String, Value>) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": super::route::VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// A verb of discovery, the method and what OpenAPI calls it.
type Verbs = [(&'static str, &'static str, &'static str)];

const ON_COLLECTION: [(&str, &str, &str); 3] = [
    ("create", "post", "post"),
    ("list", "get", "list"),
    ("deletecollection", "delete", "deletecollection"),
];
const ON_ITEM: [(&str, &str, &str); 4] = [
    ("get", "get", "get"),
    ("update", "put", "put"),
    ("patch", "patch", "patch"),
    ("delete", "delete", "delete"),
];
const ON_PART: [(&str, &str, &str); 4] = [
    ("get", "get", "get"),
    ("create", "post", "connect"),
    ("update", "put", "put"),
    ("patch", "patch", "patch"),
];

fn operations(body: Body<'_>, served: &[&str], verbs: &Verbs) -> Value {
    let served = verbs.iter().filter(|(verb, _, _)| served.contains(verb));
    served
        .map(|(_, method, action)| ((*method).to_owned(), operation(body, action)))
        .collect()
}

fn operation(body: Body<'_>, action: &str) -> Value {
    let reference = body
        .schema
        .map_or_else(|| json!({"type": "object"}), reference_to);
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": body.group, "version": body.version, "kind": body.kind,
        },
        "responses": {"200": {"description": "OK"}},
    });
    let media = |types: &[&str]| -> Value {
        let content: Map<String, Value> = types
            .iter()
            .map(|it| ((*it).to_owned(), json!({"schema": reference})))
            .collect();
        Value::Object(content)
    };
    if matches!(action, "get" | "post" | "put" | "patch") {
        operation["responses"]["200"]["content"] = media(&["application/json"]);
    }
    let written: &[&str] = match action {
        "post" | "put" => &["application/json", "application/yaml"],
        // Nothing says how lists of a defined kind merge strategically.
        "patch" if body.schema.is_some_and(|it| schema::named(it).is_none()) => &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ],
        "patch" => &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
        ],
        _ => return operation,
    };
    operation["requestBody"] = json!({"content": media(written)});
    let mut parameters = vec!["dryRun", "fieldManager", "fieldValidation"];
    if action == "patch" {
        parameters.push("force");
    }
    let parameters: Vec<Value> = parameters
        .into_iter()
        .map(|name| {
            let of = if name == "force" { "boolean" } else { "string" };
            json!({"name": name, "in": "query", "schema": {"type": of, "uniqueItems": true}})
        })
        .collect();
    operation["parameters"] = json!(parameters);
    operation
}

fn reference_to(name: &str) -> Value {
    json!({"$ref": format!("{}{name}", schema::REFERENCE)})
}

fn collect_kind(body: Body<'_>, schemas: &mut Map<String, Value>) {
    if let Some(name) = body.schema {
        collect(name, schemas);
    }
}

/// Adds a schema and all that it refers to.
fn collect(name: &str, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(name) {
        return;
    }
    if let Some(schema) = schema::named(name) {
        schemas.insert(name.to_owned(), schema.clone());
        collect_references(schema, schemas);
    }
}

fn collect_references(schema: &Value, schemas: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(target) if name == "$ref" => {
                        collect(target.trim_start_matches(schema::REFERENCE), schemas);
                    }
                    _ => collect_references(value, schemas),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|it| collect_references(it, schemas)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_in_the_index_is_there_and_is_whole() {
        let store = Store::new(0);
        let index = index(&store);
        let paths = index["paths"].as_object().unwrap();
        assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
        for path in paths.keys() {
            let document: Value = serde_json::from_str(&find(&store, path).unwrap()).unwrap();
            let text = document["paths"].to_string();
            assert!(text.contains("fieldValidation"), "{path}");
            let schemas = document["components"]["schemas"].as_object().unwrap();
            let text = document.to_string();
            for target in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
                let name = target.split('"').next().unwrap();
                assert!(schemas.contains_key(name), "{name} in {path}");
            }
        }
        assert!(find(&store, "apis/autoscaling/v1").is_none());
    }

    #[test]
    fn every_kind_is_described() {
        for resource in Resource::ALL {
            let names = resource.names();
            let found = schema::of_kind(names.group, names.version, names.kind);
            assert!(found.is_some(), "{resource:?}");
        }
    }
}

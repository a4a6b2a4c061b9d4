//! The documents of kinds that are defined while the lab runs, written anew for
//! every request: a definition may have changed.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Body, Document, collect, document, reference_to};
use crate::lab::api::custom::Definition;
use crate::lab::kinds::Resource;
use crate::lab::schema::{self, METADATA};
use crate::lab::store::Store;

/// The documents of all kinds that are defined now.
pub fn documents(store: &Store) -> Vec<Document> {
    let kinds = store.kinds();
    let kinds: Vec<Resource> = kinds
        .into_iter()
        .filter(|it| matches!(it, Resource::Custom(_)))
        .collect();
    let versions: BTreeSet<(&str, &str)> = kinds
        .iter()
        .map(|it| (it.names().group, it.names().version))
        .collect();
    versions
        .into_iter()
        .map(|(group, version)| {
            let here = kinds.iter().filter(|it| {
                let names = it.names();
                (names.group, names.version) == (group, version)
            });
            let mut paths = Map::new();
            let mut schemas = Map::new();
            collect(METADATA, &mut schemas);
            let prefix = format!("apis/{group}/{version}");
            for kind in here {
                if let Some(definition) = Definition::of(store, *kind) {
                    add(*kind, &definition, &prefix, &mut paths, &mut schemas);
                }
            }
            Document::new(prefix, &document(&paths, &schemas))
        })
        .collect()
}

fn add(
    kind: Resource,
    definition: &Definition,
    prefix: &str,
    paths: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
) {
    let names = kind.names();
    let mut name: Vec<&str> = names.group.split('.').rev().collect();
    name.extend([names.version, names.kind]);
    let name = name.join(".");
    let body = Body {
        schema: Some(&name),
        ..Body::of(kind)
    };
    super::paths_of(kind, body, prefix, paths);
    schemas.insert(name.clone(), whole(kind, definition.schema()));
}

/// A schema with what every object has, as the real server publishes it.
fn whole(kind: Resource, given: &Value) -> Value {
    let names = kind.names();
    let mut schema = given.clone();
    for field in ["apiVersion", "kind"] {
        let known = schema::named(METADATA_OWNER);
        let known = known.map(|it| it["properties"][field].clone());
        schema["properties"][field] = known.unwrap_or_else(|| json!({"type": "string"}));
    }
    schema["properties"]["metadata"] = json!({"allOf": [reference_to(METADATA)]});
    schema["x-kubernetes-group-version-kind"] =
        json!([{"group": names.group, "version": names.version, "kind": names.kind}]);
    schema
}

/// Any kind that describes `apiVersion` and `kind`: the words are the same in all.
const METADATA_OWNER: &str = "io.k8s.api.core.v1.ConfigMap";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defined_kind_has_a_document_with_its_schema() {
        let store = Store::new(0);
        let definition = json!({
            "metadata": {"name": "foos.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
                "versions": [{"name": "v1beta1", "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object"}}}}}],
            },
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        });
        store
            .create(Resource::CustomResourceDefinitions, definition)
            .unwrap();
        let documents = documents(&store);
        assert_eq!(documents[0].path, "apis/example.com/v1beta1");
        let document: Value = serde_json::from_str(&documents[0].text).unwrap();
        let schema = &document["components"]["schemas"]["com.example.v1beta1.Foo"];
        assert_eq!(schema["properties"]["spec"]["type"], "object");
        assert!(schema["properties"]["kind"]["description"].is_string());
        let path = "/apis/example.com/v1beta1/namespaces/{namespace}/foos/{name}";
        assert!(document["paths"][path]["patch"].is_object());
    }
}

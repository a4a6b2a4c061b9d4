//! Structural schemas: what custom objects may hold.
//!
//! Three passes over an object, as the real server makes them: fields that the
//! schema does not know are pruned, fields that are missing get their defaults,
//! and what is left is checked.

use serde_json::{Map, Value};

/// Keeps what no schema knows below this point.
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
/// An object with type and metadata of its own.
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

/// The fields that every object has, whatever its schema says.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes what the schema does not know and says where it was. `whole` says
/// whether this is a whole object, with type and metadata.
pub fn prune(
    schema: &Value,
    value: &mut Value,
    whole: bool,
    path: &str,
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(fields) => prune_fields(schema, fields, whole, path, unknown),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let path = format!("{path}[{index}]");
                prune(&schema["items"], item, false, &path, unknown);
            }
        }
        _ => {}
    }
}

fn prune_fields(
    schema: &Value,
    fields: &mut Map<String, Value>,
    whole: bool,
    path: &str,
    unknown: &mut Vec<String>,
) {
    let whole = whole || schema[EMBEDDED] == true;
    let keeps = schema[PRESERVE] == true || schema["additionalProperties"] == true;
    fields.retain(|name, value| {
        if whole && OF_EVERY_OBJECT.contains(&name.as_str()) {
            return true;
        }
        let path = below(path, name);
        match field_schema(schema, name) {
            Some(inner) => prune(inner, value, false, &path, unknown),
            None if keeps => {}
            None => {
                unknown.push(path);
                return false;
            }
        }
        true
    });
}

/// The schema of a field of an object.
fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let known = schema["properties"].get(name);
    known.or_else(|| Some(&schema["additionalProperties"]).filter(|it| it.is_object()))
}

/// Fills in the defaults of what is missing.
pub fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                let Some(default) = inner.get("default") else {
                    continue;
                };
                let null = fields.get(name).is_some_and(Value::is_null);
                if !fields.contains_key(name) || (null && inner["nullable"] != true) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(inner) = field_schema(schema, name) {
                    fill(inner, value);
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

/// The path of a field inside an object.
pub fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer", "default": 3},
            "free": {"type": "object", PRESERVE: true},
            "map": {"type": "object", "additionalProperties": {
                "type": "object", "properties": {"a": {"type": "string", "default": "x"}}}},
            "list": {"type": "array", "items": {
                "type": "object", "properties": {"n": {"type": "integer"}}}},
        }}}})
    }

    #[test]
    fn what_the_schema_does_not_know_goes_and_is_named() {
        let mut object = json!({
            "apiVersion": "v", "kind": "K", "metadata": {"name": "n"}, "odd": 1,
            "spec": {"size": 1, "colour": "red", "free": {"any": {"thing": 1}},
                     "list": [{"n": 1, "m": 2}], "map": {"k": {"a": "y", "b": "z"}}}});
        let mut unknown = Vec::new();
        prune(&schema(), &mut object, true, "", &mut unknown);
        assert_eq!(
            unknown,
            ["odd", "spec.colour", "spec.list[0].m", "spec.map.k.b"]
        );
        assert_eq!(object["spec"]["free"], json!({"any": {"thing": 1}}));
        assert_eq!(object["metadata"]["name"], "n");
    }

    #[test]
    fn what_is_missing_gets_its_default() {
        let mut object = json!({"spec": {"map": {"k": {}}}});
        fill(&schema(), &mut object);
        assert_eq!(
            object,
            json!({"spec": {"size": 3, "map": {"k": {"a": "x"}}}})
        );
        let mut object = json!({"spec": {"size": null}});
        fill(&schema(), &mut object);
        assert_eq!(object["spec"]["size"], 3);
        let mut object = json!({});
        fill(&schema(), &mut object);
        assert_eq!(object, json!({}));
    }
}

//! Patches: three ways to say what should be different.
//!
//! JSON patch (RFC 6902) and merge patch (RFC 7386) are libraries. Strategic
//! merge is Kubernetes' own: like a merge patch, but some lists are maps by a
//! key of their items (the [schema](crate::lab::schema) says which), and
//! `$`-directives delete, replace and order. Server-side apply is no patch to
//! be laid over an object: see [`managed`](crate::lab::managed).

use serde_json::{Map, Value};

use super::status::ApiError;
use super::{operations, request};
use crate::lab::schema::Place;

/// The media type of an applied object.
const APPLY: &str = "application/apply-patch+yaml";

/// A patch of one of the formats that are read.
#[derive(Debug, Clone)]
pub enum Patch {
    /// RFC 6902: a list of operations.
    Json(json_patch::Patch),
    /// RFC 7386: an object laid over the other.
    Merge(Value),
    /// As merge, with lists merged by key.
    Strategic(Value),
    /// All that a manager wants of the object.
    Apply(Value),
}

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// *415* for another format, *400* for a body that is not what it says.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let bad = |error: serde_json::Error| {
            ApiError::bad_request(format!("error decoding patch: {error}"))
        };
        let object = || -> Result<Value, ApiError> {
            let value: Value = serde_json::from_slice(body).map_err(bad)?;
            if value.is_object() {
                Ok(value)
            } else {
                Err(ApiError::bad_request(
                    "error decoding patch: it is no object",
                ))
            }
        };
        match content_type {
            "application/json-patch+json" => Ok(Self::Json(operations::parse(body)?)),
            "application/merge-patch+json" => Ok(Self::Merge(object()?)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(object()?)),
            APPLY => Ok(Self::Apply(request::parse_applied(body)?)),
            _ => Err(ApiError::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                APPLY,
            ])),
        }
    }

    /// *415*: no strategy is known for the lists of kinds that are defined.
    pub fn not_for_custom_kinds() -> ApiError {
        ApiError::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            APPLY,
        ])
    }

    /// Changes an object of the type at `place`.
    ///
    /// # Errors
    /// *422* when an operation does not fit the object, *400* for a directive
    /// that there is not.
    pub fn change(&self, object: &mut Value, place: Place<'_>) -> Result<(), ApiError> {
        match self {
            Self::Json(patch) => operations::apply(object, patch)?,
            Self::Merge(patch) => json_patch::merge(object, patch),
            Self::Strategic(patch) => strategic(object, patch, place)?,
            // Who is laid over whom is decided with the managers: `write::apply`.
            Self::Apply(_) => return Err(ApiError::unsupported_media_type(&[])),
        }
        if object.is_object() && object["metadata"].is_object() {
            Ok(())
        } else {
            Err(ApiError::bad_request(
                "the patch leaves no object with metadata",
            ))
        }
    }
}

fn strategic(target: &mut Value, patch: &Value, place: Place<'_>) -> Result<(), ApiError> {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return Ok(());
    };
    match fields.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = without_directives(fields);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(odd) => {
            return Err(ApiError::bad_request(format!(
                "Unknown patch type found: {odd}"
            )));
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else {
        return Ok(());
    };
    if let Some(keys) = fields.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|name, _| keys.iter().any(|key| key == name.as_str()));
    }
    for (name, list) in directives(fields, "$deleteFromPrimitiveList/") {
        if let Some(items) = object.get_mut(name).and_then(Value::as_array_mut) {
            items.retain(|item| !list.contains(item));
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('$')) {
        match value {
            Value::Null => {
                object.remove(name);
            }
            Value::Object(_) => {
                let current = object.entry(name).or_insert(Value::Null);
                strategic(current, value, place.field(name))?;
            }
            Value::Array(items) => {
                let current = object.entry(name).or_insert(Value::Null);
                merge_list(current, items, place.field(name))?;
            }
            plain => {
                object.insert(name.clone(), plain.clone());
            }
        }
    }
    for (name, order) in directives(fields, "$setElementOrder/") {
        if let Some(items) = object.get_mut(name).and_then(Value::as_array_mut) {
            let key = place.field(name).merges().flatten();
            let place = |item: &Value| {
                let same = |wanted: &Value| match key {
                    Some(key) => wanted[key] == item[key],
                    None => wanted == item,
                };
                order.iter().position(same).unwrap_or(order.len())
            };
            items.sort_by_key(place);
        }
    }
    Ok(())
}

fn directives<'a>(
    fields: &'a Map<String, Value>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a Vec<Value>)> {
    fields
        .iter()
        .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_array()?)))
}

fn without_directives(fields: &Map<String, Value>) -> Value {
    let plain = fields.iter().filter(|(name, _)| !name.starts_with('$'));
    Value::Object(
        plain
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn merge_list(current: &mut Value, items: &[Value], place: Place<'_>) -> Result<(), ApiError> {
    let replace = items.iter().any(|item| item["$patch"] == "replace");
    let merges = place.merges();
    let key = merges
        .flatten()
        .filter(|_| items.iter().all(Value::is_object));
    let (Some(key), false, true) = (key, replace, current.is_array() || current.is_null()) else {
        // Merged without a key, as finalizers are: a set.
        if merges == Some(None)
            && !replace
            && let Some(present) = current.as_array_mut()
        {
            let new = items.iter().filter(|item| !present.contains(item));
            let new: Vec<Value> = new.cloned().collect();
            present.extend(new);
            return Ok(());
        }
        let kept = items.iter().filter(|item| item.get("$patch").is_none());
        *current = Value::Array(kept.cloned().collect());
        return Ok(());
    };
    if current.is_null() {
        *current = Value::Array(Vec::new());
    }
    let Some(present) = current.as_array_mut() else {
        return Ok(());
    };
    for item in items {
        let Some(identity) = item.get(key) else {
            return Err(ApiError::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        let found = present.iter().position(|it| it.get(key) == Some(identity));
        match (found, item["$patch"] == "delete") {
            (Some(at), true) => {
                present.remove(at);
            }
            (None, true) => {}
            (Some(at), false) => strategic(&mut present[at], item, place.item())?,
            (None, false) => {
                let mut new = Value::Null;
                strategic(&mut new, item, place.item())?;
                present.push(new);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(field: &str) -> Place<'static> {
        Place::builtin("", "v1", "Pod").field(field)
    }

    fn merged(mut object: Value, patch: &Value, place: Place<'_>) -> Value {
        strategic(&mut object, patch, place).unwrap();
        object
    }

    #[test]
    fn lists_with_a_key_are_merged_by_it() {
        let object = json!({"containers": [
            {"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]},
            {"name": "b", "image": "y"}]});
        let patch = json!({"containers": [
            {"name": "a", "env": [{"name": "F", "value": "2"}]},
            {"name": "b", "$patch": "delete"},
            {"name": "c", "image": "z"}]});
        let expected = json!({"containers": [
            {"name": "a", "image": "x",
             "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]},
            {"name": "c", "image": "z"}]});
        assert_eq!(merged(object, &patch, pod("spec")), expected);
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_nulls_delete() {
        let object = json!({"args": ["a", "b"], "gone": 1, "kept": 2});
        let patch = json!({"args": ["c"], "gone": null});
        let container = pod("spec").field("containers").item();
        assert_eq!(
            merged(object, &patch, container),
            json!({"args": ["c"], "kept": 2})
        );
    }

    #[test]
    fn directives_replace_retain_order_and_delete() {
        let strategy =
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
        let patch = json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}});
        assert_eq!(
            merged(strategy, &patch, Place::open()),
            json!({"strategy": {"type": "Recreate"}})
        );

        let labels = json!({"labels": {"a": "1"}});
        let patch = json!({"labels": {"$patch": "replace", "b": "2"}});
        assert_eq!(
            merged(labels, &patch, pod("metadata")),
            json!({"labels": {"b": "2"}})
        );

        let env = json!({"env": [{"name": "A"}, {"name": "B"}]});
        let patch = json!({
            "$setElementOrder/env": [{"name": "B"}, {"name": "C"}, {"name": "A"}],
            "env": [{"name": "C"}]});
        assert_eq!(
            merged(env, &patch, pod("spec").field("containers").item()),
            json!({"env": [{"name": "B"}, {"name": "C"}, {"name": "A"}]})
        );

        let finalizers = json!({"finalizers": ["x", "y"]});
        let patch = json!({"$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]});
        assert_eq!(
            merged(finalizers, &patch, pod("metadata")),
            json!({"finalizers": ["y", "z"]})
        );

        assert!(
            strategic(
                &mut json!({}),
                &json!({"a": {"$patch": "odd"}}),
                Place::open()
            )
            .is_err()
        );
    }

    #[test]
    fn a_patch_may_not_destroy_the_object() {
        let mut object = json!({"metadata": {"name": "a"}});
        let patch = Patch::Merge(json!({"metadata": null}));
        assert!(patch.change(&mut object.clone(), Place::open()).is_err());
        let json = br#"[{"op": "test", "path": "/metadata/name", "value": "b"}]"#;
        let patch = Patch::parse("application/json-patch+json", json).unwrap();
        assert_eq!(
            patch.change(&mut object, Place::open()).unwrap_err().code,
            422
        );
        assert_eq!(
            Patch::parse("application/apply-patch+cbor", b"{}")
                .unwrap_err()
                .code,
            415
        );
    }
}

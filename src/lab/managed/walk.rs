//! Going through values with their schema beside: which fields a value has,
//! what differs between two, one laid over the other, and fields taken out.
//!
//! The rules are those of Kubernetes' structured merge: an atomic list or map
//! is one value, the items of an associative list are told apart by their keys.

use serde_json::{Map, Value};

use super::path::Step;
use super::set::FieldSet;
use crate::lab::schema::{ListKind, Place};

/// Why an object cannot be read by its schema: the path and what is wrong
/// there.
pub type Mismatch = String;

/// What differs between two values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the second.
    pub added: FieldSet,
    /// In both, with different values.
    pub modified: FieldSet,
    /// Only in the first.
    pub removed: FieldSet,
}

/// The step to an item of a list that is merged item by item.
fn step_of(kind: &ListKind<'_>, place: Place<'_>, item: &Value) -> Result<Step, Mismatch> {
    let ListKind::Map(keys) = kind else {
        return Ok(Step::value(item));
    };
    let Some(fields) = item.as_object() else {
        return Err("associative list with keys may not have non-map elements".to_owned());
    };
    let mut identity = Map::new();
    for key in keys {
        let default = || place.item().field(key).default();
        let value = fields.get(*key).filter(|it| !it.is_null()).or_else(default);
        let Some(value) = value else {
            return Err(format!(
                "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
            ));
        };
        identity.insert((*key).to_owned(), value.clone());
    }
    Ok(Step::Key(Value::Object(identity).to_string()))
}

/// A list's items by their steps.
fn items<'v>(
    kind: &ListKind<'_>,
    place: Place<'_>,
    value: Option<&'v Value>,
) -> Result<Vec<(Step, &'v Value)>, Mismatch> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.map(|item| Ok((step_of(kind, place, item)?, item)))
        .collect()
}

/// Every field that a value gives.
///
/// # Errors
/// A field that its type does not have, or items that cannot be told apart.
pub fn fields_of(value: &Value, place: Place<'_>) -> Result<FieldSet, Mismatch> {
    let mut set = FieldSet::default();
    collect(value, place, &mut Vec::new(), &mut set)?;
    Ok(set)
}

fn at(path: &[Step], why: &str) -> Mismatch {
    let path: String = path.iter().map(ToString::to_string).collect();
    format!("{path}: {why}")
}

fn collect(
    value: &Value,
    place: Place<'_>,
    path: &mut Vec<Step>,
    set: &mut FieldSet,
) -> Result<(), Mismatch> {
    match value {
        Value::Object(fields) if !place.is_atomic() => {
            for (name, value) in fields {
                path.push(Step::Field(name.clone()));
                if !place.takes(name) {
                    return Err(at(path, "field not declared in schema"));
                }
                collect(value, place.field(name), path, set)?;
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || !place.declares(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(list) if place.list() != ListKind::Atomic => {
            let kind = place.list();
            let mut seen = Vec::with_capacity(list.len());
            for item in list {
                let step = step_of(&kind, place, item).map_err(|why| at(path, &why))?;
                if seen.contains(&step) {
                    return Err(at(path, &format!("duplicate entries for key {step}")));
                }
                seen.push(step.clone());
                path.push(step);
                collect(item, place.item(), path, set)?;
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
    Ok(())
}

/// What became different. Items that cannot be told apart make their list one
/// value: ownership is then coarse, never wrong.
pub fn compare(before: &Value, after: &Value, place: Place<'_>) -> Comparison {
    let mut found = Comparison::default();
    differ(
        Some(before),
        Some(after),
        place,
        &mut Vec::new(),
        &mut found,
    );
    found
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(value) => value.is_null(),
        None => true,
    }
}

fn differ(
    before: Option<&Value>,
    after: Option<&Value>,
    place: Place<'_>,
    path: &mut Vec<Step>,
    found: &mut Comparison,
) {
    let all = |is: fn(&Value) -> bool| {
        let both = [before, after].into_iter().flatten();
        let mut given = both.filter(|it| !it.is_null()).peekable();
        given.peek().is_some() && given.all(is)
    };
    let empty = is_empty(before) && is_empty(after);
    if !empty && all(Value::is_object) && !place.is_atomic() {
        differ_in_map(before, after, place, path, found);
    } else if !empty
        && all(Value::is_array)
        && let Some((old, new)) = both_lists(before, after, place)
    {
        for (step, item) in &new {
            let was = old.iter().find(|(other, _)| other == step).map(|it| it.1);
            path.push(step.clone());
            differ(was, Some(item), place.item(), path, found);
            path.pop();
        }
        for (step, item) in old {
            if !new.iter().any(|(other, _)| *other == step) {
                path.push(step);
                differ(Some(item), None, place.item(), path, found);
                path.pop();
            }
        }
    } else {
        match (before, after) {
            (Some(before), Some(after)) if before != after => found.modified.insert(path),
            _ => {}
        }
    }
    match (before, after) {
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        _ => {}
    }
}

type Items<'v> = Vec<(Step, &'v Value)>;

fn both_lists<'v>(
    before: Option<&'v Value>,
    after: Option<&'v Value>,
    place: Place<'_>,
) -> Option<(Items<'v>, Items<'v>)> {
    let kind = place.list();
    if kind == ListKind::Atomic {
        return None;
    }
    let old = items(&kind, place, before).ok()?;
    let new = items(&kind, place, after).ok()?;
    Some((old, new))
}

fn differ_in_map(
    before: Option<&Value>,
    after: Option<&Value>,
    place: Place<'_>,
    path: &mut Vec<Step>,
    found: &mut Comparison,
) {
    let fields = |value: Option<&'_ Value>| -> Vec<String> {
        let map = value.and_then(Value::as_object);
        map.into_iter().flat_map(Map::keys).cloned().collect()
    };
    let mut names = fields(before);
    names.extend(fields(after));
    names.sort_unstable();
    names.dedup();
    for name in names {
        let inner = place.field(&name);
        // Nothing is in what is not there; what is there may hold nothing.
        let get = |map: Option<&Value>| match map? {
            Value::Object(map) => match map.get(&name) {
                Some(value) => Some(value.clone()),
                None => inner.nothing(place, &name).cloned(),
            },
            _ => None,
        };
        let (old, new) = (get(before), get(after));
        path.push(Step::Field(name));
        differ(old.as_ref(), new.as_ref(), inner, path, found);
        path.pop();
    }
}

/// Lays one value over another.
///
/// # Errors
/// Items that cannot be told apart.
pub fn merge(under: &Value, over: &Value, place: Place<'_>) -> Result<Value, Mismatch> {
    match (under, over) {
        (Value::Object(old), Value::Object(new)) if !place.is_atomic() => {
            let mut merged = old.clone();
            for (name, value) in new {
                let value = match old.get(name) {
                    Some(old) => merge(old, value, place.field(name))?,
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Ok(Value::Object(merged))
        }
        (Value::Array(_), Value::Array(_)) if place.list() != ListKind::Atomic => {
            let kind = place.list();
            let old = items(&kind, place, Some(under))?;
            let new = items(&kind, place, Some(over))?;
            let mut merged = Vec::new();
            let item_of =
                |step: &Step, item: &Value| match old.iter().find(|(other, _)| other == step) {
                    Some((_, under)) => merge(under, item, place.item()),
                    None => Ok(item.clone()),
                };
            // The new order holds; what only the old list has stays where it was.
            let mut rest = new.iter();
            for (step, item) in &old {
                if !new.iter().any(|(other, _)| other == step) {
                    merged.push((*item).clone());
                    continue;
                }
                let is_old = |step: &Step| old.iter().any(|(other, _)| other == step);
                for (step, item) in rest.by_ref() {
                    merged.push(item_of(step, item)?);
                    if is_old(step) {
                        break;
                    }
                }
            }
            for (step, item) in rest {
                merged.push(item_of(step, item)?);
            }
            Ok(Value::Array(merged))
        }
        _ => Ok(over.clone()),
    }
}

/// Takes fields out of a value; what nothing is left of goes too.
pub fn remove(value: &mut Value, fields: &FieldSet, place: Place<'_>) {
    match value {
        Value::Object(map) if !place.is_atomic() => {
            map.retain(|name, value| {
                let step = Step::Field(name.clone());
                if fields.has(&step) {
                    return false;
                }
                remains(value, fields.below(&step), place.field(name))
            });
        }
        Value::Array(list) => {
            let kind = place.list();
            if kind == ListKind::Atomic {
                return;
            }
            list.retain_mut(|item| {
                let Ok(step) = step_of(&kind, place, item) else {
                    return true;
                };
                !fields.has(&step) && remains(item, fields.below(&step), place.item())
            });
        }
        _ => {}
    }
}

fn remains(value: &mut Value, fields: Option<&FieldSet>, place: Place<'_>) -> bool {
    let Some(fields) = fields else {
        return true;
    };
    remove(value, fields, place);
    !is_empty(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Place<'static> {
        Place::builtin("apps", "v1", "Deployment")
    }

    fn template(containers: &Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn a_new_object_gives_the_fields_that_the_real_server_records() {
        let nothing = json!({});
        let object = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"securityContext": {}, "containers": [{
                        "name": "c", "resources": {},
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    }]},
                },
            },
        });
        let added = compare(&nothing, &object, deployment());
        let set = added.added.union(&added.modified).encode();
        assert_eq!(
            set,
            json!({
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:selector": {},
                    "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                    "f:template": {
                        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                        "f:spec": {"f:securityContext": {}, "f:containers": {"k:{\"name\":\"c\"}": {
                            ".": {}, "f:name": {}, "f:resources": {},
                            "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                                ".": {}, "f:containerPort": {}, "f:protocol": {}}},
                        }}},
                    },
                },
            })
        );
    }

    #[test]
    fn an_applied_object_owns_what_it_says_and_no_more() {
        let object = template(&json!([{"name": "c", "image": "x", "args": ["a", "b"]}]));
        let set = fields_of(&object, deployment()).unwrap();
        assert_eq!(
            set.paths(),
            [
                ".spec.template.spec.containers[name=\"c\"]",
                ".spec.template.spec.containers[name=\"c\"].args",
                ".spec.template.spec.containers[name=\"c\"].image",
                ".spec.template.spec.containers[name=\"c\"].name",
            ]
        );
        let wrong = fields_of(&json!({"spec": {"replica": 1}}), deployment());
        assert_eq!(
            wrong.unwrap_err(),
            ".spec.replica: field not declared in schema"
        );
        let twice = template(&json!([{"name": "c"}, {"name": "c"}]));
        assert!(fields_of(&twice, deployment()).is_err());
        let schema = json!({"type": "object", "properties": {"list": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "properties": {"id": {"type": "string"}}}}}});
        let why = fields_of(&json!({"list": [{}]}), Place::custom(&schema)).unwrap_err();
        assert!(
            why.starts_with(".list: ") && why.contains("omits key field \"id\""),
            "{why}"
        );
    }

    #[test]
    fn lists_are_merged_by_key_in_the_applied_order() {
        let old = template(&json!([{"name": "a", "image": "1"}, {"name": "b"}, {"name": "side"}]));
        let new = template(&json!([{"name": "new"}, {"name": "b", "image": "2"}, {"name": "a"}]));
        let merged = merge(&old, &new, deployment()).unwrap();
        assert_eq!(
            merged,
            template(&json!([
                {"name": "new"}, {"name": "b", "image": "2"},
                {"name": "a", "image": "1"}, {"name": "side"},
            ]))
        );
    }

    #[test]
    fn removing_the_last_field_removes_what_held_it() {
        let mut object = json!({"metadata": {"name": "a", "annotations": {"x": "1"},
            "finalizers": ["y", "z"]}});
        let fields =
            json!({"f:metadata": {"f:annotations": {"f:x": {}}, "f:finalizers": {"v:\"y\"": {}}}});
        remove(
            &mut object,
            &FieldSet::decode(&fields).unwrap(),
            deployment(),
        );
        assert_eq!(
            object,
            json!({"metadata": {"name": "a", "finalizers": ["z"]}})
        );
    }
}

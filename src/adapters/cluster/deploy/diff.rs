//! What would change of an object, field by field.

use serde_json::{Map, Value};

use crate::core::deploy::Field;

/// What the server keeps for itself, and changes with every write.
const SERVERS: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];

/// By which of its fields an element of a list is known, the first that all have.
const KEYS: [&str; 6] = ["name", "mountPath", "containerPort", "port", "key", "type"];

/// Words in the name of a variable whose value is nobody's business.
const SECRET: [&str; 6] = ["KEY", "SECRET", "TOKEN", "PASSWORD", "CONN", "CREDENTIAL"];

/// The fields in which `after` is not as `before`, in the order of their paths.
pub(super) fn fields(before: &Value, after: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    compare(
        "",
        Some(&desired(before)),
        Some(&desired(after)),
        &mut found,
    );
    found
}

/// An object without what the server adds.
fn desired(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !SERVERS.contains(&field.as_str()));
    }
    object
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Field>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            compare_maps(path, before, after, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            match key_of(&before.iter().chain(after)) {
                Some(key) => {
                    let named = |list: &[Value]| -> Map<String, Value> {
                        list.iter().map(|it| (name(&it[key]), it.clone())).collect()
                    };
                    let (before, after) = (named(before), named(after));
                    for name in merged(&before, &after) {
                        let path = format!("{path}[{name}]");
                        compare(&path, before.get(name), after.get(name), found);
                    }
                }
                None => compare_lists(path, before, after, found),
            }
        }
        (before, after) => found.push(field(path, before, after)),
    }
}

/// Where two lists of things without names differ: what both begin and end with
/// is no news.
fn compare_lists(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Field>) {
    let same = |(a, b): &(&Value, &Value)| a == b;
    let head = before.iter().zip(after).take_while(same).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev());
    let tail = tail.take_while(same).count();
    let told = |rest: &[Value]| match &rest[..rest.len() - tail] {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(Value::from(several)),
    };
    let (before, after) = (told(before), told(after));
    found.push(field(
        &format!("{path}[{head}]"),
        before.as_ref(),
        after.as_ref(),
    ));
}

fn compare_maps(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<Field>,
) {
    for name in merged(before, after) {
        let path = match (path, name.contains('.') || name.contains('/')) {
            ("", _) => name.clone(),
            (path, true) => format!("{path}[{name}]"),
            (path, false) => format!("{path}.{name}"),
        };
        compare(&path, before.get(name), after.get(name), found);
    }
}

/// The names in either, each once, in order.
fn merged<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Vec<&'a String> {
    let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    names
}

/// The field by which all these elements can be told apart.
fn key_of<'a>(elements: &(impl Iterator<Item = &'a Value> + Clone)) -> Option<&'static str> {
    KEYS.into_iter()
        .find(|key| elements.clone().all(|it| it.get(*key).is_some()))
}

fn name(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A field that changes; what may be a secret is not told.
fn field(path: &str, before: Option<&Value>, after: Option<&Value>) -> Field {
    let hidden = is_secret(path);
    let told = |value: Option<&Value>| {
        value.map(|value| {
            if hidden {
                Value::from("(not shown)")
            } else {
                veiled(value)
            }
        })
    };
    Field {
        path: path.to_owned(),
        before: told(before),
        after: told(after),
    }
}

/// `….env[NAME].value`, where the name sounds like a secret.
fn is_secret(path: &str) -> bool {
    let Some((name, rest)) = path
        .rsplit_once(".env[")
        .and_then(|(_, rest)| rest.split_once(']'))
    else {
        return false;
    };
    rest.starts_with(".value") && sounds_secret(name)
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET.iter().any(|word| name.contains(word))
}

/// A whole part of an object, without values of variables that sound secret.
fn veiled(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(veiled).collect(),
        Value::Object(fields) => {
            let secret = fields.get("name").and_then(Value::as_str);
            let secret = secret.is_some_and(sounds_secret) && fields.contains_key("value");
            let veil = |(name, value): (&String, &Value)| {
                let value = if secret && name == "value" {
                    Value::from("(not shown)")
                } else {
                    veiled(value)
                };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(veil).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let show = |value: &Option<Value>| value.as_ref().map_or("-".into(), Value::to_string);
        fields(before, after)
            .iter()
            .map(|it| format!("{} {} {}", it.path, show(&it.before), show(&it.after)))
            .collect()
    }

    #[test]
    fn elements_are_known_by_their_names_and_the_servers_fields_are_no_news() {
        let before = json!({
            "metadata": {"generation": 1, "uid": "u", "annotations": {"a.b/c": "1"}},
            "spec": {"replicas": 1, "containers": [
                {"name": "a", "image": "x", "command": ["p", "q"], "env": ["x", "y", "e"]}, {"name": "b"}]},
            "status": {"replicas": 1}});
        let after = json!({
            "metadata": {"generation": 2, "annotations": {"a.b/c": "2"}},
            "spec": {"containers": [
                {"name": "c"}, {"name": "a", "image": "y", "command": ["p"], "env": ["z", "e"]}]}});
        assert_eq!(
            told(&before, &after),
            [
                r#"metadata.annotations[a.b/c] "1" "2""#,
                r#"spec.containers[a].command[1] "q" -"#,
                r#"spec.containers[a].env[0] ["x","y"] "z""#,
                r#"spec.containers[a].image "x" "y""#,
                r#"spec.containers[b] {"name":"b"} -"#,
                r#"spec.containers[c] - {"name":"c"}"#,
                "spec.replicas 1 -",
            ]
        );
        assert!(told(&before, &before).is_empty());
    }

    #[test]
    fn what_may_be_a_secret_is_never_told() {
        let of = |value: &str| {
            json!({"spec": {"containers": [{"name": "c",
                "env": [{"name": "AZURE_STORAGE_CONN_STRING", "value": value}]}]}})
        };
        let none = json!({"spec": {"containers": [{"name": "c"}]}});
        let gone = json!({"spec": {}});
        for (before, after) in [
            (of("hunter2"), of("other")),
            (of("hunter2"), none),
            (of("hunter2"), gone.clone()),
            (gone, of("hunter2")),
        ] {
            let told = told(&before, &after);
            assert!(!told.is_empty());
            assert!(!told.concat().contains("hunter2"), "{told:?}");
        }
    }
}

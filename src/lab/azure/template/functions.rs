//! The functions that expressions may call.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest;
use serde_json::{Map, Value, json};
use uuid::{Uuid, uuid};

use super::eval::{Frame, Stop, invalid};
use super::parse::Expr;
use crate::lab::azure::call::segments;
use crate::lab::azure::ids;
use crate::lab::azure::kinds;

/// The namespace of the ids that `guid()` makes.
const GUIDS: Uuid = uuid!("11fb06fb-712d-4ddd-98c7-e71bbd588830");

/// Calls a function.
///
/// # Errors
/// When there is none of that name, or it cannot do with its arguments.
pub fn call(frame: &Frame<'_>, name: &str, arguments: &[Expr]) -> Result<Value, Stop> {
    let name = name.to_ascii_lowercase();
    // Not every argument is looked at.
    if name == "if" && arguments.len() == 3 {
        let chosen = if frame.run(&arguments[0])? == true {
            1
        } else {
            2
        };
        return frame.run(&arguments[chosen]);
    }
    if name == "coalesce" {
        for argument in arguments {
            let value = frame.run(argument)?;
            if !value.is_null() {
                return Ok(value);
            }
        }
        return Ok(Value::Null);
    }
    let values: Result<Vec<Value>, Stop> = arguments.iter().map(|it| frame.run(it)).collect();
    let values = values?;
    let found = of_deployment(frame, &name, &values)
        .or_else(|| of_resources(frame, &name, &values))
        .or_else(|| of_text(&name, &values))
        .or_else(|| of_values(&name, &values))
        .or_else(|| of_lists(&name, &values));
    found.unwrap_or_else(|| {
        Err(invalid(&format!(
            "The template function '{name}' is not valid with {} arguments",
            values.len()
        ))
        .into())
    })
}

type Found = Option<Result<Value, Stop>>;

fn of_deployment(frame: &Frame<'_>, name: &str, values: &[Value]) -> Found {
    let world = frame.world;
    let subscription = &world.account.subscription;
    let value = match (name, values) {
        ("parameters", [Value::String(name)]) => {
            let fields = frame.parameters.iter();
            let mut found = fields.filter(|(it, _)| it.eq_ignore_ascii_case(name));
            let missing =
                || invalid(&format!("The template parameter '{name}' is not found")).into();
            return Some(found.next().map(|it| it.1.clone()).ok_or_else(missing));
        }
        ("variables", [Value::String(name)]) => {
            let raw = &frame.template["variables"][name.as_str()];
            if raw.is_null() {
                return Some(Err(invalid(&format!(
                    "The template variable '{name}' is not found"
                ))
                .into()));
            }
            return Some(frame.evaluate(raw));
        }
        ("resourcegroup", []) => {
            let group = world.get(frame.group).map(|it| it.body.clone());
            group.unwrap_or_default()
        }
        ("subscription", []) => json!({
            "id": format!("/subscriptions/{subscription}"),
            "subscriptionId": subscription,
            "tenantId": world.account.tenant,
            "displayName": "aks-tui lab",
        }),
        ("tenant", []) => json!({"tenantId": world.account.tenant}),
        ("deployer", []) => {
            json!({"objectId": world.account.principal, "tenantId": world.account.tenant})
        }
        ("deployment", []) => json!({
            "name": frame.name,
            "properties": {"template": frame.template, "parameters": frame.parameters},
        }),
        ("environment", []) => json!({
            "name": "aks-tui-lab",
            "resourceManager": world.setting.base,
            "authentication": {"loginEndpoint": world.setting.base},
            "suffixes": {"storage": "core.local", "acrLoginServer": ".azurecr.io"},
        }),
        ("copyindex", values) => return Some(copy_index(frame, values)),
        _ => return None,
    };
    Some(Ok(value))
}

fn copy_index(frame: &Frame<'_>, values: &[Value]) -> Result<Value, Stop> {
    let (name, offset) = match values {
        [] => (None, 0),
        [Value::Number(offset)] => (None, offset.as_u64().unwrap_or(0)),
        [Value::String(name)] => (Some(name), 0),
        [Value::String(name), offset] => (Some(name), offset.as_u64().unwrap_or(0)),
        _ => return Err(invalid("copyIndex takes a name and an offset").into()),
    };
    let found = match name {
        Some(name) => frame
            .copies
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name)),
        None => frame.copies.last(),
    };
    let outside =
        || invalid("The template function 'copyIndex' is not expected at this location").into();
    found
        .map(|(_, index)| json!(index + offset))
        .ok_or_else(outside)
}

fn of_resources(frame: &Frame<'_>, name: &str, values: &[Value]) -> Found {
    let text = |at: usize| values.get(at).and_then(Value::as_str);
    let id = match name {
        "resourceid" => id_of(frame, values, true),
        "subscriptionresourceid" => id_of(frame, values, false),
        "tenantresourceid" => joined("", values),
        "extensionresourceid" => text(0).and_then(|scope| joined(scope, &values[1..])),
        "reference" => return Some(reference(frame, values)),
        "listkeys" => return Some(list_keys(frame, text(0).unwrap_or_default())),
        _ => return None,
    };
    let wrong = || {
        invalid(&format!(
            "the arguments of '{name}' do not fit the type of the resource"
        ))
        .into()
    };
    Some(id.map(Value::from).ok_or_else(wrong))
}

/// The id of a resource of the group, or of another group or subscription that
/// is named in front.
fn id_of(frame: &Frame<'_>, values: &[Value], in_group: bool) -> Option<String> {
    let kind = values
        .iter()
        .position(|it| it.as_str().is_some_and(|it| it.contains('/')))?;
    let mut front = values[..kind].iter().filter_map(Value::as_str).rev();
    let own = ids::group(frame.group).unwrap_or_default();
    let group = if in_group {
        front.next().unwrap_or(own)
    } else {
        ""
    };
    let subscription = front.next().unwrap_or(&frame.world.account.subscription);
    let scope = if in_group {
        format!("/subscriptions/{subscription}/resourceGroups/{group}")
    } else {
        format!("/subscriptions/{subscription}")
    };
    joined(&scope, &values[kind..])
}

/// A scope, a type and as many names as the type has kinds.
fn joined(scope: &str, values: &[Value]) -> Option<String> {
    let kinds = segments(values.first()?.as_str()?);
    let names: Option<Vec<&str>> = values[1..].iter().map(Value::as_str).collect();
    let names = names?;
    if kinds.len() != names.len() + 1 {
        return None;
    }
    let mut id = format!("{scope}/providers/{}", kinds[0]);
    for (kind, name) in kinds[1..].iter().zip(names) {
        id.push('/');
        id.push_str(kind);
        id.push('/');
        id.push_str(name);
    }
    Some(id)
}

fn reference(frame: &Frame<'_>, values: &[Value]) -> Result<Value, Stop> {
    let asked = values.first().and_then(Value::as_str).unwrap_or_default();
    let known = frame
        .known
        .iter()
        .find(|(name, id, _)| name.eq_ignore_ascii_case(asked) || ids::key(id) == ids::key(asked));
    let id = match known {
        Some((_, id, ready)) => {
            if !ready || !frame.live {
                return Err(Stop::Pending(id.clone()));
            }
            id.as_str()
        }
        None if asked.starts_with('/') => asked,
        None => {
            return Err(invalid(&format!(
                "The resource '{asked}' is not defined in the template"
            ))
            .into());
        }
    };
    let found = kinds::shown(frame.world, id)?;
    let full = values
        .get(2)
        .and_then(Value::as_str)
        .is_some_and(|it| it.eq_ignore_ascii_case("full"));
    Ok(if full {
        found
    } else {
        found["properties"].clone()
    })
}

fn list_keys(frame: &Frame<'_>, id: &str) -> Result<Value, Stop> {
    if !frame.live {
        return Err(Stop::Pending(id.to_owned()));
    }
    let account = frame.world.need(id)?;
    let keys = account.secret["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate();
    let keys = keys.map(|(at, key)| json!({"keyName": format!("key{}", at + 1), "value": key, "permissions": "FULL"}));
    Ok(json!({"keys": keys.collect::<Vec<_>>()}))
}

/// A value as text.
fn words(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn of_text(name: &str, values: &[Value]) -> Found {
    let value = match (name, values) {
        ("concat", values) if !values.iter().any(Value::is_array) => {
            json!(values.iter().map(words).collect::<String>())
        }
        ("format", [Value::String(pattern), rest @ ..]) => {
            let mut text = pattern.clone();
            for (at, value) in rest.iter().enumerate() {
                text = text.replace(&format!("{{{at}}}"), &words(value));
            }
            json!(text)
        }
        ("tolower", [Value::String(text)]) => json!(text.to_lowercase()),
        ("toupper", [Value::String(text)]) => json!(text.to_uppercase()),
        ("trim", [Value::String(text)]) => json!(text.trim()),
        ("replace", [Value::String(text), Value::String(old), Value::String(new)]) => {
            json!(text.replace(old.as_str(), new))
        }
        ("split", [Value::String(text), Value::String(at)]) => {
            json!(text.split(at.as_str()).collect::<Vec<_>>())
        }
        ("join", [Value::Array(items), Value::String(with)]) => {
            json!(items.iter().map(words).collect::<Vec<_>>().join(with))
        }
        ("substring", [Value::String(text), Value::Number(from), rest @ ..]) => {
            let from = from.as_u64().unwrap_or(0) as usize;
            let length = rest
                .first()
                .and_then(Value::as_u64)
                .map_or(usize::MAX, |it| it as usize);
            json!(text.chars().skip(from).take(length).collect::<String>())
        }
        ("startswith", [Value::String(text), Value::String(with)]) => {
            json!(text.to_lowercase().starts_with(&with.to_lowercase()))
        }
        ("endswith", [Value::String(text), Value::String(with)]) => {
            json!(text.to_lowercase().ends_with(&with.to_lowercase()))
        }
        ("string", [value]) => json!(words(value)),
        ("base64", [Value::String(text)]) => json!(BASE64_STANDARD.encode(text)),
        ("uri", [Value::String(base), Value::String(path)]) => json!(format!(
            "{}/{}",
            base.trim_end_matches('/'),
            path.trim_start_matches('/')
        )),
        ("guid", values) => json!(guid(
            &values.iter().map(words).collect::<Vec<_>>().join("-")
        )),
        ("uniquestring", values) => json!(unique(
            &values.iter().map(words).collect::<Vec<_>>().join("-")
        )),
        _ => return None,
    };
    Some(Ok(value))
}

/// The id of a name.
fn guid(name: &str) -> String {
    Uuid::new_v5(&GUIDS, name.as_bytes()).to_string()
}

/// Thirteen letters and digits that belong to a text. Others than Azure's.
fn unique(text: &str) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let letters = digest.as_ref().iter().take(13);
    letters
        .map(|it| char::from(LETTERS[usize::from(it % 32)]))
        .collect()
}

fn of_values(name: &str, values: &[Value]) -> Found {
    let number = |at: usize| values.get(at).and_then(Value::as_i64);
    let value = match (name, values) {
        ("true", []) => json!(true),
        ("false", []) => json!(false),
        ("null", []) => Value::Null,
        ("bool", [value]) => {
            json!(*value == true || *value == 1 || words(value).eq_ignore_ascii_case("true"))
        }
        ("int", [value]) => match value.as_i64().or_else(|| value.as_str()?.parse().ok()) {
            Some(number) => json!(number),
            None => return Some(Err(invalid(&format!("{value} is no integer")).into())),
        },
        ("equals", [a, b]) => json!(a == b),
        ("not", [Value::Bool(it)]) => json!(!it),
        ("and", values) => json!(values.iter().all(|it| *it == true)),
        ("or", values) => json!(values.iter().any(|it| *it == true)),
        ("json", [Value::String(text)]) => match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return Some(Err(invalid(&error.to_string()).into())),
        },
        (
            "add" | "sub" | "mul" | "div" | "mod" | "less" | "lessorequals" | "greater"
            | "greaterorequals",
            [_, _],
        ) => {
            let (Some(a), Some(b)) = (number(0), number(1)) else {
                return Some(Err(invalid(&format!("'{name}' takes two integers")).into()));
            };
            match name {
                "add" => json!(a.wrapping_add(b)),
                "sub" => json!(a.wrapping_sub(b)),
                "mul" => json!(a.wrapping_mul(b)),
                "div" | "mod" if b == 0 => return Some(Err(invalid("a division by zero").into())),
                "div" => json!(a.wrapping_div(b)),
                "mod" => json!(a.wrapping_rem(b)),
                "less" => json!(a < b),
                "lessorequals" => json!(a <= b),
                "greater" => json!(a > b),
                _ => json!(a >= b),
            }
        }
        _ => return None,
    };
    Some(Ok(value))
}

fn of_lists(name: &str, values: &[Value]) -> Found {
    let value = match (name, values) {
        ("concat", values) => values
            .iter()
            .flat_map(|it| it.as_array().cloned().unwrap_or_default())
            .collect(),
        ("createarray", values) => Value::Array(values.to_vec()),
        ("array", [value]) => {
            if value.is_array() {
                value.clone()
            } else {
                json!([value])
            }
        }
        ("createobject", values) => {
            let pairs = values
                .chunks_exact(2)
                .map(|it| (words(&it[0]), it[1].clone()));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        ("length", [value]) => json!(match value {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        }),
        ("empty", [value]) => json!(match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        }),
        ("first", [Value::Array(items)]) => items.first().cloned().unwrap_or_default(),
        ("last", [Value::Array(items)]) => items.last().cloned().unwrap_or_default(),
        ("first", [Value::String(text)]) => {
            json!(text.chars().next().map(String::from).unwrap_or_default())
        }
        ("last", [Value::String(text)]) => {
            json!(text.chars().last().map(String::from).unwrap_or_default())
        }
        ("contains", [Value::Array(items), value]) => json!(items.contains(value)),
        ("contains", [Value::String(text), value]) => json!(text.contains(&words(value))),
        ("contains", [Value::Object(fields), value]) => json!(fields.contains_key(&words(value))),
        ("range", [Value::Number(from), Value::Number(count)]) => {
            let from = from.as_i64().unwrap_or(0);
            let count = count.as_i64().unwrap_or(0).clamp(0, 10_000);
            (from..from.saturating_add(count)).collect()
        }
        ("union", values) if values.iter().all(Value::is_object) => {
            let mut all = json!({});
            for value in values {
                kinds::merge(&mut all, value);
            }
            all
        }
        ("union", values) => {
            let mut all: Vec<Value> = Vec::new();
            for value in values
                .iter()
                .flat_map(|it| it.as_array().into_iter().flatten())
            {
                if !all.contains(value) {
                    all.push(value.clone());
                }
            }
            Value::Array(all)
        }
        ("objectkeys", [Value::Object(fields)]) => fields.keys().cloned().collect(),
        ("items", [Value::Object(fields)]) => fields
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect(),
        _ => return None,
    };
    Some(Ok(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_made_of_a_name_as_everywhere() {
        // Version 5 and the variant stand where they belong, and a name is one id.
        let id = guid("a-b");
        assert_eq!(id, guid("a-b"));
        assert_ne!(id, guid("a-c"));
        assert_eq!((id.len(), &id[14..15]), (36, "5"));
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}

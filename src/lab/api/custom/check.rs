//! Whether a custom object is what its schema says, in the real server's words.

use regex::Regex;
use serde_json::{Number, Value};

use super::super::status::FieldError;
use super::schema::below;

/// An integer or a text.
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// Collects what stands against a value.
pub fn check(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if !has_type(schema, value) {
        let wanted = schema["type"].as_str().unwrap_or("integer or string");
        let given = Value::from(type_name(value));
        let why = format!("{path} in body must be of type {wanted}: {given}");
        errors.push(FieldError::invalid(path, &given, &why));
        return;
    }
    one_of(schema, value, path, errors);
    match value {
        Value::Object(_) => object(schema, value, path, errors),
        Value::Array(items) => list(schema, items, path, errors),
        Value::String(text) => string(schema, text, path, errors),
        Value::Number(number) => bounds(schema, number, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    combined(schema, value, path, errors);
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema[INT_OR_STRING] == true {
        return value.is_i64() || value.is_u64() || value.is_string();
    }
    match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn one_of(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(values) = schema["enum"].as_array() else {
        return;
    };
    if !values.contains(value) {
        let known: Vec<String> = values
            .iter()
            .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        errors.push(FieldError::unsupported(path, value, &known));
    }
}

fn object(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if value.get(name).is_none() {
            errors.push(FieldError::required(below(path, name), ""));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(name);
        let any = Some(&schema["additionalProperties"]).filter(|it| it.is_object());
        if let Some(schema) = known.or(any) {
            check(schema, inner, &below(path, name), errors);
        }
    }
    let count = value.as_object().map_or(0, serde_json::Map::len) as u64;
    if schema["minProperties"]
        .as_u64()
        .is_some_and(|least| count < least)
    {
        let why = format!(
            "{path} in body should have at least {} properties",
            schema["minProperties"]
        );
        errors.push(FieldError::invalid(path, value, &why));
    }
    if let Some(most) = schema["maxProperties"]
        .as_u64()
        .filter(|most| count > *most)
    {
        errors.push(FieldError::too_many(path, count, most));
    }
}

fn list(schema: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    for (index, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{index}]"), errors);
    }
    let count = items.len() as u64;
    if schema["minItems"]
        .as_u64()
        .is_some_and(|least| count < least)
    {
        let why = format!(
            "{path} in body should have at least {} items",
            schema["minItems"]
        );
        errors.push(FieldError::invalid(path, &Value::from(count), &why));
    }
    if let Some(most) = schema["maxItems"].as_u64().filter(|most| count > *most) {
        errors.push(FieldError::too_many(path, count, most));
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(item.clone()),
        Some("map") => {
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            Some(
                keys.map(|key| (key.to_owned(), item[key].clone()))
                    .collect(),
            )
        }
        _ => None,
    };
    let identities: Vec<Option<Value>> = items.iter().map(identity).collect();
    for (index, identity) in identities.iter().enumerate() {
        if let Some(value) = identity
            && identities[..index].contains(identity)
        {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), value));
        }
    }
}

fn string(schema: &Value, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    let value = Value::from(text);
    let mut invalid = |why: String| errors.push(FieldError::invalid(path, &value, &why));
    if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
        invalid(format!(
            "{path} in body should be at least {least} chars long"
        ));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|it| !it.is_match(text))
    {
        invalid(format!("{path} in body should match '{pattern}'"));
    }
    let format = schema["format"].as_str().unwrap_or_default();
    if !has_format(format, text) {
        invalid(format!("{path} in body must be of type {format}: {value}"));
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        errors.push(FieldError::too_long(path, most));
    }
}

/// Whether a text has a format; formats that the real server knows and we do
/// not are refused in definitions.
fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD.decode(text).is_ok()
        }
        _ => true,
    }
}

fn bounds(schema: &Value, number: &Number, path: &str, errors: &mut Vec<FieldError>) {
    let value = Value::Number(number.clone());
    let given = number.as_f64().unwrap_or_default();
    let mut invalid = |why: String| errors.push(FieldError::invalid(path, &value, &why));
    if let Some(least) = schema["minimum"].as_f64() {
        let exclusive = schema["exclusiveMinimum"] == true;
        if given < least || (exclusive && given <= least) {
            let than = if exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            };
            invalid(format!("{path} in body should be {than} {least}"));
        }
    }
    if let Some(most) = schema["maximum"].as_f64() {
        let exclusive = schema["exclusiveMaximum"] == true;
        if given > most || (exclusive && given >= most) {
            let than = if exclusive {
                "less than"
            } else {
                "less than or equal to"
            };
            invalid(format!("{path} in body should be {than} {most}"));
        }
    }
    if let Some(step) = schema["multipleOf"].as_f64()
        && step != 0.0
        && (given / step).fract() != 0.0
    {
        invalid(format!("{path} in body should be a multiple of {step}"));
    }
}

/// `allOf`, `anyOf`, `oneOf` and `not`.
fn combined(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let fits = |schema: &Value| {
        let mut against = Vec::new();
        check(schema, value, path, &mut against);
        against.is_empty()
    };
    let fitting = |list: &str| {
        let schemas = schema[list].as_array()?;
        Some((schemas.iter().filter(|it| fits(it)).count(), schemas.len()))
    };
    let mut invalid = |why: &str| errors.push(FieldError::invalid(path, value, why));
    if fitting("allOf").is_some_and(|(fit, all)| fit < all) {
        invalid(&format!(
            "{path} in body must validate all the schemas (allOf)"
        ));
    }
    if fitting("anyOf").is_some_and(|(fit, _)| fit == 0) {
        invalid(&format!(
            "{path} in body must validate at least one schema (anyOf)"
        ));
    }
    match fitting("oneOf") {
        None | Some((1, _)) => {}
        Some((0, _)) => invalid(&format!(
            "{path} in body must validate one and only one schema (oneOf). Found none valid"
        )),
        Some((fit, _)) => invalid(&format!(
            "{path} in body must validate one and only one schema (oneOf). Found {fit} valid alternatives"
        )),
    }
    if schema["not"].is_object() && fits(&schema["not"]) {
        invalid(&format!(
            "{path} in body must not validate the schema (not)"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn against(schema: &Value, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(schema, value, "spec", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_are_refused_in_the_servers_words() {
        for (schema, value, expected) in [
            (
                json!({"type": "integer"}),
                json!("x"),
                "spec: Invalid value: \"string\": spec in body must be of type integer: \"string\"",
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                json!("c"),
                "spec: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            ),
            (
                json!({"type": "integer", "minimum": 1}),
                json!(0),
                "spec: Invalid value: 0: spec in body should be greater than or equal to 1",
            ),
            (
                json!({"type": "integer", "maximum": 5, "exclusiveMaximum": true}),
                json!(5),
                "spec: Invalid value: 5: spec in body should be less than 5",
            ),
            (
                json!({"type": "string", "pattern": "^a$"}),
                json!("b"),
                "spec: Invalid value: \"b\": spec in body should match '^a$'",
            ),
            (
                json!({"type": "string", "maxLength": 2}),
                json!("abc"),
                "spec: Too long: may not be more than 2 bytes",
            ),
            (
                json!({"type": "array", "maxItems": 1}),
                json!([1, 2]),
                "spec: Too many: 2: must have at most 1 items",
            ),
            (
                json!({"type": "object", "required": ["a"]}),
                json!({}),
                "spec.a: Required value",
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map",
                       "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object"}}),
                json!([{"n": 1}, {"n": 1, "m": 2}]),
                "spec[1]: Duplicate value: {\"n\":1}",
            ),
        ] {
            assert_eq!(against(&schema, &value), [expected]);
        }
    }

    #[test]
    fn values_that_fit_are_fine() {
        for (schema, value) in [
            (json!({INT_OR_STRING: true}), json!("50%")),
            (json!({INT_OR_STRING: true}), json!(5)),
            (json!({"type": "string", "nullable": true}), Value::Null),
            (json!({"type": "integer"}), json!(2.0)),
            (
                json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                json!({"a": 1}),
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2026-01-01T00:00:00Z"),
            ),
        ] {
            assert_eq!(against(&schema, &value), [""; 0], "{schema}");
        }
        let either = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        assert!(
            against(&either, &json!({"a": 1, "b": 2}))[0].contains("Found 2 valid alternatives")
        );
    }
}

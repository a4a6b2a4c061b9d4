//! The JSON schema of `aks-tui.yaml`, for editors.

use serde_json::{Map, Value, json};

use super::fields::{self, Field, Kind};
use crate::core::azure::settings::Settings;

/// The schema, as published in `assets/aks-tui.schema.json`.
pub fn schema() -> Value {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut schema = section("", &defaults);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("aks-tui.yaml: what to have in Azure");
    schema
}

fn section(path: &str, defaults: &Value) -> Value {
    let mut properties = Map::new();
    for field in fields::below(path) {
        let default = &defaults[field.key()];
        let mut value = value(field, default);
        value["description"] = json!(field.about);
        properties.insert(field.key().to_owned(), value);
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn value(field: &Field, default: &Value) -> Value {
    let mut value = match field.kind {
        Kind::Section => return section(field.path, default),
        Kind::List => {
            return json!({
                "type": "array",
                "minItems": 1,
                "items": section(&format!("{}.*", field.path), &default[0]),
            });
        }
        Kind::Map => return json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::Text => json!({"type": "string"}),
        Kind::Name(rule) => json!({
            "type": "string",
            "minLength": rule.length.0,
            "maxLength": rule.length.1,
            "pattern": rule.pattern,
        }),
        Kind::Optional(rule) => json!({
            "type": "string",
            "maxLength": rule.length.1,
            "anyOf": [{"const": ""}, {"pattern": rule.pattern, "minLength": rule.length.0}],
        }),
        Kind::Choice(choices) => json!({"enum": choices}),
        Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Ports => json!({
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "uniqueItems": true,
            "items": {"type": "integer", "minimum": 1, "maximum": 65535},
        }),
    };
    if default.as_str() != Some("") {
        value["default"] = default.clone();
    }
    value
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_published_schema_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/aks-tui.schema.json");
        let made = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let published = fs::read_to_string(path).unwrap();
        assert!(
            published == made,
            "UPDATE_SCHEMA=1 cargo test publishes the schema anew"
        );
    }
}

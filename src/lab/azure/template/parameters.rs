//! The parameters of a template, and what is given for them.

use serde_json::{Map, Value, json};

use super::eval::Frame;
use crate::lab::azure::answer::ArmError;

fn refused(message: &str) -> ArmError {
    ArmError::bad(
        "InvalidTemplate",
        format!("Deployment template validation failed: '{message}'."),
    )
}

/// The value of every parameter: what is given, else its default.
///
/// # Errors
/// When one is missing, is not known, or is not as the template wants it.
pub fn values(frame: &Frame<'_>, given: &Value) -> Result<Map<String, Value>, ArmError> {
    let declared = frame.template["parameters"].as_object();
    let declared = declared.cloned().unwrap_or_default();
    let given = given.as_object().cloned().unwrap_or_default();
    for name in given.keys() {
        if !declared.keys().any(|it| it.eq_ignore_ascii_case(name)) {
            let known = declared.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(refused(&format!(
                "The template parameters '{name}' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time. The only supported parameters for this template are '{known}'. Please see https://aka.ms/arm-pass-parameter-values for usage details."
            )));
        }
    }
    let mut values = Map::new();
    for (name, about) in &declared {
        let own = given.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        let own = own.map(|it| it.1).filter(|it| !it.is_null());
        let value = match own {
            Some(own) => own["value"].clone(),
            None if about.get("defaultValue").is_some() => {
                let frame = Frame {
                    parameters: &values,
                    ..*frame
                };
                frame
                    .evaluate(&about["defaultValue"])
                    .map_err(|stop| match stop {
                        super::Stop::Error(error) => error,
                        super::Stop::Pending(id) => {
                            refused(&format!("the default of '{name}' cannot refer to '{id}'"))
                        }
                    })?
            }
            None if about["nullable"] == true => Value::Null,
            None => {
                return Err(refused(&format!(
                    "The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details."
                )));
            }
        };
        check(name, about, &value)?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn check(name: &str, about: &Value, value: &Value) -> Result<(), ArmError> {
    let kind = about["type"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let fits = match kind.as_str() {
        "string" | "securestring" => value.is_string(),
        "int" => value.is_i64() || value.is_u64(),
        "bool" => value.is_boolean(),
        "array" => value.is_array(),
        "object" | "secureobject" => value.is_object(),
        _ => {
            return Err(refused(&format!(
                "The type '{kind}' of the template parameter '{name}' is not valid"
            )));
        }
    };
    let left_out = value.is_null() && about["nullable"] == true;
    if !fits && !left_out {
        return Err(refused(&format!(
            "Template parameter JToken type is not valid. Expected '{kind}'. Actual '{value}'. The parameter is '{name}'"
        )));
    }
    if let Some(allowed) = about["allowedValues"].as_array()
        && !allowed.contains(value)
    {
        return Err(refused(&format!(
            "The provided value '{value}' for the template parameter '{name}' is not valid. The provided value '{value}' is not part of the allowed value(s) '{}'.",
            json!(allowed)
        )));
    }
    let size = match value {
        Value::String(text) => Some(text.chars().count() as i64),
        Value::Array(items) => Some(items.len() as i64),
        _ => None,
    };
    let number = value.as_i64();
    for (field, holds) in [
        (
            "minLength",
            size.zip(about["minLength"].as_i64())
                .is_none_or(|(it, least)| it >= least),
        ),
        (
            "maxLength",
            size.zip(about["maxLength"].as_i64())
                .is_none_or(|(it, most)| it <= most),
        ),
        (
            "minValue",
            number
                .zip(about["minValue"].as_i64())
                .is_none_or(|(it, least)| it >= least),
        ),
        (
            "maxValue",
            number
                .zip(about["maxValue"].as_i64())
                .is_none_or(|(it, most)| it <= most),
        ),
    ] {
        if !holds {
            return Err(refused(&format!(
                "The provided value for the template parameter '{name}' is not valid. It must satisfy {field} {}",
                about[field]
            )));
        }
    }
    Ok(())
}

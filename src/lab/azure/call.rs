//! A request as handlers see it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::answer::ArmError;

/// A request. Names in paths and in queries are compared without regard to
/// case, as Azure Resource Manager does.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path, decoded.
    pub path: String,
    /// What stands at the places that the route names.
    pub arguments: Vec<(&'static str, String)>,
    /// The query, by names in small letters.
    pub query: BTreeMap<String, String>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub raw: Bytes,
    /// The body as a document; null when there is none or it is no JSON.
    pub body: Value,
    /// How the client reaches this server: `https://127.0.0.1:1234`.
    pub base: String,
    /// The id that joins everything that this request causes.
    pub correlation: String,
}

impl Call {
    /// What stands at a place of the route, empty if it has none of that name.
    pub fn arg(&self, name: &str) -> &str {
        let found = self.arguments.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The path, cut before its last word: a resource and the action on it, or
    /// a resource and the kind of its children.
    pub fn split(&self) -> (&str, &str) {
        let path = self.path.trim_end_matches('/');
        path.rsplit_once('/').unwrap_or_default()
    }

    /// A parameter of the query; empty when it is not there.
    pub fn query(&self, name: &str) -> &str {
        let value = self.query.get(&name.to_ascii_lowercase());
        value.map_or("", String::as_str)
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The body, which must be a JSON object.
    ///
    /// # Errors
    /// What Azure Resource Manager says of a body that is none.
    pub fn object(&self) -> Result<&Value, ArmError> {
        if self.body.is_object() {
            return Ok(&self.body);
        }
        Err(ArmError::bad(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'the body is not a JSON object'.",
        ))
    }
}

/// Refuses a body that lacks one of these fields.
///
/// # Errors
/// *400*, naming the first.
pub fn require(body: &Value, fields: &[&str]) -> Result<(), ArmError> {
    match fields.iter().find(|it| body[**it].is_null()) {
        None => Ok(()),
        Some(missing) => Err(ArmError::bad(
            "MissingRequiredParameters",
            format!("Values for required request parameters are missing: {missing}."),
        )),
    }
}

/// Reads a body as JSON. Names without quotes are taken too, since the az
/// command writes `template:` so and the real service reads it.
pub fn parse(raw: &[u8]) -> Value {
    let first = raw.iter().find(|it| !it.is_ascii_whitespace());
    if !first.is_some_and(|it| matches!(it, b'{' | b'[')) {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_slice(raw) {
        return value;
    }
    let text = String::from_utf8_lossy(raw);
    serde_json::from_str(&quote_names(&text)).unwrap_or_default()
}

/// Puts quotes around names that have none.
fn quote_names(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let (mut rest, mut inside) = (text, false);
    while let Some(letter) = rest.chars().next() {
        let taken = if inside {
            inside = letter != '"';
            if letter == '\\' {
                rest.chars().take(2).map(char::len_utf8).sum()
            } else {
                letter.len_utf8()
            }
        } else if letter.is_ascii_alphabetic() || letter == '_' {
            let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
            let end = end.unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            if behind.trim_start().starts_with(':') {
                quoted.push('"');
                quoted.push_str(word);
                quoted.push('"');
                rest = behind;
                continue;
            }
            end
        } else {
            inside = letter == '"';
            letter.len_utf8()
        };
        let (now, behind) = rest.split_at(taken);
        quoted.push_str(now);
        rest = behind;
    }
    quoted
}

/// The segments of a path or an id, without empty ones.
pub fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|it| !it.is_empty()).collect()
}

/// Decodes percent-encoding; what is no UTF-8 then is replaced.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = (first == b'%')
            .then(|| behind.get(..2))
            .flatten()
            .and_then(|it| std::str::from_utf8(it).ok())
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_read_as_the_az_command_writes_it() {
        let body = br#"{"properties": {"mode": "Incremental", template:{"a": "b: {c: \"d: e\"}", "t": true}}}"#;
        assert_eq!(
            parse(body),
            json!({"properties": {"mode": "Incremental",
                "template": {"a": "b: {c: \"d: e\"}", "t": true}}})
        );
        assert_eq!(parse(b"{not json"), Value::Null);
        assert_eq!(parse(b""), Value::Null);
    }

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("/a%20b/%zz/%e2%82%ac%"), "/a b/%zz/€%");
    }
}

//! Labels and annotations: what may be a key, and what a value.

use serde_json::Value;

use super::super::status::FieldError;
use super::{SUBDOMAIN, is_subdomain};

/// How much all annotations of an object may hold, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
/// The longest name part of a key, and the longest value of a label.
const WORD_LIMIT: usize = 63;

const NAME_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Checks the labels and annotations of an object's metadata.
pub fn check(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    labels(&metadata["labels"], &format!("{path}.labels"), errors);
    let path = format!("{path}.annotations");
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        // A key may have capitals in its prefix here, for old times' sake.
        if let Some(why) = bad_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid(&path, &Value::from(key.as_str()), &why));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT as u64));
    }
}

/// Checks labels.
pub fn labels(labels: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Some(why) = bad_key(key) {
            errors.push(FieldError::invalid(path, &Value::from(key.as_str()), &why));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > WORD_LIMIT {
            let why = format!("must be no more than {WORD_LIMIT} bytes");
            errors.push(FieldError::invalid(path, value, &why));
        }
        if !text.is_empty() && !is_word(text) {
            errors.push(FieldError::invalid(path, value, LABEL_VALUE));
        }
    }
}

/// What is wrong with a key.
fn bad_key(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                return Some("prefix part must be non-empty".to_owned());
            }
            if !is_subdomain(prefix) {
                return Some(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
        _ => {
            return Some(format!(
                "a qualified name {NAME_PART} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
        }
    };
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if name.len() > WORD_LIMIT {
        return Some(format!("name part must be no more than {WORD_LIMIT} bytes"));
    }
    (!is_word(name)).then(|| format!("name part {NAME_PART}"))
}

fn is_word(text: &str) -> bool {
    let edges = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edges)
        && text.ends_with(edges)
        && text
            .chars()
            .all(|c| edges(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn against(metadata: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(metadata, "metadata", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_and_values_follow_the_rules() {
        let fine = json!({
            "labels": {"app": "web", "example.com/a_b": "", "x": "1.2-3"},
            "annotations": {"Example.com/note": "any text: at all"}});
        assert_eq!(against(&fine), [""; 0]);
        for (labels, words) in [
            (json!({"a b": "c"}), "\"a b\": name part must consist of"),
            (
                json!({"a/b/c": ""}),
                "\"a/b/c\": a qualified name must consist of",
            ),
            (json!({"/c": ""}), "\"/c\": prefix part must be non-empty"),
            (
                json!({"a": "-"}),
                "\"-\": a valid label must be an empty string or",
            ),
            (
                json!({"a": "x".repeat(64)}),
                "must be no more than 63 bytes",
            ),
        ] {
            let found = against(&json!({"labels": labels}));
            assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
        }
    }
}

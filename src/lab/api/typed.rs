//! Objects against their types: what is no such object is refused, what the
//! type does not have is found.
//!
//! The types are those of the Kubernetes API itself, so that the lab knows
//! every field that clients may send, also those it does nothing with.

use serde_json::Value;

use super::custom::Definition;
use super::status::ApiError;
use crate::lab::kinds::Resource;

/// An object as its type writes it, and the fields that the type does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// Without the unknown fields.
    pub object: Value,
    /// Paths of the unknown fields.
    pub unknown: Vec<String>,
}

/// Reads an object by its type, or by the definition of its kind.
///
/// # Errors
/// *400* when a field has a value of the wrong type.
pub fn decode(
    resource: Resource,
    definition: Option<&Definition>,
    object: &Value,
) -> Result<Typed, ApiError> {
    let typed = match definition {
        Some(definition) => definition.decode(object),
        None => known(resource, object),
    };
    let kind = resource.names().kind;
    typed.map_err(|error| {
        ApiError::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: {error}",
            resource.names().version
        ))
    })
}

/// An object of a kind that the lab brings along.
fn known(resource: Resource, object: &Value) -> Result<Typed, serde_json::Error> {
    let typed = (resource.about().read)(object)?;
    let mut unknown = Vec::new();
    compare(object, &typed, "", &mut unknown);
    Ok(Typed {
        object: typed,
        unknown,
    })
}

/// Collects the paths that are in `given` but not in what the type kept of it.
pub fn compare(given: &Value, kept: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                match kept.get(name) {
                    Some(kept) => compare(value, kept, &path, unknown),
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                compare(given, kept, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_found_and_dropped() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "creationTimestamp": null},
            "spec": {
                "colour": "red",
                "containers": [{"name": "a", "imagee": "x"}],
                "restartPolicy": "Never",
            },
        });
        let typed = decode(Resource::Pods, None, &pod).unwrap();
        assert_eq!(typed.unknown, ["spec.colour", "spec.containers[0].imagee"]);
        assert!(typed.object["spec"].get("colour").is_none());
        assert_eq!(typed.object["spec"]["restartPolicy"], "Never");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": "none"}});
        let error = decode(Resource::Pods, None, &pod).unwrap_err();
        assert_eq!(error.code, 400);
        let start = "Pod in version \"v1\" cannot be handled as a Pod: ";
        assert!(error.message.starts_with(start), "{}", error.message);
    }
}

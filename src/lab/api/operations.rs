//! JSON patches (RFC 6902), bounded: a short list of operations can ask for an
//! object of any size and depth.

use http::StatusCode;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::request::BODY_LIMIT;
use super::status::ApiError;

/// The most operations in one patch, as the real server's.
const MOST: usize = 10_000;
/// The most that copies may add to an object, in bytes.
const COPIED: usize = BODY_LIMIT;
/// How deep an object may be; deeper ones no client could read.
const DEPTH: usize = 120;

/// Reads a patch.
///
/// # Errors
/// *400* for what is none, *413* for too many operations.
pub fn parse(body: &[u8]) -> Result<Patch, ApiError> {
    let patch: Patch = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    let count = patch.0.len();
    if count > MOST {
        let mut refusal = ApiError::too_large(MOST);
        refusal.message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MOST}, got {count}"
        );
        return Err(refusal);
    }
    Ok(patch)
}

/// Changes an object; when it is refused the object is half changed.
///
/// # Errors
/// *422* for an operation that does not fit, or that makes too much.
pub fn apply(object: &mut Value, patch: &Patch) -> Result<(), ApiError> {
    let mut copied = 0;
    for operation in &patch.0 {
        check(object, operation, &mut copied).map_err(|why| refused(&why))?;
        json_patch::patch(object, std::slice::from_ref(operation))
            .map_err(|error| refused(&error.to_string()))?;
    }
    Ok(())
}

fn refused(why: &str) -> ApiError {
    let mut refusal = ApiError::bad_request(format!(
        "the server rejected our request due to an error in our request: {why}"
    ));
    refusal.code = StatusCode::UNPROCESSABLE_ENTITY;
    refusal.reason = "Invalid";
    refusal
}

fn check(object: &Value, operation: &PatchOperation, copied: &mut usize) -> Result<(), String> {
    let deep = |value: &Value, path: &str| {
        let above = path.matches('/').count();
        match DEPTH.checked_sub(above) {
            Some(left) if fits(value, left) => Ok(()),
            _ => Err(format!("{path} would be more than {DEPTH} levels deep")),
        }
    };
    match operation {
        PatchOperation::Add(it) => deep(&it.value, it.path.as_str()),
        PatchOperation::Replace(it) => deep(&it.value, it.path.as_str()),
        PatchOperation::Copy(it) => {
            let Some(value) = object.pointer(it.from.as_str()) else {
                return Ok(());
            };
            deep(value, it.path.as_str())?;
            *copied += value.to_string().len();
            if *copied > COPIED {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit of {COPIED}"
                ));
            }
            Ok(())
        }
        PatchOperation::Move(it) => {
            let (from, to) = (it.from.as_str(), it.path.as_str());
            // What moves up or sideways is no deeper than before.
            let down = to.matches('/').count() > from.matches('/').count();
            match object.pointer(from).filter(|_| down) {
                Some(value) => deep(value, to),
                None => Ok(()),
            }
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => Ok(()),
    }
}

/// Whether a value is at most so many levels deep.
fn fits(value: &Value, levels: usize) -> bool {
    let inner = |value: &Value| levels > 0 && fits(value, levels - 1);
    match value {
        Value::Object(fields) => fields.values().all(inner),
        Value::Array(items) => items.iter().all(inner),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(object: &Value, operations: &Value) -> Result<Value, ApiError> {
        let patch = parse(operations.to_string().as_bytes())?;
        let mut object = object.clone();
        apply(&mut object, &patch)?;
        Ok(object)
    }

    #[test]
    fn operations_do_what_they_say() {
        let object = json!({"a": {"b": 1}, "c": [1, 2]});
        let operations = json!([
            {"op": "copy", "from": "/a", "path": "/d"},
            {"op": "move", "from": "/d/b", "path": "/c/0"},
            {"op": "remove", "path": "/a"},
        ]);
        let expected = json!({"c": [1, 1, 2], "d": {}});
        assert_eq!(patched(&object, &operations), Ok(expected));
    }

    #[test]
    fn copies_cannot_double_for_ever() {
        let object = json!({"a": {"x": "y".repeat(1000)}});
        let copy = json!({"op": "copy", "from": "/a", "path": "/a/b"});
        let error = patched(&object, &json!(vec![copy; 110])).unwrap_err();
        assert_eq!(error.code, 422);
        assert!(
            error.message.contains("accumulated size increase"),
            "{}",
            error.message
        );
    }

    #[test]
    fn no_way_leads_deeper_than_there_is() {
        let mut path = String::new();
        let mut chain = Vec::new();
        for _ in 0..1_000 {
            path.push_str("/a");
            chain.push(json!({"op": "add", "path": path, "value": {}}));
        }
        assert!(patched(&json!({}), &json!(chain)).is_err());
        let half: Vec<Value> = chain[..100].to_vec();
        let deep = patched(&json!({}), &json!(half)).unwrap();
        let end = "/a".repeat(99);
        for op in ["copy", "move"] {
            let twice = json!([{"op": "copy", "from": "/a", "path": "/b"},
                {"op": op, "from": "/b", "path": format!("{end}/c")}]);
            let error = patched(&deep, &twice).unwrap_err();
            assert!(error.message.contains("levels deep"), "{}", error.message);
        }
    }
}

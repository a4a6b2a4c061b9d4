//! How the server says no: a `Status` object, worded as the real one words it.
//!
//! Clients decide by `reason` and people read `message`, so both are the real
//! server's wherever the lab refuses for a reason that the real server has.

use http::StatusCode;
use serde_json::{Value, json};

use crate::lab::access::About;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, StoreError};

/// A refusal, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub code: StatusCode,
    /// The machine's word for it, empty when the API has none.
    pub reason: &'static str,
    /// The person's sentence.
    pub message: String,
    /// Which object, and which of its fields.
    pub details: Option<Value>,
}

/// One field of an object that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field: `spec.template.spec.containers[0].name`.
    pub field: String,
    /// The machine's word: `FieldValueRequired`, `FieldValueInvalid`, …
    pub reason: &'static str,
    /// The sentence after the path.
    pub message: String,
}

impl FieldError {
    /// The field must be given.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let mut message = "Required value".to_owned();
        if !detail.is_empty() {
            message = format!("{message}: {detail}");
        }
        Self {
            field: field.into(),
            reason: "FieldValueRequired",
            message,
        }
    }

    /// The field's value cannot be what it is.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// The field may not be given.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {detail}"),
        }
    }

    /// The field's value is none of those there are.
    pub fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|text| format!("{text:?}")).collect();
        Self {
            field: field.into(),
            reason: "FieldValueNotSupported",
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                supported.join(", ")
            ),
        }
    }

    /// The text has too many bytes.
    pub fn too_long(field: impl Into<String>, most: u64) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {most} bytes"),
        }
    }

    /// The list has too many items.
    pub fn too_many(field: impl Into<String>, count: u64, most: u64) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueTooMany",
            message: format!("Too many: {count}: must have at most {most} items"),
        }
    }

    /// The value is already there.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {value}"),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The whole object is written as a path of nothing.
        let field = if self.field.is_empty() {
            "[]"
        } else {
            &self.field
        };
        write!(f, "{field}: {}", self.message)
    }
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    /// No token, or a wrong one.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// Nothing is served at that path.
    pub fn no_such_path() -> Self {
        let mut error = Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = Some(json!({}));
        error
    }

    /// The object is not there.
    pub fn not_found(resource: Resource, name: &str) -> Self {
        StoreError::NotFound(Key::new(resource, "", name)).into()
    }

    /// The path is served, the method is not.
    pub fn method_not_allowed() -> Self {
        let mut error = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        error.details = Some(json!({}));
        error
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The real server can do this, the lab cannot.
    pub fn not_implemented(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "",
            format!("the lab does not implement {what}"),
        )
    }

    /// The object cannot be accepted, because of these fields.
    pub fn invalid(resource: Resource, name: &str, causes: &[FieldError]) -> Self {
        let names = resource.names();
        Self::invalid_kind(names.group, names.kind, name, causes)
    }

    /// As [`Self::invalid`], for kinds that are not kept.
    pub fn invalid_kind(group: &str, kind: &str, name: &str, causes: &[FieldError]) -> Self {
        let full = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let texts: Vec<String> = causes.iter().map(ToString::to_string).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| {
                json!({"reason": cause.reason, "message": cause.message, "field": cause.field})
            })
            .collect();
        Self {
            details: Some(json!({
                "name": name, "group": group, "kind": kind, "causes": causes,
            })),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{full} \"{name}\" is invalid: {list}"),
            )
        }
    }

    /// The options of a request cannot be accepted, because of this one.
    pub fn invalid_options(kind: &str, cause: &FieldError) -> Self {
        Self {
            details: Some(json!({
                "name": "", "group": "meta.k8s.io", "kind": kind, "causes": [{
                    "reason": cause.reason, "message": cause.message, "field": cause.field,
                }],
            })),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{kind}.meta.k8s.io \"\" is invalid: {cause}"),
            )
        }
    }

    /// The server will not do this to that object.
    pub fn forbidden(resource: Resource, name: &str, why: &str) -> Self {
        let object = Key::new(resource, "", name);
        Self {
            details: Some(details(resource, name)),
            ..Self::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("{object} is forbidden: {why}"),
            )
        }
    }

    /// The user may not do that.
    pub fn not_permitted(about: &About, why: &str) -> Self {
        let (object, details) = match about {
            About::Path(_) => ("forbidden".to_owned(), json!({})),
            About::Objects {
                group,
                resource,
                name,
                ..
            } => {
                let mut object = match group.as_str() {
                    "" => resource.clone(),
                    group => format!("{resource}.{group}"),
                };
                let mut details = json!({"kind": resource});
                if !group.is_empty() {
                    details["group"] = json!(group);
                }
                if !name.is_empty() {
                    object = format!("{object} {name:?}");
                    details["name"] = json!(name);
                }
                (format!("{object} is forbidden"), details)
            }
        };
        Self {
            details: Some(details),
            ..Self::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("{object}: {why}"),
            )
        }
    }

    /// The user asks too much at once.
    pub fn too_many_requests() -> Self {
        Self {
            details: Some(json!({"retryAfterSeconds": 1})),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "Too many requests, please try again later.",
            )
        }
    }

    /// The body is longer than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// The head of the request is longer than `limit` bytes.
    pub fn head_too_long(limit: usize) -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "",
            format!("Request Header Fields Too Large: limit is {limit}"),
        )
    }

    /// The body is in a format that is not read here.
    pub fn unsupported_media_type(readable: &[&str]) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                readable.join(", ")
            ),
        )
    }

    /// The answer cannot be given in any format that the client accepts.
    pub fn not_acceptable() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "NotAcceptable",
            "only the following media types are accepted: application/json",
        )
    }

    /// The request was not complete in time.
    pub fn timeout(message: &str) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message)
    }

    /// Something that should not have happened.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// A node behind the server does not answer; the real server gives no
    /// reason for that, only the text.
    pub fn unanswered(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// Nobody is there to do it now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message,
        )
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

fn details(resource: Resource, name: &str) -> Value {
    let names = resource.names();
    let mut details = json!({"name": name, "kind": names.plural});
    if !names.group.is_empty() {
        details["group"] = json!(names.group);
    }
    details
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (code, reason) = match &error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "NotFound"),
            StoreError::AlreadyExists(_) => (StatusCode::CONFLICT, "AlreadyExists"),
            StoreError::Modified(_) | StoreError::Precondition(..) => {
                (StatusCode::CONFLICT, "Conflict")
            }
            StoreError::Expired { .. } => (StatusCode::GONE, "Expired"),
            StoreError::TooLarge { .. } => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
        };
        let details = match &error {
            StoreError::NotFound(key)
            | StoreError::AlreadyExists(key)
            | StoreError::Modified(key)
            | StoreError::Precondition(key, _) => Some(details(key.resource, &key.name)),
            StoreError::TooLarge { .. } => Some(json!({
                "causes": [{
                    "reason": "ResourceVersionTooLarge",
                    "message": "Too large resource version",
                }],
                "retryAfterSeconds": 1,
            })),
            StoreError::Expired { .. } => None,
        };
        Self {
            details,
            ..Self::new(code, reason, error.to_string())
        }
    }
}

//! What is answered: a result, or one of the shapes that errors have.

use http::StatusCode;
use serde_json::{Value, json};

/// The body of an answer.
#[derive(Debug, Clone)]
pub enum Payload {
    /// None at all.
    Empty,
    /// A JSON document.
    Json(Value),
    /// Bytes of a media type.
    Bytes(&'static str, Vec<u8>),
}

/// An answer. Headers whose value begins with `/` are addresses on this server
/// and are completed when it is sent.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub payload: Payload,
    /// Headers beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// A status and a document.
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            payload: Payload::Json(body),
            headers: Vec::new(),
        }
    }

    /// *200* and a document.
    pub fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// *200* and a list, all on one page.
    pub fn list(items: Vec<Value>) -> Self {
        let mut body = json!({});
        body["value"] = Value::Array(items);
        Self::ok(body)
    }

    /// A status without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            payload: Payload::Empty,
            headers: Vec::new(),
        }
    }

    /// The same with one header more.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A refusal. Also the end of an operation that failed.
#[derive(Debug, Clone)]
pub struct ArmError {
    /// Status.
    pub status: StatusCode,
    /// `code`, `message` and whatever else belongs to the error.
    pub error: Value,
    /// Whether the body is the error itself, as the resource provider of AKS
    /// answers, and not below `error`.
    pub flat: bool,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
}

impl ArmError {
    /// An error of Azure Resource Manager's shape.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: json!({"code": code, "message": message.into()}),
            flat: false,
            headers: Vec::new(),
        }
    }

    /// *400*.
    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// *404*.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// *403*.
    pub fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// *409*.
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The same with a field more in the error.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.error[field] = value;
        self
    }

    /// The code.
    pub fn code(&self) -> &str {
        self.error["code"].as_str().unwrap_or_default()
    }

    /// What it is as an answer.
    pub fn into_answer(self) -> Answer {
        let body = if self.flat {
            self.error
        } else {
            json!({"error": self.error})
        };
        Answer {
            status: self.status,
            payload: Payload::Json(body),
            headers: self.headers,
        }
    }
}

//! Requests to the resource manager and its answers, as data.

use std::time::Duration;

use azure_core::http::{
    Method, Url,
    headers::{HeaderName, Headers},
};
use serde_json::Value;

/// A request that is to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it is for, to say when it fails: `create the registry xyzreg`.
    pub wanted: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    pub(super) accepted: &'static [u16],
}

impl Call {
    /// A request of any method. `path` is below the resource manager.
    pub fn new(
        wanted: impl Into<String>,
        method: Method,
        path: impl Into<String>,
        api: &str,
    ) -> Self {
        Self {
            wanted: wanted.into(),
            method,
            path: path.into(),
            query: vec![("api-version".to_owned(), api.to_owned())],
            body: None,
            accepted: &[],
        }
    }

    /// Reads something.
    pub fn get(wanted: impl Into<String>, path: impl Into<String>, api: &str) -> Self {
        Self::new(wanted, Method::Get, path, api)
    }

    /// Makes or replaces something.
    pub fn put(wanted: impl Into<String>, path: impl Into<String>, api: &str, body: Value) -> Self {
        Self::new(wanted, Method::Put, path, api).body(body)
    }

    /// Asks for an action.
    pub fn post(wanted: impl Into<String>, path: impl Into<String>, api: &str) -> Self {
        Self::new(wanted, Method::Post, path, api)
    }

    /// Deletes something.
    pub fn delete(wanted: impl Into<String>, path: impl Into<String>, api: &str) -> Self {
        Self::new(wanted, Method::Delete, path, api)
    }

    /// With this body.
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With one more parameter.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// These statuses are answers, too, not failures.
    pub const fn accepting(mut self, statuses: &'static [u16]) -> Self {
        self.accepted = statuses;
        self
    }

    /// The method.
    pub const fn method(&self) -> Method {
        self.method
    }
}

/// What the service answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body; null if there is none, or none in JSON.
    pub body: Value,
    /// Where it came from.
    pub url: Url,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &'static str) -> Option<&str> {
        self.headers
            .get_optional_str(&HeaderName::from_static(name))
    }

    /// How long the service wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// `Retry-After` in seconds or as a date, or Azure's own in milliseconds.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    let text = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name));
    for name in ["x-ms-retry-after-ms", "retry-after-ms"] {
        if let Some(millis) = text(name).and_then(|text| text.trim().parse().ok()) {
            return Some(Duration::from_millis(millis));
        }
    }
    let value = text("retry-after")?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Duration::try_from(at - jiff::Timestamp::now())
        .ok()
        .or(Some(Duration::ZERO))
}

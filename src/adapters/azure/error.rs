//! What went wrong in Azure, found in whatever shape it came.
//!
//! The resource manager wraps errors in errors: a deployment's in its operation's
//! in the provider's own, some as objects, some flat, some as JSON inside a
//! message, the storage service's as XML. What a person needs is the deepest one.

use std::fmt;

use azure_core::http::headers::{HeaderName, Headers};
use serde_json::Value;

use super::advice;
use crate::core::workload::text::quote;

/// No error is nested deeper than this, and no answer may make us look further.
const DEEPEST: usize = 24;

/// The longest message that is repeated, bytes.
const LONGEST_MESSAGE: usize = 1200;

/// One error of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// The code, e.g. `QuotaExceeded`; empty where there is none.
    pub code: String,
    /// What the service says.
    pub message: String,
    /// What it is about, e.g. the provider's namespace.
    pub target: String,
    /// The name of the policy assignment that refused, where one did.
    pub policy: String,
    /// How deep it was found; 0 is the outermost.
    pub depth: usize,
}

/// The ids by which Azure's support finds a request again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// `x-ms-request-id`.
    pub request: Option<String>,
    /// `x-ms-correlation-request-id`.
    pub correlation: Option<String>,
}

/// Something that Azure did not do: what was wanted, why not, and what helps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure(Box<Details>);

/// What a [`Failure`] knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// What was wanted: `create the registry xyzreg`.
    pub wanted: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The chain of errors, outermost first; empty if there was no answer.
    pub causes: Vec<Cause>,
    /// What happened where there was no answer.
    pub other: Option<String>,
    /// The ids of the request.
    pub ids: Ids,
}

impl Failure {
    /// A failure without an answer of Azure's.
    pub fn new(wanted: impl Into<String>, why: impl Into<String>) -> Self {
        Self::of(Details {
            wanted: wanted.into(),
            other: Some(why.into()),
            ..Details::default()
        })
    }

    fn of(details: Details) -> Self {
        Self(Box::new(details))
    }

    /// A failure that an answer tells of.
    pub fn answered(wanted: &str, status: u16, headers: &Headers, body: &[u8]) -> Self {
        let id = |name: &'static str| {
            headers
                .get_optional_str(&HeaderName::from_static(name))
                .map(quote)
        };
        let mut causes = causes(body);
        if let (true, Some(code)) = (causes.is_empty(), id("x-ms-error-code")) {
            causes.push(Cause {
                code,
                ..Cause::default()
            });
        }
        Self::of(Details {
            wanted: wanted.to_owned(),
            status: Some(status),
            causes,
            other: None,
            ids: Ids {
                request: id("x-ms-request-id"),
                correlation: id("x-ms-correlation-request-id"),
            },
        })
    }

    /// A failure that the body of an operation or a deployment tells of.
    pub fn told(wanted: &str, body: &Value) -> Self {
        let mut causes = Vec::new();
        descend(body, 0, &mut causes);
        Self::of(Details {
            wanted: wanted.to_owned(),
            causes,
            ..Details::default()
        })
    }

    /// The deepest cause: the first of those that are as deep as any.
    pub fn deepest(&self) -> Option<&Cause> {
        let depth = self.causes.iter().map(|cause| cause.depth).max()?;
        self.causes.iter().find(|cause| cause.depth == depth)
    }

    /// The codes, deepest first.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        let mut sorted: Vec<_> = self.causes.iter().collect();
        sorted.sort_by_key(|cause| std::cmp::Reverse(cause.depth));
        sorted
            .into_iter()
            .map(|cause| cause.code.as_str())
            .filter(|code| !code.is_empty())
    }

    /// Whether one of the errors has this code.
    pub fn has(&self, code: &str) -> bool {
        self.causes
            .iter()
            .any(|cause| cause.code.eq_ignore_ascii_case(code))
    }

    /// Whether there is no such thing.
    pub fn is_missing(&self) -> bool {
        self.status == Some(404)
            || [
                "ResourceNotFound",
                "ResourceGroupNotFound",
                "NotFound",
                "DeploymentNotFound",
            ]
            .iter()
            .any(|code| self.has(code))
    }

    /// Whether something else is being done to the same thing, and waiting helps.
    pub fn is_busy(&self) -> bool {
        [
            "AnotherOperationInProgress",
            "RetryableErrorDueToAnotherOperation",
            "ResourceGroupBeingDeleted",
            "DeploymentActiveAndUneditable",
            "DeploymentActive",
            "ShareBeingDeleted",
            "StorageAccountIsNotProvisioned",
            "OperationPreempted",
        ]
        .iter()
        .any(|code| self.has(code))
            || (self.has("OperationNotAllowed")
                && self
                    .causes
                    .iter()
                    .any(|cause| cause.message.contains("in progress")))
    }

    /// What to do about it, where something is known to help.
    pub fn advice(&self) -> Option<String> {
        advice::of(self)
    }
}

impl std::ops::Deref for Failure {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: ", self.wanted)?;
        match (self.deepest(), &self.other) {
            (Some(cause), _) => {
                f.write_str(&cause.message)?;
                match (cause.code.is_empty(), cause.message.is_empty()) {
                    (false, false) => write!(f, " ({})", cause.code)?,
                    (false, true) => f.write_str(&cause.code)?,
                    _ => {}
                }
            }
            (None, Some(other)) => f.write_str(other)?,
            (None, None) => match self.status {
                Some(status) => write!(f, "the answer was {status} without a reason")?,
                None => f.write_str("no reason was given")?,
            },
        }
        if let Some(id) = &self.ids.correlation {
            write!(f, " [correlation id {id}]")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Every error that `body` holds, outermost first.
pub fn causes(body: &[u8]) -> Vec<Cause> {
    let mut found = Vec::new();
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        descend(&value, 0, &mut found);
    } else if let Some(code) = element(text, "Code") {
        found.push(Cause {
            code: quote(code),
            message: shorten(element(text, "Message").unwrap_or_default()),
            ..Cause::default()
        });
    } else if !text.is_empty() {
        found.push(Cause {
            message: quote(text),
            ..Cause::default()
        });
    }
    found
}

/// The text of the first XML element of this name; the storage service's errors
/// are flat.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{name}>"))? + name.len() + 2;
    let end = text.get(start..)?.find(&format!("</{name}>"))?;
    text.get(start..start + end)
}

fn descend(value: &Value, depth: usize, found: &mut Vec<Cause>) {
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Array(list) => list.iter().for_each(|value| descend(value, depth, found)),
        Value::String(text) => descend_text(text, depth, found),
        Value::Object(map) => {
            let own = cause(value, depth);
            let below = depth + usize::from(own.is_some());
            found.extend(own);
            for key in [
                "error",
                "details",
                "innererror",
                "innerError",
                "statusMessage",
                "properties",
                "odata.error",
            ] {
                if let Some(inner) = map.get(key) {
                    descend(inner, below, found);
                }
            }
            if let Some(text) = map.get("message").and_then(Value::as_str) {
                descend_text(text, below, found);
            }
        }
        _ => {}
    }
}

/// A message is often another error as JSON.
fn descend_text(text: &str, depth: usize, found: &mut Vec<Cause>) {
    let text = text.trim();
    if text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        descend(&value, depth, found);
    }
}

/// What this object itself says, if it is an error.
fn cause(value: &Value, depth: usize) -> Option<Cause> {
    let text = |key: &str| match &value[key] {
        Value::String(text) => text.clone(),
        // OData writes {"lang", "value"}.
        Value::Object(map) => map
            .get("value")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    };
    let (code, message) = (text("code"), text("message"));
    if code.is_empty() && message.is_empty() {
        return None;
    }
    // The properties of a resource have codes too (`powerState.code`): an error has
    // a message, or is in a place where only errors are.
    let wrapped =
        serde_json::from_str::<Value>(message.trim()).is_ok_and(|inner| inner.is_object());
    let policy = value["additionalInfo"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|info| info["type"] == "PolicyViolation")
        .and_then(|info| {
            let info = &info["info"];
            ["policyAssignmentDisplayName", "policyAssignmentName"]
                .iter()
                .find_map(|key| info[*key].as_str())
        })
        .map(quote)
        .unwrap_or_default();
    Some(Cause {
        code: quote(&code),
        message: if wrapped {
            String::new()
        } else {
            shorten(&message)
        },
        target: quote(&text("target")),
        policy,
        depth,
    })
}

/// A message on one line, fit for the screen.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = crate::core::workload::text::printable(line.as_bytes());
    if shown.len() > LONGEST_MESSAGE {
        let cut = (0..=LONGEST_MESSAGE)
            .rev()
            .find(|at| shown.is_char_boundary(*at));
        shown.truncate(cut.unwrap_or(0));
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn deepest(body: &str) -> Cause {
        let failure = Failure::of(Details {
            causes: causes(body.as_bytes()),
            ..Details::default()
        });
        failure.deepest().cloned().unwrap_or_default()
    }

    #[test]
    fn every_shape_leads_to_its_deepest_cause() {
        let arm = json!({"error": {"code": "InvalidTemplateDeployment", "message": "The template \"x\" is not valid.",
            "details": [{"code": "QuotaExceeded", "message": "needs 4 cores", "target": "Standard_D2s_v5"}]}});
        assert_eq!(deepest(&arm.to_string()).code, "QuotaExceeded");
        let flat = r#"{"code":"ErrCode_InsufficientVCPUQuota","details":null,"message":"left regional vcpu quota 0, requested quota 2","subcode":""}"#;
        assert_eq!(deepest(flat).code, "ErrCode_InsufficientVCPUQuota");
        let inner =
            json!({"error": {"code": "SkuNotAvailable", "message": "no such size"}}).to_string();
        let nested = json!({"status": "Failed", "error": {"code": "DeploymentFailed", "message": "see below",
            "details": [{"code": "BadRequest", "message": inner}]}});
        let found = deepest(&nested.to_string());
        assert_eq!(
            (found.code.as_str(), found.message.as_str()),
            ("SkuNotAvailable", "no such size")
        );
        let xml = "\u{feff}<?xml version=\"1.0\"?><Error><Code>ShareBeingDeleted</Code><Message>Try later.</Message></Error>";
        assert_eq!(deepest(xml).code, "ShareBeingDeleted");
        assert_eq!(
            deepest("<html>Bad gateway</html>").message,
            "<html>Bad gateway</html>"
        );
        assert_eq!(causes(b""), []);
        let deployment = json!({"properties": {"provisioningState": "Failed", "error": {"code": "DeploymentFailed", "message": "m"}}});
        assert_eq!(deepest(&deployment.to_string()).code, "DeploymentFailed");
    }

    #[test]
    fn a_policy_is_named() {
        let body = json!({"error": {"code": "RequestDisallowedByPolicy", "message": "no", "additionalInfo": [
            {"type": "PolicyViolation", "info": {"policyAssignmentName": "no-public-ip", "policyAssignmentDisplayName": "No public addresses"}}]}});
        let failure = Failure::told("create the cluster", &body);
        assert_eq!(failure.deepest().unwrap().policy, "No public addresses");
        assert!(
            failure.to_string().contains("No public addresses"),
            "{failure}"
        );
    }

    #[test]
    fn what_is_said_names_the_wish_the_cause_and_the_id() {
        let mut headers = Headers::new();
        headers.insert("x-ms-correlation-request-id", "abc-1");
        let body = br#"{"error":{"code":"AuthorizationFailed","message":"The client does not have authorization to perform action 'Microsoft.Resources/deployments/write' over scope '/s'."}}"#;
        let failure = Failure::answered("deploy", 403, &headers, body);
        let said = failure.to_string();
        for part in [
            "could not deploy",
            "deployments/write",
            "AuthorizationFailed",
            "abc-1",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            Just(json!("{\"error\":{\"code\":\"Inner\",\"message\":\"m\"}}")),
        ];
        let key = prop::sample::select(vec![
            "error",
            "code",
            "message",
            "details",
            "innererror",
            "target",
            "additionalInfo",
            "properties",
            "x",
        ]);
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..6).prop_map(|entries| {
                    Value::Object(
                        entries
                            .into_iter()
                            .map(|(k, v)| (k.to_owned(), v))
                            .collect(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_or_print_what_a_terminal_obeys(value in any_json(), raw in ".{0,80}") {
            for body in [value.to_string(), raw] {
                let failure = Failure::answered("do it", 400, &Headers::new(), body.as_bytes());
                let said = failure.to_string();
                prop_assert!(said.chars().all(|c| !c.is_control()), "{:?}", said);
            }
        }

        #[test]
        fn an_error_that_is_wrapped_is_found(depth in 0usize..12, code in "[A-Z][a-zA-Z]{3,12}") {
            let mut body = json!({"code": code, "message": "the reason"});
            for level in 0..depth {
                body = if level % 2 == 0 {
                    json!({"code": "Wrapper", "message": "see details", "details": [body]})
                } else {
                    json!({"error": {"code": "Wrapper", "message": body.to_string()}})
                };
            }
            prop_assert_eq!(deepest(&body.to_string()).code, code);
        }
    }
}

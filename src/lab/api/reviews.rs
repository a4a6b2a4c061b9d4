//! Reviews: what somebody may do, and who he is. They are answered and never
//! stored.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::path::Review;
use super::status::{ApiError, FieldError};
use crate::lab::access::{self, About, Request, User, Users};
use crate::lab::store::{Key, Store, timestamp};

/// Answers a review: the question with its answer in `status`.
///
/// # Errors
/// *400* and *422* for a question that is none.
pub fn review(
    store: &Store,
    user: &User,
    review: &Review,
    question: Option<Value>,
) -> Result<Value, ApiError> {
    let (group, _, kind) = review.names();
    let mut answer = question.unwrap_or_else(|| json!({}));
    answer["apiVersion"] = json!(format!("{group}/v1"));
    answer["kind"] = json!(kind);
    if answer["metadata"].is_null() {
        answer["metadata"] = json!({});
    }
    let spec = &answer["spec"];
    answer["status"] = match review {
        Review::Access => verdict(store, user, &request(kind, spec)?),
        Review::Subject => verdict(store, &subject(kind, spec)?, &request(kind, spec)?),
        Review::LocalSubject(namespace) => {
            if spec["resourceAttributes"]["namespace"] != namespace.as_str() {
                let given = &spec["resourceAttributes"]["namespace"];
                let field = "spec.resourceAttributes.namespace";
                let why = format!("must match metadata.namespace: {namespace:?}");
                return Err(invalid(kind, &FieldError::invalid(field, given, &why)));
            }
            verdict(store, &subject(kind, spec)?, &request(kind, spec)?)
        }
        Review::Rules => rules(store, user, spec)?,
        Review::Myself => json!({"userInfo": user.info()}),
    };
    Ok(answer)
}

fn verdict(store: &Store, user: &User, request: &Request) -> Value {
    let verdict = access::judge(store, user, request);
    let mut status = json!({"allowed": verdict.allowed});
    if !verdict.reason.is_empty() {
        status["reason"] = json!(verdict.reason);
    }
    status
}

/// What a review asks about.
fn request(kind: &str, spec: &Value) -> Result<Request, ApiError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (objects, paths) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (objects.is_object(), paths.is_object()) {
        (true, false) => Ok(Request {
            verb: text(&objects["verb"]),
            about: About::Objects {
                group: text(&objects["group"]),
                resource: text(&objects["resource"]),
                subresource: text(&objects["subresource"]),
                namespace: text(&objects["namespace"]),
                name: text(&objects["name"]),
            },
        }),
        (false, true) => Ok(Request {
            verb: text(&paths["verb"]),
            about: About::Path(text(&paths["path"])),
        }),
        (given, _) => {
            let field = "spec.resourceAttributes";
            let detail = if given {
                "cannot be specified in combination with resourceAttributes"
            } else {
                "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            };
            Err(invalid(kind, &FieldError::invalid(field, objects, detail)))
        }
    }
}

/// Whom a review asks about.
fn subject(kind: &str, spec: &Value) -> Result<User, ApiError> {
    let name = spec["user"].as_str().unwrap_or_default();
    let groups = spec["groups"].as_array().into_iter().flatten();
    let groups: Vec<String> = groups
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if name.is_empty() && groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        let error = FieldError::invalid("spec.user", &json!(name), detail);
        return Err(invalid(kind, &error));
    }
    Ok(User {
        name: name.to_owned(),
        groups,
        ..User::default()
    })
}

fn rules(store: &Store, user: &User, spec: &Value) -> Result<Value, ApiError> {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (objects, paths) = access::rules(store, user, namespace).review();
    Ok(json!({"resourceRules": objects, "nonResourceRules": paths, "incomplete": false}))
}

fn invalid(kind: &str, error: &FieldError) -> ApiError {
    ApiError::invalid_kind(
        "authorization.k8s.io",
        kind,
        "",
        std::slice::from_ref(error),
    )
}

/// The shortest life of a token, in seconds.
const SHORTEST: u64 = 600;
/// Whom a token is for: this server.
const AUDIENCE: &str = "https://kubernetes.default.svc";
/// How long a token lives if nobody says.
const USUAL: u64 = 3600;
/// The longest that is given out; more is asked for in vain, not refused.
const LONGEST: u64 = 48 * 3600;

/// Gives out a token for a service account: `TokenRequest`.
///
/// # Errors
/// *404* without the account, *422* for a life that is too short or a token
/// bound to an object, which the lab does not do.
pub fn token(
    store: &Store,
    users: &Users,
    account: &Key,
    question: Option<Value>,
) -> Result<Value, ApiError> {
    let found = super::read::get(store, account)?;
    let mut answer = question.unwrap_or_else(|| json!({}));
    let refuse = |error: FieldError| {
        let errors = [error];
        ApiError::invalid_kind("authentication.k8s.io", "TokenRequest", "", &errors)
    };
    let asked = &answer["spec"]["expirationSeconds"];
    let seconds = asked.as_u64().unwrap_or(USUAL);
    if seconds < SHORTEST {
        let why = "may not specify a duration less than 10 minutes";
        return Err(refuse(FieldError::invalid(
            "spec.expirationSeconds",
            asked,
            why,
        )));
    }
    if answer["spec"]["boundObjectRef"].is_object() {
        let why = "the lab binds no tokens to objects";
        return Err(refuse(FieldError::forbidden("spec.boundObjectRef", why)));
    }
    let audiences = answer["spec"]["audiences"].as_array().into_iter().flatten();
    if audiences.into_iter().any(|it| it != AUDIENCE) {
        let why = "the lab gives tokens for itself only";
        return Err(refuse(FieldError::forbidden("spec.audiences", why)));
    }
    let seconds = seconds.min(LONGEST);
    let life = SignedDuration::from_secs(seconds as i64);
    let fresh = access::fresh_token()
        .ok_or_else(|| ApiError::internal("the system gives no random numbers"))?;
    let session = users.issue(&found, fresh.clone(), life);
    answer["apiVersion"] = json!("authentication.k8s.io/v1");
    answer["kind"] = json!("TokenRequest");
    answer["metadata"] = json!({
        "name": account.name, "namespace": account.namespace, "creationTimestamp": null,
    });
    answer["spec"]["expirationSeconds"] = json!(seconds);
    answer["spec"]["audiences"] = json!([AUDIENCE]);
    answer["status"] = json!({
        "token": fresh, "expirationTimestamp": timestamp(session.expires),
    });
    Ok(answer)
}

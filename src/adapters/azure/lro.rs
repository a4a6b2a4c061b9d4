//! Operations that take a while, followed to their end.
//!
//! Which of the three ways applies is the order of Azure's own libraries: the
//! `Azure-AsyncOperation` address, else the `Location`, else the resource's
//! `properties.provisioningState`.

use std::time::Duration;

use azure_core::http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    client::{Answer, Call, Client},
    error::Failure,
};

/// Waits between looks, where the service names none; the last one repeats. Ten
/// clusters watched so stay within the providers' limits.
const WAITS: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// No wait is shorter: a service that says `Retry-After: 0` is not hammered.
const SHORTEST: Duration = Duration::from_millis(200);

/// Where an operation's state is found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// At an address that answers `{"status": …}`.
    Status(String),
    /// At an address that answers 202 until it is done.
    Location(String),
    /// In the resource itself.
    Resource,
}

/// What one look said.
enum Seen {
    Running(String),
    Done(Value),
}

/// How operations end.
fn verdict(state: &str) -> Option<bool> {
    match state.to_ascii_lowercase().as_str() {
        "succeeded" => Some(true),
        "failed" | "canceled" | "cancelled" => Some(false),
        _ => None,
    }
}

impl Client {
    /// Sends `call` and follows what it starts to its end; `state` hears the
    /// service's word for each state, once. The result is the resource, or what
    /// the action has to say.
    pub async fn operate(
        &self,
        call: &Call,
        state: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Value, Failure> {
        let first = self.send(call).await?;
        self.finish(call, first, state).await
    }

    /// Follows what `first`, the answer to `call`, started.
    pub async fn finish(
        &self,
        call: &Call,
        first: Answer,
        state: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Value, Failure> {
        let Some(mut way) = way(call.method(), &first) else {
            return Ok(first.body);
        };
        let mut wait = first.retry_after();
        let mut said = String::new();
        let result_at = first.header("location").map(str::to_owned);
        for look in 0.. {
            sleep(
                wait.unwrap_or(WAITS[look.min(WAITS.len() - 1)])
                    .max(SHORTEST),
            )
            .await;
            let (seen, answer) = self.look(call, &way, &first).await?;
            wait = answer.retry_after();
            if let (Way::Location(at), Some(next)) = (&mut way, answer.header("location")) {
                next.clone_into(at);
            }
            match seen {
                Seen::Running(now) => {
                    if now != said {
                        state(&now);
                        said = now;
                    }
                }
                Seen::Done(body) => return self.result(call, &way, &first, result_at, body).await,
            }
        }
        Ok(Value::Null)
    }

    async fn look(
        &self,
        call: &Call,
        way: &Way,
        first: &Answer,
    ) -> Result<(Seen, Answer), Failure> {
        let wanted = &call.wanted;
        let mut answer = match way {
            Way::Status(at) | Way::Location(at) => {
                let gone: &[u16] = if call.method() == Method::Delete {
                    &[404]
                } else {
                    &[]
                };
                self.follow(wanted, at, gone).await?
            }
            Way::Resource => self.follow(wanted, first.url.as_str(), &[]).await?,
        };
        let body = answer.body.take();
        let seen = match way {
            _ if answer.status == 404 => Seen::Done(Value::Null),
            Way::Location(_) if answer.status == 202 => Seen::Running("Running".to_owned()),
            // Some providers answer 200 with a state at the Location, too.
            Way::Status(_) | Way::Location(_) => judge(
                wanted,
                body,
                &["/status", "/properties/provisioningState"],
                matches!(way, Way::Status(_)),
            )?,
            Way::Resource => judge(wanted, body, &["/properties/provisioningState"], false)?,
        };
        Ok((seen, answer))
    }

    /// What an operation that is done has made.
    async fn result(
        &self,
        call: &Call,
        way: &Way,
        first: &Answer,
        result_at: Option<String>,
        body: Value,
    ) -> Result<Value, Failure> {
        match (call.method(), way, result_at) {
            (Method::Put | Method::Patch, Way::Status(_) | Way::Location(_), _) => Ok(self
                .follow(&call.wanted, first.url.as_str(), &[])
                .await?
                .body),
            (Method::Post, Way::Status(_), Some(at)) => {
                Ok(self.follow(&call.wanted, &at, &[404]).await?.body)
            }
            _ => Ok(body),
        }
    }
}

fn way(method: Method, first: &Answer) -> Option<Way> {
    if let Some(at) = first.header("azure-asyncoperation") {
        return Some(Way::Status(at.to_owned()));
    }
    if let Some(at) = first.header("location").filter(|_| first.status == 202) {
        return Some(Way::Location(at.to_owned()));
    }
    let state = first
        .body
        .pointer("/properties/provisioningState")
        .and_then(Value::as_str);
    let running = state.is_some_and(|state| verdict(state) != Some(true));
    (matches!(method, Method::Put | Method::Patch) && running).then_some(Way::Resource)
}

/// What a body says of the state at one of `places`. Where none is said, it is done,
/// unless the state is what the address is for.
fn judge(wanted: &str, body: Value, places: &[&str], needed: bool) -> Result<Seen, Failure> {
    let state = places
        .iter()
        .find_map(|place| body.pointer(place).and_then(Value::as_str));
    match state {
        None if needed => Err(Failure::new(wanted, "the operation's answer has no status")),
        None => Ok(Seen::Done(body)),
        Some(state) => match verdict(state) {
            None => Ok(Seen::Running(state.to_owned())),
            Some(true) => Ok(Seen::Done(body)),
            Some(false) => {
                let state = state.to_owned();
                let failure = Failure::told(wanted, &body);
                Err(if failure.causes.is_empty() {
                    Failure::new(
                        wanted,
                        format!("the operation ended as {state}, without a reason"),
                    )
                } else {
                    failure
                })
            }
        },
    }
}

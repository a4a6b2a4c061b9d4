//! Requests to the resource manager: signed, tried again with a countdown, and
//! understood when they fail.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use azure_core::{
    error::ErrorKind,
    http::{
        Context, Method, Pipeline, PipelineSendOptions, Request, Url, headers::Headers,
        policies::auth::BearerTokenAuthorizationPolicy,
    },
};
use serde_json::Value;
use tokio::time::{sleep, timeout};

pub use super::call::{Answer, Call};
use super::{
    call::retry_after,
    cloud::Cloud,
    credential::{Identity, Kept},
    error::Failure,
};
use crate::core::workload::text::quote;

/// How often a request is sent before its failure is told.
const TRIES: u32 = 7;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(90);

/// The first wait before another try, where the service names none.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait before another try, where the service names none.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A service that wants to be left alone for longer than this is told of at once.
const PATIENCE: Duration = Duration::from_secs(600);

/// Of a request budget, what is worth telling.
const LOW: u64 = 20;

/// What a person who waits should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A request will be sent again.
    Retry {
        /// What is wanted.
        wanted: String,
        /// Why it must be sent again.
        why: String,
        /// In how long.
        wait: Duration,
        /// Which try that will be, from 2.
        attempt: u32,
    },
    /// A request budget is almost used up.
    Low {
        /// Which budget: the header's name.
        budget: String,
        /// How many requests are left.
        left: u64,
    },
}

/// Who hears notices.
pub type Listener = Arc<dyn Fn(Notice) + Send + Sync>;

/// Who talks to the resource manager.
#[derive(Clone)]
pub struct Client {
    cloud: Cloud,
    identity: Identity,
    pipeline: Pipeline,
    plain: Pipeline,
    listener: Listener,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("at", &self.cloud.resource_manager.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Someone who talks to `cloud` as `identity`, and tells `listener` of waits.
    pub fn new(cloud: Cloud, identity: Identity, listener: Listener) -> Self {
        let authorize =
            BearerTokenAuthorizationPolicy::new(identity.credential.clone(), [cloud.scope.clone()]);
        let pipeline = |per_try| {
            Pipeline::new(
                option_env!("CARGO_PKG_NAME"),
                option_env!("CARGO_PKG_VERSION"),
                cloud.client_options(),
                Vec::new(),
                per_try,
                None,
            )
        };
        Self {
            pipeline: pipeline(vec![Arc::new(authorize)]),
            plain: pipeline(Vec::new()),
            cloud,
            identity,
            listener,
        }
    }

    /// Which Azure this is.
    pub const fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Who is signed in.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where tokens come from, for other audiences too.
    pub const fn credential(&self) -> &Arc<Kept> {
        &self.identity.credential
    }

    /// Sends `call`.
    pub async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        let mut url = self
            .cloud
            .resource_manager
            .join(&call.path)
            .map_err(|error| {
                Failure::new(&call.wanted, format!("`{}` is no path: {error}", call.path))
            })?;
        url.query_pairs_mut().extend_pairs(&call.query);
        self.request(
            &call.wanted,
            call.method,
            url,
            call.body.as_ref(),
            call.accepted,
        )
        .await
    }

    /// Asks at an address that an answer named. A token goes only to the resource
    /// manager itself.
    pub async fn follow(
        &self,
        wanted: &str,
        address: &str,
        accepted: &[u16],
    ) -> Result<Answer, Failure> {
        let base = &self.cloud.resource_manager;
        let url = base.join(address).map_err(|error| {
            Failure::new(wanted, format!("the service named a bad address: {error}"))
        })?;
        let origin = |url: &Url| {
            (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
            )
        };
        if origin(&url) != origin(base) {
            return Err(Failure::new(
                wanted,
                format!(
                    "the service sent us to {}, which is not {}: no token is sent there",
                    quote(url.host_str().unwrap_or("another place")),
                    base.host_str().unwrap_or_default(),
                ),
            ));
        }
        self.request(wanted, Method::Get, url, None, accepted).await
    }

    /// Every element of a list, page by page.
    pub async fn list(&self, call: &Call) -> Result<Vec<Value>, Failure> {
        let mut answer = self.send(call).await?;
        let mut all = Vec::new();
        loop {
            if let Value::Array(page) = answer.body["value"].take() {
                all.extend(page);
            }
            let Some(next) = answer.body["nextLink"]
                .as_str()
                .filter(|next| !next.is_empty())
            else {
                return Ok(all);
            };
            let next = next.to_owned();
            answer = self.follow(&call.wanted, &next, &[]).await?;
        }
    }

    /// What is at `path`; nothing if there is no such thing.
    pub async fn find(&self, call: &Call) -> Result<Option<Value>, Failure> {
        match self.send(call).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Asks somebody else, without a token: the price list.
    pub async fn ask(&self, wanted: &str, url: Url) -> Result<(u16, Headers, Vec<u8>), Failure> {
        self.plain_get(wanted, url, None, &[]).await
    }

    /// Asks an address that carries its own key for what follows the first `from`
    /// bytes. What is not there yet (404) and what has no more (416) are answers.
    pub async fn ask_from(
        &self,
        wanted: &str,
        url: Url,
        from: u64,
    ) -> Result<(u16, Headers, Vec<u8>), Failure> {
        self.plain_get(wanted, url, Some(from), &[404, 416]).await
    }

    async fn plain_get(
        &self,
        wanted: &str,
        url: Url,
        from: Option<u64>,
        accepted: &[u16],
    ) -> Result<(u16, Headers, Vec<u8>), Failure> {
        let attempt = || async {
            let mut request = Request::new(url.clone(), Method::Get);
            if let Some(from) = from {
                request.insert_header("range", format!("bytes={from}-"));
            }
            raw(&self.plain, &mut request).await
        };
        self.retrying(wanted, Method::Get, attempt, accepted).await
    }

    /// Hands a blob to an address that carries its own key.
    pub async fn upload(&self, wanted: &str, url: Url, content: Vec<u8>) -> Result<(), Failure> {
        let content = azure_core::Bytes::from(content);
        self.retrying(
            wanted,
            Method::Put,
            || async {
                let mut request = Request::new(url.clone(), Method::Put);
                request.insert_header("x-ms-blob-type", "BlockBlob");
                request.insert_header("content-length", content.len().to_string());
                request.set_body(content.clone());
                raw(&self.plain, &mut request).await
            },
            &[],
        )
        .await
        .map(|_| ())
    }

    async fn request(
        &self,
        wanted: &str,
        method: Method,
        url: Url,
        body: Option<&Value>,
        accepted: &[u16],
    ) -> Result<Answer, Failure> {
        let (status, headers, bytes) = self
            .retrying(
                wanted,
                method,
                || async {
                    let mut request = Request::new(url.clone(), method);
                    request.insert_header("accept", "application/json");
                    match body {
                        Some(body) => {
                            request.insert_header("content-type", "application/json");
                            request.set_body(body.to_string());
                        }
                        None if method == Method::Post => {
                            request.insert_header("content-length", "0");
                        }
                        None => {}
                    }
                    raw(&self.pipeline, &mut request).await
                },
                accepted,
            )
            .await?;
        Ok(Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            url,
        })
    }

    /// Tries until there is an answer that is worth having.
    async fn retrying<F>(
        &self,
        wanted: &str,
        method: Method,
        mut attempt: impl FnMut() -> F,
        accepted: &[u16],
    ) -> Result<(u16, Headers, Vec<u8>), Failure>
    where
        F: Future<Output = azure_core::Result<(u16, Headers, Vec<u8>)>>,
    {
        let mut renewed = false;
        for tried in 1.. {
            let answer = timeout(TRY, attempt()).await;
            let (failure, wait) = match answer {
                Ok(Ok((status, headers, body))) => {
                    self.look_at_budgets(&headers);
                    if (200..300).contains(&status) || accepted.contains(&status) {
                        return Ok((status, headers, body));
                    }
                    let failure = Failure::answered(wanted, status, &headers, &body);
                    if status == 401 && !renewed {
                        // A token may be revoked before it expires: one more, once.
                        renewed = true;
                        self.identity.credential.forget().await;
                        continue;
                    }
                    if !is_transient(status, &failure) {
                        return Err(failure);
                    }
                    (failure, retry_after(&headers))
                }
                Ok(Err(error)) => {
                    let failure = Failure::new(
                        wanted,
                        transport_reason(&self.cloud.resource_manager, &error),
                    );
                    // What may have arrived is not sent twice, unless twice is once.
                    let harmless = matches!(error.kind(), ErrorKind::Connection)
                        || (matches!(error.kind(), ErrorKind::Io) && method != Method::Post);
                    if !harmless {
                        return Err(failure);
                    }
                    (failure, None)
                }
                Err(_) if method == Method::Post => {
                    return Err(Failure::new(wanted, "no answer within 90 s"));
                }
                Err(_) => (Failure::new(wanted, "no answer within 90 s"), None),
            };
            let wait = wait.unwrap_or_else(|| backoff(tried));
            if tried >= TRIES || wait > PATIENCE {
                return Err(failure);
            }
            (self.listener)(Notice::Retry {
                wanted: wanted.to_owned(),
                why: failure.to_string(),
                wait,
                attempt: tried + 1,
            });
            sleep(wait).await;
        }
        Err(Failure::new(wanted, "every try failed"))
    }

    /// Tells of request budgets that are almost used up.
    fn look_at_budgets(&self, headers: &Headers) {
        for (name, value) in headers.iter() {
            let name = name.as_str();
            if !name.starts_with("x-ms-ratelimit-remaining-") {
                continue;
            }
            // Compute writes several: `Microsoft.Compute/GetVMScaleSet3Min;197,…`.
            let least = value
                .as_str()
                .split(',')
                .filter_map(|budget| budget.rsplit(';').next()?.trim().parse::<u64>().ok())
                .min();
            if let Some(left) = least.filter(|left| *left < LOW) {
                (self.listener)(Notice::Low {
                    budget: name
                        .trim_start_matches("x-ms-ratelimit-remaining-")
                        .to_owned(),
                    left,
                });
            }
        }
    }
}

async fn raw(
    pipeline: &Pipeline,
    request: &mut Request,
) -> azure_core::Result<(u16, Headers, Vec<u8>)> {
    let options = PipelineSendOptions {
        skip_checks: true,
        ..PipelineSendOptions::default()
    };
    let response = pipeline
        .send(&Context::new(), request, Some(options))
        .await?;
    let (status, headers, body) = response.deconstruct();
    Ok((u16::from(status), headers, body.as_ref().to_vec()))
}

/// Whether the same request may succeed in a while.
fn is_transient(status: u16, failure: &Failure) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
        || failure.has("RetryableError")
        || failure.has("RetryableErrorDueToAnotherOperation")
}

fn backoff(tried: u32) -> Duration {
    let full = FIRST_WAIT
        .saturating_mul(1 << (tried - 1).min(10))
        .min(LONGEST_WAIT);
    full.mul_f64(0.75 + 0.25 * fastrand::f64())
}

/// Why no answer came.
fn transport_reason(at: &Url, error: &azure_core::Error) -> String {
    let host = at.host_str().unwrap_or_default();
    if matches!(error.kind(), ErrorKind::Credential) {
        return format!("no token: {}; sign in again", quote(&error.to_string()));
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(inner) = deepest.source() {
        deepest = inner;
    }
    let said = quote(&deepest.to_string());
    match error.kind() {
        ErrorKind::Connection => {
            format!("{host} is not reached: {said}; check the network or the VPN")
        }
        _ => said,
    }
}

//! Everything between the cockpit and a Kubernetes API server.
//!
//! The adapter watches the pods of one namespace, follows the logs of the two
//! pods that play the workload's roles, and does to pods what it is asked to. It
//! speaks to any cluster alike; an embedded one is one more address.
//!
//! It never fails. A kubeconfig that is missing, a server that is unreachable, a
//! token that expired, a verb that is forbidden: each is a fact with a sentence
//! in it, tried again with growing pauses until it works or nobody cares.
//!
//! ```text
//!  kubeconfig ── access ──▶ session ─┬─ pods ──▶ stage (who plays which role)
//!                                    ├─ log (client, server) ◀── cast ──┤
//!                                    ├─ info, lease                     │
//!                        effects ────┴─ faults, deploy ◀────────────────┘
//! ```

mod access;
mod backoff;
mod cast;
mod chaos;
mod command;
mod deploy;
mod exec;
mod failure;
mod faults;
mod info;
mod kubeconfig;
mod lease;
mod log;
mod nodes;
mod pods;
mod proxy;
mod selector;
mod slim;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub use self::selector::SelectorError;
use self::{access::Access, cast::Stage, failure::Failure, slim::Selectors};
use super::sink::{Closed, Sink};
use crate::core::{
    effect::Effect,
    event::{Fact, Feed, FeedState, Trouble},
    workload::Role,
};

/// Which cluster, which pods, and what may be done to them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The kubeconfig; none for `KUBECONFIG`, `~/.kube/config`, or the service
    /// account of the pod that the cockpit runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; none for its current one.
    pub context: Option<String>,
    /// The namespace; none for the context's.
    pub namespace: Option<String>,
    /// Label selector of the pods that play the client.
    pub client_selector: String,
    /// Label selector of the pods that play the server.
    pub server_selector: String,
    /// Refuse everything that changes anything.
    pub read_only: bool,
    /// Hold the lease that keeps a lab alive.
    pub hold_lease: bool,
    /// Read the logs from this moment on, ms since 1970, instead of from the
    /// last few hundred lines: where the cockpit before this one stopped.
    pub log_since_ms: Option<i64>,
}

/// Checks a label selector as a person typed it, before anything is started
/// with it.
pub fn check_selector(text: &str) -> Result<(), SelectorError> {
    selector::parse(text).map(|_| ())
}

/// Starts the adapter; it runs until cancelled, or until nobody listens to
/// `sink`. Never fails: every failure is a fact.
pub fn start(
    options: Options,
    sink: Sink,
    effects: mpsc::Receiver<Effect>,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let adapter = run(options, sink, effects);
        // Everything in flight ends here: the cockpit is leaving.
        let _ = cancel.run_until_cancelled(adapter).await;
    })
}

async fn run(
    options: Options,
    sink: Sink,
    mut effects: mpsc::Receiver<Effect>,
) -> Result<(), Closed> {
    let selectors = match parse_selectors(&options) {
        Ok(selectors) => selectors,
        Err(error) => return refuse_to_start(&sink, &error).await,
    };
    let context = Arc::new(Context::new(options, selectors, sink));
    let stage = Stage::new();
    let cast = stage.follow();
    let mut tasks = JoinSet::new();
    for role in Role::ALL {
        tasks.spawn(log::follow(Arc::clone(&context), role, cast.clone()));
    }
    tasks.spawn(info::announce(Arc::clone(&context)));
    tasks.spawn(nodes::watch(Arc::clone(&context)));
    if context.options.hold_lease {
        tasks.spawn(lease::hold(Arc::clone(&context)));
    }
    tasks.spawn(pods::watch(Arc::clone(&context), stage));
    loop {
        tokio::select! {
            effect = effects.recv() => match effect {
                Some(effect) => {
                    tasks.spawn(faults::carry_out(Arc::clone(&context), cast.clone(), effect));
                }
                None => break,
            },
            Some(ended) = tasks.join_next() => settle(ended)?,
        }
    }
    // Nobody asks for anything any more; there is still something to see.
    while let Some(ended) = tasks.join_next().await {
        settle(ended)?;
    }
    Ok(())
}

/// A task ended: in good order, because nobody listens, or by a bug.
fn settle(ended: Result<Result<(), Closed>, tokio::task::JoinError>) -> Result<(), Closed> {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "a task of the cluster adapter died");
        Ok(())
    })
}

fn parse_selectors(options: &Options) -> Result<Selectors, SelectorError> {
    Ok(Selectors {
        client: selector::parse(&options.client_selector)?,
        server: selector::parse(&options.server_selector)?,
    })
}

async fn refuse_to_start(sink: &Sink, error: &SelectorError) -> Result<(), Closed> {
    let trouble = Trouble::new(error.to_string(), "start again with another selector");
    sink.send(Fact::Trouble(trouble)).await?;
    let what = error.to_string();
    sink.feed(Feed::Pods, FeedState::Waiting { what }).await
}

/// What all parts of the adapter share.
struct Context {
    options: Arc<Options>,
    selectors: Selectors,
    sink: Sink,
    access: Access,
    log_since: Option<jiff::Timestamp>,
    /// Counts the wishes to try again now.
    reconnects: watch::Sender<u64>,
    /// Counts the times that the server was found unreachable.
    losses: watch::Sender<u64>,
}

impl Context {
    fn new(options: Options, selectors: Selectors, sink: Sink) -> Self {
        let options = Arc::new(options);
        Self {
            access: Access::new(Arc::clone(&options)),
            log_since: options
                .log_since_ms
                .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()),
            options,
            selectors,
            sink,
            reconnects: watch::Sender::new(0),
            losses: watch::Sender::new(0),
        }
    }

    /// Waits for `wait`, or until someone asks to try again now; says which.
    async fn pause(&self, wait: Duration) -> bool {
        let mut reconnects = self.reconnects.subscribe();
        tokio::time::timeout(wait, reconnects.changed())
            .await
            .is_ok_and(|changed| changed.is_ok())
    }

    async fn reconnect(&self) {
        self.access.forget_failure().await;
        self.reconnects.send_modify(|count| *count += 1);
    }

    /// The state of a stream that failed and is tried again after `wait`.
    fn broken(&self, failure: &Failure, wait: Duration) -> FeedState {
        FeedState::Broken {
            why: failure.why.clone(),
            retry_at: self.sink.clock().now() + wait,
        }
    }

    /// Streams that say nothing may be dead: whoever reads one opens it again.
    fn connection_was_lost(&self) {
        self.losses.send_modify(|count| *count += 1);
    }

    fn follow_losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// That no pod plays `role`, and which would.
    fn nobody(&self, role: Role) -> String {
        let selector = match role {
            Role::Client => &self.options.client_selector,
            Role::Server => &self.options.server_selector,
        };
        format!(
            "a pod that matches `{selector}`: deploy the workload, or choose another selector or namespace"
        )
    }
}

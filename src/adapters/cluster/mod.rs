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

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub use self::selector::SelectorError;
use self::{
    access::Access,
    cast::{Cast, Stage},
    failure::Failure,
    slim::Selectors,
};
use super::sink::{Closed, Sink};
use crate::core::{
    azure::desk::Cluster,
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
    /// Hold the lease that keeps a lab alive, whose kubeconfig this is.
    pub lease: Option<PathBuf>,
    /// There is no cluster to look at yet, and why, in words for the screen.
    pub nowhere: Option<String>,
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

impl Options {
    /// These options on the test bed's cluster; none if they lead there already,
    /// or if it is gone and they lead elsewhere.
    fn on(&self, now: &Self, cluster: Cluster) -> Option<Self> {
        let leads = |to: &Path| now.nowhere.is_none() && now.kubeconfig.as_deref() == Some(to);
        match cluster {
            Cluster::There { kubeconfig, .. } if leads(Path::new(&kubeconfig)) => None,
            Cluster::There {
                kubeconfig,
                namespace,
                ..
            } => Some(Self {
                kubeconfig: Some(kubeconfig.into()),
                context: None,
                namespace: self.namespace.clone().or(Some(namespace)),
                nowhere: None,
                ..self.clone()
            }),
            Cluster::Gone { kubeconfig } if leads(Path::new(&kubeconfig)) => Some(Self {
                nowhere: Some("the cluster was deleted".to_owned()),
                ..self.clone()
            }),
            Cluster::Gone { .. } => None,
        }
    }
}

async fn run(
    options: Options,
    sink: Sink,
    mut effects: mpsc::Receiver<Effect>,
) -> Result<(), Closed> {
    let mut tasks = JoinSet::new();
    if let Some(kubeconfig) = options.lease.clone() {
        tasks.spawn(lease::hold(kubeconfig, sink.clone()));
    }
    if options.nowhere.is_some() {
        turn(&sink, &options).await?;
    }
    let mut now = options.clone();
    while let Some(next) = look(&options, &now, &sink, &mut effects).await? {
        turn(&sink, &next).await?;
        now = next;
    }
    Ok(())
}

/// Says that from now on everything is said of another cluster.
async fn turn(sink: &Sink, options: &Options) -> Result<(), Closed> {
    let nowhere = options.nowhere.clone();
    sink.send(Fact::Turned { nowhere }).await
}

/// Looks at one cluster, until another is to be looked at, or nobody asks for
/// anything any more.
async fn look(
    given: &Options,
    now: &Options,
    sink: &Sink,
    effects: &mut mpsc::Receiver<Effect>,
) -> Result<Option<Options>, Closed> {
    let selectors = match parse_selectors(now) {
        Ok(selectors) => selectors,
        Err(error) => {
            refuse_to_start(sink, &error).await?;
            return Ok(None);
        }
    };
    let context = Arc::new(Context::new(now.clone(), selectors, sink.clone()));
    let stage = Stage::new();
    let cast = stage.follow();
    let mut tasks = JoinSet::new();
    if let Some(what) = now.nowhere.clone() {
        sink.feed(Feed::Pods, FeedState::Waiting { what }).await?;
    } else {
        watch(&context, stage, &cast, &mut tasks);
    }
    loop {
        tokio::select! {
            effect = effects.recv() => match effect {
                Some(Effect::Connect(cluster)) => {
                    if let Some(next) = given.on(now, cluster) {
                        // Nothing may be told of this cluster after it is left.
                        tasks.shutdown().await;
                        return Ok(Some(next));
                    }
                }
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
    Ok(None)
}

/// What is followed of a cluster all the time.
fn watch(
    context: &Arc<Context>,
    stage: Stage,
    cast: &watch::Receiver<Cast>,
    tasks: &mut JoinSet<Result<(), Closed>>,
) {
    for role in Role::ALL {
        tasks.spawn(log::follow(Arc::clone(context), role, cast.clone()));
    }
    tasks.spawn(info::announce(Arc::clone(context)));
    tasks.spawn(nodes::watch(Arc::clone(context)));
    tasks.spawn(pods::watch(Arc::clone(context), stage));
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

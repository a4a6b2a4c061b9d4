//! The way to the API server: built when it is needed, shared while it works,
//! and built anew when it does not.
//!
//! Making a client may run a credential plug-in three times over, and block
//! while it does. So it happens on a thread of its own, within a time limit, and
//! never twice at once: a plug-in that hangs is waited for again, not started
//! again.

use std::{sync::Arc, time::Duration};

use http::{Request, Response, Uri};
use kube::{
    Client,
    client::{Body, ClientBuilder, retry::RetryPolicy},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, oneshot, watch},
    time::timeout,
};
use tower::{BoxError, ServiceBuilder, retry::RetryLayer, service_fn};

use super::{
    Options,
    failure::{Failure, Kind},
    kubeconfig,
};

/// How long one attempt waits for a client to be built.
const BUILD: Duration = Duration::from_secs(30);

/// How long any request may take that is not a stream.
pub const UNARY: Duration = Duration::from_secs(10);

/// A failed attempt is not repeated sooner for somebody else.
const FAILED_FOR: Duration = Duration::from_millis(400);

/// One working way to the server.
pub struct Session {
    /// For requests that change something: sent once, never repeated.
    pub act: Client,
    /// For requests that only read: repeated a few times when the server is busy.
    pub read: Client,
    /// The server's address.
    pub server: Uri,
    /// The namespace that is watched.
    pub namespace: String,
    /// The kubeconfig's context.
    pub context: String,
}

impl Session {
    /// Waits for `request`, but not for ever, and puts its failure in words.
    pub async fn unary<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        match timeout(UNARY, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::of(what, &self.server, &error)),
            Err(_) => Err(Failure::timed_out(what, &self.server)),
        }
    }

    fn is_expired(&self) -> bool {
        self.act
            .valid_until()
            .is_some_and(|until| jiff::Timestamp::now() >= until)
    }
}

/// Gives out the present session.
pub struct Access {
    options: Arc<Options>,
    state: Mutex<State>,
    current: watch::Sender<Option<Arc<Session>>>,
}

#[derive(Default)]
struct State {
    building: Option<oneshot::Receiver<Result<Session, Failure>>>,
    failed: Option<(tokio::time::Instant, Failure)>,
}

impl Access {
    /// Access to the cluster that `options` name. Nothing is done yet.
    pub fn new(options: Arc<Options>) -> Self {
        Self {
            options,
            state: Mutex::default(),
            current: watch::Sender::new(None),
        }
    }

    /// Follows the present session as it comes and goes.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Session>>> {
        self.current.subscribe()
    }

    /// The present session; builds one if there is none.
    pub async fn session(&self) -> Result<Arc<Session>, Failure> {
        if let Some(why) = &self.options.nowhere {
            return Err(Failure::new(Kind::Nowhere, why.clone()));
        }
        let mut state = self.state.lock().await;
        let present = self.current.borrow().clone();
        if let Some(session) = present.filter(|session| !session.is_expired()) {
            return Ok(session);
        }
        if let Some((at, failure)) = &state.failed
            && at.elapsed() < FAILED_FOR
        {
            return Err(failure.clone());
        }
        let receiver = state
            .building
            .get_or_insert_with(|| build(Arc::clone(&self.options)));
        let built = match timeout(BUILD, receiver).await {
            Ok(built) => {
                state.building = None;
                built.unwrap_or_else(|_| {
                    Err(Failure::new(Kind::Setup, "the client could not be built"))
                })
            }
            Err(_) => Err(Failure::new(
                Kind::Setup,
                "the credential plug-in of the kubeconfig does not answer; \
                 sign in outside of the cockpit, then reconnect",
            )),
        };
        match built {
            Ok(session) => {
                let session = Arc::new(session);
                state.failed = None;
                self.current.send_replace(Some(Arc::clone(&session)));
                Ok(session)
            }
            Err(failure) => {
                state.failed = Some((tokio::time::Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// The session is of no more use after `failure`: the next caller gets a
    /// new one, from the kubeconfig as it is then.
    pub fn discard_after(&self, session: &Arc<Session>, failure: &Failure) {
        if failure.kind.needs_new_client() {
            self.current.send_if_modified(|current| {
                let same = current.as_ref().is_some_and(|c| Arc::ptr_eq(c, session));
                if same {
                    *current = None;
                }
                same
            });
        }
    }

    /// Forgets a recent failure: someone asked to try again now.
    pub async fn forget_failure(&self) {
        self.state.lock().await.failed = None;
    }
}

/// A thread of its own rather than the runtime's blocking pool: the runtime
/// waits for that pool when it ends, and a plug-in that hangs would keep the
/// cockpit from leaving.
fn build(options: Arc<Options>) -> oneshot::Receiver<Result<Session, Failure>> {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::current();
    let spawned = std::thread::Builder::new()
        .name("cluster-client".to_owned())
        .spawn(move || {
            let _runtime = runtime.enter();
            // Nobody may be waiting any more; then there is nobody to tell.
            let _ = sender.send(open(&options));
        });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to build a client on");
    }
    receiver
}

fn open(options: &Options) -> Result<Session, Failure> {
    let loaded = kubeconfig::load(options)?;
    let server = loaded.config.cluster_url.clone();
    let namespace = loaded.config.default_namespace.clone();
    let act = ClientBuilder::try_from(loaded.config)
        .map_err(|error| {
            let mut failure = Failure::of("set up the client", &server, &error);
            if failure.kind == Kind::Unreachable {
                failure.kind = Kind::Setup;
            }
            if let Some(plugin) = &loaded.plugin {
                failure.why = failure.why.replacen(
                    "the credential plug-in",
                    &format!("the credential plug-in `{plugin}`"),
                    1,
                );
            }
            failure
        })?
        .build();
    let read = retrying(&act, &namespace)?;
    Ok(Session {
        act,
        read,
        server,
        namespace,
        context: loaded.context,
    })
}

/// The same client, repeating requests that a busy server put off.
fn retrying(client: &Client, namespace: &str) -> Result<Client, Failure> {
    let policy = RetryPolicy::new(Duration::from_millis(100), Duration::from_secs(2), 3, true)
        .map_err(|error| Failure::new(Kind::Setup, error.to_string()))?;
    let inner = client.clone();
    let send = service_fn(move |request: Request<Body>| {
        let client = inner.clone();
        async move {
            let response: Response<Body> = client.send(request).await?;
            Ok::<_, BoxError>(response)
        }
    });
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(policy))
        .service(send);
    Ok(Client::new(service, namespace))
}

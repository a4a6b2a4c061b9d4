//! A lab from its start to its end, in the foreground of one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::access::{self, Users};
use super::api::{self, Identity, IdentityError, Server, ServerError};
use super::azure::{self, Azure, AzureError};
use super::controllers::{self, Surroundings};
use super::kubelet::{self, BackoffMode, Config, Heartbeat, Kubelet, KubeletError};
use super::lease;
use super::network;
use super::runtime::{self, Isolation, RUN_ENV};
use super::scenario::{Scenario, ScenarioError};
use super::state::{State, StateError};
use super::workload::{self, ManifestError};

/// What a lab is asked to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its state is; none means the user's directory for it.
    pub state: Option<PathBuf>,
    /// Where its kubeconfig goes; none means into the state.
    pub kubeconfig: Option<PathBuf>,
    /// Port to listen on; 0 takes any.
    pub port: u16,
    /// Without the workload.
    pub empty: bool,
    /// The situation it is in from the start.
    pub scenario: Option<Scenario>,
    /// What is added to the command line of the workload's client.
    pub client_arguments: Vec<String>,
    /// How restarts are delayed.
    pub backoff: BackoffMode,
    /// How pods are shut in; none means the best that the kernel allows.
    pub isolation: Option<Isolation>,
    /// Whether limits of containers are kept, as far as the kernel allows it.
    pub limits: bool,
    /// How many nodes it has.
    pub nodes: usize,
    /// How long a node may be silent before it is taken for dead.
    pub node_monitor_grace: Duration,
    /// How long it waits for a cockpit that does not come back.
    pub linger: Duration,
    /// It was started for a cockpit, which holds it from the start.
    pub held: bool,
    /// An Azure in front of it, if there is to be one.
    pub azure: Option<azure::Options>,
}

/// Why a lab did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The directory or the kubeconfig.
    #[error(transparent)]
    State(#[from] StateError),
    /// The node.
    #[error(transparent)]
    Node(#[from] KubeletError),
    /// The certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The port.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The Azure in front of it.
    #[error("cannot start the lab's Azure: {0}")]
    Azure(#[from] AzureError),
    /// The workload.
    #[error("cannot start the lab's workload: {0}")]
    Workload(#[from] ManifestError),
    /// The situation does not go with the rest of what was asked for.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The system gives no randomness, signals or path of this program, or the
    /// lab itself broke.
    #[error("the lab cannot run: {0}")]
    System(String),
}

/// Runs a lab until it is told to stop or nobody needs it any more. `ready` is
/// called once, with what there is to know to reach it.
///
/// # Errors
/// See [`LabError`]; what was begun is undone.
pub async fn run(options: Options, ready: impl FnOnce(&Value)) -> Result<(), LabError> {
    if let Some(scenario) = options.scenario {
        scenario.check(options.nodes)?;
    }
    let stopped = stop_signal()?;
    raise_file_limit();
    let state = State::take(options.state.clone(), options.kubeconfig.clone())?;
    let run = std::env::var(RUN_ENV).ok().filter(|it| !it.is_empty());
    let run = run.unwrap_or_else(|| format!("{:016x}", fastrand::u64(..)));
    let ended = serve(&state, &options, &run, ready, stopped).await;
    // A lab that could not start keeps what an earlier one had saved.
    if ended.is_ok() || state.is_new() {
        runtime::forget(&kubelet::runtime_directory(&state.node()));
        state.remove()?;
    }
    ended
}

async fn serve(
    state: &State,
    options: &Options,
    run: &str,
    ready: impl FnOnce(&Value),
    stopped: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let (store, known) = state.restore()?;
    workload::create_namespaces(&store);
    access::create_roles(&store);
    controllers::volumes::create_classes(&store);
    if !options.empty && options.azure.is_none() && !known {
        workload::deploy(&store, &options.client_arguments)?;
    }
    let identity = Identity::generate()?;
    let users = users()?;
    let executable =
        std::env::current_exe().map_err(|error| LabError::System(error.to_string()))?;
    let config = Config {
        state: state.node(),
        executable,
        run: run.to_owned(),
        isolation: options.isolation,
        limits: options.limits,
        backoff: options.backoff,
        version: api::VERSION.to_owned(),
        nodes: own_nodes(options),
        heartbeat: Heartbeat::within(options.node_monitor_grace),
    };
    let kubelet = Arc::new(Kubelet::start(store.clone(), config).await?);
    if let Some(reason) = kubelet.fallback() {
        eprintln!("aks-tui lab: no namespaces here ({reason}); pods are process groups");
    }
    let scenario = stageable(options, &kubelet);
    let stop = CancellationToken::new();
    let begun = match scenario.filter(|_| !known).map(|it| it.deploy(&store)) {
        Some(Err(error)) => Err(error.into()),
        _ => begin(state, options, &identity, &users, &store, &kubelet).await,
    };
    let server = match begun {
        Ok(server) => server,
        Err(error) => {
            kubelet.stop().await;
            return Err(error);
        }
    };
    let azure = match begin_azure(state, options, &store, &kubelet).await {
        Ok(azure) => azure,
        Err(error) => {
            server.stop().await;
            kubelet.stop().await;
            return Err(error);
        }
    };
    let mut about = json!({
        "ready": true,
        "server": format!("https://{}", server.address()),
        "kubeconfig": state.kubeconfig(),
        "state": state.path(),
        "isolation": kubelet.isolation().as_str(),
        "backoff": options.backoff.as_str(),
        "nodes": own_nodes(options),
        "pid": std::process::id(),
        "run": run,
    });
    if azure.is_some() {
        about["azure"] = json!(state.path().join("azure.json"));
    }
    let served = serve_network(&kubelet, &store, server.address(), &stop);
    let surroundings = Surroundings {
        shares: Some(state.shares()),
        bounded: Some(kubelet.bounded().clone()),
        authority: Some(identity.authority.clone()),
        node_monitor_grace: options.node_monitor_grace,
    };
    let work = controllers::run_in(store.clone(), surroundings, stop.clone());
    let mut work = tokio::spawn(work);
    if let Some(scenario) = scenario {
        tokio::spawn(scenario.keep(store.clone(), stop.clone()));
    }
    if let Err(error) = state.write_ready(&about) {
        eprintln!("aks-tui lab: {error}");
    }
    ready(&about);
    let mut ended = Ok(());
    tokio::select! {
        () = stopped => {}
        _ = &mut work => ended = Err(LabError::System("the controllers broke".to_owned())),
        () = lease::abandoned(&store, options.linger, options.held) => {
            eprintln!("aks-tui lab: nobody has come back for it; stopping");
        }
        () = state.keep_saved(&store, stop.clone()) => {}
    }
    // First the controllers, or they would replace what the node ends.
    stop.cancel();
    if ended.is_ok() {
        let _ = work.await;
    }
    let _ = served.await;
    if let Some(azure) = azure {
        azure.stop().await;
    }
    server.stop().await;
    kubelet.stop().await;
    ended
}

/// The situation that was asked for, unless this machine does not allow it,
/// which is said.
fn stageable(options: &Options, kubelet: &Kubelet) -> Option<Scenario> {
    let scenario = options.scenario?;
    let enforced = kubelet.enforced();
    let Some(why) = scenario.obstacle(&enforced) else {
        return Some(scenario);
    };
    let name = scenario.name();
    eprintln!(
        "aks-tui lab: the scenario {name} is not staged, limits of memory are not enforced here: {why}"
    );
    None
}

/// How many nodes the lab has from the start. Where there is an Azure, its
/// cluster brings them.
fn own_nodes(options: &Options) -> usize {
    if options.azure.is_some() {
        0
    } else {
        options.nodes
    }
}

/// Brings services to pods and to this machine until `stop` is cancelled.
fn serve_network(
    kubelet: &Arc<Kubelet>,
    store: &super::store::Store,
    api: SocketAddr,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let node = Arc::clone(kubelet);
    let addresses = Box::new(move |name: &str| node.address_on_machine(name));
    let network = kubelet.network().clone();
    let served = network::serve(network, store.clone(), api, addresses, stop.clone());
    tokio::spawn(async move {
        if let Err(error) = served.await {
            eprintln!("aks-tui lab: no services: {error}");
        }
    })
}

async fn begin(
    state: &State,
    options: &Options,
    identity: &Identity,
    users: &Users,
    store: &super::store::Store,
    kubelet: &Arc<Kubelet>,
) -> Result<Server, LabError> {
    let node = Arc::clone(kubelet);
    let server = Server::start(options.port, identity, users.clone(), store.clone(), node).await?;
    let address = format!("https://{}", server.address());
    if let Err(error) = state.write_kubeconfig(&address, &identity.authority, users) {
        server.stop().await;
        return Err(error.into());
    }
    Ok(server)
}

async fn begin_azure(
    state: &State,
    options: &Options,
    store: &super::store::Store,
    kubelet: &Arc<Kubelet>,
) -> Result<Option<Azure>, LabError> {
    let Some(azure) = &options.azure else {
        return Ok(None);
    };
    let (store, kubelet) = (store.clone(), Arc::clone(kubelet));
    let started = Azure::start(state.path(), azure, store, kubelet).await;
    started.map(Some).map_err(LabError::Azure)
}

/// Allows as many open files as this process may allow itself: the usual limit
/// is below the number of connections that are served. Where it cannot be
/// raised, connections wait.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// The lab's users with a token each.
fn users() -> Result<Users, LabError> {
    let token = || {
        let none = || LabError::System("the system gives no random numbers".to_owned());
        access::fresh_token().ok_or_else(none)
    };
    Ok(Users::new(token()?, token()?, token()?))
}

/// Completes when somebody asks the process to end. Listening begins at once,
/// so that a signal during the start is not lost.
fn stop_signal() -> Result<impl Future<Output = ()>, LabError> {
    let listen = |kind| signal(kind).map_err(|error| LabError::System(error.to_string()));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

//! The nodes of the lab: they watch the pods in the store, run their containers
//! as processes, and write down what happens to them.
//!
//! There are as many as were asked for, on one machine: each has a name, an
//! address, a lease and an equal share of the machine's size of its own. What
//! `hostPath` shows is one disk for all of them, as a file share would be, so
//! that a pod finds its files on whichever node it comes back.
//!
//! Everything is driven by changes: a pod that is created runs some
//! milliseconds later, a process that is killed runs again as soon as the last
//! of its container is gone. The only clocks are the ones that the real kubelet
//! has, too: back-off, grace, heartbeat.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::kinds::Resource;
use super::network::{self, Mode, Network};
use super::node::{ExecRequest, ExecSession, LogSource, Node, NodeError, Usage};
use super::recorder::Recorder;
use super::runtime::{self, Bounded, Enforced, Isolation, Runtime, RuntimeError};
use super::store::{Key, Store};

mod addresses;
mod arrival;
mod backoff;
mod cloud;
mod downward;
mod ending;
mod env;
mod follower;
mod handlers;
mod images;
mod limits;
mod machine;
mod meter;
mod names;
mod order;
mod peers;
mod pod;
mod power;
mod probes;
mod resolver;
mod run;
mod security;
mod sources;
mod status;
mod supply;
mod volumes;

pub use backoff::BackoffMode;
pub use cloud::Vm;
pub use machine::Heartbeat;
pub use power::POWER_ANNOTATION;

use addresses::Addresses;
use follower::Follower;
use machine::Machine;
use meter::Meter;
use pod::{Desired, Worker};
use power::Power;

/// Name of the first node.
pub const NODE: &str = "lab-node-0";

/// How many nodes there can be.
pub const MOST_NODES: usize = 16;

/// Annotation of a node: how pods are isolated.
pub const ISOLATION_ANNOTATION: &str = "lab.aks-tui.dev/isolation";

/// Annotation of a node: how pods are connected, and after a colon why not
/// better.
pub const NETWORK_ANNOTATION: &str = "lab.aks-tui.dev/network";

/// Annotation of a node: whether volumes have an end, and after a colon why
/// they have none.
pub const VOLUMES_ANNOTATION: &str = "lab.aks-tui.dev/volumes";

/// Annotation of a node: which limits of containers are kept, and why others are
/// not.
pub const LIMITS_ANNOTATION: &str = "lab.aks-tui.dev/limits";

/// Annotation of a node: the back-off schedule.
pub const BACKOFF_ANNOTATION: &str = "lab.aks-tui.dev/backoff";

/// Annotation of a node: the run that this lab is.
pub const RUN_ANNOTATION: &str = "lab.aks-tui.dev/run";

/// Annotation of a pod, with a container's name behind it: the pid of the
/// container's program on the machine, while it runs.
pub const PID_ANNOTATION: &str = "lab.aks-tui.dev/pid-";

/// A node's status is renewed with every so many leases even when nothing has
/// changed: every five minutes by default, as the real kubelet does.
const LEASES_PER_STATUS: u32 = 30;

/// What a kubelet needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its directory: the node's disk, pods, logs, addresses.
    pub state: PathBuf,
    /// The executable of this program.
    pub executable: PathBuf,
    /// Name of this run of the lab.
    pub run: String,
    /// Isolation to use; none means the best that the kernel allows.
    pub isolation: Option<Isolation>,
    /// Whether limits of containers are kept, as far as the kernel allows it.
    pub limits: bool,
    /// How restarts are delayed.
    pub backoff: BackoffMode,
    /// Version of Kubernetes that the lab speaks, for the node objects.
    pub version: String,
    /// How many nodes there are from the start, up to [`MOST_NODES`].
    pub nodes: usize,
    /// How often the nodes tell that they are alive.
    pub heartbeat: Heartbeat,
}

/// Why there is no kubelet.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// The process layer cannot be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// No block of addresses can be had.
    #[error("no free block of loopback addresses for the pods: {0}")]
    Addresses(io::Error),
    /// A node object cannot be stored.
    #[error("cannot register the node: {0}")]
    Register(#[from] super::store::StoreError),
    /// There are as many nodes as there can be.
    #[error("the lab has {MOST_NODES} nodes, and no room for more")]
    Full,
}

/// What its nodes say of the lab.
#[derive(Debug)]
struct About {
    version: String,
    annotations: Vec<(&'static str, String)>,
    heartbeat: Heartbeat,
}

/// What all workers share.
#[derive(Debug)]
struct Shared {
    store: Store,
    runtime: Runtime,
    state: PathBuf,
    backoff: BackoffMode,
    addresses: Addresses,
    machines: Mutex<Vec<Arc<Machine>>>,
    network: Network,
    bounded: Bounded,
    meter: Meter,
}

/// A worker and how to reach it.
#[derive(Debug)]
struct Post {
    worker: Arc<Worker>,
    desired: watch::Sender<Desired>,
    /// Cancelled when nothing of the pod is left here.
    ended: CancellationToken,
}

type Posts = Mutex<HashMap<String, Post>>;

/// The nodes. They run until they are stopped.
#[derive(Debug)]
pub struct Kubelet {
    shared: Arc<Shared>,
    posts: Arc<Posts>,
    /// Rings when a node has booted and its pods are to be looked at.
    booted: Arc<Notify>,
    about: About,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Kubelet {
    /// Takes the state directory, ends what a dead lab left in it, registers
    /// the nodes and begins to run the store's pods.
    ///
    /// # Errors
    /// See [`KubeletError`].
    pub async fn start(store: Store, config: Config) -> Result<Self, KubeletError> {
        let runtime = Runtime::open(runtime::Config {
            state: runtime_directory(&config.state),
            executable: config.executable,
            run: config.run.clone(),
            isolation: config.isolation,
            limits: config.limits,
        })
        .await?;
        let network = Network::open(&runtime).await;
        let bounded = runtime.bounded().map_err(|error| RuntimeError::State {
            path: runtime_directory(&config.state),
            error,
        })?;
        let pods = matches!(network.mode(), Mode::Namespaces).then_some(network::PODS);
        let addresses = Addresses::open(config.state.join("addresses.json"), pods);
        let addresses = addresses.map_err(KubeletError::Addresses)?;
        let annotations = vec![
            (ISOLATION_ANNOTATION, runtime.isolation().to_string()),
            (BACKOFF_ANNOTATION, config.backoff.as_str().to_owned()),
            (RUN_ANNOTATION, config.run),
            (NETWORK_ANNOTATION, network.mode().to_string()),
            (VOLUMES_ANNOTATION, ends_of(&bounded)),
            (LIMITS_ANNOTATION, runtime.enforced().to_string()),
        ];
        let about = About {
            version: config.version,
            annotations,
            heartbeat: config.heartbeat,
        };
        let machines = own_machines(&store, &config.state, config.nodes, &addresses, &about)?;
        forget_nodes(&store, &machines);
        let kubelet = Self {
            shared: Arc::new(Shared {
                store,
                runtime,
                state: config.state,
                backoff: config.backoff,
                addresses,
                machines: Mutex::new(machines.clone()),
                network,
                bounded,
                meter: Meter::default(),
            }),
            posts: Arc::default(),
            booted: Arc::default(),
            about,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        kubelet.shared.sweep().await;
        let follower = Follower {
            shared: Arc::clone(&kubelet.shared),
            posts: Arc::clone(&kubelet.posts),
            booted: Arc::clone(&kubelet.booted),
            tasks: kubelet.tasks.clone(),
            stopping: kubelet.stopping.clone(),
        };
        for machine in machines {
            kubelet.attend(machine);
        }
        let stopping = kubelet.stopping.clone();
        kubelet
            .tasks
            .spawn(stopping.run_until_cancelled_owned(follower.follow()));
        let measure = measure(Arc::clone(&kubelet.shared), Arc::clone(&kubelet.posts));
        let stopping = kubelet.stopping.clone();
        kubelet
            .tasks
            .spawn(stopping.run_until_cancelled_owned(measure));
        Ok(kubelet)
    }

    /// The isolation of the pods.
    pub fn isolation(&self) -> Isolation {
        self.shared.runtime.isolation()
    }

    /// Why namespaces are not used although they were not declined.
    pub fn fallback(&self) -> Option<&str> {
        self.shared.runtime.fallback()
    }

    /// Which limits of containers are kept.
    pub fn enforced(&self) -> Enforced {
        self.shared.runtime.enforced()
    }

    /// The network of the pods.
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    /// The volumes with an end.
    pub fn bounded(&self) -> &Bounded {
        &self.shared.bounded
    }

    /// An address of this machine for what has that name, the same one every
    /// time; none when there is none left.
    pub fn address_on_machine(&self, name: &str) -> Option<Ipv4Addr> {
        self.shared.addresses.on_machine(name)
    }

    /// How many processes of a dead lab were ended at the start.
    pub fn reaped(&self) -> usize {
        self.shared.runtime.reaped()
    }

    /// Kills every process of every pod and waits until all are gone. The pods
    /// stay in the store as they are: the next lab on it runs them again.
    pub async fn stop(&self) {
        self.stopping.cancel();
        for post in lock(&self.posts).values() {
            post.desired.send_replace(Desired::Stop);
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.runtime.stop().await;
        self.shared.bounded.close().await;
        self.shared.network.close().await;
    }

    fn worker(&self, uid: &str, container: &str) -> Result<Arc<Worker>, NodeError> {
        let posts = lock(&self.posts);
        let post = posts
            .get(uid)
            .ok_or_else(|| NodeError::NotFound(container.to_owned()));
        post.map(|post| Arc::clone(&post.worker))
    }
}

impl Node for Kubelet {
    fn reach(&self, node: &str) -> Result<(), NodeError> {
        match self.shared.machine(&Value::from(node)) {
            Some(machine) if !machine.power.is_on() => {
                let address = machine.address.clone();
                Err(NodeError::Unreachable(address))
            }
            _ => Ok(()),
        }
    }

    fn open_log(
        &self,
        pod_uid: &str,
        container: &str,
        previous: bool,
    ) -> Result<LogSource, NodeError> {
        self.worker(pod_uid, container)?
            .open_log(container, previous)
    }

    fn exec(
        &self,
        pod_uid: &str,
        container: &str,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, NodeError>> {
        let worker = self.worker(pod_uid, container);
        let container = container.to_owned();
        Box::pin(async move { worker?.exec(&container, request).await })
    }

    fn attach(
        &self,
        pod_uid: &str,
        container: &str,
        stdin: bool,
    ) -> Result<ExecSession, NodeError> {
        self.worker(pod_uid, container)?.attach(container, stdin)
    }

    fn usage(&self) -> Vec<Usage> {
        self.shared.meter.usage()
    }

    fn dial(&self, pod: IpAddr, port: u16) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(self.shared.network.connect(pod, port))
    }
}

/// The directory of the process layer, in a kubelet's.
pub fn runtime_directory(state: &Path) -> PathBuf {
    state.join("runtime")
}

/// The lab's own machines: so many, each an equal share of this one.
fn own_machines(
    store: &Store,
    state: &Path,
    nodes: usize,
    addresses: &Addresses,
    about: &About,
) -> Result<Vec<Arc<Machine>>, KubeletError> {
    let count = nodes.min(MOST_NODES);
    let machines = (0..count).map(|index| {
        let name = format!("lab-node-{index}");
        let before = store.get(&Key::new(Resource::Nodes, "", &name));
        let on = before.is_none_or(|node| power::wanted(&node));
        let machine = Machine {
            recorder: Recorder::new(store.clone(), "kubelet", Some(name.clone())),
            name,
            address: addresses.node(index).to_string(),
            version: about.version.clone(),
            annotations: about.annotations.clone(),
            state: state.to_owned(),
            index,
            count,
            heartbeat: about.heartbeat,
            boot: Mutex::default(),
            power: Power::new(on),
            gone: CancellationToken::new(),
            cloud: None,
        };
        machine.reboot();
        machine.register(store)?;
        Ok(Arc::new(machine))
    });
    machines.collect()
}

/// Removes the node objects of an earlier lab that are not there: it had more of
/// them, or a cloud that has not put them back yet.
fn forget_nodes(store: &Store, machines: &[Arc<Machine>]) {
    for node in store.list(Resource::Nodes, None).items {
        let ours = node["spec"]["providerID"].as_str();
        let ours = ours.is_some_and(|it| machine::PROVIDERS.iter().any(|of| it.starts_with(of)));
        let key = Key::of(Resource::Nodes, &node);
        if ours && !machines.iter().any(|it| it.name == key.name) {
            store.remove(&key, None);
        }
    }
}

/// What a node's annotation says of its volumes.
fn ends_of(bounded: &Bounded) -> String {
    match bounded.why_not() {
        None => "bounded".to_owned(),
        Some(why) => format!("unbounded: {why}"),
    }
}

fn lock(posts: &Posts) -> MutexGuard<'_, HashMap<String, Post>> {
    posts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures, for ever, what the pods use.
async fn measure(shared: Arc<Shared>, posts: Arc<Posts>) {
    let mut every = tokio::time::interval(meter::WINDOW);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let running: Vec<_> = {
            let posts = lock(&posts);
            posts
                .values()
                .flat_map(|post| post.worker.in_execution())
                .collect()
        };
        let shared = Arc::clone(&shared);
        // Reading of every process takes a while.
        let read = tokio::task::spawn_blocking(move || shared.meter.read(running));
        if let Err(error) = read.await {
            tracing::warn!("the pods cannot be measured: {error}");
        }
    }
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

impl Shared {
    /// Removes what pods have left whose end their node has not seen.
    async fn sweep(&self) {
        // First what is there, or a pod that comes in between lost its own.
        let pods = fs::read_dir(self.state.join("pods"));
        let there: Vec<_> = pods.into_iter().flatten().flatten().collect();
        let known = self.store.list(Resource::Pods, None).items;
        for entry in there {
            let name = entry.file_name();
            if !known.iter().any(|pod| name == uid(pod)) {
                // What stays is removed with the state directory.
                let _ = fs::remove_dir_all(entry.path());
                self.remove_own_volumes(&name.to_string_lossy()).await;
            }
        }
    }

    /// Removes what the pods of a node keep on it; they stay bound to it.
    async fn wipe(&self, node: &str) {
        for pod in self.store.list(Resource::Pods, None).items {
            if pod["spec"]["nodeName"] == node {
                let uid = uid(&pod);
                // What stays is removed with the state directory.
                let _ = fs::remove_dir_all(self.state.join("pods").join(uid));
                self.remove_own_volumes(uid).await;
            }
        }
    }

    /// Removes the bounded volumes that end with a pod.
    async fn remove_own_volumes(&self, uid: &str) {
        if let Err(why) = self.bounded.remove(&volumes::bounded::own(uid)).await {
            tracing::warn!("volumes of the pod {uid} stay: {why}");
        }
    }

    fn machines(&self) -> MutexGuard<'_, Vec<Arc<Machine>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine of a name.
    fn machine(&self, name: &Value) -> Option<Arc<Machine>> {
        let machines = self.machines();
        let mut machines = machines.iter();
        machines.find(|it| name == it.name.as_str()).cloned()
    }
}

//! A small API server that does what a test tells it to, faults included.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::Method;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

mod serve;

use serve::Served;

/// What an exec is answered with.
#[derive(Clone)]
pub enum Exec {
    /// Output, complaints and an exit code.
    Exit(&'static str, &'static str, i32),
    /// It never answers.
    Silence,
    /// The connection dies without a status.
    Dies,
    /// The command could not be started.
    NotStarted(&'static str),
    /// The request itself is refused.
    Refused(u16, &'static str),
}

/// One execution of a container: stamped lines, and whether it is over.
#[derive(Default, Clone)]
pub struct Execution {
    pub lines: Vec<(String, Vec<u8>)>,
    pub ended: bool,
}

#[derive(Default)]
pub struct State {
    pub version: u64,
    pub pods: BTreeMap<String, Value>,
    /// Every change: version, type, object.
    history: Vec<(u64, &'static str, Value)>,
    /// Watches from before this version are answered with 410.
    pub forgotten: u64,
    /// Executions of a pod's container, oldest first.
    pub logs: HashMap<String, Vec<Execution>>,
    /// Answers to commands, by a part of the command.
    pub execs: Vec<(&'static str, Exec)>,
    /// Statuses to answer with, by method and a part of the path.
    pub refusals: Vec<(Method, &'static str, u16, &'static str)>,
    /// The only token that is accepted.
    pub token: Option<String>,
    pub page_size: usize,
    pub denied: Vec<&'static str>,
    /// The last line of an execution that ended lacks its line feed.
    pub torn: bool,
    pub annotations: Value,
    pub leases: BTreeMap<String, Value>,
    /// The network faults in force, where Chaos Mesh is served.
    pub chaos: Option<BTreeMap<String, Value>>,
    /// The only node, where nodes may be seen.
    pub node: Option<Value>,
    /// Method, path and query of every request.
    pub requests: Vec<String>,
    /// Commands and bodies that came in, in order.
    pub deeds: Vec<String>,
}

pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    cut: Arc<Notify>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Served {
            state: Arc::new(Mutex::new(State {
                page_size: 500,
                annotations: json!({}),
                ..State::default()
            })),
            changed: Arc::new(Notify::new()),
            cut: Arc::new(Notify::new()),
        };
        let (state, changed, cut) = (
            Arc::clone(&fake.state),
            Arc::clone(&fake.changed),
            Arc::clone(&fake.cut),
        );
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let fake = fake.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let fake = fake.clone();
                        async move { Ok::<_, Infallible>(fake.answer(request).await) }
                    });
                    // A connection that a test breaks is meant to break.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self {
            address,
            state,
            changed,
            cut,
            server,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn put_pod(&self, pod: &Value) {
        let mut state = self.state();
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let kind = if state.pods.contains_key(&name) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        state.change(kind, pod.clone());
        let pod = state.history.last().unwrap().2.clone();
        state.pods.insert(name, pod);
        drop(state);
        self.changed.notify_waiters();
    }

    pub fn remove_pod(&self, name: &str) {
        let mut state = self.state();
        let pod = state.pods.remove(name).unwrap();
        state.change("DELETED", pod);
        drop(state);
        self.changed.notify_waiters();
    }

    /// A pod goes, and no watch hears of it.
    pub fn remove_pod_silently(&self, name: &str) {
        let mut state = self.state();
        state.pods.remove(name).unwrap();
        state.version += 1;
    }

    pub fn print(&self, pod: &str, stamp: &str, text: &[u8]) {
        let mut state = self.state();
        let executions = state.logs.entry(pod.to_owned()).or_default();
        if executions.is_empty() {
            executions.push(Execution::default());
        }
        executions
            .last_mut()
            .unwrap()
            .lines
            .push((stamp.to_owned(), text.to_vec()));
        drop(state);
        self.changed.notify_waiters();
    }

    /// The newest execution of the pod's container ends.
    pub fn end_execution(&self, pod: &str) {
        self.state()
            .logs
            .get_mut(pod)
            .unwrap()
            .last_mut()
            .unwrap()
            .ended = true;
        self.changed.notify_waiters();
    }

    /// Another execution of the pod's container begins.
    pub fn begin_execution(&self, pod: &str) {
        self.state()
            .logs
            .get_mut(pod)
            .unwrap()
            .push(Execution::default());
    }

    /// Breaks every stream that is open, in the middle.
    pub fn cut_streams(&self) {
        self.cut.notify_waiters();
    }

    pub fn count(&self, part: &str) -> usize {
        self.state()
            .requests
            .iter()
            .filter(|r| r.contains(part))
            .count()
    }
}

impl State {
    fn change(&mut self, kind: &'static str, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, kind, pod));
    }
}

/// A pod that plays a role.
pub fn pod(name: &str, role: &str, restarts: u32, state: &Value) -> Value {
    let program = if role == "client" { "Job" } else { "Server" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"),
            "labels": {"component": role}, "creationTimestamp": "2026-11-22T07:40:41Z"},
        "spec": {"nodeName": "node", "containers": [{"name": role, "command": [program, "--bytes-per-round", "1MiB"]}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": role, "ready": true, "restartCount": restarts,
                "containerID": format!("fake://{name}-{restarts}"), "state": state}]}
    })
}

pub fn running() -> Value {
    json!({"running": {"startedAt": "2026-11-22T07:40:41Z"}})
}

pub fn terminated() -> Value {
    json!({"terminated": {"exitCode": 137, "reason": "Error"}})
}

/// Waits until something is so; a test that waits in vain fails.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(15), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain: {what}");
}

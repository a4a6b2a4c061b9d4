//! A small API server that does what a test tells it to, faults included.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

type Body = BoxBody<Bytes, io::Error>;
type Chunk = Result<Frame<Bytes>, io::Error>;

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

#[derive(Clone)]
struct Served {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    cut: Arc<Notify>,
}

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let query: HashMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.replace("%3A", ":")))
            .collect();
        let refusal = {
            let mut state = self.state();
            let line = format!("{method} {}", request.uri());
            state.requests.push(line.clone());
            let bearer = request
                .headers()
                .get("authorization")
                .map(|v| v.to_str().unwrap().to_owned());
            let expected = state.token.as_ref().map(|token| format!("Bearer {token}"));
            if expected.is_some() && bearer != expected {
                Some((401, "Unauthorized"))
            } else {
                state
                    .refusals
                    .iter()
                    .find(|(of, part, ..)| *of == method && line.contains(part))
                    .map(|(_, _, code, text)| (*code, *text))
            }
        };
        if let Some((code, text)) = refusal {
            return refuse(code, text);
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (Method::GET, ["version"]) => reply(
                &json!({"major": "1", "minor": "33", "gitVersion": "v1.33.9",
                "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            ),
            (Method::GET, ["api", "v1", "nodes", _]) => {
                let annotations = self.state().annotations.clone();
                reply(&json!({"metadata": {"name": "lab-node-0", "annotations": annotations}}))
            }
            (Method::GET, ["api", "v1", "namespaces", _, "pods"])
                if query.contains_key("watch") =>
            {
                self.watch(&query)
            }
            (Method::GET, ["api", "v1", "namespaces", _, "pods"]) => self.list(&query),
            (Method::GET, ["api", "v1", "namespaces", _, "pods", pod]) => {
                let object = self.state().pods.get(*pod).cloned();
                object.map_or_else(|| refuse(404, "no such pod"), |pod| reply(&pod))
            }
            (Method::GET, ["api", "v1", "namespaces", _, "pods", pod, "log"]) => {
                self.log(pod, &query)
            }
            (Method::GET, ["api", "v1", "namespaces", _, "pods", pod, "exec"]) => {
                let pod = (*pod).to_owned();
                self.exec(&pod, request)
            }
            (Method::DELETE, ["api", "v1", "namespaces", _, "pods", pod]) => {
                let pod = (*pod).to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body = String::from_utf8(body.to_vec()).unwrap();
                self.state().deeds.push(format!("delete {pod} {body}"));
                let object = self.state().pods.get(&pod).cloned();
                object.map_or_else(|| refuse(404, "no such pod"), |pod| reply(&pod))
            }
            (Method::POST, [.., "selfsubjectaccessreviews"]) => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut review: Value = serde_json::from_slice(&body).unwrap();
                let verb = review["spec"]["resourceAttributes"]["verb"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                let allowed = !self.state().denied.contains(&verb.as_str());
                review["status"] = json!({"allowed": allowed});
                reply(&review)
            }
            (method, [.., "leases"] | [.., "leases", _]) => self.lease(&method, request).await,
            _ => refuse(404, "the server could not find the requested resource"),
        }
    }

    fn list(&self, query: &HashMap<String, String>) -> Response<Body> {
        let state = self.state();
        let from: usize = query
            .get("continue")
            .map_or(0, |token| token.parse().unwrap());
        let items: Vec<Value> = state
            .pods
            .values()
            .skip(from)
            .take(state.page_size)
            .cloned()
            .collect();
        let next = from + items.len();
        let more = next < state.pods.len();
        reply(
            &json!({"kind": "PodList", "apiVersion": "v1", "items": items, "metadata": {
            "resourceVersion": state.version.to_string(),
            "continue": if more { next.to_string() } else { String::new() }}}),
        )
    }

    fn watch(&self, query: &HashMap<String, String>) -> Response<Body> {
        let mut from: u64 = query["resourceVersion"].parse().unwrap();
        let fake = self.clone();
        let gone = from < self.state().forgotten;
        stream(self.cut.clone(), move |sender| async move {
            if gone {
                let event = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure",
                    "code": 410, "reason": "Expired", "message": "too old resource version"}});
                let _ = sender.send(Ok(line(&event))).await;
                return;
            }
            loop {
                let changed = fake.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let news: Vec<(u64, Value)> = {
                    let state = fake.state();
                    state
                        .history
                        .iter()
                        .filter(|(version, ..)| *version > from)
                        .map(|(version, kind, pod)| {
                            (*version, json!({"type": kind, "object": pod}))
                        })
                        .collect()
                };
                for (version, event) in news {
                    from = version;
                    if sender.send(Ok(line(&event))).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    () = changed => {}
                    () = sender.closed() => return,
                }
            }
        })
    }

    fn log(&self, pod: &str, query: &HashMap<String, String>) -> Response<Body> {
        let is = |key: &str| query.get(key).is_some_and(|value| value == "true");
        let execution = {
            let state = self.state();
            let count = state.logs.get(pod).map_or(0, Vec::len);
            match count.checked_sub(1 + usize::from(is("previous"))) {
                Some(execution) => execution,
                None => return refuse(400, "container is waiting to start: ContainerCreating"),
            }
        };
        let since = query
            .get("sinceTime")
            .map(|since| since.parse::<jiff::Timestamp>().unwrap());
        let tail = query
            .get("tailLines")
            .map(|tail| tail.parse::<usize>().unwrap());
        let follow = is("follow");
        let (fake, pod) = (self.clone(), pod.to_owned());
        stream(self.cut.clone(), move |sender| async move {
            let mut next = tail.map_or(0, |tail| {
                fake.state().logs[&pod][execution]
                    .lines
                    .len()
                    .saturating_sub(tail)
            });
            loop {
                let changed = fake.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let (lines, ended, torn) = {
                    let state = fake.state();
                    let execution = &state.logs[&pod][execution];
                    (
                        execution.lines[next..].to_vec(),
                        execution.ended,
                        state.torn,
                    )
                };
                if torn && !ended && next > 0 {
                    changed.await;
                    continue;
                }
                next += lines.len();
                let mut chunk = Vec::new();
                for (stamp, text) in lines {
                    let at: jiff::Timestamp = stamp.parse().unwrap();
                    if since.is_none_or(|since| at >= since) {
                        chunk.extend_from_slice(stamp.as_bytes());
                        chunk.push(b' ');
                        chunk.extend_from_slice(&text);
                        chunk.push(b'\n');
                    }
                }
                if torn && ended {
                    chunk.pop();
                }
                if !chunk.is_empty() && sender.send(Ok(Frame::data(chunk.into()))).await.is_err() {
                    return;
                }
                if ended || !follow {
                    return;
                }
                tokio::select! {
                    () = changed => {}
                    () = sender.closed() => return,
                }
            }
        })
    }

    fn exec(&self, pod: &str, mut request: Request<Incoming>) -> Response<Body> {
        let command: Vec<String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.strip_prefix("command="))
            .map(|word| {
                word.replace('+', " ")
                    .replace("%24", "$")
                    .replace("%28", "(")
                    .replace("%29", ")")
            })
            .collect();
        let command = command.join(" ");
        let answer = {
            let mut state = self.state();
            state.deeds.push(format!("exec {pod} {command}"));
            state
                .execs
                .iter()
                .find(|(part, _)| command.contains(part))
                .map_or(Exec::Exit("", "", 1), |(_, answer)| answer.clone())
        };
        if let Exec::Refused(code, text) = answer {
            return refuse(code, text);
        }
        let key = request.headers()["sec-websocket-key"].as_bytes().to_vec();
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else { return };
            let mut socket =
                WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            // A client that left hears nothing.
            let _ = speak(&mut socket, answer).await;
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-accept", derive_accept_key(&key))
            .header("sec-websocket-protocol", "v5.channel.k8s.io")
            .body(Full::default().map_err(|never| match never {}).boxed())
            .unwrap()
    }

    async fn lease(&self, method: &Method, request: Request<Incoming>) -> Response<Body> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut state = self.state();
        if *method == Method::GET {
            return state
                .leases
                .get("aks-tui-cockpit")
                .map_or_else(|| refuse(404, "leases not found"), reply);
        }
        let lease: Value = serde_json::from_slice(&body).unwrap();
        state.deeds.push(format!("{method} lease"));
        let name = lease["metadata"]["name"].as_str().unwrap().to_owned();
        state.leases.insert(name, lease.clone());
        reply(&lease)
    }
}

async fn speak<S>(socket: &mut WebSocketStream<S>, answer: Exec) -> Option<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (stdout, stderr, status) = match answer {
        Exec::Exit(stdout, stderr, 0) => {
            (stdout, stderr, json!({"metadata": {}, "status": "Success"}))
        }
        Exec::Exit(stdout, stderr, code) => (
            stdout,
            stderr,
            json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": format!("command terminated with exit code {code}"),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
        ),
        Exec::NotStarted(text) => (
            "",
            "",
            json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": text}),
        ),
        Exec::Silence => {
            while socket.next().await?.is_ok() {}
            return None;
        }
        Exec::Dies | Exec::Refused(..) => return None,
    };
    for (channel, text) in [
        (1_u8, stdout.to_owned()),
        (2, stderr.to_owned()),
        (3, status.to_string()),
    ] {
        if !text.is_empty() {
            let mut message = vec![channel];
            message.extend_from_slice(text.as_bytes());
            socket.send(Message::binary(message)).await.ok()?;
        }
    }
    socket.close(None).await.ok()
}

fn stream<F, W>(cut: Arc<Notify>, write: W) -> Response<Body>
where
    F: Future<Output = ()> + Send,
    W: FnOnce(mpsc::Sender<Chunk>) -> F + Send + 'static,
{
    let (sender, receiver) = mpsc::channel::<Chunk>(16);
    let broken = sender.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = write(sender) => {}
            () = cut.notified() => {
                // An error in a body makes the server drop the connection.
                let _ = broken.send(Err(io::Error::other("cut by the test"))).await;
            }
        }
    });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    Response::new(BodyExt::boxed(StreamBody::new(chunks)))
}

fn line(value: &Value) -> Frame<Bytes> {
    Frame::data(Bytes::from(format!("{value}\n")))
}

fn reply(value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
    Response::builder()
        .header("content-type", "application/json")
        .body(body.boxed())
        .unwrap()
}

fn refuse(code: u16, text: &str) -> Response<Body> {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "BadRequest",
    };
    let mut response = reply(
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "code": code, "reason": reason, "message": text}),
    );
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
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

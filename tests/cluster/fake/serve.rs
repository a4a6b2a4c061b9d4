//! Its answers, request by request.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::{Exec, State};

mod around;

type Body = BoxBody<Bytes, io::Error>;
type Chunk = Result<Frame<Bytes>, io::Error>;

/// What all its connections share.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) changed: Arc<Notify>,
    pub(super) cut: Arc<Notify>,
}

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
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
            (method, ["apis", "chaos-mesh.org", ..] | ["api", "v1", "nodes" | "pods", ..]) => {
                let path = path.clone();
                self.around(&method, &path, query.contains_key("watch"), request)
                    .await
            }
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
            .map(decoded)
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

/// A value of a query as it was before it was encoded.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
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

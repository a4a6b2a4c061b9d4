//! Commands in containers, and the containers' own programs: standard streams,
//! terminal sizes, and how it ended.
//!
//! Over WebSocket each message begins with a byte that names a channel: 0 is
//! standard input, 1 standard output, 2 standard error, 3 carries one `Status`
//! with the exit code at the end, 4 carries terminal sizes; 255, in version 5,
//! closes a channel. Over SPDY each of them is a stream of its own, which its
//! `streamType` names.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::spdy::{self, Output, Streams};
use super::websocket::{self, Socket};
use super::{Wish, accept_spdy};
use crate::lab::api::respond::Body;
use crate::lab::api::status::ApiError;
use crate::lab::node::{ExecExit, ExecRequest, ExecSession, NodeError, Stream, TerminalSize};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Newest first: the order in which the server prefers them.
const WEBSOCKET: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const SPDY: [&str; 4] = [
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// How long output that was written before the end may still trickle in when a
/// process left behind keeps the stream open.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the client may take to answer the closing of the connection, and
/// to begin the streams that it has announced.
const FAREWELL: Duration = Duration::from_secs(5);
const BEGINNING: Duration = Duration::from_secs(30);
/// A client that is told nothing for so long is pinged: while a command does
/// not read its input, the end of the connection shows only so.
const QUIET: Duration = Duration::from_secs(5);
/// The most of an unfinished terminal size that is kept, in bytes.
const SIZE: usize = 1024;

/// What carries a command's streams.
pub enum Carrier {
    /// Numbered channels.
    WebSocket(OnUpgrade),
    /// One stream each, in this version of the conversation.
    Spdy(OnUpgrade, &'static str),
}

impl Carrier {
    /// Agrees on a carrier that a request asks for.
    ///
    /// # Errors
    /// *400* without an upgrade, *403* and *501* when it is none of these.
    pub fn accept<B>(request: &mut Request<B>) -> Result<(Response<Body>, Self), ApiError> {
        match Wish::of(request)? {
            Wish::WebSocket => {
                let (response, _) = websocket::accept(request, &WEBSOCKET)?;
                Ok((response, Self::WebSocket(hyper::upgrade::on(request))))
            }
            Wish::Spdy => {
                let (response, version) = accept_spdy(request, &SPDY)?;
                Ok((response, Self::Spdy(hyper::upgrade::on(request), version)))
            }
        }
    }

    /// Serves one command from its start to its end.
    pub async fn serve(
        self,
        session: impl Future<Output = Result<ExecSession, NodeError>> + Send,
        wanted: &ExecRequest,
        stop: CancellationToken,
    ) {
        match self {
            Self::WebSocket(upgrade) => over_websocket(upgrade, session, wanted, stop).await,
            Self::Spdy(upgrade, version) => match upgrade.await {
                Ok(io) => {
                    let work = |streams| over_spdy(streams, version, session, wanted, stop);
                    spdy::serve(TokioIo::new(io), work).await;
                }
                Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
            },
        }
    }
}

/// Where a client's output goes.
trait Client: Send {
    /// Sends output; none when the client is gone.
    fn output(&mut self, from: Stream, bytes: &[u8]) -> impl Future<Output = Option<()>> + Send;

    /// Tries whether the client is still there.
    fn ping(&mut self) -> impl Future<Output = Option<()>> + Send;
}

/// What a client may send to a command.
struct Inputs {
    stdin: Option<mpsc::Sender<Bytes>>,
    resize: mpsc::Sender<TerminalSize>,
}

/// Carries streams until the command ends, and says how it did; none when the
/// client left first, which ends the command. `input` completes when the client
/// has left.
async fn converse<F: Future<Output = ()>>(
    session: impl Future<Output = Result<ExecSession, NodeError>>,
    wanted: &ExecRequest,
    stop: &CancellationToken,
    client: &mut impl Client,
    input: impl FnOnce(Inputs) -> F,
) -> Option<Value> {
    let session = match session.await {
        Ok(session) => session,
        Err(error) => return Some(not_started(&error, wanted)),
    };
    let ExecSession {
        stdin,
        output,
        resize,
        exit,
        guard: _guard,
    } = session;
    let input = input(Inputs { stdin, resize });
    tokio::select! {
        status = deliver(output, exit, wanted, client) => status,
        () = input => None,
        () = stop.cancelled() => Some(failure("the lab is stopping")),
    }
}

/// Takes a command's output to the client until it has ended.
async fn deliver(
    mut output: mpsc::Receiver<(Stream, Bytes)>,
    exit: oneshot::Receiver<ExecExit>,
    wanted: &ExecRequest,
    client: &mut impl Client,
) -> Option<Value> {
    let asked = |from| match from {
        Stream::Stdout => wanted.stdout,
        Stream::Stderr => wanted.stderr,
    };
    let mut exit = std::pin::pin!(exit);
    let ended = loop {
        tokio::select! {
            biased;
            chunk = output.recv() => match chunk {
                Some((from, bytes)) if asked(from) => client.output(from, &bytes).await?,
                Some(_) => {}
                None => break exit.await,
            },
            ended = &mut exit => break ended,
            () = tokio::time::sleep(QUIET) => client.ping().await?,
        }
    };
    while let Ok(Some((from, bytes))) = tokio::time::timeout(DRAIN, output.recv()).await {
        if asked(from) {
            client.output(from, &bytes).await?;
        }
    }
    Some(match ended {
        Ok(exit) => exit_status(exit.code),
        Err(_) => failure("the node lost the command"),
    })
}

async fn over_websocket(
    upgrade: OnUpgrade,
    session: impl Future<Output = Result<ExecSession, NodeError>>,
    wanted: &ExecRequest,
    stop: CancellationToken,
) {
    let Some(socket) = websocket::socket(upgrade).await else {
        return;
    };
    let (sink, mut stream) = socket.split();
    let mut channels = Channels(sink);
    // An empty message on the first channel tells the client that all is set up.
    let first = match wanted {
        ExecRequest { stdout: true, .. } => STDOUT,
        ExecRequest { stderr: true, .. } => STDERR,
        _ => ERROR,
    };
    if channels.send(first, &[]).await.is_none() {
        return;
    }
    let status = converse(session, wanted, &stop, &mut channels, |inputs| {
        receive(&mut stream, inputs)
    })
    .await;
    // Without one the client is gone; there is nobody to tell.
    let Some(status) = status else { return };
    let farewell = async {
        channels.send(ERROR, status.to_string().as_bytes()).await?;
        channels.0.send(websocket::goodbye()).await.ok()?;
        while let Some(Ok(_)) = stream.next().await {}
        Some(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// The server's side of a WebSocket's channels.
struct Channels(SplitSink<Socket, Message>);

impl Channels {
    async fn send(&mut self, channel: u8, payload: &[u8]) -> Option<()> {
        let mut message = BytesMut::with_capacity(payload.len() + 1);
        message.put_u8(channel);
        message.put_slice(payload);
        self.0.send(Message::Binary(message.freeze())).await.ok()
    }
}

impl Client for Channels {
    async fn output(&mut self, from: Stream, bytes: &[u8]) -> Option<()> {
        let channel = match from {
            Stream::Stdout => STDOUT,
            Stream::Stderr => STDERR,
        };
        self.send(channel, bytes).await
    }

    async fn ping(&mut self) -> Option<()> {
        self.0.send(Message::Ping(Bytes::new())).await.ok()
    }
}

/// Takes what the client sends, until it leaves.
async fn receive(stream: &mut SplitStream<Socket>, inputs: Inputs) {
    let Inputs { mut stdin, resize } = inputs;
    while let Some(Ok(message)) = stream.next().await {
        if message.is_close() {
            return;
        }
        let Some(bytes) = websocket::payload(message) else {
            continue;
        };
        match bytes.first() {
            Some(&STDIN) => {
                let payload = bytes.slice(1..);
                if let Some(sender) = &stdin
                    && !payload.is_empty()
                    && sender.send(payload).await.is_err()
                {
                    stdin = None;
                }
            }
            Some(&RESIZE) => {
                if let Some(size) = serde_json::from_slice(&bytes[1..])
                    .ok()
                    .and_then(|it| size(&it))
                {
                    // Without a terminal nobody takes it.
                    let _ = resize.send(size).await;
                }
            }
            Some(&CLOSE) if bytes.get(1) == Some(&STDIN) => stdin = None,
            _ => {}
        }
    }
}

fn size(json: &Value) -> Option<TerminalSize> {
    let field = |name: &str| u16::try_from(json[name].as_u64()?).ok();
    Some(TerminalSize {
        width: field("Width")?,
        height: field("Height")?,
    })
}

async fn over_spdy(
    mut streams: Streams,
    version: &'static str,
    session: impl Future<Output = Result<ExecSession, NodeError>>,
    wanted: &ExecRequest,
    stop: CancellationToken,
) {
    let resizes = wanted.tty && matches!(version, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let gathered = Ends::gather(&mut streams, wanted, resizes);
    let Ok(Some(ends)) = tokio::time::timeout(BEGINNING, gathered).await else {
        tracing::debug!("a client did not begin the streams that it asked for");
        return;
    };
    let Ends {
        error,
        mut outputs,
        stdin,
        sizes,
    } = ends;
    let status = converse(session, wanted, &stop, &mut outputs, |inputs| {
        feed(stdin, sizes, inputs)
    })
    .await;
    let Some(status) = status else { return };
    for output in [outputs.stdout, outputs.stderr].into_iter().flatten() {
        output.finish().await;
    }
    let text = match &status["message"] {
        _ if version == "v4.channel.k8s.io" => status.to_string(),
        // Before that version a failure was a sentence, and success was silence.
        Value::String(message) => message.clone(),
        _ => String::new(),
    };
    if error.send(text.as_bytes()).await.is_some() {
        error.finish().await;
    }
}

/// A client's ends of a command's streams.
struct Ends {
    error: Output,
    outputs: Outputs,
    stdin: Option<mpsc::Receiver<Bytes>>,
    sizes: Option<mpsc::Receiver<Bytes>>,
}

struct Outputs {
    stdout: Option<Output>,
    stderr: Option<Output>,
}

impl Ends {
    /// Waits until the client has begun every stream that it asked for; none
    /// when it leaves before that.
    async fn gather(streams: &mut Streams, wanted: &ExecRequest, resizes: bool) -> Option<Self> {
        // A terminal has one output.
        let stderr = wanted.stderr && !wanted.tty;
        let mut missing: Vec<&str> = [
            ("error", true),
            ("stdin", wanted.stdin),
            ("stdout", wanted.stdout),
            ("stderr", stderr),
            ("resize", resizes),
        ]
        .into_iter()
        .filter_map(|(name, wanted)| wanted.then_some(name))
        .collect();
        let mut error = None;
        let (mut stdin, mut sizes) = (None, None);
        let mut outputs = Outputs {
            stdout: None,
            stderr: None,
        };
        while !missing.is_empty() {
            let stream = streams.next().await?;
            let kind = stream.headers.get("streamtype").unwrap_or_default();
            let Some(index) = missing.iter().position(|name| *name == kind) else {
                stream.output.refuse().await;
                continue;
            };
            match missing.swap_remove(index) {
                "stdin" => stdin = Some(stream.input),
                "stdout" => outputs.stdout = Some(stream.output),
                "stderr" => outputs.stderr = Some(stream.output),
                "resize" => sizes = Some(stream.input),
                _ => error = Some(stream.output),
            }
        }
        Some(Self {
            error: error?,
            outputs,
            stdin,
            sizes,
        })
    }
}

impl Client for Outputs {
    async fn output(&mut self, from: Stream, bytes: &[u8]) -> Option<()> {
        let output = match from {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        match output {
            Some(output) => output.send(bytes).await,
            None => Some(()),
        }
    }

    async fn ping(&mut self) -> Option<()> {
        // The connection does so itself.
        Some(())
    }
}

/// Takes what the client sends. It never completes: the end of the connection
/// ends everything.
async fn feed(
    stdin: Option<mpsc::Receiver<Bytes>>,
    sizes: Option<mpsc::Receiver<Bytes>>,
    inputs: Inputs,
) {
    let keys = async {
        let (Some(mut from), Some(to)) = (stdin, inputs.stdin) else {
            return;
        };
        while let Some(bytes) = from.recv().await {
            if to.send(bytes).await.is_err() {
                return;
            }
        }
    };
    let resizes = async {
        let Some(mut from) = sizes else { return };
        let mut text = Vec::new();
        while let Some(bytes) = from.recv().await {
            text.extend_from_slice(&bytes);
            let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
            let found: Vec<Value> = values.by_ref().map_while(Result::ok).collect();
            let read = values.byte_offset();
            text.drain(..read);
            for size in found.iter().filter_map(size) {
                let _ = inputs.resize.send(size).await;
            }
            if text.len() > SIZE {
                return;
            }
        }
    };
    tokio::join!(keys, resizes);
    std::future::pending::<()>().await;
}

/// The `Status` of a command that ended.
fn exit_status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// The `Status` of a command that was not started.
fn not_started(error: &NodeError, request: &ExecRequest) -> Value {
    match error {
        NodeError::CannotExecute { reason, code } => {
            let mut status = exit_status(*code);
            status["message"] = json!(format!(
                "error executing command {:?} in container: {reason}",
                request.command
            ));
            status
        }
        other => failure(&other.to_string()),
    }
}

fn failure(message: &str) -> Value {
    let mut status = ApiError::internal(message).status();
    status["details"] = json!({"causes": [{"message": message}]});
    status
}

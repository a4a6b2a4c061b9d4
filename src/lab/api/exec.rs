//! Commands in containers, over WebSocket.
//!
//! The protocol is Kubernetes' remote command, versions 4 and 5: each message
//! begins with a byte that names a channel. 0 is standard input, 1 standard
//! output, 2 standard error, 3 carries one `Status` with the exit code at the
//! end, 4 carries terminal sizes; 255, in version 5, closes a channel.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::respond::{self, Body};
use super::status::ApiError;
use crate::lab::node::{ExecRequest, ExecSession, NodeError, Stream, TerminalSize};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Newest first: the order in which the server prefers them.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// How long output that was written before the end may still trickle in when a
/// process left behind keeps the stream open.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the client may take to answer the closing of the connection.
const FAREWELL: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An accepted upgrade: the response to send, and what the connection becomes.
pub struct Upgrade {
    /// *101 Switching Protocols*.
    pub response: Response<Body>,
    upgraded: OnUpgrade,
}

impl Upgrade {
    /// Checks that a request asks for a protocol that is spoken here.
    ///
    /// # Errors
    /// *400* without an upgrade, *501* for SPDY and for older protocols.
    pub fn accept<B>(request: &mut Request<B>) -> Result<Self, ApiError> {
        let headers = request.headers();
        let wanted = text(headers, header::UPGRADE).to_ascii_lowercase();
        if wanted.is_empty() {
            return Err(ApiError::bad_request("Upgrade request required"));
        }
        if !wanted.contains("websocket") || request.method() != Method::GET {
            return Err(ApiError::not_implemented(&format!(
                "exec over {}; it speaks WebSocket ({})",
                wanted.to_ascii_uppercase(),
                PROTOCOLS.join(", ")
            )));
        }
        let offered: Vec<&str> = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let protocol = PROTOCOLS.into_iter().find(|it| offered.contains(it));
        let protocol = protocol.ok_or_else(|| {
            ApiError::not_implemented(&format!(
                "exec over the protocols {offered:?}; it speaks {}",
                PROTOCOLS.join(" and ")
            ))
        })?;
        let key = headers.get(header::SEC_WEBSOCKET_KEY);
        let key = key.ok_or_else(|| ApiError::bad_request("missing Sec-WebSocket-Key"))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
            .map_err(ApiError::internal)?;
        let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
        let answer = response.headers_mut();
        answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        answer.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(protocol),
        );
        Ok(Self {
            response,
            upgraded: hyper::upgrade::on(request),
        })
    }

    /// Waits until the connection has become a WebSocket.
    async fn socket(upgraded: OnUpgrade) -> Result<Socket, hyper::Error> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(4 << 20))
            .max_frame_size(Some(4 << 20));
        let io = TokioIo::new(upgraded.await?);
        Ok(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    }

    /// Splits into the response and the work that begins when it is sent.
    pub fn into_parts(self) -> (Response<Body>, OnUpgrade) {
        (self.response, self.upgraded)
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Serves one command from its start to its end.
pub async fn serve(
    upgraded: OnUpgrade,
    session: impl Future<Output = Result<ExecSession, NodeError>>,
    request: &ExecRequest,
    stop: CancellationToken,
) {
    let socket = match Upgrade::socket(upgraded).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%error, "an exec connection was not upgraded");
            return;
        }
    };
    let (mut sink, mut stream) = socket.split();
    // An empty message on the first channel tells the client that all is set up.
    let first = match request {
        ExecRequest { stdout: true, .. } => STDOUT,
        ExecRequest { stderr: true, .. } => STDERR,
        _ => ERROR,
    };
    if send(&mut sink, first, &[]).await.is_err() {
        return;
    }
    let status = match session.await {
        Ok(session) => {
            let served = tokio::select! {
                served = run(session, &mut sink, &mut stream) => served,
                () = stop.cancelled() => Some(failure("the lab is stopping")),
            };
            match served {
                Some(status) => status,
                // The client is gone; there is nobody to tell.
                None => return,
            }
        }
        Err(error) => not_started(&error, request),
    };
    let farewell = async {
        send(&mut sink, ERROR, status.to_string().as_bytes()).await?;
        let normally = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        sink.send(Message::Close(Some(normally))).await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<(), tokio_tungstenite::tungstenite::Error>(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Carries streams until the command ends; none when the client left first,
/// which ends the command.
async fn run(
    session: ExecSession,
    sink: &mut SplitSink<Socket, Message>,
    stream: &mut SplitStream<Socket>,
) -> Option<Value> {
    let ExecSession {
        stdin,
        mut output,
        resize,
        exit,
        guard: _guard,
    } = session;
    let from_client = receive(stream, stdin, resize);
    let to_client = async {
        let mut exit = std::pin::pin!(exit);
        let ended = loop {
            tokio::select! {
                biased;
                chunk = output.recv() => match chunk {
                    Some((name, bytes)) => forward(sink, name, &bytes).await?,
                    None => break exit.await,
                },
                ended = &mut exit => break ended,
            }
        };
        while let Ok(Some((name, bytes))) = tokio::time::timeout(DRAIN, output.recv()).await {
            forward(sink, name, &bytes).await?;
        }
        Some(match ended {
            Ok(exit) => exit_status(exit.code),
            Err(_) => failure("the node lost the command"),
        })
    };
    tokio::select! {
        status = to_client => status,
        () = from_client => None,
    }
}

/// Takes what the client sends, until it leaves.
async fn receive(
    stream: &mut SplitStream<Socket>,
    mut stdin: Option<mpsc::Sender<Bytes>>,
    resize: mpsc::Sender<TerminalSize>,
) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
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
                if let Some(size) = terminal_size(&bytes[1..]) {
                    // Only the newest size matters; a full queue has one.
                    let _ = resize.try_send(size);
                }
            }
            Some(&CLOSE) if bytes.get(1) == Some(&STDIN) => stdin = None,
            _ => {}
        }
    }
}

fn terminal_size(json: &[u8]) -> Option<TerminalSize> {
    let size: Value = serde_json::from_slice(json).ok()?;
    let field = |name: &str| u16::try_from(size[name].as_u64()?).ok();
    Some(TerminalSize {
        width: field("Width")?,
        height: field("Height")?,
    })
}

async fn forward(sink: &mut SplitSink<Socket, Message>, name: Stream, bytes: &[u8]) -> Option<()> {
    let channel = match name {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    };
    send(sink, channel, bytes).await.ok()
}

async fn send(
    sink: &mut SplitSink<Socket, Message>,
    channel: u8,
    payload: &[u8],
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut message = BytesMut::with_capacity(payload.len() + 1);
    message.put_u8(channel);
    message.put_slice(payload);
    sink.send(Message::Binary(message.freeze())).await
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

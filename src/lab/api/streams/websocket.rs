//! Connections that become WebSockets, and byte streams inside of them.

use std::io;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::{listed, upgraded};
use crate::lab::api::respond::{self, Body};
use crate::lab::api::status::ApiError;

/// The largest message of a client, in bytes.
const LARGEST: usize = 4 << 20;

/// A WebSocket on a connection that was an HTTP request before.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Agrees on the first of `protocols` that the client offers.
///
/// # Errors
/// *400* for a handshake that is none, *501* when no protocol is shared.
pub fn accept<B>(
    request: &Request<B>,
    protocols: &[&'static str],
) -> Result<(Response<Body>, &'static str), ApiError> {
    let offered: Vec<&str> = listed(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL).collect();
    let shared = protocols.iter().find(|it| offered.contains(it));
    let protocol = shared.copied().ok_or_else(|| {
        ApiError::not_implemented(&format!(
            "the WebSocket protocols {offered:?} here; it speaks {}",
            protocols.join(" and ")
        ))
    })?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| ApiError::bad_request("missing Sec-WebSocket-Key"))?;
    let accept =
        HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    let answer = response.headers_mut();
    upgraded(answer, "websocket");
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(protocol),
    );
    Ok((response, protocol))
}

/// Waits until the connection has become a WebSocket; none when it broke.
pub async fn socket(upgrade: OnUpgrade) -> Option<Socket> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    match upgrade.await {
        Ok(io) => {
            let io = TokioIo::new(io);
            Some(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
        }
        Err(error) => {
            tracing::debug!(%error, "a connection was not upgraded");
            None
        }
    }
}

/// The message that ends a conversation in order.
pub fn goodbye() -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }))
}

/// What a message carries; none for what only keeps the connection.
pub fn payload(message: Message) -> Option<Bytes> {
    match message {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(text) => Some(Bytes::from(text)),
        Message::Close(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
    }
}

/// The binary messages of a WebSocket as one stream of bytes in each direction.
pub fn tunnel(socket: Socket) -> impl AsyncRead + AsyncWrite {
    let (sink, stream) = socket.split();
    let bytes = stream.filter_map(async |message| match message {
        Ok(message) => payload(message).map(Ok::<_, io::Error>),
        // The end of the connection, however it came about.
        Err(_) => None,
    });
    let sink = sink
        .with(async |bytes: Bytes| Ok::<_, tungstenite::Error>(Message::Binary(bytes)))
        .sink_map_err(io::Error::other);
    tokio::io::join(
        StreamReader::new(Box::pin(bytes)),
        SinkWriter::new(CopyToBytes::new(Box::pin(sink))),
    )
}

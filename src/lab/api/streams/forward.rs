//! Ports of pods, brought to the client.
//!
//! Over SPDY, alone or inside a WebSocket, the client begins two streams for
//! every connection that it forwards: one for its bytes and one on which it is
//! told what went wrong. Over plain WebSocket the ports are named in the query,
//! one connection each: channel 2n carries the bytes of the n-th port, channel
//! 2n + 1 its error, and each begins with the port's number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::spdy::{self, Output, Stream, Streams};
use super::websocket::{self, Socket};
use super::{Wish, accept_spdy, refusal};
use crate::lab::api::request::Query;
use crate::lab::api::respond::Body;
use crate::lab::api::status::ApiError;
use crate::lab::node::Node;

/// What today's kubectl speaks: SPDY inside a WebSocket.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Numbered channels, a pair for each port.
const CHANNELS: &str = "v4.channel.k8s.io";
/// The one version of the conversation over SPDY.
const SPDY: [&str; 1] = ["portforward.k8s.io"];

/// The most ports of one request: channels are numbered by a byte.
const PORTS: usize = 128;
/// The most connections that one conversation over SPDY carries at once,
/// counting those of which one stream of the pair has come.
const CARRIED: usize = 512;
/// How much is read from a pod at a time, in bytes.
const CHUNK: usize = 32 * 1024;
/// How many pieces wait for a slow reader.
const QUEUE: usize = 16;
/// How long the client may take to answer the closing of the connection.
const FAREWELL: Duration = Duration::from_secs(5);
/// A client that is told nothing for so long is pinged: while a pod does not
/// read, the end of the connection shows only so.
const QUIET: Duration = Duration::from_secs(5);

/// The pod whose ports are forwarded.
#[derive(Clone)]
pub struct Target {
    /// Its node.
    pub node: Arc<dyn Node>,
    /// Its address; none while it has none.
    pub address: Option<IpAddr>,
    /// Its name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Places for connections, of the user who asks for them.
    pub places: Arc<Semaphore>,
}

/// What carries the bytes.
pub enum Carrier {
    /// SPDY inside a WebSocket.
    Tunnel(OnUpgrade),
    /// SPDY.
    Spdy(OnUpgrade),
    /// A WebSocket's channels, for these ports.
    Channels(OnUpgrade, Vec<u16>),
}

impl Carrier {
    /// Agrees on a carrier that a request asks for.
    ///
    /// # Errors
    /// *400* without an upgrade or with odd ports, *403* and *501* when it asks
    /// for none of these.
    pub fn accept<B>(
        request: &mut Request<B>,
        query: &Query,
    ) -> Result<(Response<Body>, Self), ApiError> {
        if Wish::of(request)? == Wish::Spdy {
            let (response, _) = accept_spdy(request, &SPDY)?;
            return Ok((response, Self::Spdy(hyper::upgrade::on(request))));
        }
        let (response, protocol) = websocket::accept(request, &[TUNNEL, CHANNELS])?;
        let carrier = if protocol == TUNNEL {
            Self::Tunnel(hyper::upgrade::on(request))
        } else {
            let ports = ports(query).map_err(ApiError::bad_request)?;
            Self::Channels(hyper::upgrade::on(request), ports)
        };
        Ok((response, carrier))
    }

    /// Forwards until the client leaves or, with ports of its own choosing,
    /// until the last of them has ended.
    pub async fn serve(self, target: Target) {
        let pairs = |streams| over_streams(streams, &target);
        match self {
            Self::Spdy(upgrade) => match upgrade.await {
                Ok(io) => spdy::serve(TokioIo::new(io), pairs).await,
                Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
            },
            Self::Tunnel(upgrade) => {
                if let Some(socket) = websocket::socket(upgrade).await {
                    spdy::serve(websocket::tunnel(socket), pairs).await;
                }
            }
            Self::Channels(upgrade, ports) => {
                if let Some(socket) = websocket::socket(upgrade).await {
                    over_channels(socket, &ports, &target).await;
                }
            }
        }
    }
}

/// The ports that a query names.
fn ports(query: &Query) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for text in query.all("ports") {
        if text.is_empty() {
            return Err("query parameter \"port\" cannot be empty".to_owned());
        }
        for part in text.split(',') {
            ports.push(port(part)?);
        }
    }
    match ports.len() {
        0 => Err("query parameter \"port\" is required".to_owned()),
        1..=PORTS => Ok(ports),
        _ => Err(format!("at most {PORTS} ports can be forwarded at once")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err(format!("port {text:?} must be > 0")),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("unable to parse {text:?} as a port")),
    }
}

/// Where a pod's bytes go.
trait Outlet: Send + Sync {
    /// Sends bytes; none when the client is gone.
    fn send(&self, bytes: &[u8]) -> impl Future<Output = Option<()>> + Send;
}

impl Outlet for Output {
    async fn send(&self, bytes: &[u8]) -> Option<()> {
        Self::send(self, bytes).await
    }
}

impl Target {
    /// Carries one connection to its end.
    ///
    /// # Errors
    /// What to tell the client when there was none.
    async fn forward(
        &self,
        port: u16,
        mut input: mpsc::Receiver<Bytes>,
        output: &impl Outlet,
    ) -> Result<(), String> {
        let failed = |why: &dyn std::fmt::Display| {
            let Self { pod, uid, .. } = self;
            format!("error forwarding port {port} to pod {pod}, uid {uid}: {why}")
        };
        let Some(address) = self.address else {
            return Err(failed(&"the pod has no address yet"));
        };
        let Ok(_place) = self.places.try_acquire() else {
            return Err(failed(&"this user has too many connections forwarded"));
        };
        let connected = self.node.dial(address, port).await;
        let connection = connected.map_err(|error| {
            let why = refusal(&error);
            failed(&format!("dial tcp {address}:{port}: connect: {why}"))
        })?;
        let (mut from_pod, mut to_pod) = connection.into_split();
        let upload = async {
            while let Some(bytes) = input.recv().await {
                if to_pod.write_all(&bytes).await.is_err() {
                    // It reads no more; what it still says is carried all the same.
                    return;
                }
            }
            let _ = to_pod.shutdown().await;
        };
        let download = async {
            let mut buffer = vec![0; CHUNK];
            loop {
                // A connection that is reset has ended as well.
                let length = from_pod.read(&mut buffer).await.unwrap_or(0);
                if length == 0 || output.send(&buffer[..length]).await.is_none() {
                    return;
                }
            }
        };
        let upload = async {
            upload.await;
            std::future::pending::<()>().await;
        };
        // When the pod has said all, it is over: older clients wait for that
        // before they close their side.
        tokio::select! {
            () = download => {}
            () = upload => {}
        }
        Ok(())
    }
}

/// One of a pair's streams, until the other one comes.
#[derive(Default)]
struct Pair {
    data: Option<(u16, Stream)>,
    error: Option<Stream>,
}

/// Pairs the client's streams, and forwards a connection for each pair.
async fn over_streams(mut streams: Streams, target: &Target) {
    let mut waiting: HashMap<String, Pair> = HashMap::new();
    let mut connections = JoinSet::new();
    while let Some(stream) = streams.next().await {
        while connections.try_join_next().is_some() {}
        let kind = stream.headers.get("streamtype");
        let number = stream.headers.get("port").map(port);
        let (Some(kind @ ("data" | "error")), Some(Ok(number))) = (kind, number) else {
            stream.output.refuse().await;
            continue;
        };
        let data = kind == "data";
        let request = match stream.headers.get("requestid") {
            Some(id) => id.to_owned(),
            // Clients that name none begin both streams one after the other,
            // the one for errors first.
            None => format!(
                "{}",
                if data {
                    stream.id.saturating_sub(2)
                } else {
                    stream.id
                }
            ),
        };
        let full = connections.len() + waiting.len() >= CARRIED;
        if full && !waiting.contains_key(&request) {
            stream.output.refuse().await;
            continue;
        }
        let mut pair = waiting.remove(&request).unwrap_or_default();
        if data {
            pair.data = Some((number, stream));
        } else {
            pair.error = Some(stream);
        }
        match pair {
            Pair {
                data: Some((port, data)),
                error: Some(error),
            } => {
                let target = target.clone();
                connections.spawn(async move {
                    let told = target.forward(port, data.input, &data.output).await;
                    if let Err(why) = told {
                        let _ = error.output.send(why.as_bytes()).await;
                    }
                    data.output.finish().await;
                    error.output.finish().await;
                });
            }
            half => drop(waiting.insert(request, half)),
        }
    }
}

/// One channel of a WebSocket.
struct Channel {
    number: u8,
    messages: mpsc::Sender<Message>,
}

impl Outlet for Channel {
    async fn send(&self, bytes: &[u8]) -> Option<()> {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(self.number);
        message.put_slice(bytes);
        let message = Message::Binary(message.freeze());
        self.messages.send(message).await.ok()
    }
}

async fn over_channels(socket: Socket, ports: &[u16], target: &Target) {
    let (sink, mut stream) = socket.split();
    let (messages, queue) = mpsc::channel(QUEUE);
    let mut inputs = Vec::new();
    let mut connections = Vec::new();
    for (index, port) in ports.iter().copied().enumerate() {
        let (input, bytes) = mpsc::channel(QUEUE);
        inputs.push(input);
        let channel = |number| Channel {
            number,
            messages: messages.clone(),
        };
        let number = 2 * index as u8;
        let (data, error) = (channel(number), channel(number + 1));
        connections.push(async move {
            data.send(&port.to_le_bytes()).await?;
            error.send(&port.to_le_bytes()).await?;
            if let Err(why) = target.forward(port, bytes, &data).await {
                error.send(why.as_bytes()).await?;
            }
            Some(())
        });
    }
    // The writer says goodbye when the last connection has dropped its channels.
    drop(messages);
    let forwarding = async {
        tokio::join!(futures::future::join_all(connections), write(sink, queue));
    };
    let over = tokio::select! {
        () = forwarding => true,
        () = receive(&mut stream, &inputs) => false,
    };
    if over {
        let closed = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = tokio::time::timeout(FAREWELL, closed).await;
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Message>) {
    loop {
        let message = match tokio::time::timeout(QUIET, queue.recv()).await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(_) => Message::Ping(Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let _ = sink.send(websocket::goodbye()).await;
}

/// Takes what the client sends, until it leaves.
async fn receive(stream: &mut SplitStream<Socket>, inputs: &[mpsc::Sender<Bytes>]) {
    while let Some(Ok(message)) = stream.next().await {
        if message.is_close() {
            return;
        }
        let Some(bytes) = websocket::payload(message) else {
            continue;
        };
        // Odd channels are the server's.
        let index = bytes.first().filter(|channel| *channel % 2 == 0);
        let input = index.and_then(|channel| inputs.get(usize::from(channel / 2)));
        if let Some(input) = input
            && bytes.len() > 1
        {
            // A connection that has ended takes no more.
            let _ = input.send(bytes.slice(1..)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_in_one_parameter_or_in_several() {
        let read = |query: &str| ports(&Query::parse(Some(query)));
        assert_eq!(read("ports=80"), Ok(vec![80]));
        assert_eq!(read("ports=80,81&ports=82"), Ok(vec![80, 81, 82]));
        assert_eq!(read("ports=80%2C81"), Ok(vec![80, 81]));
        for (query, why) in [
            ("", "query parameter \"port\" is required"),
            ("ports=", "query parameter \"port\" cannot be empty"),
            ("ports=0", "port \"0\" must be > 0"),
            ("ports=http", "unable to parse \"http\" as a port"),
            ("ports=70000", "unable to parse \"70000\" as a port"),
        ] {
            assert_eq!(read(query).unwrap_err(), why, "{query}");
        }
    }
}

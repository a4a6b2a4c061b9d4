//! What people use instead, without any durability: gRPC streams, as tonic does
//! them. Messages are bytes and nothing else, which protobuf would only add to.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf as _, BufMut as _, Bytes};
use color_eyre::eyre::{Result, ensure, eyre};
use futures::stream;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{ClientStreamingService, NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::pair::{self, Cost, Load};

const BOTH_WAYS: &str = "/bench.Echo/BothWays";
const ONE_WAY: &str = "/bench.Echo/OneWay";

/// Carries this load over one stream.
pub fn run(load: Load) -> Result<Cost> {
    let Load {
        size,
        calls,
        both_ways,
    } = load;
    let arguments = [size.to_string(), calls.to_string(), both_ways.to_string()];
    pair::play("grpc", &arguments)
}

/// Plays one of the two, if this process was started for that.
pub fn play_part(words: &[String]) -> Option<Result<()>> {
    let [name, port, size, calls, both_ways] = words else {
        return None;
    };
    let port = port.parse().ok()?;
    let load = Load {
        size: size.parse().ok()?,
        calls: calls.parse().ok()?,
        both_ways: both_ways.parse().ok()?,
    };
    let play = |part: &dyn Fn(&Runtime) -> Result<()>| {
        Runtime::new()
            .map_err(Into::into)
            .and_then(|runtime| part(&runtime))
    };
    match name.as_str() {
        "grpc-server" => Some(play(&|runtime| runtime.block_on(serve()))),
        "grpc-client" => Some(play(&|runtime| runtime.block_on(call(port, load)))),
        _ => None,
    }
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("port {}", listener.local_addr()?.port());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(Echo)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

async fn call(port: u16, load: Load) -> Result<()> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
    let mut client = tonic::client::Grpc::new(endpoint.connect().await?);
    client.ready().await?;
    let payload = Bytes::from(vec![7; load.size as usize]);
    let messages = stream::iter((0..load.calls).map(move |_| payload.clone()));
    let began = Instant::now();
    let seen = if load.both_ways {
        let path = PathAndQuery::from_static(BOTH_WAYS);
        let answer = client.streaming(Request::new(messages), path, Raw).await?;
        let mut answer = answer.into_inner();
        let mut seen = 0;
        while answer.message().await?.is_some() {
            seen += 1;
        }
        seen
    } else {
        let path = PathAndQuery::from_static(ONE_WAY);
        let answer = client
            .client_streaming(Request::new(messages), path, Raw)
            .await?;
        let mut count = answer.into_inner();
        count.try_get_u64().map_err(|_| eyre!("no count"))?
    };
    println!("seconds {}", began.elapsed().as_secs_f64());
    ensure!(seen == load.calls, "gRPC lost calls: {seen}");
    Ok(())
}

/// Sends back, or counts, what comes.
#[derive(Clone)]
struct Echo;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Raw);
            Ok(match request.uri().path() {
                BOTH_WAYS => grpc.streaming(Echo, request).await,
                ONE_WAY => grpc.client_streaming(Echo, request).await,
                _ => Status::unimplemented("there are two methods").into_http(),
            })
        })
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = Ready<Result<Response<Streaming<Bytes>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl ClientStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let (mut messages, mut count) = (request.into_inner(), 0u64);
            while messages.message().await?.is_some() {
                count += 1;
            }
            Ok(Response::new(Bytes::copy_from_slice(&count.to_be_bytes())))
        })
    }
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}

//! The listener of the simulator: connections, TLS, and whole bodies.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Answer, ArmError, Payload};
use super::call::{self, Call};
use super::door::Door;
use crate::lab::api::{Identity, ServerError};
use crate::lab::store::new_uid;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 512;
/// The largest body: the context of an image's build.
const BODY: usize = 256 * 1024 * 1024;
/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may stay without a whole request head.
const IDLE: Duration = Duration::from_secs(100);
/// How long connections get to end when the server stops.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// Listens on a port of the loopback address: the one that is asked for, else
/// the one of an earlier life if it is free, else any.
///
/// # Errors
/// When the port cannot be had.
pub async fn listen(asked: u16, before: u16) -> Result<(TcpListener, SocketAddr), ServerError> {
    let bind = async |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let bound = match bind(if asked == 0 { before } else { asked }).await {
        Err(_) if asked == 0 => bind(0).await,
        bound => bound,
    };
    let bound = bound.and_then(|it| it.local_addr().map(|address| (it, address)));
    bound.map_err(|source| ServerError {
        port: asked,
        source,
    })
}

/// Serves until it is stopped.
pub async fn accept(
    listener: TcpListener,
    identity: Identity,
    door: Arc<Door>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let acceptor = TlsAcceptor::from(identity.server);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let served = serve(socket, acceptor.clone(), Arc::clone(&door), stop.clone());
                tasks.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, door: Arc<Door>, stop: CancellationToken) {
    let _ = socket.set_nodelay(true);
    let greeted = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await;
    let Ok(Ok(socket)) = greeted else {
        return;
    };
    let service = service_fn(move |request| answer(Arc::clone(&door), request));
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(socket), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the simulator broke");
    }
}

async fn answer(
    door: Arc<Door>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let head_only = request.method() == http::Method::HEAD;
    let (parts, body) = request.into_parts();
    let answered = match Limited::new(body, BODY).collect().await {
        Ok(body) => {
            let call = call_of(&parts, body.to_bytes(), door.base());
            let base = call.base.clone();
            // Short, but it writes to the disk.
            let answered = tokio::task::spawn_blocking(move || door.answer(call)).await;
            answered.map(|it| respond(it, &base)).ok()
        }
        Err(_) => None,
    };
    let mut response = answered.unwrap_or_else(|| {
        let broken = ArmError::bad("RequestContentInvalid", "The request could not be read.");
        respond(broken.into_answer(), "")
    });
    if head_only {
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

fn call_of(parts: &http::request::Parts, raw: Bytes, base: &str) -> Call {
    let query = parts.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
        .collect();
    let correlation = parts.headers.get("x-ms-correlation-request-id");
    let correlation = correlation.and_then(|it| it.to_str().ok());
    // Addresses in answers are on the host that was asked: clients send their
    // token to no other.
    let port = base.rsplit(':').next().unwrap_or_default();
    let host = parts.headers.get(header::HOST);
    let named_localhost =
        host.is_some_and(|it| it.as_bytes() == format!("localhost:{port}").as_bytes());
    let base = if named_localhost {
        format!("https://localhost:{port}")
    } else {
        base.to_owned()
    };
    Call {
        method: parts.method.clone(),
        path: call::decode(parts.uri.path()),
        arguments: Vec::new(),
        query,
        headers: parts.headers.clone(),
        body: call::parse(&raw),
        raw,
        base,
        correlation: correlation.map_or_else(new_uid, str::to_owned),
    }
}

fn respond(answer: Answer, base: &str) -> Response<Full<Bytes>> {
    let (media_type, body) = match answer.payload {
        Payload::Bytes(media_type, bytes) => (Some(media_type), bytes.into()),
        Payload::Empty => (None, Bytes::new()),
        Payload::Json(value) => (
            Some("application/json; charset=utf-8"),
            value.to_string().into(),
        ),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(media_type) = media_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in answer.headers {
        let value = if value.starts_with('/') {
            format!("{base}{value}")
        } else {
            value
        };
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

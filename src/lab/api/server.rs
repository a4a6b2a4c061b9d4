//! The listener: connections, TLS, the token, and an orderly end.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::respond::{self, Body};
use super::route::Api;
use super::status::ApiError;
use super::tls::Identity;
use super::transport::WriteDeadline;
use crate::lab::node::Node;
use crate::lab::store::Store;

/// More connections than this wait for others to end.
const CONNECTIONS: usize = 1024;
/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may stay without a whole request head. Longer than
/// the 90 seconds for which clients keep an idle connection, so that it is
/// they who close it and no request is lost to a race.
const IDLE: Duration = Duration::from_secs(100);
/// How long a client may leave data unread.
const UNREAD: Duration = Duration::from_secs(30);
/// How long connections get to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for any")]
pub struct ServerError {
    port: u16,
    source: std::io::Error,
}

/// A running API server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Listens on the loopback address; port 0 takes any free one. Requests
    /// are answered from then on.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start(
        port: u16,
        identity: &Identity,
        token: String,
        store: Store,
        node: Arc<dyn Node>,
    ) -> Result<Self, ServerError> {
        let failed = |source| ServerError { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let api = Arc::new(Api {
            store,
            node,
            token,
            address: address.to_string(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        });
        let acceptor = TlsAcceptor::from(Arc::clone(&identity.server));
        tasks.spawn(accept(listener, acceptor, api, stop.clone(), tasks.clone()));
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every watch, log and command, then every connection.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        // What has not ended by now ends with the process.
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    api: Arc<Api>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = connection(socket, acceptor.clone(), Arc::clone(&api));
                tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely; others may be closed soon.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, acceptor: TlsAcceptor, api: Arc<Api>) {
    let _ = socket.set_nodelay(true);
    let socket = WriteDeadline::new(socket, UNREAD);
    let Ok(Ok(socket)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await else {
        return;
    };
    let stop = api.stop.clone();
    let service = service_fn(move |request| answer(Arc::clone(&api), request));
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(api: Arc<Api>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let response = if authorized(&request, &api.token) {
        api.route(request).await
    } else {
        Err(ApiError::unauthorized())
    };
    Ok(response.unwrap_or_else(|error| respond::error(&error)))
}

/// Whether a request carries the token.
fn authorized<B>(request: &Request<B>, token: &str) -> bool {
    let header = request.headers().get(header::AUTHORIZATION);
    let given = header.and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case("bearer") && same(given.trim().as_bytes(), token.as_bytes())
    })
}

/// Compares without telling by the time it takes where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let request = |value: &str| {
            Request::builder()
                .header(header::AUTHORIZATION, value)
                .body(())
                .unwrap()
        };
        assert!(authorized(&request("Bearer secret"), "secret"));
        assert!(authorized(&request("bearer secret"), "secret"));
        for wrong in [
            "Bearer secre",
            "Bearer secrets",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert!(!authorized(&request(wrong), "secret"), "{wrong}");
        }
        assert!(!authorized(&Request::new(()), "secret"));
    }
}

//! The listener: connections, TLS, the token, and an orderly end.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Connections, Line};
use super::limits::Limits;
use super::refusals::Refusals;
use super::respond::{self, Body};
use super::route::Api;
use super::tls::Identity;
use super::transport::WriteDeadline;
use crate::lab::access::Users;
use crate::lab::node::Node;
use crate::lab::store::Store;

/// More connections than this make one that is idle go, or wait.
const CONNECTIONS: usize = 2048;
/// How long a connection that makes room may take to end what it is sending.
const LEAVING: Duration = Duration::from_secs(1);
/// The longest head of a request: a command to be executed is part of it.
const HEAD: usize = 256 * 1024;
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
    /// The port that was asked for.
    pub port: u16,
    /// Why it cannot be had.
    pub source: std::io::Error,
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
        users: Users,
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
            users,
            limits: Limits::default(),
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
    let connections = Connections::new(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let line = tokio::select! {
                    line = connections.enter() => line,
                    () = stop.cancelled() => return,
                };
                tasks.spawn(connection(socket, line, acceptor.clone(), Arc::clone(&api)));
            }
            Err(error) => {
                // Out of file descriptors, most likely; others may be closed soon.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, line: Arc<Line>, acceptor: TlsAcceptor, api: Arc<Api>) {
    let _ = socket.set_nodelay(true);
    // The line lasts as long as the socket, also when that outlives its requests.
    let socket = WriteDeadline::new(socket, UNREAD, Arc::clone(&line));
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)) => greeted,
        () = line.unwanted() => return,
    };
    let Ok(Ok(socket)) = greeted else {
        return;
    };
    let socket = Refusals::new(socket, HEAD);
    let stop = api.stop.clone();
    let of_line = Arc::clone(&line);
    let service =
        service_fn(move |request| answer(Arc::clone(&api), Arc::clone(&of_line), request));
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = line.unwanted() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LEAVING, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(
    api: Arc<Api>,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = line.begin();
    let response = api.route(request, &line).await;
    let response = response.unwrap_or_else(|error| respond::error(&error));
    Ok(respond::holding(response, busy))
}

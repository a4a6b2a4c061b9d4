//! A web server that says which pod answers.

use std::convert::Infallible;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Listen;

/// Serves until it is killed. Before `ready` every path answers *503*; then
/// `when_ready` is called, once.
pub(super) fn serve(listen: Listen, ready: Instant, when_ready: impl FnOnce()) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((listen.address, listen.port)).await?;
        super::say(&format!("listening on port {}", listen.port))?;
        tokio::join!(accept(&listener, ready), async {
            tokio::time::sleep_until(ready.into()).await;
            when_ready();
            // The line is for a person; without a log it goes nowhere.
            let _ = super::say("ready");
        });
        Ok(0)
    })
}

async fn accept(listener: &TcpListener, ready: Instant) {
    loop {
        // A connection that failed before it began is its client's trouble.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(async move {
            let service = service_fn(|request| async move {
                Ok::<_, Infallible>(answer(&request, Instant::now() >= ready))
            });
            // Likewise for one that breaks.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, ready: bool) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        _ if !ready => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
        "/healthz" | "/readyz" => (StatusCode::OK, "ok\n".to_owned()),
        "/" => (StatusCode::OK, format!("{}\n", name())),
        path => (StatusCode::NOT_FOUND, format!("nothing at {path}\n")),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// The pod's name: its host name.
fn name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

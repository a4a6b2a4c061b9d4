//! A relay between the program and the lab's Azure: HTTPS by an authority of its own,
//! everything recorded, and a trap that kills the program at a request of its own.
#![allow(dead_code, reason = "a bench uses what it needs")]

use std::{
    convert::Infallible,
    io::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came, and what was answered.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: String,
    pub status: u16,
    pub reply: String,
    /// Where the answer sends whoever asked.
    pub leads_to: String,
    /// When the service was asked, and when it had answered.
    pub began: Instant,
    pub ended: Instant,
}

impl Seen {
    /// Whether the answer names an address with this path.
    pub fn names(&self, path: &str) -> bool {
        let address = |text: &str| {
            text.split(['"', ' '])
                .filter_map(|word| word.strip_prefix("https://"))
                .filter_map(|word| word.find('/').map(|at| &word[at..]))
                .any(|found| found.split('?').next() == Some(path))
        };
        address(&self.leads_to) || address(&self.reply)
    }
}

/// When the sender of a request dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request has arrived here, and goes no further.
    Arrived,
    /// The service has done it, and the sender never hears.
    Answered,
}

/// Kills `victim` at its `at`-th request, the first being 1.
#[derive(Debug)]
struct Trap {
    at: usize,
    moment: Moment,
    victim: Option<Pid>,
    came: usize,
}

#[derive(Debug)]
struct Inside {
    own: String,
    service: String,
    client: reqwest::Client,
    seen: Mutex<Vec<Seen>>,
    trap: Mutex<Option<Trap>>,
}

/// The relay.
#[derive(Debug)]
pub struct Between {
    /// Its address.
    pub base: String,
    /// The authority to trust, a PEM file.
    pub authority: tempfile::NamedTempFile,
    inside: Arc<Inside>,
}

impl Between {
    /// Relays to the service at `service`, whose authority is `trusted`.
    pub async fn start(service: &str, trusted: &[u8]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (acceptor, authority) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let trusted = reqwest::Certificate::from_pem_bundle(trusted).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only(trusted)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let inside = Arc::new(Inside {
            own: base.clone(),
            service: service.to_owned(),
            client: client.build().unwrap(),
            seen: Mutex::default(),
            trap: Mutex::default(),
        });
        tokio::spawn(serve(listener, acceptor, inside.clone()));
        Self {
            base,
            authority,
            inside,
        }
    }

    /// What came, in its order.
    pub fn seen(&self) -> Vec<Seen> {
        self.inside.seen.lock().unwrap().clone()
    }

    /// How many came.
    pub fn count(&self) -> usize {
        self.inside.seen.lock().unwrap().len()
    }

    /// Forgets what came.
    pub fn forget(&self) {
        self.inside.seen.lock().unwrap().clear();
    }

    /// Sets the trap for whoever sends the `at`-th request from now on.
    pub fn set_trap(&self, at: usize, moment: Moment) {
        *self.inside.trap.lock().unwrap() = Some(Trap {
            at,
            moment,
            victim: None,
            came: 0,
        });
    }

    /// Says who is sending.
    pub fn name_victim(&self, victim: Pid) {
        if let Some(trap) = self.inside.trap.lock().unwrap().as_mut() {
            trap.victim = Some(victim);
        }
    }

    /// Takes the trap away.
    pub fn clear_trap(&self) {
        *self.inside.trap.lock().unwrap() = None;
    }
}

impl Inside {
    /// Counts a request. Says when its sender is to die, if it is this one.
    fn count(&self) -> Option<Moment> {
        let mut trap = self.trap.lock().unwrap();
        let trap = trap.as_mut()?;
        trap.came += 1;
        (trap.came == trap.at).then_some(trap.moment)
    }

    /// Kills the sender, as soon as it is known who that is.
    async fn kill(&self) {
        loop {
            let victim = match self.trap.lock().unwrap().as_ref() {
                Some(trap) => trap.victim,
                None => return,
            };
            if let Some(victim) = victim {
                let _ = kill_process(victim, Signal::KILL);
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Killed> {
        let deadly = self.count();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Killed)?.to_bytes();
        if deadly == Some(Moment::Arrived) {
            self.kill().await;
            return Err(Killed);
        }
        let mut seen = Seen {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            status: 0,
            reply: String::new(),
            leads_to: String::new(),
            began: Instant::now(),
            ended: Instant::now(),
        };
        let at = format!("{}{}", self.service, parts.uri);
        let mut headers = parts.headers;
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        let sent = self.client.request(parts.method, at).headers(headers);
        let answer = sent.body(body).send().await.map_err(|_| Killed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.map_err(|_| Killed)?;
        seen.status = status.as_u16();
        seen.ended = Instant::now();
        seen.reply = String::from_utf8_lossy(&bytes).into_owned();
        let leads = ["location", "azure-asyncoperation"].map(|name| {
            let at = headers.get(name).and_then(|it| it.to_str().ok());
            at.unwrap_or_default()
        });
        seen.leads_to = leads.join(" ");
        self.seen.lock().unwrap().push(seen);
        if deadly == Some(Moment::Answered) {
            self.kill().await;
            return Err(Killed);
        }
        Ok(self.pass_on(status, &headers, &bytes))
    }

    /// The answer with our address where the service's stands: a client sends its
    /// token nowhere else.
    fn pass_on(
        &self,
        status: http::StatusCode,
        headers: &HeaderMap,
        bytes: &Bytes,
    ) -> Response<Full<Bytes>> {
        let body = match std::str::from_utf8(bytes) {
            Ok(text) => text.replace(&self.service, &self.own).into(),
            Err(_) => bytes.clone(),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        for (name, value) in headers {
            if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
                continue;
            }
            let value = value.to_str().unwrap().replace(&self.service, &self.own);
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    }
}

/// The sender is dead, or its connection is: nobody is answered.
#[derive(Debug)]
struct Killed;

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody is answered")
    }
}

impl std::error::Error for Killed {}

impl From<Infallible> for Killed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn tls() -> (TlsAcceptor, tempfile::NamedTempFile) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let key = made.signing_key.serialize_der();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, inside: Arc<Inside>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, inside) = (acceptor.clone(), inside.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request| {
                let inside = inside.clone();
                async move { inside.answer(request).await }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

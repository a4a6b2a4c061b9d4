//! A resource manager of a test's own: HTTPS by an authority of its own, answers by
//! a function of the test's, every request recorded.

use std::{
    convert::Infallible,
    io::Write as _,
    sync::{Arc, Mutex, Once},
};

use aks_tui::{
    adapters::azure::{Client, Cloud, Notice, credential},
    core::azure::settings::{Azure, CloudName, SignIn},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
pub const CLIENT: &str = "22222222-2222-2222-2222-222222222222";
pub const SUBSCRIPTION: &str = "33333333-3333-3333-3333-333333333333";
pub const SECRET: &str = "a-secret-that-must-not-be-seen";

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: String,
    pub body: String,
}

/// An answer to give.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_string(),
        }
    }

    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Handler = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// The server. `answer` gets each request and how often its method and path came
/// before.
pub struct Fake {
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    ca: tempfile::NamedTempFile,
    notices: Arc<Mutex<Vec<Notice>>>,
}

fn provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap();
    });
}

impl Fake {
    pub async fn start(answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        provider();
        let (acceptor, ca) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Handler> = Arc::new(answer);
        tokio::spawn(serve(listener, acceptor, seen.clone(), answer));
        Self {
            base: format!("https://{address}"),
            seen,
            ca,
            notices: Arc::default(),
        }
    }

    pub fn settings(&self) -> Azure {
        let mut azure = Azure {
            subscription: SUBSCRIPTION.to_owned(),
            tenant: TENANT.to_owned(),
            cloud: CloudName::Custom,
            sign_in: SignIn::ServicePrincipal,
            resource_group: "xyz-group".to_owned(),
            ..Azure::default()
        };
        azure.custom.resource_manager.clone_from(&self.base);
        azure.custom.authority.clone_from(&self.base);
        azure.custom.certificate_authority = self.ca.path().display().to_string();
        azure
    }

    pub async fn client(&self) -> Client {
        let settings = self.settings();
        let cloud = Cloud::of(&settings).unwrap();
        let env = |name: &str| match name {
            "AZURE_CLIENT_ID" => Some(CLIENT.to_owned()),
            "AZURE_CLIENT_SECRET" => Some(SECRET.to_owned()),
            _ => None,
        };
        let identity = credential::sign_in(&settings, &cloud, &env).await.unwrap();
        let heard = self.notices.clone();
        Client::new(
            cloud,
            identity,
            Arc::new(move |notice| heard.lock().unwrap().push(notice)),
        )
    }

    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    /// The requests that were no sign-in.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| !seen.path.ends_with("/token"))
            .cloned()
            .collect()
    }

    pub fn sign_ins(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.path.ends_with("/token"))
            .cloned()
            .collect()
    }
}

fn tls() -> (TlsAcceptor, tempfile::NamedTempFile) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(ca.pem().as_bytes()).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Handler>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, seen, answer) = (acceptor.clone(), seen.clone(), answer.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request| {
                let (seen, answer) = (seen.clone(), answer.clone());
                async move { Ok::<_, Infallible>(respond(request, &seen, &*answer).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    answer: &Handler,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let now = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: parts
            .headers
            .get("authorization")
            .map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        let before = seen
            .iter()
            .filter(|old| old.method == now.method && old.path == now.path)
            .count();
        seen.push(now.clone());
        before
    };
    let reply = if now.path.ends_with("/oauth2/v2.0/token") && now.method == "POST" {
        let token = json!({"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": format!("token-{before}")});
        Reply::json(200, &token)
    } else {
        answer(&now, before)
    };
    let mut response = Response::builder()
        .status(reply.status)
        .header("content-type", "application/json");
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response.body(Full::new(Bytes::from(reply.body))).unwrap()
}

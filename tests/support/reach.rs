//! A lab reached without a library: bytes over TLS.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config::Kubeconfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::Lab;

/// A lab and the ways to reach it as somebody who does not use a library.
pub struct Reach {
    /// Where it listens.
    pub address: String,
    connector: TlsConnector,
    tokens: Vec<String>,
}

impl Reach {
    /// As the kubeconfig of a lab says.
    pub fn new(lab: &Lab) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).unwrap();
        let cluster = kubeconfig.clusters[0].cluster.clone().unwrap();
        let data = cluster.certificate_authority_data.unwrap();
        let authority = BASE64_STANDARD.decode(data).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&authority).unwrap())
            .unwrap();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let text = std::fs::read_to_string(lab.kubeconfig()).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("token: "));
        Self {
            address: cluster.server.unwrap().replace("https://", ""),
            connector: TlsConnector::from(Arc::new(config)),
            tokens: lines.map(str::to_owned).collect(),
        }
    }

    /// A connection that nothing has been asked on yet.
    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.connector.connect(name, socket).await
    }

    /// One user more, by a token; gives the number.
    pub fn admit(&mut self, token: String) -> usize {
        self.tokens.push(token);
        self.tokens.len() - 1
    }

    /// A whole head of a user's request.
    pub fn request(&self, user: usize, head: &str) -> String {
        let token = &self.tokens[user];
        format!("{head}\r\nhost: lab\r\nauthorization: Bearer {token}\r\n\r\n")
    }

    /// Sends a head and what follows it; the answer as far as it has come.
    pub async fn ask(
        &self,
        user: usize,
        head: &str,
        body: &[u8],
    ) -> std::io::Result<(TlsStream<TcpStream>, String)> {
        let mut stream = self.connect().await?;
        stream
            .write_all(self.request(user, head).as_bytes())
            .await?;
        // Who is refused is not read to the end.
        let _ = stream.write_all(body).await;
        // Without it a part may stay where it is until the next write.
        stream.flush().await?;
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await?;
        answer.truncate(length);
        Ok((stream, String::from_utf8_lossy(&answer).into_owned()))
    }
}

/// The order of users in the kubeconfig.
pub const ADMIN: usize = 0;
/// The one who may only look.
pub const VIEW: usize = 1;

/// Lets this process, and the labs that it starts, have many files open.
pub fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

//! References: a TLS server that does nothing but send bytes, and a process
//! without any cluster around it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use color_eyre::eyre::{Result, eyre};
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves these bytes to every request, and a client that asks it.
pub async fn server(bytes: Bytes) -> Result<Client> {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der());
    let key = key.map_err(|error| eyre!("{error}"))?;
    let certificate = signed.cert.der().clone();
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, acceptor, bytes));
    trusting(address, certificate.to_vec())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, bytes: Bytes) {
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, bytes) = (acceptor.clone(), bytes.clone());
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            let Ok(socket) = acceptor.accept(socket).await else {
                return;
            };
            let service = service_fn(|_| {
                let bytes = bytes.clone();
                async move { Ok::<_, Infallible>(Response::new(Full::new(bytes))) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

fn trusting(address: SocketAddr, certificate: Vec<u8>) -> Result<Client> {
    let mut config = Config::new(format!("https://{address}").parse()?);
    config.root_cert = Some(vec![certificate]);
    config.proxy_url = None;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// How long a shell takes from its start to its first word.
pub fn starts(times: usize) -> Result<Vec<Duration>> {
    let once = || {
        let began = Instant::now();
        let said = Command::new("sh")
            .args(["-c", "echo ready"])
            .stdin(Stdio::null())
            .output()?;
        if said.stdout != b"ready\n" {
            return Err(eyre!("the shell did not say what it was told"));
        }
        Ok(began.elapsed())
    };
    (0..times).map(|_| once()).collect()
}

//! The lab's certificates: an authority of its own and one for a server, made
//! by the lab. A client trusts them through the authority's certificate, which
//! stands in the kubeconfig or wherever else it is told.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::lab::network::{API, EDGE};

/// What a server needs to speak TLS and a client to trust it.
#[derive(Clone)]
pub struct Identity {
    /// For the listener.
    pub server: Arc<ServerConfig>,
    /// The authority's certificate, PEM.
    pub authority: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why no identity could be made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate could not be made.
    #[error("cannot make the lab's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate could not be used.
    #[error("cannot use the lab's certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// What was kept of an earlier certificate is none.
    #[error("cannot read the lab's certificate: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
}

/// An identity in a form that can be kept, all PEM. Whoever has it can pretend
/// to be the server; the authority's key is thrown away when it is made.
#[derive(Clone, Serialize, Deserialize)]
pub struct Papers {
    /// The authority's certificate.
    pub authority: String,
    certificate: String,
    key: String,
}

impl std::fmt::Debug for Papers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Papers").finish_non_exhaustive()
    }
}

impl Papers {
    /// Makes an authority, and a certificate for a server of these names and
    /// addresses. `whose` is in the names of both.
    ///
    /// # Errors
    /// When the system has no randomness to give, in practice.
    pub fn generate(whose: &str, names: Vec<String>) -> Result<Self, IdentityError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{whose} authority"));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let mut params = CertificateParams::new(names)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, whose);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok(Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The names of a server on the loopback address.
pub fn loopback_names() -> Vec<String> {
    ["127.0.0.1", "localhost"].map(str::to_owned).to_vec()
}

/// The names of an API server, as this machine and as pods know it.
pub fn api_names() -> Vec<String> {
    let mut names = loopback_names();
    let service = "kubernetes.default.svc.cluster.local";
    let parts = service.match_indices('.').map(|(end, _)| &service[..end]);
    let names_of_service = parts.filter(|name| !name.ends_with("cluster"));
    names.extend(names_of_service.map(str::to_owned));
    names.extend([service.to_owned(), API.to_string(), EDGE.to_string()]);
    names
}

impl Identity {
    /// Makes an authority and a certificate for the lab's API server.
    ///
    /// # Errors
    /// When the system has no randomness to give, in practice.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::of(&Papers::generate("aks-tui lab", api_names())?)
    }

    /// The identity that these papers are.
    ///
    /// # Errors
    /// [`IdentityError::Pem`] and [`IdentityError::Tls`] for damaged papers.
    pub fn of(papers: &Papers) -> Result<Self, IdentityError> {
        let certificate = CertificateDer::from_pem_slice(papers.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(papers.key.as_bytes())?;
        let provider = Arc::new(ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            authority: papers.authority.clone(),
        })
    }
}

//! The lab's certificates: an authority of its own and one for the server,
//! both made at each start and kept in memory only. A client trusts them
//! through the authority's certificate in the kubeconfig.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
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
}

impl Identity {
    /// Makes an authority and a server certificate for the loopback address.
    ///
    /// # Errors
    /// When the system has no randomness to give, in practice.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "aks-tui lab authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let mut names = ["127.0.0.1", "localhost"].map(str::to_owned).to_vec();
        // As pods know it.
        let service = "kubernetes.default.svc.cluster.local";
        let parts = service.match_indices('.').map(|(end, _)| &service[..end]);
        let names_of_service = parts.filter(|name| !name.ends_with("cluster"));
        names.extend(names_of_service.map(str::to_owned));
        names.extend([service.to_owned(), API.to_string(), EDGE.to_string()]);
        let mut params = CertificateParams::new(names)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
            .distinguished_name
            .push(DnType::CommonName, "aks-tui lab");
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            authority: authority.pem(),
        })
    }
}

//! A service principal's certificate: the signed statement by which it signs in.
//!
//! RFC 7515 and 7519 as Entra reads them: RS256, with the certificate's SHA-256
//! thumbprint in the header. PEM only, because that needs no OpenSSL.

use std::{
    fmt, fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use azure_core::{error::ErrorKind, http::ClientMethodOptions};
use azure_identity::ClientAssertion;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;

/// How long a statement holds, seconds.
const LIFETIME: u64 = 600;

/// A certificate and its key, and for whom it speaks.
pub struct Certificate {
    client: String,
    audience: String,
    thumbprint: String,
    key: RsaKeyPair,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the PEM file at `path`. `token_endpoint` is whom the statements are for.
    pub fn read(path: &Path, client: &str, token_endpoint: String) -> Result<Self, String> {
        let file = path.display();
        let pem = fs::read(path).map_err(|error| format!("{file} cannot be read: {error}"))?;
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| {
            format!(
                "{file} holds no certificate in PEM; of a PKCS#12 file `openssl pkcs12 -nodes -in {file}` makes one"
            )
        })?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| format!("{file} holds no unencrypted private key in PEM"))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => {
                return Err(format!(
                    "the key in {file} is not RSA: Entra takes RSA only"
                ));
            }
        }
        .map_err(|error| format!("the key in {file} cannot be used: {error}"))?;
        Ok(Self {
            client: client.to_owned(),
            audience: token_endpoint,
            thumbprint: URL_SAFE_NO_PAD
                .encode(digest::digest(&digest::SHA256, certificate.as_ref())),
            key,
        })
    }

    fn statement(&self, now: u64) -> Result<String, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id)?;
        let header = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": self.audience,
            "iss": self.client,
            "sub": self.client,
            "jti": URL_SAFE_NO_PAD.encode(id),
            "nbf": now,
            "exp": now + LIFETIME,
        });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[async_trait::async_trait]
impl ClientAssertion for Certificate {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.statement(now).map_err(|_| {
            azure_core::Error::with_message(
                ErrorKind::Credential,
                "the certificate's key did not sign",
            )
        })
    }
}

use std::io::Write as _;

use aks_tui::{
    adapters::azure::{Cloud, credential::sign_in},
    core::azure::settings::SignIn,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::fake::{CLIENT, Fake, Reply, SECRET, TENANT};

#[tokio::test]
async fn a_service_principal_signs_in_by_secret() {
    let fake = Fake::start(|_, _| Reply::empty(404)).await;
    let client = fake.client().await;
    assert_eq!(
        client.identity().how,
        format!("service principal {CLIENT} by secret")
    );
    let asked = &fake.sign_ins()[0];
    assert!(asked.path.starts_with(&format!("/{TENANT}/")));
    assert!(asked.body.contains("grant_type=client_credentials") && asked.body.contains(SECRET));
    assert!(!format!("{client:?} {:?}", client.identity()).contains(SECRET));
}

#[tokio::test]
async fn a_service_principal_signs_in_by_certificate() {
    let fake = Fake::start(|_, _| Reply::empty(404)).await;
    let settings = fake.settings();
    let cloud = Cloud::of(&settings).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(include_bytes!("certificate.pem")).unwrap();
    let path = file.path().display().to_string();
    let env = move |name: &str| match name {
        "AZURE_CLIENT_ID" => Some(CLIENT.to_owned()),
        "AZURE_CLIENT_CERTIFICATE_PATH" => Some(path.clone()),
        _ => None,
    };
    let identity = sign_in(&settings, &cloud, &env).await.unwrap();
    assert!(identity.how.ends_with("by certificate"));
    let body = &fake.sign_ins()[0].body;
    let assertion = form(body, "client_assertion");
    let parts: Vec<&str> = assertion.split('.').collect();
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(read(parts[0])["alg"], "RS256");
    assert_eq!(read(parts[1])["sub"], CLIENT);
    assert_eq!(
        read(parts[1])["aud"],
        format!("{}/{TENANT}/oauth2/v2.0/token", fake.base)
    );
    // The signature is the certificate's.
    let public = public_key(include_bytes!("certificate.pem"));
    let key = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        public,
    );
    let signed = format!("{}.{}", parts[0], parts[1]);
    key.verify(
        signed.as_bytes(),
        &URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
    )
    .unwrap();
}

#[tokio::test]
async fn a_sign_in_that_fails_says_what_to_run() {
    let fake = Fake::start(|_, _| Reply::empty(404)).await;
    let mut settings = fake.settings();
    let cloud = Cloud::of(&settings).unwrap();
    let failure = sign_in(&settings, &cloud, &|_| None).await.unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("set AZURE_TENANT_ID, AZURE_CLIENT_ID and"),
        "{failure}"
    );
    settings.sign_in = SignIn::ServicePrincipal;
    let env = |name: &str| match name {
        "AZURE_CLIENT_ID" => Some(CLIENT.to_owned()),
        "AZURE_CLIENT_CERTIFICATE_PATH" => Some("/nowhere.pem".to_owned()),
        _ => None,
    };
    let failure = sign_in(&settings, &cloud, &env).await.unwrap_err();
    assert!(
        failure.to_string().contains("/nowhere.pem cannot be read"),
        "{failure}"
    );
}

fn form(body: &str, name: &str) -> String {
    form_urlencoded::parse(body.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .unwrap()
}

/// The public half of the key in `pem`, as PKCS#1.
fn public_key(pem: &[u8]) -> Vec<u8> {
    use ring::signature::KeyPair as _;
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    let PrivateKeyDer::Pkcs8(key) = &key else {
        panic!("PKCS#8 is what was made")
    };
    let key = ring::signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    key.public_key().as_ref().to_vec()
}

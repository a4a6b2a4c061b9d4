//! A client of the lab's Azure that shows every answer as it is.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, Request};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::support::{Lab, PATIENCE};

/// The newest version that the simulator serves of what the tests use.
pub const RESOURCES: &str = "2025-04-01";

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    /// The code of an error.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Itself, if it has one of these statuses.
    pub fn expect(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.status), "{self:?}");
        self
    }
}

/// The lab's Azure.
pub struct Azure {
    client: Client,
    /// What `azure.json` says.
    pub about: Value,
    /// The token it is asked with.
    pub token: String,
}

impl Azure {
    /// Signs in to a lab's.
    pub async fn of(lab: &Lab) -> Self {
        let mut azure = Self::stranger(lab);
        let (id, secret) = (azure.text("client_id"), azure.text("client_secret"));
        let reply = azure.sign_in(&id, &secret).await.expect(&[200]);
        azure.token = String::from(reply.body["access_token"].as_str().unwrap());
        azure
    }

    /// Knows where it is, and has no token.
    pub fn stranger(lab: &Lab) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let about = std::fs::read(lab.state.join("azure.json")).unwrap();
        let about: Value = serde_json::from_slice(&about).unwrap();
        let text = |field: &str| about[field].as_str().unwrap();
        let pem = std::fs::read_to_string(text("certificate_authority")).unwrap();
        let der: String = pem.lines().filter(|it| !it.starts_with("-----")).collect();
        let mut config = Config::new(text("resource_manager").parse().unwrap());
        config.root_cert = Some(vec![BASE64_STANDARD.decode(der).unwrap()]);
        config.default_retry = false;
        config.proxy_url = None;
        Self {
            client: Client::try_from(config).unwrap(),
            about,
            token: String::new(),
        }
    }

    /// A field of `azure.json`.
    pub fn text(&self, field: &str) -> String {
        self.about[field].as_str().unwrap().to_owned()
    }

    /// Asks for a token for Azure Resource Manager.
    pub async fn sign_in(&self, client: &str, secret: &str) -> Reply {
        let audience = self.text("resource_manager");
        self.ask_for_token(client, secret, &audience).await
    }

    /// A token for something else.
    pub async fn sign_in_for(&self, audience: &str) -> String {
        let (client, secret) = (self.text("client_id"), self.text("client_secret"));
        let reply = self.ask_for_token(&client, &secret, audience).await;
        String::from(reply.expect(&[200]).body["access_token"].as_str().unwrap())
    }

    async fn ask_for_token(&self, client: &str, secret: &str, audience: &str) -> Reply {
        let scope = format!("{audience}/.default");
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client)
            .append_pair("client_secret", secret)
            .append_pair("scope", &scope)
            .finish();
        let path = format!("/{}/oauth2/v2.0/token", self.text("tenant"));
        self.send("POST", &path, form.into_bytes()).await
    }

    /// Sends a request to a path or to an address that it was given.
    pub async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Reply {
        self.send_with(method, path, body, &[]).await
    }

    /// The same with more headers.
    pub async fn send_with(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let base = self.text("resource_manager");
        let path = path.strip_prefix(&base).unwrap_or(path);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let request = request.body(kube::client::Body::from(body)).unwrap();
        let response = self.client.send(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(json!(text)),
        }
    }

    /// Sends a document, or nothing if it is null.
    pub async fn call(&self, method: &str, path: &str, version: &str, body: &Value) -> Reply {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}api-version={version}");
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.send(method, &path, body).await
    }

    /// Reads.
    pub async fn get(&self, path: &str, version: &str) -> Reply {
        self.call("GET", path, version, &Value::Null).await
    }

    /// The id of a resource group.
    pub fn group(&self, name: &str) -> String {
        let subscription = self.text("subscription");
        format!("/subscriptions/{subscription}/resourceGroups/{name}")
    }

    /// Makes a resource group, and gives its id.
    pub async fn make_group(&self, name: &str) -> String {
        let group = self.group(name);
        let body = json!({"location": "eastus", "tags": {"owner": "test"}});
        let reply = self.call("PUT", &group, RESOURCES, &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        group
    }

    /// Follows what an answer began to its end, by the header that it has.
    pub async fn follow(&self, reply: &Reply) -> Reply {
        let status = reply.header("azure-asyncoperation");
        let location = reply.header("location");
        let following = async {
            loop {
                if status.is_empty() {
                    assert!(!location.is_empty(), "nothing to follow: {reply:?}");
                    let now = self.send("GET", location, Vec::new()).await;
                    if now.status != 202 {
                        return now;
                    }
                } else {
                    let now = self.send("GET", status, Vec::new()).await;
                    assert_eq!(now.status, 200, "{now:?}");
                    if ["Succeeded", "Failed", "Canceled"]
                        .iter()
                        .any(|it| now.body["status"] == *it)
                    {
                        return now;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, following)
            .await
            .expect("it ends")
    }
}

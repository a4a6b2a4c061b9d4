//! Ways to talk to a lab.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses what it needs"
)]

use http::{Method, Request, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::support::Lab;

pub use crate::support::{eventually_so as eventually, within};

/// The configuration that a lab wrote.
pub async fn config(lab: &Lab) -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    config.proxy_url = None;
    config
}

/// A client of a lab.
pub async fn connect(lab: &Lab) -> Client {
    Client::try_from(config(lab).await).unwrap()
}

/// A request as it is, and the answer as it is.
pub async fn raw(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: impl Into<Vec<u8>>,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(kube::client::Body::from(body.into()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect_bytes().await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

/// A JSON document from the server.
pub async fn get(client: &Client, path: &str) -> (StatusCode, Value) {
    raw(client, Method::GET, path, "application/json", "").await
}

/// A pod of one shell command.
pub fn shell(name: &str, command: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "aks-tui/shell", "command": ["sh", "-c", command],
            }],
        },
    }))
    .unwrap()
}

/// Creates a pod and waits until it holds.
pub async fn run(pods: &Api<Pod>, pod: &Pod, holds: impl Fn(&Pod) -> bool) -> Pod {
    let name = pod.metadata.name.clone().unwrap();
    pods.create(&PostParams::default(), pod).await.unwrap();
    until(pods, &name, holds).await
}

/// Waits until a pod holds.
pub async fn until(pods: &Api<Pod>, name: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
    let condition = |pod: Option<&Pod>| pod.is_some_and(&holds);
    let waiting = kube::runtime::wait::await_condition(pods.clone(), name, condition);
    within(name, waiting).await.unwrap().unwrap()
}

/// Whether all of a pod's containers run.
pub fn is_running(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|it| it.container_statuses.as_ref());
    statuses.is_some_and(|all| all.iter().all(|it| it.ready))
}

/// The phase of a pod.
pub fn phase(pod: &Pod) -> &str {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    phase.unwrap_or_default()
}

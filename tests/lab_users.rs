//! The lab's own users: who may do everything, who may look, who may nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "support/lab.rs"]
mod support;

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use support::Lab;

async fn config(lab: &Lab, context: Option<&str>) -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).unwrap();
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.unwrap();
    config.default_retry = false;
    config.proxy_url = None;
    config
}

async fn client(lab: &Lab, context: &str) -> Client {
    Client::try_from(config(lab, Some(context)).await).unwrap()
}

async fn name(client: &Client) -> String {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let (params, question) = (PostParams::default(), SelfSubjectReview::default());
    let review = reviews.create(&params, &question).await.unwrap();
    let status = review.status.unwrap();
    status.user_info.unwrap().username.unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_context_is_another_user() {
    let lab = Lab::start(&["--empty"]);
    let admin = Client::try_from(config(&lab, None).await).unwrap();
    let view = client(&lab, "lab-view").await;
    let none = client(&lab, "lab-none").await;
    assert_eq!(name(&admin).await, "aks-tui-lab");
    assert_eq!(name(&view).await, "lab-view");
    assert_eq!(name(&none).await, "lab-none");

    let params = ListParams::default();
    Api::<Node>::all(view.clone()).list(&params).await.unwrap();
    Api::<Pod>::all(view.clone()).list(&params).await.unwrap();
    assert_eq!(
        code(Api::<Secret>::all(view.clone()).list(&params).await),
        403
    );
    let maps: Api<ConfigMap> = Api::default_namespaced(view.clone());
    let map = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    assert_eq!(code(maps.create(&PostParams::default(), &map).await), 403);
    let gone = maps.delete("a", &DeleteParams::default()).await;
    assert_eq!(code(gone), 403, "what is not there is not told");

    none.apiserver_version().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(none);
    let error = pods.list(&params).await.unwrap_err().to_string();
    let words = "pods is forbidden: User \"lab-none\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert!(error.contains(words), "{error}");
}

#[tokio::test]
async fn a_token_of_a_service_account_opens_as_long_as_there_is_the_account() {
    let lab = Lab::start(&["--empty"]);
    let admin = client(&lab, "aks-tui-lab").await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    let account = serde_json::from_value(json!({"metadata": {"name": "bot"}})).unwrap();
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let (params, request) = (PostParams::default(), TokenRequest::default());
    let given = accounts
        .create_token_request("bot", &params, &request)
        .await;
    let token = given.unwrap().status.unwrap().token;

    let mut config = config(&lab, None).await;
    config.auth_info.token = Some(token.into());
    let bot = Client::try_from(config).unwrap();
    assert_eq!(name(&bot).await, "system:serviceaccount:default:bot");
    let pods: Api<Pod> = Api::default_namespaced(bot.clone());
    assert_eq!(code(pods.list(&ListParams::default()).await), 403);
    accounts
        .delete("bot", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(code(pods.list(&ListParams::default()).await), 401);
}

//! Objects: who may, what is refused, and what is kept.

use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::discovery::{Discovery, verbs};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::client::{config, connect, eventually, get, raw, shell};
use crate::support::Lab;

const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let lab = Lab::start(&["--empty"]);
    for token in [None, Some("wrong")] {
        let mut config = config(&lab).await;
        config.auth_info.token = token.map(|token| token.to_owned().into());
        let client = Client::try_from(config).unwrap();
        for path in ["/version", PODS, "/nowhere"] {
            let (code, status) = get(&client, path).await;
            assert_eq!(code, 401, "{path}");
            assert_eq!(status["reason"], "Unauthorized");
            assert_eq!(status["kind"], "Status");
        }
    }
}

#[tokio::test]
async fn discovery_names_what_is_served() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    assert_eq!(client.apiserver_version().await.unwrap().minor, "33");
    for discovery in [
        Discovery::new(client.clone()).run().await.unwrap(),
        Discovery::new(client.clone())
            .run_aggregated()
            .await
            .unwrap(),
    ] {
        let mut found = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                // What is measured is nobody's to make.
                let makes = resource.group != "metrics.k8s.io";
                assert_eq!(capabilities.supports_operation(verbs::CREATE), makes);
                found.push(format!("{}/{}", resource.api_version, resource.plural));
            }
        }
        for expected in ["v1/pods", "v1/nodes", "v1/events", "apps/v1/deployments"] {
            assert!(
                found.iter().any(|it| it == expected),
                "{expected} in {found:?}"
            );
        }
    }
}

/// Sends a request and expects a certain refusal.
async fn refused(client: &Client, request: &str, content_type: &str, body: &str, refusal: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let (code, status) = raw(client, method, path, content_type, body).await;
    let reason = status["reason"].as_str().unwrap_or_default();
    assert_eq!(
        format!("{} {reason}", code.as_u16()),
        refusal,
        "{request}: {status}"
    );
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["code"], code.as_u16());
}

#[tokio::test]
async fn what_is_not_there_is_said_in_a_status() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    for (request, refusal) in [
        ("GET /apis/apps/v1/daemonsets", "404 NotFound"),
        ("GET /api/v1/namespaces/default/pods/x", "404 NotFound"),
        (
            "GET /api/v1/namespaces/default/pods/x/portforward",
            "404 NotFound",
        ),
        (
            "GET /apis/apps/v1/namespaces/default/deployments/x/scale",
            "404 NotFound",
        ),
        ("DELETE /api/v1/pods", "405 MethodNotAllowed"),
        ("DELETE /api/v1/namespaces", "405 MethodNotAllowed"),
        ("POST /api/v1/pods", "405 MethodNotAllowed"),
        ("POST /version", "405 MethodNotAllowed"),
        ("DELETE /api/v1/namespaces/default", "403 Forbidden"),
        ("GET /api/v1/pods?labelSelector=%3D", "400 BadRequest"),
        (
            "GET /api/v1/pods?fieldSelector=spec.x%3Dy",
            "400 BadRequest",
        ),
        ("GET /api/v1/pods?limit=-1", "400 BadRequest"),
        ("GET /api/v1/pods?continue=x", "400 BadRequest"),
        ("GET /api/v1/pods?resourceVersion=x", "400 BadRequest"),
        ("GET /api/v1/pods?resourceVersion=999999", "504 Timeout"),
    ] {
        let body = if request.starts_with("POST") {
            "{}"
        } else {
            ""
        };
        refused(&client, request, JSON, body, refusal).await;
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_is_refused_with_the_reason() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let pods = format!("POST {PODS}");
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(3 << 20));
    let empty = json!({"metadata": {"name": "p"}, "spec": {}}).to_string();
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "aks-tui/shell"}]}})
    .to_string();
    for (content_type, body, refusal) in [
        (JSON, "", "400 BadRequest"),
        (JSON, "[1]", "400 BadRequest"),
        (JSON, "{\"kind\": \"Service\"}", "400 BadRequest"),
        (JSON, "{\"apiVersion\": \"apps/v1\"}", "400 BadRequest"),
        (
            JSON,
            "{\"metadata\": {\"namespace\": \"other\"}}",
            "400 BadRequest",
        ),
        (JSON, empty.as_str(), "422 Invalid"),
        (JSON, large.as_str(), "413 RequestEntityTooLarge"),
        ("application/cbor", "x", "415 UnsupportedMediaType"),
        (
            "application/vnd.kubernetes.protobuf",
            "k8s",
            "415 UnsupportedMediaType",
        ),
    ] {
        refused(&client, &pods, content_type, body, refusal).await;
    }
    let nowhere = "POST /api/v1/namespaces/nope/pods";
    refused(&client, nowhere, JSON, &pod, "404 NotFound").await;
    let plain = "PATCH /api/v1/namespaces/default";
    refused(&client, plain, JSON, "{}", "415 UnsupportedMediaType").await;
    let ending = "PATCH /api/v1/namespaces/default?fieldValidation=Strict";
    let unknown = "{\"spec\": {\"colour\": \"red\"}}";
    refused(
        &client,
        ending,
        "application/merge-patch+json",
        unknown,
        "400 BadRequest",
    )
    .await;
}

#[tokio::test]
async fn an_object_that_was_changed_in_between_is_not_overwritten() {
    let lab = Lab::start(&["--empty"]);
    let leases: Api<Lease> = Api::namespaced(connect(&lab).await, "kube-system");
    let new: Lease = serde_json::from_value(json!({
        "metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}))
    .unwrap();
    let first = leases.create(&PostParams::default(), &new).await.unwrap();
    let again = leases
        .create(&PostParams::default(), &new)
        .await
        .unwrap_err();
    assert!(matches!(again, kube::Error::Api(status) if status.reason == "AlreadyExists"));
    let mut mine = first.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    leases
        .replace("l", &PostParams::default(), &mine)
        .await
        .unwrap();
    let stale = leases
        .replace("l", &PostParams::default(), &first)
        .await
        .unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.reason == "Conflict"));
    let blind = leases
        .replace("l", &PostParams::default(), &new)
        .await
        .unwrap_err();
    assert!(matches!(blind, kube::Error::Api(status) if status.reason == "Invalid"));
    let kept = leases.get("l").await.unwrap();
    assert_eq!(kept.spec.unwrap().holder_identity.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_list_in_pages_is_one_picture() {
    let lab = Lab::start(&["--empty"]);
    let namespaces: Api<Namespace> = Api::all(connect(&lab).await);
    for index in 0..6 {
        let new = serde_json::from_value(json!({
            "metadata": {"name": format!("n{index}"), "labels": {"page": "yes"}}}))
        .unwrap();
        namespaces
            .create(&PostParams::default(), &new)
            .await
            .unwrap();
    }
    let params = ListParams::default().labels("page=yes").limit(4);
    let first = namespaces.list(&params).await.unwrap();
    assert_eq!(first.items.len(), 4);
    // What happens between the pages is not in them.
    namespaces
        .delete("n5", &DeleteParams::default())
        .await
        .unwrap();
    let token = first.metadata.continue_.unwrap();
    let second = namespaces
        .list(&params.clone().continue_token(&token))
        .await
        .unwrap();
    let names: Vec<String> = second.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["n4", "n5"]);
    assert_eq!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );
    assert_eq!(second.metadata.continue_, None);
    eventually("n5 is gone", || async {
        namespaces.list(&params).await.unwrap().items.len() == 4
            && namespaces.get_opt("n5").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn selectors_choose() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for (name, labels) in [
        ("a", json!({"tier": "x"})),
        ("b", json!({"tier": "y"})),
        ("c", json!({})),
    ] {
        let new = json!({"metadata": {"name": name, "labels": labels}});
        let new = serde_json::from_value(new).unwrap();
        namespaces
            .create(&PostParams::default(), &new)
            .await
            .unwrap();
    }
    for (params, expected) in [
        (ListParams::default().labels("tier"), vec!["a", "b"]),
        (ListParams::default().labels("tier!=x,tier"), vec!["b"]),
        (
            ListParams::default().labels("tier in (x,y),tier notin (y)"),
            vec!["a"],
        ),
        (ListParams::default().fields("metadata.name=c"), vec!["c"]),
        (
            ListParams::default().fields("status.phase=Terminating"),
            vec![],
        ),
    ] {
        let found = namespaces.list(&params).await.unwrap();
        let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, expected, "{params:?}");
    }
    let nodes: Api<Node> = Api::all(client);
    let node = nodes
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(node.annotations()["lab.aks-tui.dev/run"], lab.run);
    assert_eq!(node.annotations()["lab.aks-tui.dev/backoff"], "kubernetes");
}

#[tokio::test]
async fn patches_and_dry_runs_change_what_they_say() {
    let lab = Lab::start(&["--empty"]);
    let namespaces: Api<Namespace> = Api::all(connect(&lab).await);
    let merge = json!({"metadata": {"labels": {"a": "1"}}});
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let tried = namespaces
        .patch("default", &dry, &Patch::Merge(&merge))
        .await
        .unwrap();
    assert_eq!(tried.labels()["a"], "1");
    let kept = namespaces.get("default").await.unwrap();
    assert!(!kept.labels().contains_key("a"));
    let params = PatchParams::default();
    namespaces
        .patch("default", &params, &Patch::Merge(&merge))
        .await
        .unwrap();
    let strategic = json!({"metadata": {"labels": {"a": null, "b": "2"}}});
    let patched = namespaces
        .patch("default", &params, &Patch::Strategic(&strategic))
        .await
        .unwrap();
    assert_eq!(patched.labels().get("a"), None);
    assert_eq!(patched.labels()["b"], "2");
    let stale = json!({"metadata": {"resourceVersion": "1", "labels": {"c": "3"}}});
    let refused = namespaces
        .patch("default", &params, &Patch::Merge(&stale))
        .await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.reason == "Conflict"));
    let apply = PatchParams::apply("test");
    let wanted = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "default", "labels": {"d": "4"}},
    });
    let applied = namespaces
        .patch("default", &apply, &Patch::Apply(&wanted))
        .await
        .unwrap();
    assert_eq!(
        (&applied.labels()["b"], &applied.labels()["d"]),
        (&"2".to_owned(), &"4".to_owned())
    );
}

#[tokio::test]
async fn a_deployment_scales_and_goes_with_all_that_is_its_own() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let spec = shell("unused", "sleep 1000").spec.unwrap();
    let new = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }))
    .unwrap();
    deployments
        .create(&PostParams::default(), &new)
        .await
        .unwrap();
    let ready = |count: i32| {
        let deployments = deployments.clone();
        move || {
            let deployments = deployments.clone();
            async move {
                let status = deployments
                    .get("web")
                    .await
                    .unwrap()
                    .status
                    .unwrap_or_default();
                status.ready_replicas.unwrap_or(0) == count && status.replicas.unwrap_or(0) == count
            }
        }
    };
    eventually("one pod", ready(1)).await;
    let scale = json!({"spec": {"replicas": 3}});
    let params = PatchParams::default();
    let scaled = deployments
        .patch_scale("web", &params, &Patch::Merge(&scale))
        .await
        .unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(3));
    eventually("three pods", ready(3)).await;
    let found = pods
        .list(&ListParams::default().labels("app=web"))
        .await
        .unwrap();
    assert_eq!(found.items.len(), 3);
    let addresses: std::collections::BTreeSet<_> = found
        .iter()
        .map(|pod| pod.status.clone().unwrap().pod_ip.unwrap())
        .collect();
    assert_eq!(addresses.len(), 3);
    let foreground = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    deployments.delete("web", &foreground).await.unwrap();
    eventually("nothing left", || async {
        deployments.get_opt("web").await.unwrap().is_none()
            && pods
                .list(&ListParams::default())
                .await
                .unwrap()
                .items
                .is_empty()
    })
    .await;
}

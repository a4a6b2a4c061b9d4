//! What a pod knows of the cluster's network.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams, PostParams};

use crate::frame::{Case, case, eventually};

/// A lab whose pods share the machine's network says so, and is no cluster in
/// this respect.
async fn has_network(case: &Case) -> bool {
    let nodes: Api<Node> = Api::all(case.client.clone());
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    let shared = nodes.iter().any(|node| {
        let annotations = node.metadata.annotations.as_ref();
        let network = annotations.and_then(|it| it.get("lab.aks-tui.dev/network"));
        network.is_some_and(|it| it.starts_with("loopback"))
    });
    if shared {
        println!("skipped: this lab's pods share the machine's network");
    }
    !shared
}

/// What a command says in a pod of its own that runs it once.
async fn said(case: &Case, name: &str, command: &str) -> String {
    let pods: Api<Pod> = case.api();
    let mut pod = case.pod(name, command);
    pod.spec.as_mut().unwrap().restart_policy = Some("Never".into());
    pods.create(&PostParams::default(), &pod).await.unwrap();
    eventually("the pod has ended", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let status = pods.get(name).await.unwrap().status.unwrap_or_default();
        matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
    })
    .await;
    pods.logs(name, &LogParams::default()).await.unwrap()
}

#[test]
fn a_pod_knows_the_api_server_by_address_and_by_name() {
    case("knows-api", async |case| {
        if !has_network(case).await {
            return;
        }
        let services: Api<k8s_openapi::api::core::v1::Service> =
            Api::namespaced(case.client.clone(), "default");
        let service = services.get("kubernetes").await.unwrap().spec.unwrap();
        let address = service.cluster_ip.unwrap();
        let told = said(
            case,
            "knows",
            "echo told $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT; \
             getent hosts kubernetes.default || nslookup kubernetes.default.svc.cluster.local",
        )
        .await;
        assert!(told.contains(&format!("told {address}:443")), "{told}");
        let named = told.lines().filter(|line| line.contains(&address)).count();
        assert!(named >= 2, "no name leads to {address}: {told}");
    });
}

#[test]
fn a_pod_asks_for_names_in_its_own_namespace_first() {
    case("resolver", async |case| {
        if !has_network(case).await {
            return;
        }
        let told = said(case, "resolver", "cat /etc/resolv.conf").await;
        let search = told.lines().find(|line| line.starts_with("search "));
        let first = search.and_then(|line| line.split(' ').nth(1)).unwrap();
        assert!(
            first.starts_with(&format!("{}.svc.", case.namespace)),
            "{told}"
        );
        assert!(told.contains("ndots:5"), "{told}");
    });
}

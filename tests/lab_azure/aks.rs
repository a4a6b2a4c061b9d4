//! A cluster, its nodes and what opens it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::azure::{Azure, Reply};
use crate::machines::powers;
use crate::support::{Lab, PATIENCE};
use crate::{FAST, lab};

pub const AKS: &str = "2026-06-01";
pub const COMPUTE: &str = "2024-11-01";

pub fn body(count: u64) -> Value {
    json!({
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "sku": {"name": "Base", "tier": "Free"},
        "properties": {
            "kubernetesVersion": "",
            "dnsPrefix": "test",
            "agentPoolProfiles": [{
                "name": "nodepool1", "count": count, "vmSize": "", "mode": "System",
                "osType": "Linux", "type": "VirtualMachineScaleSets",
            }],
            "networkProfile": {"loadBalancerSku": "standard", "outboundType": "loadBalancer"},
        },
    })
}

pub fn cluster(group: &str) -> String {
    format!("{group}/providers/Microsoft.ContainerService/managedClusters/test")
}

pub async fn create(azure: &Azure, group: &str, count: u64) -> String {
    let cluster = cluster(group);
    let made = azure
        .call("PUT", &cluster, AKS, &body(count))
        .await
        .expect(&[201]);
    assert_eq!(made.body["properties"]["provisioningState"], "Creating");
    assert!(!made.header("retry-after").is_empty());
    let done = azure.follow(&made).await;
    assert_eq!(done.body["status"], "Succeeded", "{done:?}");
    cluster
}

pub async fn post(azure: &Azure, path: &str) -> Reply {
    azure.call("POST", path, AKS, &Value::Null).await
}

/// The cluster, by the credentials that Azure gives out.
pub async fn open(azure: &Azure, cluster: &str) -> Client {
    let path = format!("{cluster}/listClusterUserCredential");
    let found = loop {
        let found = post(azure, &path).await.expect(&[200, 503]);
        if found.status == 200 {
            break found.body;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let value = found["kubeconfigs"][0]["value"].as_str().unwrap();
    let yaml = String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&yaml).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}

pub async fn nodes(client: &Client) -> Vec<Node> {
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.list(&ListParams::default()).await.unwrap().items
}

pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut ready = conditions
        .into_iter()
        .flatten()
        .filter(|it| it.type_ == "Ready");
    ready.any(|it| it.status == "True")
}

/// Waits until a client's nodes fit.
pub async fn until(client: &Client, what: &str, fit: impl Fn(&[Node]) -> bool) -> Vec<Node> {
    let waiting = async {
        loop {
            let now = nodes(client).await;
            if fit(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waiting = tokio::time::timeout(PATIENCE, waiting).await;
    waiting.unwrap_or_else(|_| panic!("never: {what}"))
}

pub fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap()
}

pub fn power(node: &Node) -> &str {
    &node.metadata.annotations.as_ref().unwrap()["aks-tui.dev/power"]
}

#[tokio::test]
async fn a_cluster_of_azures_is_the_labs_own() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut lab = Lab::start_on(&state, &FAST).unwrap();
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let early = azure.get(&cluster(&group), AKS).await;
    assert_eq!((early.status, early.code()), (404, "ResourceNotFound"));
    let cluster = create(&azure, &group, 2).await;

    let there = azure.get(&cluster, AKS).await.body;
    let properties = &there["properties"];
    assert_eq!(properties["powerState"]["code"], "Running");
    assert_eq!(properties["currentKubernetesVersion"], "1.35.6");
    assert_eq!(properties["nodeResourceGroup"], "MC_rg1_test_eastus");
    assert_eq!(
        properties["agentPoolProfiles"][0]["provisioningState"],
        "Succeeded"
    );
    assert_eq!(
        properties["agentPoolProfiles"][0]["vmSize"],
        "Standard_D2s_v5"
    );
    assert_eq!(properties["networkProfile"]["networkPluginMode"], "overlay");
    assert!(properties["identityProfile"]["kubeletidentity"]["objectId"].is_string());
    assert_ne!(
        there["identity"]["principalId"],
        properties["identityProfile"]["kubeletidentity"]["objectId"]
    );

    // Which node is which machine.
    let client = open(&azure, &cluster).await;
    let found = until(&client, "two nodes are ready", |it| {
        it.len() == 2 && it.iter().all(is_ready)
    })
    .await;
    let machines = azure
        .get(&format!("{cluster}/agentPools/nodepool1/machines"), AKS)
        .await
        .body;
    let machines = machines["value"].as_array().unwrap();
    for (node, machine) in found.iter().zip(machines) {
        assert_eq!(name(node), machine["name"]);
        let id = machine["properties"]["resourceId"].as_str().unwrap();
        let provider = node.spec.as_ref().unwrap().provider_id.as_deref();
        assert_eq!(provider.unwrap(), format!("azure://{id}"));
        let labels = node.metadata.labels.as_ref().unwrap();
        assert_eq!(
            labels["node.kubernetes.io/instance-type"],
            "Standard_D2s_v5"
        );
        assert_eq!(labels["kubernetes.azure.com/agentpool"], "nodepool1");
        let capacity = node.status.as_ref().unwrap().capacity.as_ref().unwrap();
        assert_eq!(capacity["cpu"].0, "2");
    }

    // It outlives the lab that it is in: the same kubeconfig opens it.
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = serde_json::from_value(json!({"metadata": {"name": "mine"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    // What a lab has in hand when it is killed is lost, what it has written is not.
    crate::support::eventually("it is written", || {
        let text = std::fs::read_to_string(state.join("objects.json")).unwrap();
        text.contains(r#""name":"mine""#)
    });
    lab.kill();
    let mut next = Lab::start_on(&state, &FAST).unwrap();
    let azure = Azure::of(&next).await;
    let client = open(&azure, &cluster).await;
    until(&client, "both nodes are back", |it| {
        it.len() == 2 && it.iter().all(is_ready)
    })
    .await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.get("mine").await.unwrap();

    // It goes with everything in it, and the next one knows nothing of it.
    let node_group = azure.group("MC_rg1_test_eastus");
    azure
        .get(&node_group, crate::azure::RESOURCES)
        .await
        .expect(&[200]);
    let going = azure
        .call("DELETE", &cluster, AKS, &Value::Null)
        .await
        .expect(&[202]);
    azure.follow(&going).await;
    assert_eq!(azure.get(&cluster, AKS).await.status, 404);
    assert_eq!(
        azure.get(&node_group, crate::azure::RESOURCES).await.status,
        404
    );
    create(&azure, &group, 1).await;
    let fresh = open(&azure, &cluster).await;
    until(&fresh, "one node is ready", |it| {
        it.len() == 1 && it.iter().all(is_ready)
    })
    .await;
    let maps: Api<ConfigMap> = Api::default_namespaced(fresh);
    assert!(maps.get_opt("mine").await.unwrap().is_none());
    assert!(
        Api::<Node>::all(client)
            .list(&ListParams::default())
            .await
            .is_err()
    );
    next.stop();
}

#[tokio::test]
async fn a_cluster_is_scaled_stopped_started_and_its_keys_are_changed() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let cluster = create(&azure, &group, 1).await;
    let client = open(&azure, &cluster).await;

    let more = azure
        .call("PUT", &cluster, AKS, &body(3))
        .await
        .expect(&[200]);
    azure.follow(&more).await;
    let nodes = until(&client, "three nodes are ready", |it| {
        it.len() == 3 && it.iter().all(is_ready)
    })
    .await;
    let pool = format!("{cluster}/agentPools/nodepool1");
    let names = json!({"machineNames": [name(&nodes[0])]});
    let gone = azure
        .call("POST", &format!("{pool}/deleteMachines"), AKS, &names)
        .await
        .expect(&[202]);
    azure.follow(&gone).await;
    let left = until(&client, "that node is gone", |it| it.len() == 2).await;
    assert!(left.iter().all(|it| name(it) != name(&nodes[0])));
    assert_eq!(azure.get(&pool, AKS).await.body["properties"]["count"], 2);

    let stopping = post(&azure, &format!("{cluster}/stop"))
        .await
        .expect(&[202]);
    azure.follow(&stopping).await;
    let there = azure.get(&cluster, AKS).await.body;
    assert_eq!(there["properties"]["powerState"]["code"], "Stopped");
    assert_eq!(powers(&azure, &cluster).await, ["deallocated"; 2]);
    let refused = Api::<Node>::all(client.clone())
        .list(&ListParams::default())
        .await;
    assert!(refused.is_err(), "a stopped cluster does not answer");
    let refused = azure.call("PUT", &cluster, AKS, &body(3)).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (400, &json!("OperationNotAllowed"))
    );
    assert_eq!(post(&azure, &format!("{cluster}/stop")).await.status, 204);
    let starting = post(&azure, &format!("{cluster}/start"))
        .await
        .expect(&[202]);
    azure.follow(&starting).await;
    assert_eq!(powers(&azure, &cluster).await, ["running"; 2]);
    let client = open(&azure, &cluster).await;
    until(&client, "both nodes are back", |it| {
        it.len() == 2 && it.iter().all(is_ready)
    })
    .await;

    let rotating = post(&azure, &format!("{cluster}/rotateClusterCertificates"))
        .await
        .expect(&[202]);
    azure.follow(&rotating).await;
    assert!(
        Api::<Node>::all(client)
            .list(&ListParams::default())
            .await
            .is_err()
    );
    let client = open(&azure, &cluster).await;
    assert_eq!(super::aks::nodes(&client).await.len(), 2);

    let versions = format!(
        "/subscriptions/{}/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions",
        azure.text("subscription")
    );
    let versions = azure.get(&versions, AKS).await.body;
    let versions = versions["values"].as_array().unwrap();
    assert_eq!(
        versions.iter().filter(|it| it["isDefault"] == true).count(),
        1
    );
}

#[tokio::test]
async fn nothing_else_is_begun_while_a_cluster_is_changed() {
    let slow = Lab::start(&["--azure", "--azure-time-scale", "1"]);
    let azure = Azure::of(&slow).await;
    let group = azure.make_group("rg1").await;
    let made = azure.call("PUT", &cluster(&group), AKS, &body(1)).await;
    made.expect(&[201]);
    for (method, path) in [
        ("PUT", cluster(&group)),
        ("POST", format!("{}/stop", cluster(&group))),
    ] {
        let busy = azure.call(method, &path, AKS, &body(2)).await;
        assert_eq!(
            (busy.status, &busy.body["code"]),
            (409, &json!("OperationNotAllowed"))
        );
        assert!(
            busy.body["error"].is_null(),
            "the provider of clusters answers without a frame"
        );
    }
    let early = post(
        &azure,
        &format!("{}/listClusterUserCredential", cluster(&group)),
    )
    .await;
    assert_eq!(early.status, 409);
    // What is given up leaves the cluster as it is, and it can go.
    let aborting = post(&azure, &format!("{}/abort", cluster(&group))).await;
    assert_eq!(aborting.status, 202);
    let there = azure.get(&cluster(&group), AKS).await.body;
    assert_eq!(there["properties"]["provisioningState"], "Canceled");
    let going = azure
        .call("DELETE", &cluster(&group), AKS, &Value::Null)
        .await;
    going.expect(&[202]);
    let there = azure.get(&cluster(&group), AKS).await.body;
    assert_eq!(there["properties"]["provisioningState"], "Deleting");
}

#[tokio::test]
async fn entra_signs_in_to_a_cluster_that_asks_for_it() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let cluster = cluster(&group);
    let mut body = body(1);
    body["properties"]["aadProfile"] = json!({"managed": true});
    body["properties"]["disableLocalAccounts"] = json!(true);
    let made = azure.call("PUT", &cluster, AKS, &body).await.expect(&[201]);
    azure.follow(&made).await;
    let refused = post(&azure, &format!("{cluster}/listClusterAdminCredential")).await;
    assert_eq!(refused.status, 400);
    let words = refused.body["message"].as_str().unwrap();
    assert!(words.contains("disable local accounts"), "{words}");
    let found = post(
        &azure,
        &format!("{cluster}/listClusterUserCredential?format=exec"),
    )
    .await
    .body;
    let value = found["kubeconfigs"][0]["value"].as_str().unwrap();
    let yaml = String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap();
    let mut kubeconfig = Kubeconfig::from_yaml(&yaml).unwrap();
    let user = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
    let exec = user.exec.take().unwrap();
    assert_eq!(exec.command.as_deref(), Some("kubelogin"));
    let server = "6dae42f8-4368-4678-94ff-3960e28e3630";
    assert!(exec.args.unwrap().iter().any(|it| it == server));
    let token = azure.sign_in_for(server).await;
    user.token = Some(token.into());
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.proxy_url = None;
    let client = Client::try_from(config).unwrap();
    assert_eq!(nodes(&client).await.len(), 1);
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_cluster_is_said() {
    for (fault, status, code, words) in [
        ("quota", 400, "ErrCode_InsufficientVCPUQuota", "remaining 2"),
        ("sku", 400, "VMSizeNotSupported", "standard_d2as_v5"),
        (
            "provider",
            409,
            "MissingSubscriptionRegistration",
            "Microsoft.ContainerService",
        ),
    ] {
        let lab = lab(&["--azure-fault", fault]);
        let azure = Azure::of(&lab).await;
        let group = azure.make_group("rg1").await;
        let refused = azure.call("PUT", &cluster(&group), AKS, &body(2)).await;
        let error = if refused.body["error"].is_object() {
            &refused.body["error"]
        } else {
            &refused.body
        };
        assert_eq!(
            (refused.status, error["code"].as_str()),
            (status, Some(code)),
            "{refused:?}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{refused:?}"
        );
        let usages = format!(
            "/subscriptions/{}/providers/Microsoft.Compute/locations/eastus/usages",
            azure.text("subscription")
        );
        let usages = azure.get(&usages, COMPUTE).await.body;
        assert_eq!(
            usages["value"][0]["limit"],
            if fault == "quota" { 4 } else { 100 }
        );
    }
    let lab = lab(&["--azure-fault", "capacity", "--azure-fault", "deny"]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let made = azure
        .call("PUT", &cluster(&group), AKS, &body(1))
        .await
        .expect(&[201]);
    let done = azure.follow(&made).await.body;
    assert_eq!(
        (&done["status"], &done["error"]["code"]),
        (&json!("Failed"), &json!("AKSCapacityHeavyUsage"))
    );
    let there = azure.get(&cluster(&group), AKS).await.body;
    assert_eq!(there["properties"]["provisioningState"], "Failed");
}

#[tokio::test]
async fn nodes_that_are_denied_are_left_alone() {
    let lab = lab(&["--azure-fault", "deny"]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let cluster = create(&azure, &group, 1).await;
    let machines = azure
        .get(&format!("{cluster}/agentPools/nodepool1/machines"), AKS)
        .await
        .body;
    let id = machines["value"][0]["properties"]["resourceId"]
        .as_str()
        .unwrap();
    let refused = azure
        .call("POST", &format!("{id}/restart"), COMPUTE, &Value::Null)
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "DenyAssignmentAuthorizationFailed")
    );
    let node_group = azure.group("MC_rg1_test_eastus");
    let path = format!("{node_group}/providers/Microsoft.Authorization/denyAssignments");
    let denied = azure.get(&path, "2022-04-01").await.body;
    assert_eq!(denied["value"].as_array().unwrap().len(), 1);
}

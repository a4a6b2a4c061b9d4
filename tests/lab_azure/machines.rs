//! The machines under a cluster's nodes, and what is done to them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, LogParams, PostParams};
use serde_json::{Value, json};

use crate::aks::{AKS, COMPUTE, create, is_ready, name, nodes, open, power, until};
use crate::azure::Azure;
use crate::lab;

#[tokio::test]
async fn a_machines_power_is_a_nodes_power() {
    let lab = lab(&["--node-monitor-grace", "2"]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let cluster = create(&azure, &group, 2).await;
    let client = open(&azure, &cluster).await;
    until(&client, "two nodes are ready", |it| {
        it.len() == 2 && it.iter().all(is_ready)
    })
    .await;
    let machines = azure
        .get(&format!("{cluster}/agentPools/nodepool1/machines"), AKS)
        .await
        .body;
    let victim = machines["value"][0]["name"].as_str().unwrap().to_owned();
    let id = machines["value"][0]["properties"]["resourceId"]
        .as_str()
        .unwrap()
        .to_owned();
    let of = |nodes: &[Node]| nodes.iter().find(|it| name(it) == victim).cloned().unwrap();
    let boot = |node: &Node| {
        node.status
            .as_ref()
            .unwrap()
            .node_info
            .as_ref()
            .unwrap()
            .boot_id
            .clone()
    };

    let act = async |action: &str| {
        let reply = azure
            .call("POST", &format!("{id}/{action}"), COMPUTE, &Value::Null)
            .await
            .expect(&[202]);
        let done = azure.follow(&reply).await;
        assert_eq!(done.body["status"], "Succeeded", "{done:?}");
    };
    let state = async || {
        let view = azure.get(&format!("{id}/instanceView"), COMPUTE).await.body;
        view["statuses"][1]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "PowerState/running");
    for (action, code) in [
        ("poweroff", "PowerState/stopped"),
        ("deallocate", "PowerState/deallocated"),
    ] {
        act(action).await;
        assert_eq!(state().await, code);
        let nodes = until(&client, "it is taken for dead", |it| !is_ready(&of(it))).await;
        assert_eq!(power(&of(&nodes)), "off");
        until(&client, "it is known to be shut down", |it| {
            let taints = of(it).spec.unwrap().taints.unwrap_or_default();
            taints
                .iter()
                .any(|it| it.key == "node.cloudprovider.kubernetes.io/shutdown")
        })
        .await;
        act("start").await;
        let nodes = until(&client, "it is back", |it| is_ready(&of(it))).await;
        assert_eq!(power(&of(&nodes)), "on");
    }
    for action in ["restart", "reimage"] {
        let before = boot(&of(&nodes(&client).await));
        act(action).await;
        until(&client, "it has booted anew", |it| {
            is_ready(&of(it)) && boot(&of(it)) != before
        })
        .await;
    }
    // The same for several machines by their numbers.
    let set = id.split("/virtualMachines/").next().unwrap();
    let path = format!("{set}/deallocate");
    let reply = azure
        .call("POST", &path, COMPUTE, &json!({"instanceIds": ["0", "1"]}))
        .await
        .expect(&[202]);
    azure.follow(&reply).await;
    let list = format!("{set}/virtualMachines?$expand=instanceView");
    let list = azure.get(&list, COMPUTE).await.body;
    for machine in list["value"].as_array().unwrap() {
        assert_eq!(
            machine["properties"]["instanceView"]["statuses"][1]["code"],
            "PowerState/deallocated"
        );
    }
    let unknown = azure
        .call("POST", &path, COMPUTE, &json!({"instanceIds": ["7"]}))
        .await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (404, "InstanceIdNotFound")
    );
}

/// The power of every machine of a cluster.
pub async fn powers(azure: &Azure, cluster: &str) -> Vec<String> {
    let machines = format!("{cluster}/agentPools/nodepool1/machines");
    let machines = azure.get(&machines, AKS).await.body;
    let mut powers = Vec::new();
    for machine in machines["value"].as_array().unwrap() {
        let id = machine["properties"]["resourceId"].as_str().unwrap();
        let view = azure.get(&format!("{id}/instanceView"), COMPUTE).await.body;
        let code = view["statuses"][1]["code"].as_str().unwrap();
        powers.push(code.trim_start_matches("PowerState/").to_owned());
    }
    powers
}

/// Says whether its directory is that of its last life.
const DIARY: &str = "if [ -e /diary/page ]; then echo an old diary; else echo a new diary; fi; \
     touch /diary/page; while :; do sleep 1; done";

/// What a container says in its present life, which is not the one of `before`.
async fn says(pods: &Api<Pod>, before: Option<&str>) -> (String, String) {
    for _ in 0..600 {
        let pod = pods.get("diarist").await.unwrap();
        let statuses = pod.status.and_then(|it| it.container_statuses);
        let life = statuses.and_then(|it| it.first()?.container_id.clone());
        if let Some(life) = life.filter(|life| Some(life.as_str()) != before)
            && let Ok(text) = pods.logs("diarist", &LogParams::default()).await
            && !text.is_empty()
        {
            return (life, text);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pod = pods.get("diarist").await.unwrap();
    panic!("the pod says nothing anew: {:?}", pod.status);
}

#[tokio::test]
async fn a_restarted_machine_has_its_disk_and_a_reimaged_one_a_fresh_one() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let cluster = create(&azure, &group, 1).await;
    let client = open(&azure, &cluster).await;
    until(&client, "its node is ready", |it| {
        it.len() == 1 && it.iter().all(is_ready)
    })
    .await;
    let machines = format!("{cluster}/agentPools/nodepool1/machines");
    let machines = azure.get(&machines, AKS).await.body;
    let id = machines["value"][0]["properties"]["resourceId"].clone();
    let id = id.as_str().unwrap();

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({
        "metadata": {"name": "diarist"},
        "spec": {
            "volumes": [{"name": "diary", "emptyDir": {}}],
            "containers": [{
                "name": "diarist", "image": "aks-tui/shell", "command": ["sh", "-c", DIARY],
                "volumeMounts": [{"name": "diary", "mountPath": "/diary"}],
            }],
        },
    });
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let (life, said) = says(&pods, None).await;
    assert_eq!(said.trim(), "a new diary");
    let act = async |action: &str| {
        let path = format!("{id}/{action}");
        let reply = azure.call("POST", &path, COMPUTE, &Value::Null).await;
        azure.follow(&reply.expect(&[202])).await;
    };
    act("restart").await;
    let (life, said) = says(&pods, Some(&life)).await;
    assert_eq!(said.trim(), "an old diary");
    act("reimage").await;
    let (_, said) = says(&pods, Some(&life)).await;
    assert_eq!(said.trim(), "a new diary");
}

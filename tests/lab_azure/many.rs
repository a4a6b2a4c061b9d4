//! More clusters than one.

use serde_json::Value;

use crate::aks::{AKS, body, cluster, is_ready, open, post, until};
use crate::azure::Azure;
use crate::lab;

#[tokio::test]
async fn ten_clusters_are_there_and_the_oldest_is_the_labs_until_it_is_gone() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let mut clusters = Vec::new();
    let mut begun = Vec::new();
    // The names would sort in another order.
    for group in (0..10).rev().map(|number| format!("rg{number}")) {
        let at = cluster(&azure.make_group(&group).await);
        begun.push(azure.call("PUT", &at, AKS, &body(1)).await.expect(&[201]));
        clusters.push(at);
    }
    for made in &begun {
        assert_eq!(azure.follow(made).await.body["status"], "Succeeded");
    }
    for at in &clusters {
        let machines = format!("{at}/agentPools/nodepool1/machines");
        let machines = azure.get(&machines, AKS).await.expect(&[200]).body;
        assert_eq!(machines["value"].as_array().unwrap().len(), 1, "{at}");
    }

    let oldest = open(&azure, &clusters[0]).await;
    let nodes = until(&oldest, "a node is ready", |all| all.iter().any(is_ready)).await;
    assert_eq!(nodes.len(), 1, "nobody else's machines are nodes of it");
    let other = format!("{}/listClusterUserCredential", clusters[1]);
    let refused = post(&azure, &other).await.expect(&[409]);
    let why = refused.body["message"].as_str().unwrap();
    assert!(why.contains(&clusters[0]), "{why}");

    let gone = azure.call("DELETE", &clusters[0], AKS, &Value::Null).await;
    azure.follow(&gone.expect(&[202])).await;
    let next = open(&azure, &clusters[1]).await;
    let nodes = until(&next, "a node of the next", |all| all.iter().any(is_ready)).await;
    assert_eq!(nodes.len(), 1);
}

//! What stays when a pod goes: its address and the node's disk.

use super::*;

/// A deployment and its replica set, as its controller would make them.
fn deploy(bed: &Bed, name: &str, instance: &str) {
    let labels = json!({"app.kubernetes.io/instance": instance});
    let deployment = json!({"metadata": {"namespace": "default", "name": name, "labels": labels}});
    bed.store.create(Resource::Deployments, deployment).unwrap();
    let set = json!({"metadata": {
        "namespace": "default", "name": format!("{name}-abc"),
        "ownerReferences": [{"kind": "Deployment", "name": name, "controller": true,
            "apiVersion": "apps/v1", "uid": "u"}],
    }});
    bed.store.create(Resource::ReplicaSets, set).unwrap();
}

fn replica(deployment: &str, suffix: &str, script: &str) -> Value {
    let mut replica = pod(&format!("{deployment}-abc-{suffix}"), script);
    replica["metadata"]["ownerReferences"] = json!([{
        "kind": "ReplicaSet", "name": format!("{deployment}-abc"), "controller": true,
        "apiVersion": "apps/v1", "uid": "u",
    }]);
    replica["spec"]["containers"][0]["env"] = json!([
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]);
    replica
}

#[tokio::test]
async fn a_deployments_place_keeps_its_address() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        deploy(&bed, "generated-server", "server");
        deploy(&bed, "generated-client", "the-client");
        let script = format!("echo at $POD_IP peer $SERVER_SERVICE_HOST; {STEADY}");
        let server = bed.create(replica("generated-server", "a", &script));
        let client = bed.create(replica("generated-client", "a", &script));
        let ip = |pod: &Value| pod["status"]["podIP"].as_str().unwrap().to_owned();
        let server_ip = ip(&bed.ready(&server).await);
        let client_ip = ip(&bed.ready(&client).await);
        assert_ne!(server_ip, client_ip);
        let own = bed.kubelet.network().mode() == Mode::Namespaces;
        let block = if own { "10.244." } else { "127." };
        assert!(server_ip.starts_with(block), "{server_ip}");
        bed.logged(&client, &format!("at {client_ip} peer {server_ip}"))
            .await;
        bed.logged(&server, &format!("at {server_ip} peer {server_ip}"))
            .await;
        // A second replica has its own; a successor has the same.
        let second = bed.create(replica("generated-server", "b", &script));
        let second_ip = ip(&bed.ready(&second).await);
        assert_ne!(second_ip, server_ip);
        let now = Deletion {
            grace: Some(0),
            ..Deletion::default()
        };
        bed.store.delete(&server, &now).unwrap();
        let third = bed.create(replica("generated-server", "c", &script));
        assert_eq!(ip(&bed.ready(&third).await), server_ip);
        if isolation == Isolation::Namespaces {
            // A deployment that comes later is known by name all the same.
            deploy(&bed, "generated-late", "late");
            let code = bed.sh(
                &client,
                "while ! grep -q late /etc/hosts; do sleep 0.02; done",
            );
            assert_eq!(tokio::time::timeout(PATIENCE, code).await.unwrap(), Ok(0));
            assert_eq!(bed.sh(&client, "getent hosts server late").await, Ok(0));
        }
        bed.close().await;
    }
}

#[tokio::test]
async fn the_disk_outlives_the_pod_and_the_rest_does_not() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let mut spec = pod("p", "");
        spec["spec"]["containers"][0]["command"] = json!([
            "sh",
            "-c",
            "echo kept >> \"$0/note\"; echo lost > \"$1/note\"; cat \"$0/note\"; echo done; sleep 300",
            "/data/sub",
            "/scratch"
        ]);
        spec["spec"]["volumes"] = json!([
            {"name": "data", "hostPath": {"path": "/data", "type": "DirectoryOrCreate"}},
            {"name": "scratch", "emptyDir": {}},
        ]);
        spec["spec"]["containers"][0]["volumeMounts"] = json!([
            {"name": "data", "mountPath": "/data/sub", "subPath": "sub"},
            {"name": "scratch", "mountPath": "/scratch"},
        ]);
        for round in 1..=2 {
            let key = bed.create(spec.clone());
            bed.ready(&key).await;
            let log = bed.logged(&key, "F done").await;
            assert_eq!(log.matches("F kept").count(), round, "{log}");
            let directory = bed.state.join("pods").join(bed.uid(&key));
            assert!(directory.join("volumes/scratch/note").exists());
            bed.store.delete(&key, &Deletion::default()).unwrap();
            bed.until(&key, "it is gone", |pod| pod.is_none()).await;
            let gone = tokio::time::timeout(PATIENCE, async {
                while directory.exists() {
                    tokio::task::yield_now().await;
                }
            });
            gone.await.unwrap();
        }
        assert!(bed.state.join("disk/data/sub/note").exists());
        bed.close().await;
    }
}

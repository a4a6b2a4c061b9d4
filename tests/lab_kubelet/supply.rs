//! What a pod is given from elsewhere: variables and volumes made of objects,
//! shares, and what it waits for until it is there.

use super::*;

fn object(name: &str, data: &Value) -> Value {
    json!({"metadata": {"namespace": "default", "name": name}, "data": data})
}

fn waits(pod: &Value, reason: &str) -> bool {
    container(pod)["state"]["waiting"]["reason"] == reason
}

#[tokio::test]
async fn a_pod_waits_for_what_it_needs_and_no_longer() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::Kubernetes).await else {
            continue;
        };
        let mut spec = pod("p", "echo colour=$COLOUR word=$X_word; cat $0; sleep 300");
        spec["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
        let container_spec = &mut spec["spec"]["containers"][0];
        let script = container_spec["command"][2].clone();
        container_spec["command"] = json!(["sh", "-c", script, "/v/word"]);
        container_spec["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        container_spec["envFrom"] = json!([{"prefix": "X_", "secretRef": {"name": "s"}}]);
        container_spec["env"] = json!([{"name": "COLOUR", "valueFrom": {
            "configMapKeyRef": {"name": "m", "key": "colour"}}}]);
        let key = bed.create(spec);
        let waiting = bed
            .pod(&key, "it waits for the map", |pod| {
                waits(pod, "CreateContainerConfigError")
            })
            .await;
        let state = &container(&waiting)["state"]["waiting"];
        assert_eq!(state["message"], "secret \"s\" not found");
        let secret = object("s", &json!({"word": "aGVsbG8K"}));
        bed.store.create(Resource::Secrets, secret).unwrap();
        bed.pod(&key, "it waits for the other", |pod| {
            container(pod)["state"]["waiting"]["message"] == "configmap \"m\" not found"
        })
        .await;
        let map = object("m", &json!({"colour": "red"}));
        bed.store.create(Resource::ConfigMaps, map).unwrap();
        bed.ready(&key).await;
        bed.logged(&key, "colour=red word=hello").await;
        bed.logged(&key, "stdout F hello").await;
        let said: Vec<_> = bed.events("Failed").into_iter().map(|it| it.0).collect();
        assert!(said.contains(&"Error: secret \"s\" not found".to_owned()));
        bed.close().await;
    }
}

#[tokio::test]
async fn a_changed_map_reaches_a_running_container() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let map = object("m", &json!({"colour": "red", "old": "x"}));
    let map = bed.store.create(Resource::ConfigMaps, map).unwrap();
    let script = "while ! grep -q blue /v/colour; do sleep 0.05; done; \
                  test ! -e /v/old && ! echo x > /v/colour && echo it is blue; sleep 300";
    let mut spec = pod("p", script);
    spec["spec"]["volumes"] = json!([
        {"name": "v", "projected": {"sources": [
            {"configMap": {"name": "m"}},
            {"downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
    ]);
    spec["metadata"]["labels"] = json!({"tier": "one"});
    spec["spec"]["containers"][0]["volumeMounts"] = json!([
        {"name": "v", "mountPath": "/v"},
        {"name": "v", "mountPath": "/one", "subPath": "colour"}]);
    let key = bed.create(spec);
    bed.ready(&key).await;
    let said = |script: &'static str| bed.sh(&key, script);
    assert_eq!(
        said("grep -q red /one && grep -q 'tier=.one.' /v/labels").await,
        Ok(0)
    );
    let map = Key::of(Resource::ConfigMaps, &map);
    bed.store
        .update_with::<StoreError>(&map, |map| {
            map["data"] = json!({"colour": "blue"});
            Ok(())
        })
        .unwrap();
    bed.logged(&key, "it is blue").await;
    assert_eq!(
        said("grep -q red /one").await,
        Ok(0),
        "a part does not change"
    );
    bed.close().await;
}

#[tokio::test]
async fn a_share_is_one_for_all_however_it_is_named() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let csi = json!({"driver": "file.csi.azure.com", "volumeHandle": "a#b#logs",
            "volumeAttributes": {"shareName": "logs"}});
        let volume = json!({"metadata": {"name": "pv"}, "spec": {"csi": csi}});
        bed.store
            .create(Resource::PersistentVolumes, volume)
            .unwrap();
        let claim = json!({
            "metadata": {"namespace": "default", "name": "c"},
            "spec": {"volumeName": "pv"}, "status": {"phase": "Pending"}});
        let claim = bed
            .store
            .create(Resource::PersistentVolumeClaims, claim)
            .unwrap();
        let with = |name: &str, command: [&str; 3], volume: Value| {
            let mut spec = pod(name, "");
            spec["spec"]["restartPolicy"] = json!("OnFailure");
            spec["spec"]["volumes"] = json!([volume]);
            spec["spec"]["containers"][0]["command"] = json!(command);
            spec["spec"]["containers"][0]["volumeMounts"] =
                json!([{"name": "v", "mountPath": "/logs"}]);
            spec
        };
        let share = json!({"name": "v", "azureFile": {"shareName": "logs", "secretName": "s"}});
        let writer = bed.create(with(
            "writer",
            ["cp", "/proc/self/comm", "/logs/note"],
            share,
        ));
        bed.pod(&writer, "it has written", |pod| {
            pod["status"]["phase"] == "Succeeded"
        })
        .await;
        let claimed = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let reader = bed.create(with("reader", ["tail", "-n1", "/logs/note"], claimed));
        bed.pod(&reader, "it waits for its claim", |pod| {
            waits(pod, "ContainerCreating") && !bed.events("FailedMount").is_empty()
        })
        .await;
        bed.store
            .update_with::<StoreError>(
                &Key::of(Resource::PersistentVolumeClaims, &claim),
                |claim| {
                    claim["status"]["phase"] = json!("Bound");
                    Ok(())
                },
            )
            .unwrap();
        bed.pod(&reader, "it has read", |pod| {
            pod["status"]["phase"] == "Succeeded"
        })
        .await;
        bed.logged(&reader, "stdout F cp").await;
        bed.close().await;
    }
}

//! What comes before the main containers, what stays beside them, and how long
//! a pod may take.

use super::*;

fn beside(name: &str, script: &str, more: &Value) -> Value {
    let mut container = json!({
        "name": name,
        "image": "aks-tui/shell",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    });
    for (field, value) in more.as_object().unwrap() {
        container[field] = value.clone();
    }
    container
}

#[tokio::test]
async fn sidecars_start_first_and_end_last() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let note = |name: &str| {
        format!(
            "trap 'echo -{name} >> /v/order; exit 0' TERM; echo +{name} >> /v/order; touch /v/{name}; \
             echo up; while :; do sleep 0.05; done"
        )
    };
    let sidecar = |name: &str| {
        let up = format!("/v/{name}");
        let probe = json!({
            "exec": {"command": ["test", "-e", up]},
            "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 30});
        let more = json!({"restartPolicy": "Always", "startupProbe": probe});
        beside(name, &note(name), &more)
    };
    let mut spec = pod("p", "");
    let volume = json!({"name": "v", "hostPath": {"path": "/v", "type": "DirectoryOrCreate"}});
    spec["spec"]["volumes"] = json!([volume]);
    spec["spec"]["initContainers"] = json!([
        sidecar("proxy"),
        beside("setup", "echo setup >> /v/order", &json!({})),
        sidecar("shipper"),
    ]);
    spec["spec"]["containers"] = json!([beside("main", &note("main"), &json!({}))]);
    let key = bed.create(spec);
    let ready = bed.ready(&key).await;
    let first = ready["status"]["initContainerStatuses"].as_array().unwrap();
    let ready: Vec<_> = first.iter().map(|it| it["ready"] == true).collect();
    assert_eq!(ready, [true, true, true]);
    let order = bed.state.join("disk/v/order");
    let noted = || {
        let text = fs::read_to_string(&order).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Each says so once it knows how to end.
    bed.logged(&key, "up").await;
    assert_eq!(noted(), ["+proxy", "setup", "+shipper", "+main"]);
    bed.store.delete(&key, &Deletion::default()).unwrap();
    bed.until(&key, "it is gone", |pod| pod.is_none()).await;
    assert_eq!(noted()[4..], ["-main", "-shipper", "-proxy"]);
    bed.close().await;
}

#[tokio::test]
async fn a_pod_that_is_done_needs_its_sidecars_no_more() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let mut spec = pod("p", "exit 0");
    spec["spec"]["restartPolicy"] = json!("Never");
    spec["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    spec["spec"]["initContainers"] =
        json!([beside("proxy", STEADY, &json!({"restartPolicy": "Always"}))]);
    let key = bed.create(spec);
    let done = bed
        .pod(&key, "it has succeeded and its sidecar has ended", |pod| {
            let sidecar = &pod["status"]["initContainerStatuses"][0];
            pod["status"]["phase"] == "Succeeded" && sidecar["state"]["terminated"].is_object()
        })
        .await;
    assert_eq!(condition(&done, "Ready"), "False");
    bed.close().await;
}

#[tokio::test]
async fn a_pod_runs_no_longer_than_it_may() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let mut spec = pod("p", STEADY);
        spec["spec"]["activeDeadlineSeconds"] = json!(1);
        spec["spec"]["terminationGracePeriodSeconds"] = json!(1);
        let key = bed.create(spec);
        let failed = bed
            .pod(&key, "it has failed", |pod| {
                pod["status"]["phase"] == "Failed"
            })
            .await;
        assert_eq!(failed["status"]["reason"], "DeadlineExceeded");
        assert_eq!(
            failed["status"]["message"],
            "Pod was active on the node longer than the specified deadline"
        );
        assert!(container(&failed)["state"]["terminated"].is_object());
        assert_eq!(bed.events("DeadlineExceeded").len(), 1);
        bed.store.delete(&key, &Deletion::default()).unwrap();
        bed.until(&key, "it is gone", |pod| pod.is_none()).await;
        bed.close().await;
    }
}

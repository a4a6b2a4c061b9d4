//! Probes and hooks: what the node does to a container, and what it makes of
//! the answers.

use super::*;

fn with(mut pod: Value, more: &Value) -> Value {
    let container = &mut pod["spec"]["containers"][0];
    for (field, value) in more.as_object().unwrap() {
        container[field] = value.clone();
    }
    pod
}

fn messages(bed: &Bed, reason: &str) -> Vec<String> {
    let events = bed.events(reason);
    events.into_iter().map(|(message, _)| message).collect()
}

#[tokio::test]
async fn a_sick_container_is_restarted_and_an_unready_one_is_not() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let mut spec = pod("sick", "trap 'exit 3' TERM; while :; do sleep 0.05; done");
    spec["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let key = bed.create(with(
        spec,
        &json!({
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "startupProbe": {
                "exec": {"command": ["test", "-e", "/v/started"]},
                "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 60},
            "readinessProbe": {
                "exec": {"command": ["sh", "-c", "cat /v/ready"]},
                "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 1},
            "livenessProbe": {
                "exec": {"command": ["sh", "-c", "test ! -e /v/sick"]},
                "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 1},
        }),
    ));
    let starting = bed
        .pod(&key, "it runs and has not started", |pod| {
            container(pod)["state"]["running"].is_object()
        })
        .await;
    assert_eq!(container(&starting)["started"], false);
    assert_eq!(condition(&starting, "Ready"), "False");
    bed.sh(&key, "touch /v/started /v/ready").await.unwrap();
    let ready = bed.ready(&key).await;
    assert_eq!(container(&ready)["started"], true);
    bed.sh(&key, "rm /v/ready").await.unwrap();
    let unready = bed
        .pod(&key, "it is not ready any more", |pod| !is_ready(pod))
        .await;
    assert_eq!(container(&unready)["restartCount"], 0);
    assert_eq!(
        condition_message(&unready, "Ready"),
        "containers with unready status: [main]"
    );
    let said = "Readiness probe failed: cat: /v/ready: No such file or directory";
    assert!(messages(&bed, "Unhealthy").contains(&said.to_owned()));
    bed.sh(&key, "touch /v/ready /v/sick").await.unwrap();
    let restarted = bed
        .pod(&key, "it was restarted", |pod| {
            container(pod)["restartCount"] == 1
        })
        .await;
    let last = &container(&restarted)["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 3, "it was asked before it was killed");
    assert_eq!(
        messages(&bed, "Killing"),
        ["Container main failed liveness probe, will be restarted"]
    );
    bed.close().await;
}

fn condition_message<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind).unwrap();
    found["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_slow_web_server_is_ready_when_it_answers() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let mut spec = pod("slow", "");
        spec["spec"]["containers"][0]["image"] = json!("aks-tui/slow-starter");
        spec["spec"]["containers"][0]["command"] = json!(["slow-starter", "--after", "4"]);
        let key = bed.create(with(
            spec,
            &json!({
                "ports": [{"name": "web", "containerPort": 8080}],
                "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "timeoutSeconds": 30,
                    "failureThreshold": 30},
                "readinessProbe": {
                    "httpGet": {"path": "/readyz", "port": "web"}, "periodSeconds": 1, "timeoutSeconds": 30},
            }),
        ));
        bed.ready(&key).await;
        let said = messages(&bed, "Unhealthy");
        assert!(
            said.contains(&"Readiness probe failed: HTTP probe failed with statuscode: 503".into()),
            "{said:?}"
        );
        bed.close().await;
    }
}

#[tokio::test]
async fn hooks_run_after_the_start_and_before_the_end() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let script = "trap 'echo asked >> /v/order; exit 0' TERM; while :; do sleep 0.05; done";
    let mut spec = pod("hooked", script);
    let volume = json!({"name": "v", "hostPath": {"path": "/v", "type": "DirectoryOrCreate"}});
    spec["spec"]["volumes"] = json!([volume]);
    let key = bed.create(with(
        spec,
        &json!({
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "lifecycle": {
                "postStart": {"exec": {"command": ["sh", "-c", "echo started > /v/order"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /v/order"]}},
            },
        }),
    ));
    bed.ready(&key).await;
    let order = bed.state.join("disk/v/order");
    assert_eq!(fs::read_to_string(&order).unwrap(), "started\n");
    bed.store.delete(&key, &Deletion::default()).unwrap();
    bed.until(&key, "it is gone", |pod| pod.is_none()).await;
    assert_eq!(
        fs::read_to_string(&order).unwrap(),
        "started\nstopping\nasked\n"
    );
    let refused = with(
        pod("refused", STEADY),
        &json!({"lifecycle": {
            "postStart": {"exec": {"command": ["false"]}},
            "preStop": {"sleep": {"seconds": 300}},
        }}),
    );
    let key = bed.create(refused);
    bed.pod(&key, "its hook failed and it was killed", |pod| {
        container(pod)["restartCount"].as_u64() >= Some(1)
    })
    .await;
    assert_eq!(
        messages(&bed, "FailedPostStartHook"),
        ["PostStartHook failed"]
    );
    // A hook that takes too long is not waited for.
    let how = Deletion {
        grace: Some(1),
        ..Deletion::default()
    };
    let asked = Instant::now();
    bed.store.delete(&key, &how).unwrap();
    bed.until(&key, "it is gone", |pod| pod.is_none()).await;
    assert!(asked.elapsed() < Duration::from_secs(20));
    bed.close().await;
}

#[tokio::test]
async fn a_program_leaves_last_words() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let message = |pod: &Value| container(pod)["state"]["terminated"]["message"].clone();
    let mut said = pod("said", "echo out of luck > /dev/termination-log; exit 4");
    said["spec"]["restartPolicy"] = json!("Never");
    let said = bed.create(said);
    let mut logged = pod("logged", "echo the disk is full; exit 5");
    logged["spec"]["restartPolicy"] = json!("Never");
    logged["spec"]["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    let logged = bed.create(logged);
    for (key, expected) in [(&said, "out of luck\n"), (&logged, "the disk is full\n")] {
        let failed = bed
            .pod(key, "it failed", |pod| pod["status"]["phase"] == "Failed")
            .await;
        assert_eq!(message(&failed), expected);
    }
    bed.close().await;
}

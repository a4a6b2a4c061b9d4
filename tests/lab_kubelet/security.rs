//! What a pod says of its own powers: it has what it asks for, and who cannot
//! give it says so.

use super::*;

/// A pod as careful people write it.
fn careful(script: &str) -> Value {
    let mut spec = pod("careful", script);
    spec["spec"]["hostname"] = json!("vault");
    spec["spec"]["hostAliases"] = json!([{"ip": "10.9.8.7", "hostnames": ["db.example.com"]}]);
    spec["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    spec["spec"]["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container = &mut spec["spec"]["containers"][0];
    container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    spec
}

#[tokio::test]
async fn a_container_is_who_it_asks_to_be_and_writes_where_it_may() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let script = "echo I am $(id -u):$(id -g) on $(uname -n); \
                  for place in /x /tmp/x /etc/x; do touch $place || echo no $place; done; \
                  for place in /data/x /dev/shm/x; do touch $place && echo yes $place; done; \
                  grep example /etc/hosts; echo done; sleep 300";
    let key = bed.create(careful(script));
    bed.ready(&key).await;
    let said = bed.logged(&key, "stdout F done").await;
    for line in [
        "I am 1000:3000 on vault",
        "no /x",
        "no /tmp/x",
        "no /etc/x",
        "yes /data/x",
        "yes /dev/shm/x",
        "10.9.8.7\tdb.example.com",
    ] {
        assert!(
            said.contains(&format!("stdout F {line}\n")),
            "{line}: {said}"
        );
    }
    // A command beside the program is the same user, and nobody gains anything.
    for check in ["test $(id -u) = 1000", "test -O /data/x", "! touch /x"] {
        assert_eq!(bed.sh(&key, check).await.unwrap(), 0, "{check}");
    }
    let caps = "grep -q 'CapEff:.*0000000000000000' /proc/self/status";
    assert_eq!(bed.sh(&key, caps).await.unwrap(), 0);
    assert_eq!(bed.events("NotHonored"), []);
    bed.close().await;
}

#[tokio::test]
async fn who_must_not_be_root_and_would_be_does_not_start() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let mut spec = pod("p", "sleep 300");
        spec["spec"]["securityContext"] = json!({"runAsNonRoot": true});
        let key = bed.create(spec);
        let waiting = bed
            .pod(&key, "it does not start", |pod| {
                container(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
            })
            .await;
        let uid = bed.uid(&key);
        assert_eq!(
            container(&waiting)["state"]["waiting"]["message"],
            format!(
                "container has runAsNonRoot and image will run as root (pod: \
                 \"p_default({uid})\", container: main)"
            )
        );
        bed.close().await;
    }
}

#[tokio::test]
async fn a_pod_without_namespaces_is_told_what_it_does_not_get() {
    let Some(bed) = Bed::new(Isolation::Group, BackoffMode::None).await else {
        return;
    };
    let key = bed.create(careful("echo $TMPDIR; sleep 300"));
    bed.ready(&key).await;
    let said = bed.events("NotHonored");
    assert_eq!(
        said,
        [(
            "hostAliases, runAsUser, readOnlyRootFilesystem cannot be honored: without \
             namespaces a pod is a group of the lab's own processes"
                .to_owned(),
            1
        )]
    );
    bed.close().await;
}

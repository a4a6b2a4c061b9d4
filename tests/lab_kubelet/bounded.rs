//! Volumes that have an end: they can be filled, and nothing else with them.

use super::*;

/// A pod with one volume, at /v.
fn with_volume(name: &str, script: &str, volume: &Value) -> Value {
    let mut spec = pod(name, script);
    let mut volume = volume.clone();
    volume["name"] = json!("v");
    spec["spec"]["volumes"] = json!([volume]);
    spec["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    spec
}

/// A claim `c` on a disk of that size, bound.
fn claim(store: &Store, size: &str) -> Value {
    let disk = json!({"metadata": {"name": "pv"}, "spec": {
        "capacity": {"storage": size},
        "csi": {"driver": "disk.csi.azure.com", "volumeHandle": "/subscriptions/lab/disks/d"}}});
    store.create(Resource::PersistentVolumes, disk).unwrap();
    let claim = json!({"metadata": {"namespace": "default", "name": "c"},
        "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
    store
        .create(Resource::PersistentVolumeClaims, claim)
        .unwrap();
    json!({"persistentVolumeClaim": {"claimName": "c"}})
}

/// The process that keeps the volumes of a state directory, if it is there.
fn keeper(state: &Path) -> Option<i64> {
    let record = fs::read(state.join("runtime/bounded/keeper.json")).ok()?;
    let record: Value = serde_json::from_slice(&record).unwrap();
    let pid = record["pid"].as_i64().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    (!status.contains(") Z ")).then_some(pid)
}

/// What is mounted in the keeper.
fn kept(state: &Path) -> String {
    let pid = keeper(state).expect("there is a keeper");
    fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap()
}

async fn eventually(what: &str, fits: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !fits() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: never"));
}

/// Stops a node for good, and with it what its volumes are in.
async fn close_for_good(bed: Bed) {
    let state = bed.state.clone();
    bed.kubelet.stop().await;
    aks_tui::lab::runtime::forget(&state.join("runtime"));
    eventually("the keeper goes", || keeper(&state).is_none()).await;
    bed.close().await;
}

#[tokio::test]
async fn an_empty_directory_with_a_limit_is_full_at_its_limit() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let limited = json!({"emptyDir": {"sizeLimit": "2Mi"}});
    let script = "echo $(df -Pk /v | tail -1); dd if=/dev/zero of=/v/x bs=64k 2>&1 | grep -i 'no space'; \
                  echo $(df -Pk /v | tail -1); ls -ln /v/x; echo done; sleep 300";
    let key = bed.create(with_volume("p", script, &limited));
    bed.ready(&key).await;
    let log = bed.logged(&key, "F done").await;
    assert!(log.contains("2048 0 2048 0% /v"), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
    assert!(log.contains("2048 2048 0 100% /v"), "{log}");
    assert!(log.contains("2097152"), "{log}");
    // It goes with the pod, not with the container.
    let memory = json!({"emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}});
    let script = "echo once >> /v/note; test $(wc -l < /v/note) -gt 1 || exit 1; sleep 300";
    let other = bed.create(with_volume("q", script, &memory));
    bed.pod(&other, "it runs again", |pod| {
        container(pod)["restartCount"] == 1 && is_ready(pod)
    })
    .await;
    assert_eq!(bed.sh(&other, "test $(wc -l < /v/note) = 2").await, Ok(0));
    let uid = bed.uid(&key);
    assert!(kept(&bed.state).contains(&uid));
    bed.store.delete(&key, &Deletion::default()).unwrap();
    eventually("its volume goes", || !kept(&bed.state).contains(&uid)).await;
    assert!(kept(&bed.state).contains(&bed.uid(&other)));
    close_for_good(bed).await;
}

#[tokio::test]
async fn a_disk_is_the_same_for_every_pod() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let disk = claim(&bed.store, "3Mi");
    let script = "mkdir -p /v/deep; echo $(df -Pk /v | tail -1); echo done; sleep 300";
    let first = bed.create(with_volume("first", script, &disk));
    bed.ready(&first).await;
    let log = bed.logged(&first, "F done").await;
    assert!(log.contains(" 3072 "), "{log}");
    // A second one sees the same, by another path.
    let mut second = with_volume("second", "cat /deep/from-outside; sleep 300", &disk);
    second["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/deep", "subPath": "deep"}]);
    assert_eq!(
        bed.sh(&first, "echo seen > /v/deep/from-outside").await,
        Ok(0)
    );
    let second = bed.create(second);
    bed.ready(&second).await;
    bed.logged(&second, "F seen").await;
    bed.store.delete(&first, &Deletion::default()).unwrap();
    bed.until(&first, "it is gone", |pod| pod.is_none()).await;
    close_for_good(bed).await;
}

const NOTE: &str = "echo kept >> /v/note; cat /v/note; echo done; sleep 300";

/// Not a test by itself: the lab that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_lab() {
    let Ok(state) = std::env::var("AKS_TUI_TEST_CHILD_DISK") else {
        return;
    };
    let isolation = Isolation::Namespaces;
    let bed = Bed::on(Path::new(&state), isolation, BackoffMode::None).await;
    let bed = bed.unwrap();
    let disk = claim(&bed.store, "3Mi");
    let key = bed.create(with_volume("p", NOTE, &disk));
    bed.ready(&key).await;
    bed.logged(&key, "F done").await;
    println!("run {}", bed.run);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_disk_outlives_a_killed_lab() {
    use std::io::BufRead as _;
    let state = tempfile::tempdir().unwrap();
    let Some(probe) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    probe.close().await;
    let mut lab = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bounded::child_lab", "--nocapture"])
        .env("AKS_TUI_TEST_CHILD_DISK", state.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(lab.stdout.take().unwrap()).lines();
    let run = lines.map_while(Result::ok).find_map(|line| {
        line.split_once("run ")
            .map(|(_, run)| run.trim().to_owned())
    });
    let run = run.expect("the child lab runs");
    let before = keeper(state.path());
    assert!(before.is_some());
    lab.kill().unwrap();
    lab.wait().unwrap();
    eventually("its processes go", || marked(&run).is_empty()).await;
    assert_eq!(keeper(state.path()), before);
    let bed = Bed::on(state.path(), Isolation::Namespaces, BackoffMode::None).await;
    let bed = bed.unwrap();
    let disk = claim(&bed.store, "3Mi");
    let key = bed.create(with_volume("next", NOTE, &disk));
    bed.ready(&key).await;
    let log = bed.logged(&key, "F done").await;
    assert_eq!(log.matches("F kept").count(), 2, "{log}");
    assert_eq!(keeper(state.path()), before);
    assert!(bed.events("VolumeContentLost").is_empty());
    // With the state the keeper goes, though nobody ends it.
    bed.close().await;
    state.close().unwrap();
    let gone = || Path::new(&format!("/proc/{}", before.unwrap())).exists();
    eventually("the keeper goes", || !gone()).await;
}

#[tokio::test]
async fn what_a_disk_held_is_lost_with_its_keeper_and_the_pod_is_told() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let disk = claim(&bed.store, "1Mi");
    let first = bed.create(with_volume(
        "p",
        "echo x > /v/x; echo done; sleep 300",
        &disk,
    ));
    bed.ready(&first).await;
    bed.logged(&first, "F done").await;
    bed.store.delete(&first, &Deletion::default()).unwrap();
    bed.until(&first, "it is gone", |pod| pod.is_none()).await;
    bed.kubelet.stop().await;
    aks_tui::lab::runtime::forget(&bed.state.join("runtime"));
    eventually("the keeper goes", || keeper(&bed.state).is_none()).await;
    let Bed {
        kubelet,
        state,
        store,
        directory,
        ..
    } = bed;
    drop(kubelet);
    let next = Bed::with(store, &state, Isolation::Namespaces, BackoffMode::None).await;
    let bed = next.unwrap();
    let second = bed.create(with_volume(
        "q",
        "ls /v | wc -l; echo done; sleep 300",
        &disk,
    ));
    bed.ready(&second).await;
    let log = bed.logged(&second, "F done").await;
    assert!(log.contains("F 0\n"), "{log}");
    assert_eq!(bed.events("VolumeContentLost").len(), 1);
    close_for_good(bed).await;
    drop(directory);
}

#[tokio::test]
async fn more_than_the_machine_has_is_not_promised() {
    let Some(bed) = Bed::new(Isolation::Namespaces, BackoffMode::None).await else {
        return;
    };
    let huge = json!({"emptyDir": {"sizeLimit": "4Pi"}});
    let key = bed.create(with_volume("p", STEADY, &huge));
    bed.pod(&key, "it waits for its volume", |_| {
        let events = bed.events("FailedMount");
        events.iter().any(|(why, _)| why.contains("are free"))
    })
    .await;
    bed.close().await;
}

#[tokio::test]
async fn where_nothing_can_be_mounted_nothing_has_an_end() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    let node = bed.get(&Key::new(Resource::Nodes, "", NODE));
    let says = node["metadata"]["annotations"]["lab.aks-tui.dev/volumes"].as_str();
    assert!(says.unwrap().starts_with("unbounded: "), "{says:?}");
    let limited = json!({"emptyDir": {"sizeLimit": "2Mi"}});
    let key = bed.create(with_volume("p", STEADY, &limited));
    bed.pod(&key, "it waits for its volume", |_| {
        let events = bed.events("FailedMount");
        events.iter().any(|(why, _)| why.contains("no bound"))
    })
    .await;
    // A claim is a directory then, as it always was.
    let disk = claim(&bed.store, "1Mi");
    let mut spec = with_volume("q", "", &disk);
    spec["spec"]["containers"][0]["command"] = json!(["sh", "-c", "echo x > \"$0/x\"", "/v"]);
    let key = bed.create(spec);
    bed.pod(&key, "it has run", |pod| {
        container(pod)["restartCount"].as_u64() > Some(0)
    })
    .await;
    assert!(bed.state.join("shares/disk").read_dir().unwrap().count() == 1);
    bed.close().await;
}

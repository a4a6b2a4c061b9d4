//! Labs that are stopped in the middle, killed, and started again.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_everything_leaves_nothing() {
    for isolation in BOTH {
        for round in 0..3 {
            let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
                break;
            };
            let scripts = [
                "exit 1",
                STEADY,
                "kill -9 $$",
                "sleep 0.1; exit 0",
                "trap '' TERM; sleep 300",
            ];
            let keys: Vec<_> = scripts
                .iter()
                .enumerate()
                .map(|(index, script)| bed.create(pod(&format!("p{index}"), script)))
                .collect();
            // Each round stops at another point of their lives.
            match round {
                0 => {}
                1 => drop(bed.ready(&keys[1]).await),
                _ => {
                    bed.pod(&keys[0], "it restarts", |pod| {
                        container(pod)["restartCount"].as_u64() > Some(1)
                    })
                    .await;
                    bed.store.delete(&keys[4], &Deletion::default()).unwrap();
                }
            }
            bed.close().await;
        }
    }
}

/// Not a test by itself: the lab that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_lab() {
    let Ok(state) = std::env::var("AKS_TUI_TEST_CHILD_LAB") else {
        return;
    };
    let isolation = match std::env::var("AKS_TUI_TEST_CHILD_ISOLATION").as_deref() {
        Ok("group") => Isolation::Group,
        _ => Isolation::Namespaces,
    };
    let bed = Bed::on(Path::new(&state), isolation, BackoffMode::None)
        .await
        .unwrap();
    let key = bed.create(keeper());
    let ready = bed.ready(&key).await;
    bed.logged(&key, "ready").await;
    fs::write(Path::new(&state).join("pod.json"), ready.to_string()).unwrap();
    println!("run {}", bed.run);
    std::future::pending::<()>().await;
}

/// A pod that leaves a stray without the lab's marks, and counts its starts.
fn keeper() -> Value {
    let mut spec = pod("keeper", "");
    spec["spec"]["containers"][0]["command"] = json!([
        "sh",
        "-c",
        format!("echo start >> $0/starts; setsid env -i sleep 4001 & {STEADY}"),
        "/data"
    ]);
    spec["spec"]["volumes"] = json!([{"name": "data", "hostPath": {"path": "/data"}}]);
    spec["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    spec
}

fn strays() -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stray = b"sleep\x004001\x00";
    entries
        .filter(|it| fs::read(it.path().join("cmdline")).is_ok_and(|line| line == stray))
        .count()
}

#[tokio::test]
async fn nothing_outlives_a_killed_lab_and_the_next_one_goes_on() {
    use std::io::BufRead as _;
    for isolation in BOTH {
        let state = tempfile::tempdir().unwrap();
        let Some(probe) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        probe.close().await;
        let mut lab = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "survival::child_lab", "--nocapture"])
            .env("AKS_TUI_TEST_CHILD_LAB", state.path())
            .env("AKS_TUI_TEST_CHILD_ISOLATION", isolation.as_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(lab.stdout.take().unwrap()).lines();
        let run = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("run ")
                .map(|(_, run)| run.trim().to_owned())
        });
        let run = run.expect("the child lab runs");
        assert!(!marked(&run).is_empty());
        let started = tokio::time::timeout(PATIENCE, async {
            while strays() != 1 {
                tokio::task::yield_now().await;
            }
        });
        started.await.expect("the pod starts its stray");
        lab.kill().unwrap();
        lab.wait().unwrap();
        let gone = tokio::time::timeout(PATIENCE, async {
            while !marked(&run).is_empty() || strays() > 0 {
                tokio::task::yield_now().await;
            }
        });
        gone.await
            .unwrap_or_else(|_| panic!("{isolation}: left: {:?}", marked(&run)));
        // The next lab on the same directory: same pod, same disk, same address.
        let before: Value =
            serde_json::from_slice(&fs::read(state.path().join("pod.json")).unwrap()).unwrap();
        let store = Store::new(0);
        let restored = store.restore(Resource::Pods, before.clone()).unwrap();
        let forgotten = state.path().join("pods/forgotten");
        fs::create_dir_all(forgotten.join("logs")).unwrap();
        let bed = Bed::with(store, state.path(), isolation, BackoffMode::None)
            .await
            .unwrap();
        assert!(!forgotten.exists());
        let key = Key::of(Resource::Pods, &restored);
        let after = bed
            .pod(&key, "it runs again", |pod| {
                container(pod)["restartCount"] == 1 && is_ready(pod)
            })
            .await;
        assert_eq!(after["status"]["podIP"], before["status"]["podIP"]);
        let last = &container(&after)["lastState"]["terminated"];
        assert_eq!(
            (&last["exitCode"], &last["reason"]),
            (&json!(255), &json!("Unknown"))
        );
        bed.logged(&key, "ready").await;
        let starts = fs::read_to_string(state.path().join("disk/data/starts")).unwrap();
        assert_eq!(starts.lines().count(), 2, "{isolation}");
        let previous = bed.kubelet.open_log(&bed.uid(&key), "main", true).unwrap();
        assert!(
            fs::read_to_string(previous.current)
                .unwrap()
                .contains("ready")
        );
        bed.close().await;
        assert_eq!(strays(), 0);
    }
}

#[tokio::test]
async fn orphans_of_a_lab_that_could_not_clean_up_are_reaped() {
    let state = tempfile::tempdir().unwrap();
    // What is left when a lab and its inits are killed at once: a record, and a
    // process with its mark.
    let records = state.path().join("runtime/records");
    fs::create_dir_all(&records).unwrap();
    let id = format!("{:032x}", fastrand::u128(..));
    let mut orphan = Command::new("sleep")
        .arg("4002")
        .env("AKS_TUI_CONTAINER", &id)
        .spawn()
        .unwrap();
    let mut innocent = Command::new("sleep").arg("4003").spawn().unwrap();
    // Its record names a pid that is another process by now.
    let record = json!({"id": id, "pid": innocent.id(), "started": 1, "boot": "x"});
    fs::write(records.join(format!("{id}.json")), record.to_string()).unwrap();
    let bed = Bed::on(state.path(), Isolation::Group, BackoffMode::None)
        .await
        .unwrap();
    assert_eq!(bed.kubelet.reaped(), 1);
    assert!(!orphan.wait().unwrap().success());
    assert!(
        innocent.try_wait().unwrap().is_none(),
        "an innocent was killed"
    );
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    bed.close().await;
}

//! From created to gone: restarts, policies, grace, and what cannot be run.

use super::*;

#[tokio::test]
async fn a_killed_process_runs_again_and_is_accounted_for() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let created = Instant::now();
        let key = bed.create(pod("p", STEADY));
        let first = bed.ready(&key).await;
        eprintln!("{isolation}: from created to ready {:?}", created.elapsed());
        assert_eq!(first["status"]["phase"], "Running");
        assert_eq!(container(&first)["restartCount"], 0);
        for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
            assert_eq!(condition(&first, kind), "True", "{kind}");
        }
        let pid_of = |pod: &Value| -> i32 {
            let name = format!("{PID_ANNOTATION}main");
            pod["metadata"]["annotations"][name]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        let mut before = first;
        // No more often than what a container that ends quickly is forgiven.
        for restart in 1..=3 {
            let pid = pid_of(&before);
            bed.logged(&key, "ready").await;
            let nice = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            assert_eq!(
                nice.rsplit(')').next().unwrap().split(' ').nth(17),
                Some("5")
            );
            let killed = Instant::now();
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
            let after = bed
                .pod(&key, "it runs again", |pod| {
                    container(pod)["restartCount"] == restart && is_ready(pod)
                })
                .await;
            eprintln!("{isolation}: from kill to running {:?}", killed.elapsed());
            let last = &container(&after)["lastState"]["terminated"];
            assert_eq!(
                (&last["exitCode"], &last["signal"]),
                (&json!(137), &json!(9))
            );
            assert_eq!(last["reason"], "Error");
            assert_eq!(last["containerID"], container(&before)["containerID"]);
            assert_ne!(
                container(&after)["containerID"],
                container(&before)["containerID"]
            );
            assert_ne!(pid_of(&after), pid);
            assert!(!Path::new(&format!("/proc/{pid}")).exists());
            assert_eq!(after["status"]["podIP"], before["status"]["podIP"]);
            before = after;
        }
        assert_eq!(
            bed.events("Started"),
            [("Started container main".to_owned(), 4)]
        );
        // The logs of this execution and of the one before, no others.
        let logs = bed.state.join("pods").join(bed.uid(&key)).join("logs/main");
        let mut files: Vec<_> = fs::read_dir(logs)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        files.sort();
        assert_eq!(files, ["2.log", "3.log"]);
        bed.logged(&key, "ready").await;
        let previous = bed.kubelet.open_log(&bed.uid(&key), "main", true).unwrap();
        assert!(previous.state.borrow().ended);
        assert!(
            fs::read_to_string(previous.current)
                .unwrap()
                .contains("ready")
        );
        bed.close().await;
    }
}

#[tokio::test]
async fn exec_kills_by_name_and_says_when_there_is_nobody() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::Kubernetes).await else {
            continue;
        };
        let mut spec = pod("p", "");
        spec["spec"]["containers"][0]["command"] = json!(["sleep", "300"]);
        let key = bed.create(spec);
        bed.ready(&key).await;
        // The exec may end with its container, as on a real node.
        let code = bed.sh(&key, "kill -9 $(pidof sleep)").await.unwrap();
        assert!(code == 0 || code == 137, "{code}");
        let again = bed.pod(&key, "restarted", |pod| {
            container(pod)["restartCount"] == 1 && is_ready(pod)
        });
        again.await;
        bed.sh(&key, "kill -15 $(pidof sleep)").await.unwrap();
        let waiting = bed
            .pod(&key, "it backs off", |pod| {
                container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            })
            .await;
        let message = container(&waiting)["state"]["waiting"]["message"]
            .as_str()
            .unwrap();
        let uid = bed.uid(&key);
        assert_eq!(
            message,
            format!("back-off 10s restarting failed container=main pod=p_default({uid})")
        );
        assert_eq!(
            container(&waiting)["lastState"]["terminated"]["exitCode"],
            143
        );
        assert_eq!(waiting["status"]["phase"], "Running");
        assert_eq!(condition(&waiting, "Ready"), "False");
        assert!(
            bed.events("BackOff")[0]
                .0
                .contains("Back-off restarting failed container main")
        );
        let refused = bed.sh(&key, "kill -9 $(pidof sleep)").await;
        assert_eq!(refused, Err(NodeError::NotFound("main".into())));
        // A pod that backs off is deleted at once.
        bed.store.delete(&key, &Deletion::default()).unwrap();
        bed.until(&key, "it is gone", |pod| pod.is_none()).await;
        bed.close().await;
    }
}

#[tokio::test]
async fn deletion_gives_the_grace_that_was_asked_for() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation, BackoffMode::None).await else {
            continue;
        };
        let stubborn = format!("trap '' TERM; {STEADY}");
        let polite = format!("trap 'echo bye; exit 0' TERM; {STEADY}");
        let stubborn = bed.create(pod("stubborn", &stubborn));
        let polite = bed.create(pod("polite", &polite));
        let quick = bed.create(pod("quick", STEADY));
        for key in [&stubborn, &polite, &quick] {
            bed.ready(key).await;
            bed.logged(key, "ready").await;
        }
        let pids = marked(&bed.run).len();
        let delete = |key: &Key, grace| {
            let how = Deletion {
                grace: Some(grace),
                ..Deletion::default()
            };
            bed.store.delete(key, &how).unwrap();
        };
        let asked = Instant::now();
        delete(&stubborn, 1);
        delete(&polite, 30);
        bed.until(&polite, "the polite one is gone", |pod| pod.is_none())
            .await;
        assert!(asked.elapsed() < Duration::from_secs(10));
        bed.until(&stubborn, "the stubborn one is gone", |pod| pod.is_none())
            .await;
        assert!(asked.elapsed() >= Duration::from_secs(1));
        delete(&quick, 0);
        assert!(bed.store.get(&quick).is_none());
        let killed = tokio::time::timeout(PATIENCE, async {
            while !pod_processes(&bed.run).is_empty() {
                tokio::task::yield_now().await;
            }
        });
        killed
            .await
            .unwrap_or_else(|_| panic!("left of {pids}: {:?}", pod_processes(&bed.run)));
        assert_eq!(bed.events("Killing").len(), 3);
        bed.close().await;
    }
}

#[tokio::test]
async fn the_restart_policy_decides() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    for (policy, script, phase) in [
        ("Never", "exit 0", "Succeeded"),
        ("Never", "exit 3", "Failed"),
        ("OnFailure", "exit 0", "Succeeded"),
    ] {
        let name = format!("{}-{phase}", policy.to_lowercase()).to_lowercase();
        let mut spec = pod(&name, script);
        spec["spec"]["restartPolicy"] = json!(policy);
        let key = bed.create(spec);
        let ended = bed
            .pod(&key, phase, |pod| pod["status"]["phase"] == phase)
            .await;
        assert_eq!(container(&ended)["restartCount"], 0);
        assert!(container(&ended)["state"]["terminated"]["finishedAt"].is_string());
        // An ended pod keeps its log, and goes at once when it is deleted.
        bed.kubelet.open_log(&bed.uid(&key), "main", false).unwrap();
        let directory = bed.state.join("pods").join(bed.uid(&key));
        bed.store.delete(&key, &Deletion::default()).unwrap();
        assert!(bed.store.get(&key).is_none());
        let gone = tokio::time::timeout(PATIENCE, async {
            while directory.exists() {
                tokio::task::yield_now().await;
            }
        });
        gone.await.unwrap();
    }
    let mut spec = pod("loops", "exit 3");
    spec["spec"]["restartPolicy"] = json!("OnFailure");
    let key = bed.create(spec);
    let looping = bed
        .pod(&key, "it backs off although back-off is none", |pod| {
            container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let message = container(&looping)["state"]["waiting"]["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("hot loop"), "{message}");
    assert_eq!(
        container(&looping)["lastState"]["terminated"]["exitCode"],
        3
    );
    bed.close().await;
}

#[tokio::test]
async fn init_containers_come_first() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    let mut spec = pod("p", "cat /shared/note; sleep 300");
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    spec["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}]);
    spec["spec"]["containers"][0]["command"] = json!(["tail", "-f", "/shared/note"]);
    spec["spec"]["containers"][0]["volumeMounts"] = mount.clone();
    spec["spec"]["initContainers"] = json!([{
        "name": "first",
        "image": "aks-tui/shell",
        "command": ["cp", "/proc/self/comm", "/shared/note"],
        "volumeMounts": mount,
    }]);
    let key = bed.create(spec);
    let ready = bed.ready(&key).await;
    let init = &ready["status"]["initContainerStatuses"][0];
    assert_eq!(init["state"]["terminated"]["reason"], "Completed");
    assert_eq!(init["ready"], true);
    bed.logged(&key, "stdout F cp").await;
    bed.close().await;
}

#[tokio::test]
async fn what_the_node_cannot_do_it_says() {
    let bed = Bed::new(Isolation::Group, BackoffMode::None).await.unwrap();
    let mut spec = pod("image", STEADY);
    spec["spec"]["containers"][0]["image"] = json!("nginx:1");
    let image = bed.create(spec);
    let mut spec = pod("volume", STEADY);
    spec["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "m"}}]);
    spec["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let volume = bed.create(spec);
    let mut spec = pod("config", STEADY);
    spec["spec"]["containers"][0]["env"] =
        json!([{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let config = bed.create(spec);
    let mut spec = pod("command", STEADY);
    spec["spec"]["containers"][0]["command"] = json!(["no-such-program"]);
    let command = bed.create(spec);
    for (key, reason) in [
        (&image, "ImagePullBackOff"),
        (&config, "CreateContainerConfigError"),
    ] {
        let waiting = bed
            .pod(key, reason, |pod| {
                container(pod)["state"]["waiting"]["reason"] == reason
            })
            .await;
        assert_eq!(waiting["status"]["phase"], "Pending");
        let log = bed.kubelet.open_log(&bed.uid(key), "main", false);
        assert!(matches!(log, Err(NodeError::NotStarted(_))), "{log:?}");
    }
    let failed = bed
        .pod(&command, "StartError", |pod| {
            container(pod)["lastState"]["terminated"]["reason"] == "StartError"
        })
        .await;
    let terminated = &container(&failed)["lastState"]["terminated"];
    assert_eq!(terminated["exitCode"], 128);
    assert!(
        terminated["message"]
            .as_str()
            .unwrap()
            .contains("not found in $PATH")
    );
    let missing = "MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found";
    bed.pod(&volume, "ContainerCreating", |pod| {
        container(pod)["state"]["waiting"]["reason"] == "ContainerCreating"
            && bed
                .events("FailedMount")
                .iter()
                .any(|(said, _)| said == missing)
    })
    .await;
    let failures = bed.events("Failed");
    assert!(
        failures
            .iter()
            .any(|(message, _)| message == "Error: ErrImagePull")
    );
    for key in [image, volume, config, command] {
        bed.store.delete(&key, &Deletion::default()).unwrap();
        bed.until(&key, "it is gone", |pod| pod.is_none()).await;
    }
    bed.close().await;
}

#[tokio::test]
async fn what_others_say_of_a_pod_outlives_what_its_node_says() {
    let Some(bed) = Bed::new(Isolation::Group, BackoffMode::None).await else {
        return;
    };
    let key = bed.create(pod("p", STEADY));
    bed.ready(&key).await;
    let target = json!({"type": "DisruptionTarget", "status": "True",
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"});
    let written = bed.store.update_with::<StoreError>(&key, |pod| {
        let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
        conditions.push(target.clone());
        Ok(())
    });
    written.unwrap();
    bed.sh(&key, "kill -9 $(pidof sh)").await.unwrap();
    let after = bed
        .pod(&key, "it runs again", |pod| {
            container(pod)["restartCount"] == 1 && is_ready(pod)
        })
        .await;
    let conditions = after["status"]["conditions"].as_array().unwrap();
    let kept = conditions
        .iter()
        .find(|it| it["type"] == "DisruptionTarget");
    assert_eq!(kept.unwrap()["reason"], "EvictionByEvictionAPI");
    bed.close().await;
}

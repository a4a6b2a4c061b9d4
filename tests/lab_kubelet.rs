//! The lab's node on a store of its own: pods become processes, processes are
//! killed, and the store says what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aks_tui::lab::kinds::Resource;
use aks_tui::lab::kubelet::{BackoffMode, Config, Kubelet, KubeletError, NODE, PID_ANNOTATION};
use aks_tui::lab::node::{ExecRequest, Node, NodeError};
use aks_tui::lab::runtime::{Isolation, RuntimeError};
use aks_tui::lab::store::{Deletion, Key, Store};
use serde_json::{Value, json};

const BOTH: [Isolation; 2] = [Isolation::Namespaces, Isolation::Group];

/// Long enough for a slow machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs until it is killed.
const STEADY: &str = "echo ready; while :; do sleep 0.05; done";

struct Bed {
    kubelet: Kubelet,
    store: Store,
    run: String,
    state: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Bed {
    async fn new(isolation: Isolation, backoff: BackoffMode) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut bed = Self::on(directory.path(), isolation, backoff).await?;
        bed._directory = Some(directory);
        Some(bed)
    }

    /// A node, or none with the reason printed where the kernel forbids it.
    async fn on(state: &Path, isolation: Isolation, backoff: BackoffMode) -> Option<Self> {
        let run = format!("test-{:016x}", fastrand::u64(..));
        let store = Store::new(0);
        let config = Config {
            state: state.to_owned(),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_aks-tui")),
            run: run.clone(),
            isolation: Some(isolation),
            backoff,
            version: "v1.33.0".into(),
        };
        match Kubelet::start(store.clone(), config).await {
            Ok(kubelet) => Some(Self {
                kubelet,
                store,
                run,
                state: state.to_owned(),
                _directory: None,
            }),
            Err(KubeletError::Runtime(error @ RuntimeError::NoNamespaces(_))) => {
                let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
                assert!(!required.contains("namespaces"), "{error}");
                eprintln!("skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn create(&self, pod: Value) -> Key {
        let pod = self.store.create(Resource::Pods, pod).unwrap();
        Key::of(Resource::Pods, &pod)
    }

    fn get(&self, key: &Key) -> Arc<Value> {
        self.store.get(key).unwrap()
    }

    fn uid(&self, key: &Key) -> String {
        self.get(key)["metadata"]["uid"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until the store's account of an object fits; none means gone.
    async fn until(&self, key: &Key, what: &str, fits: impl Fn(Option<&Value>) -> bool) -> Value {
        let (_, mut watch) = self.store.list_and_watch(&Resource::ALL);
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let object = self.store.get(key);
                if fits(object.as_deref()) {
                    return object.map(|it| Value::clone(&it)).unwrap_or_default();
                }
                watch.next().await.unwrap();
            }
        });
        match waited.await {
            Ok(object) => object,
            Err(_) => panic!("{what}: never, but {:#?}", self.store.get(key)),
        }
    }

    async fn pod(&self, key: &Key, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until(key, what, |pod| pod.is_some_and(&fits)).await
    }

    async fn ready(&self, key: &Key) -> Value {
        self.pod(key, "it is ready", is_ready).await
    }

    async fn logged(&self, key: &Key, text: &str) -> String {
        let mut log = self
            .kubelet
            .open_log(&self.uid(key), "main", false)
            .unwrap();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                log.state.borrow_and_update();
                let content = fs::read_to_string(&log.current).unwrap();
                if content.contains(text) {
                    return content;
                }
                log.state.changed().await.unwrap();
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("the log never says {text:?}"))
    }

    async fn sh(&self, key: &Key, script: &str) -> Result<i32, NodeError> {
        let request = ExecRequest {
            command: ["sh", "-c", script].map(String::from).to_vec(),
            stdout: true,
            stderr: true,
            ..ExecRequest::default()
        };
        let mut session = self.kubelet.exec(&self.uid(key), "main", request).await?;
        while session.output.recv().await.is_some() {}
        Ok(session.exit.await.unwrap().code)
    }

    fn events(&self, reason: &str) -> Vec<(String, u64)> {
        let events = self.store.list(Resource::Events, None).items;
        events
            .iter()
            .filter(|event| event["reason"] == reason)
            .map(|event| {
                let message = event["message"].as_str().unwrap().to_owned();
                (message, event["count"].as_u64().unwrap())
            })
            .collect()
    }

    async fn close(self) {
        self.kubelet.stop().await;
        assert_eq!(marked(&self.run), Vec::<String>::new(), "left behind");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.state.to_str().unwrap()));
    }
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == kind);
    found
        .and_then(|it| it["status"].as_str())
        .unwrap_or("absent")
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn marked(run: &str) -> Vec<String> {
    let mark = format!("AKS_TUI_RUN={run}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(environment) = fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|it| it == mark.as_bytes())
        {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

fn pod(name: &str, script: &str) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "nodeName": NODE,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main",
                "image": "aks-tui/shell",
                "command": ["sh", "-c", script],
            }],
        },
    })
}

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
            while !marked(&bed.run).is_empty() {
                tokio::task::yield_now().await;
            }
        });
        killed
            .await
            .unwrap_or_else(|_| panic!("left of {pids}: {:?}", marked(&bed.run)));
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
    let key = Key::new(Resource::Pods, "default", "volume");
    bed.pod(&key, "ContainerCreating", |pod| {
        container(pod)["state"]["waiting"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("configMap"))
    })
    .await;
    assert!(bed.events("FailedMount")[0].0.contains("configMap volumes"));
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
        assert!(server_ip.starts_with("127."), "{server_ip}");
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
            .args(["--exact", "child_lab", "--nocapture"])
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
        let bed = Bed::on(state.path(), isolation, BackoffMode::None)
            .await
            .unwrap();
        let restored = bed.store.restore(Resource::Pods, before.clone()).unwrap();
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

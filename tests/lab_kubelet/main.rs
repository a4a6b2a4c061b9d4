//! The lab's node on a store of its own: pods become processes, processes are
//! killed, and the store says what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

mod bounded;
mod checks;
mod images;
mod network;
mod order;
mod places;
mod power;
mod restarts;
mod security;
mod supply;
mod survival;

use std::fs;

use std::path::{Path, PathBuf};

use std::process::{Command, Stdio};

use std::sync::Arc;

use std::time::{Duration, Instant};

use aks_tui::lab::kinds::Resource;

use aks_tui::lab::kubelet::{
    BackoffMode, Config, Heartbeat, Kubelet, KubeletError, NODE, PID_ANNOTATION,
};

use aks_tui::lab::network::{Fault, Mode};

use aks_tui::lab::node::{ExecRequest, Node, NodeError};

use aks_tui::lab::runtime::{Isolation, RuntimeError};

use aks_tui::lab::store::{Deletion, Key, Store, StoreError};

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
    /// Vanishes with the bed.
    directory: Option<tempfile::TempDir>,
}

impl Bed {
    async fn new(isolation: Isolation, backoff: BackoffMode) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut bed = Self::on(directory.path(), isolation, backoff).await?;
        bed.directory = Some(directory);
        Some(bed)
    }

    async fn on(state: &Path, isolation: Isolation, backoff: BackoffMode) -> Option<Self> {
        Self::with(Store::new(0), state, isolation, backoff).await
    }

    /// A node, or none with the reason printed where the kernel forbids it.
    async fn with(
        store: Store,
        state: &Path,
        isolation: Isolation,
        backoff: BackoffMode,
    ) -> Option<Self> {
        let run = format!("test-{:016x}", fastrand::u64(..));
        let config = Config {
            state: state.to_owned(),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_aks-tui")),
            run: run.clone(),
            isolation: Some(isolation),
            limits: true,
            backoff,
            version: "v1.33.0".into(),
            nodes: 1,
            heartbeat: Heartbeat::default(),
        };
        // Without it nothing that happens in it is told.
        let home = json!({"metadata": {"name": "default"}});
        match store.create(Resource::Namespaces, home) {
            Ok(_) | Err(StoreError::AlreadyExists(_)) => {}
            Err(error) => panic!("{error}"),
        }
        match Kubelet::start(store.clone(), config).await {
            Ok(kubelet) => Some(Self {
                kubelet,
                store,
                run,
                state: state.to_owned(),
                directory: None,
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
        let Ok(object) = waited.await else {
            panic!("{what}: never, but {:#?}", self.store.get(key))
        };
        object
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
        if let Some(directory) = self.directory {
            directory.close().unwrap();
        }
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

/// The processes of pods: all of a run but the lab's own place in their network,
/// and its hand on their volumes.
fn pod_processes(run: &str) -> Vec<String> {
    let mut found = marked(run);
    found.retain(|line| !line.contains("lab-network") && !line.contains("lab-volumes"));
    found
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

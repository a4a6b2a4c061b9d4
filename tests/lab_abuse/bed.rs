//! A lab with somebody who means well, and a look at what it holds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Client;
use kube::api::{Api, AttachParams, ListParams, PostParams};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::client::{connect, is_running, run};
use super::reach::allow_many_files;
use super::support::{Lab, PATIENCE, within};

pub struct Bed {
    pub lab: Lab,
    /// A client that means well.
    pub client: Client,
}

/// So many connections more may the one who means well keep for later.
const POOL: usize = 2;

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    pub files: usize,
    pub threads: usize,
    /// Processes below it, at any depth.
    pub processes: usize,
}

impl Footprint {
    fn of(pid: u32) -> Self {
        let count = |what: &str| {
            let entries = std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap();
            entries.count()
        };
        Self {
            files: count("fd"),
            threads: count("task"),
            processes: below(pid),
        }
    }

    fn within(&self, other: &Self) -> bool {
        self.files <= other.files + POOL
            && self.threads <= other.threads
            && self.processes <= other.processes
    }
}

/// How many living processes have this one as an ancestor.
fn below(pid: u32) -> usize {
    let parents: HashMap<u32, u32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name before it may hold anything, also parentheses.
            let after = stat.rsplit_once(')')?.1;
            let mut fields = after.split_whitespace();
            let state = fields.next()?;
            let parent = fields.next()?.parse().ok()?;
            (state != "Z").then_some((pid, parent))
        })
        .collect();
    let is_below = |mut it: u32| {
        while let Some(parent) = parents.get(&it) {
            if *parent == pid {
                return true;
            }
            it = *parent;
        }
        false
    };
    parents.keys().filter(|it| is_below(**it)).count()
}

impl Bed {
    pub async fn new() -> Self {
        allow_many_files();
        let lab = Lab::start(&["--empty", "--backoff", "none"]);
        let client = connect(&lab).await;
        Self { lab, client }
    }

    /// Whether pods are shut in so that any command may be run in them.
    pub fn namespaces(&self) -> bool {
        self.lab.about["isolation"] == "namespaces"
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Runs a pod of one container and waits until it does.
    pub async fn pod(&self, name: &str, container: &Value) {
        let mut container = container.clone();
        container["name"] = json!("main");
        let pod = json!({
            "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        });
        let pod = serde_json::from_value(pod).unwrap();
        run(&self.pods(), &pod, is_running).await;
    }

    /// Runs a command in a pod as people do, and hears it out.
    pub async fn ordinary_command(&self, pod: &str) {
        let (command, expected) = if self.namespaces() {
            (["echo", "alive"].as_slice(), "alive\n")
        } else {
            (["ps"].as_slice(), "PID")
        };
        let ask = AttachParams::default().stdout(true).stderr(false);
        let run = async {
            let mut session = self
                .pods()
                .exec(pod, command.iter().copied(), &ask)
                .await
                .unwrap();
            let mut said = String::new();
            let mut stdout = session.stdout().unwrap();
            stdout.read_to_string(&mut said).await.unwrap();
            let status = session.take_status().unwrap().await.unwrap();
            assert_eq!(status.status.as_deref(), Some("Success"), "{status:?}");
            assert!(said.contains(expected), "{said}");
        };
        within("an ordinary command", run).await;
    }

    /// Does some mischief while somebody else is being served.
    pub async fn beside<T>(&self, mischief: impl Future<Output = T>) -> T {
        let (pods, all) = (self.pods(), ListParams::default());
        let mut served = 0;
        let asking = async {
            loop {
                let list = pods.list(&all);
                within("somebody else's list", list).await.unwrap();
                served += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::select! {
            done = mischief => done,
            () = asking => unreachable!(),
        };
        let list = pods.list(&all);
        within("somebody else's last list", list).await.unwrap();
        println!("somebody else was served {} times meanwhile", served + 1);
        done
    }

    /// The token of a user more, who may do everything.
    pub async fn another(&self) -> String {
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "another"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "default"}],
        }))
        .unwrap();
        let bindings = Api::all(self.client.clone());
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
        let accounts: Api<ServiceAccount> = Api::default_namespaced(self.client.clone());
        let ask: TokenRequest =
            serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": []}})).unwrap();
        let given = accounts
            .create_token_request("default", &PostParams::default(), &ask)
            .await;
        given.unwrap().status.unwrap().token
    }

    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.lab.pid())
    }

    /// Waits until the lab holds no more than it did.
    pub async fn is_as_it_was(&self, before: &Footprint) {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = self.footprint();
            if now.within(before) {
                return;
            }
            assert!(Instant::now() < end, "{now:?} are left of {before:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

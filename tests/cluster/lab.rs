//! The cluster adapter against the lab: real processes, really killed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use aks_tui::{
    adapters::cluster::Options,
    core::{
        effect::Effect,
        event::{Fact, Feed, FeedState, Pod},
        trial::{Fault, TrialId, Victim},
        workload::{Role, line::Progress, text::printable},
    },
};
use kube::{
    Api, Client, Config,
    api::LogParams,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::cockpit::{Cockpit, lines};

struct Lab {
    process: Child,
    _state: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Lab {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_aks-tui"))
            .args([
                "lab",
                "--backoff",
                "none",
                "--bytes-per-round",
                "256KiB",
                "--rate",
                "4MiB",
            ])
            .arg("--state")
            .arg(state.path().join("state"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let about: serde_json::Value = serde_json::from_str(&ready).unwrap();
        assert_eq!(about["ready"], true, "{ready}");
        Self {
            process,
            kubeconfig: about["kubeconfig"].as_str().unwrap().into(),
            _state: state,
        }
    }

    fn options(&self) -> Options {
        Options {
            kubeconfig: Some(self.kubeconfig.clone()),
            client_selector: "app=generated-perftestclient".to_owned(),
            server_selector: "app=generated-perftestserver".to_owned(),
            ..Options::default()
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        // It may be dead already, which is what is wanted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

/// The newest state of each pod, and the last progress of each role.
struct Known {
    pods: HashMap<String, Pod>,
    progress: HashMap<Role, Progress>,
}

impl Known {
    fn of(cockpit: &Cockpit) -> Self {
        let mut known = Self {
            pods: HashMap::new(),
            progress: HashMap::new(),
        };
        for fact in &cockpit.said {
            match fact {
                Fact::Pod(pod) => {
                    known.pods.insert(pod.uid.clone(), (**pod).clone());
                }
                Fact::PodGone { uid } => {
                    known.pods.remove(uid);
                }
                Fact::Progress { role, progress } => {
                    known.progress.insert(*role, *progress);
                }
                _ => {}
            }
        }
        known
    }

    fn victim(&self, role: Role) -> Victim {
        let pod = self
            .pods
            .values()
            .find(|pod| pod.role == Some(role) && !pod.deleting)
            .unwrap();
        let container = pod
            .containers
            .iter()
            .find(|container| container.program)
            .unwrap();
        Victim {
            node: None,
            role,
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            container: container.name.clone(),
            container_id: container.id.clone(),
            restarts: container.restarts,
            pid: None,
            volume: None,
        }
    }
}

async fn hear_work(cockpit: &mut Cockpit, role: Role, epoch: u64) {
    cockpit
        .hear("new work", |fact| {
            matches!(fact, Fact::Progress { role: of, progress }
                if *of == role && progress.epoch >= epoch && !progress.replaying)
        })
        .await;
}

async fn kill(cockpit: &mut Cockpit, fault: Fault, role: Role) {
    let known = Known::of(cockpit);
    let epoch = known.progress[&role].epoch;
    cockpit
        .ask(Effect::Inject {
            trial: TrialId(1),
            fault,
            victim: known.victim(role),
            lasts: None,
        })
        .await;
    let fact = cockpit
        .hear("the injection", |fact| {
            matches!(fact, Fact::FaultInjected { .. } | Fact::FaultRefused { .. })
        })
        .await;
    let Fact::FaultInjected { victim, .. } = fact else {
        panic!("{fact:?}");
    };
    assert!(victim.pid.is_some());
    hear_work(cockpit, role, epoch + 1).await;
}

/// What each execution was told to have printed, in order, by pod and restart.
fn told(cockpit: &Cockpit, role: Role) -> Vec<(u32, Vec<(i64, String)>)> {
    let mut executions: Vec<(u32, Vec<(i64, String)>)> = Vec::new();
    for fact in &cockpit.said {
        match fact {
            Fact::LogBegan {
                role: of, restart, ..
            } if *of == role => {
                executions.push((*restart, Vec::new()));
            }
            Fact::Log { role: of, lines } if *of == role => {
                let told = &mut executions.last_mut().unwrap().1;
                told.extend(lines.iter().map(|l| (l.stamp_ms.unwrap(), l.text.clone())));
            }
            _ => {}
        }
    }
    executions
}

/// What the node has of an execution.
async fn written(lab: &Lab, victim: &Victim, previous: bool) -> Vec<(i64, String)> {
    let kubeconfig = Kubeconfig::read_from(&lab.kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let pods: Api<k8s_openapi::api::core::v1::Pod> =
        Api::default_namespaced(Client::try_from(config).unwrap());
    let params = LogParams {
        container: Some(victim.container.clone()),
        previous,
        timestamps: true,
        ..LogParams::default()
    };
    let log = pods.logs(&victim.pod, &params).await.unwrap();
    log.lines()
        .map(|line| {
            let (stamp, text) = line.split_once(' ').unwrap();
            let stamp: jiff::Timestamp = stamp.parse().unwrap();
            (stamp.as_millisecond(), printable(text.as_bytes()))
        })
        .collect()
}

/// After a kill, the execution that ended must have been told as it was written,
/// and the one that goes on, too. The node keeps the last one until the next kill.
async fn compare_the_last(cockpit: &Cockpit, lab: &Lab, role: Role) {
    let victim = Known::of(cockpit).victim(role);
    let told = told(cockpit, role);
    let numbers: Vec<u32> = told.iter().map(|(restart, _)| *restart).collect();
    assert_eq!(numbers, (0..=victim.restarts).collect::<Vec<_>>(), "{role}");
    let now = victim.restarts as usize;
    let ended = written(lab, &victim, true).await;
    assert_eq!(told[now - 1].1, ended, "{role} execution {}", now - 1);
    let mut goes_on = written(lab, &victim, false).await;
    goes_on.truncate(told[now].1.len());
    assert_eq!(told[now].1, goes_on, "{role} execution {now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_are_survived_and_every_line_is_told_once() {
    let lab = Lab::start();
    let mut cockpit = Cockpit::started(lab.options());
    for role in Role::ALL {
        hear_work(&mut cockpit, role, 1).await;
    }
    for role in [
        Role::Client,
        Role::Server,
        Role::Client,
        Role::Client,
        Role::Server,
    ] {
        kill(&mut cockpit, Fault::ProcessKill, role).await;
        compare_the_last(&cockpit, &lab, role).await;
    }
    kill(&mut cockpit, Fault::ProcessTerm, Role::Client).await;
    compare_the_last(&cockpit, &lab, Role::Client).await;

    let first = Known::of(&cockpit).victim(Role::Client);
    kill(&mut cockpit, Fault::PodDelete, Role::Client).await;
    kill(&mut cockpit, Fault::PodDelete, Role::Server).await;
    assert_ne!(
        Known::of(&cockpit).victim(Role::Client).pod_uid,
        first.pod_uid
    );
    let trial = TrialId(1);
    cockpit
        .ask(Effect::AskPid {
            trial,
            role: Role::Client,
        })
        .await;
    cockpit
        .hear("the pid", |fact| matches!(fact, Fact::PidAfter { .. }))
        .await;

    let victim = Known::of(&cockpit).victim(Role::Client);
    cockpit.ask(Effect::FinishRun { victim }).await;
    for role in Role::ALL {
        if !cockpit.said.contains(&Fact::Done { role }) {
            cockpit
                .hear("DONE", |fact| *fact == Fact::Done { role })
                .await;
        }
    }
    let totals: Vec<u64> = cockpit
        .said
        .iter()
        .filter_map(|fact| match fact {
            Fact::Total { bytes, .. } => Some(*bytes),
            _ => None,
        })
        .collect();
    assert!(
        totals.len() >= 2 && totals.iter().all(|total| *total == totals[0]),
        "{totals:?}"
    );
    assert!(
        !cockpit
            .said
            .iter()
            .any(|fact| matches!(fact, Fact::OutOfOrder { .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_that_dies_and_comes_back_elsewhere_is_found_again() {
    let lab = Lab::start();
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::copy(&lab.kubeconfig, &kubeconfig).unwrap();
    let mut cockpit = Cockpit::started(Options {
        kubeconfig: Some(kubeconfig.clone()),
        ..lab.options()
    });
    hear_work(&mut cockpit, Role::Client, 1).await;
    drop(lab);
    let why = cockpit.hear_broken(Feed::Pods).await;
    assert!(why.contains("127.0.0.1"), "{why}");
    let other = Lab::start();
    std::fs::copy(&other.kubeconfig, &kubeconfig).unwrap();
    cockpit.ask(Effect::Reconnect).await;
    cockpit.hear_live(Feed::Pods).await;
    cockpit
        .hear("the log of the other", |fact| {
            matches!(
                fact,
                Fact::Feed {
                    feed: Feed::Log(Role::Client),
                    state: FeedState::Live
                }
            )
        })
        .await;
    assert!(
        cockpit
            .said
            .iter()
            .flat_map(lines)
            .all(|line| line.stamp_ms.is_some())
    );
}

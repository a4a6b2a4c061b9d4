//! One pod on the node, from its arrival to its last process.
//!
//! A worker is a task. It settles the pod at its address, makes its volumes,
//! runs its containers, each in its own loop, and writes down what happens to
//! them. What is to become of the pod comes from outside, as [`Desired`].

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::addresses::Place;
use super::backoff::{Backoff, BackoffMode};
use super::ending::Farewell;
use super::machine::Machine;
use super::meter::Running;
use super::status::{self, Facts, State, Unit};
use super::{Shared, arrival, names};
use crate::lab::kinds::Resource;
use crate::lab::network::Attachment;
use crate::lab::node::{ExecRequest, ExecSession, LogSource, NodeError};
use crate::lab::recorder::{Note, Severity};
use crate::lab::runtime::{Container, Sandbox, logs};
use crate::lab::store::{Key, StoreError};

/// What is to become of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Desired {
    /// It runs.
    Run,
    /// The node has given it up: its processes end, with so much time to do so
    /// by themselves, and it stays as a pod that failed.
    Fail { grace: Duration },
    /// It ends, with so much time for its processes to do so by themselves.
    End { grace: Duration },
    /// The cluster has it no longer: its processes are killed.
    Gone,
    /// The lab stops: its processes are killed, and nobody is told.
    Stop,
}

impl Desired {
    /// Whether news may change it: what is to end is never to run again, and
    /// what is gone or stopped stays so.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Run => next != Self::Run,
            Self::Fail { .. } => !matches!(next, Self::Run | Self::Fail { .. }),
            Self::End { .. } => !matches!(next, Self::Run | Self::Fail { .. }) && next != self,
            Self::Gone | Self::Stop => false,
        }
    }
}

/// The executions of one container.
#[derive(Debug, Default)]
pub(super) struct Executions {
    /// Number of the newest one, from 0.
    pub newest: Option<u32>,
    /// The newest one, if this lab started it.
    pub container: Option<Container>,
}

/// Which pod it is.
#[derive(Debug)]
pub(super) struct Subject {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl Subject {
    /// As much of the pod as an event needs to refer to it.
    fn reference(&self) -> Value {
        json!({
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid},
        })
    }
}

/// A pod on this node.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    /// The node that it runs on.
    pub(super) machine: Arc<Machine>,
    pub(super) pod: Pod,
    pub(super) subject: Subject,
    pub(super) key: Key,
    place: Place,
    address: OnceLock<String>,
    attached: Mutex<Option<Attachment>>,
    /// Set from outside, and by the worker itself when it gives the pod up.
    pub(super) desired: watch::Sender<Desired>,
    /// When the pod was first asked to end.
    pub(super) asked: OnceLock<tokio::time::Instant>,
    /// Why the node gave the pod up: reason and message.
    pub(super) fate: OnceLock<(&'static str, String)>,
    pub(super) started: Timestamp,
    units: Mutex<Vec<Unit>>,
    /// Rings when a container's account has changed.
    pub(super) news: watch::Sender<()>,
    /// Sidecars from this place in the pod on are to end.
    pub(super) standing: watch::Sender<usize>,
    executions: Mutex<HashMap<String, Executions>>,
}

impl Worker {
    /// A worker for a pod that is bound to `machine` and has settled at `place`.
    pub fn new(
        shared: Arc<Shared>,
        machine: Arc<Machine>,
        pod: Pod,
        place: Place,
        desired: watch::Sender<Desired>,
    ) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let subject = Subject {
            namespace: text(&pod.metadata.namespace),
            name: text(&pod.metadata.name),
            uid: text(&pod.metadata.uid),
        };
        let (units, executions) = arrival::units(&pod);
        Self {
            key: Key::new(Resource::Pods, &subject.namespace, &subject.name),
            place,
            address: OnceLock::new(),
            attached: Mutex::default(),
            desired,
            asked: OnceLock::new(),
            fate: OnceLock::new(),
            started: Timestamp::now(),
            units: Mutex::new(units),
            news: watch::Sender::new(()),
            standing: watch::Sender::new(usize::MAX),
            executions: Mutex::new(executions),
            subject,
            pod,
            machine,
            shared,
        }
    }

    /// Runs the pod until nothing of it is left.
    pub async fn run(self: &Arc<Self>) {
        let worker = Arc::clone(self);
        let farewell = Farewell::after(async move { worker.ending().await });
        let mut door = None;
        if !self.is_over() {
            self.publish();
            tokio::select! {
                entered = self.shared.addresses.enter(&self.place) => door = Some(entered),
                () = self.ending() => {}
            }
        }
        if door.is_some() {
            if let Some(address) = self.shared.addresses.of(&self.place) {
                // It is set only here.
                let _ = self.address.set(address.to_string());
                if self.enter_network(address).await {
                    self.tell_limits();
                    self.tell_what_needs_namespaces();
                    tokio::select! {
                        () = self.run_containers() => {}
                        () = self.deadline() => {}
                    }
                }
            } else {
                let message = "the lab has no address left for another pod";
                self.record(None, Severity::Warning, "FailedCreatePodSandBox", message);
            }
        }
        if self.fate.get().is_some() {
            self.publish();
        }
        let mut desired = self.desired.subscribe();
        // The sender is the worker's own, so this cannot fail.
        let _ = desired
            .wait_for(|desired| !matches!(desired, Desired::Run | Desired::Fail { .. }))
            .await;
        *self.attached() = None;
        let desired = *self.desired.borrow();
        if desired == Desired::Stop {
            return;
        }
        if let Desired::End { .. } = desired {
            self.publish();
            farewell.over().await;
            let ended = Some(self.subject.uid.as_str());
            self.shared.store.ended(&self.key, ended);
        }
        // What stays is removed with the state directory.
        let _ = fs::remove_dir_all(self.directory());
        self.shared.remove_own_volumes(&self.subject.uid).await;
        drop(door);
    }

    /// Gets the pod its network; says whether it is still to run then.
    async fn enter_network(&self, address: Ipv4Addr) -> bool {
        let mut retry = Backoff::new(BackoffMode::Kubernetes);
        loop {
            match self.shared.network.attach(address).await {
                Ok(attachment) => {
                    *self.attached() = attachment;
                    return true;
                }
                Err(why) => {
                    let message = format!("Failed to create pod sandbox: {why}");
                    let reason = "FailedCreatePodSandBox";
                    self.record(None, Severity::Warning, reason, &message);
                }
            }
            if !self.pause(0, retry.after(Duration::ZERO)).await {
                return false;
            }
        }
    }

    /// The network that its containers join; none shares the machine's.
    pub fn network(&self) -> Option<Sandbox> {
        self.attached().as_ref().map(Attachment::sandbox)
    }

    fn attached(&self) -> MutexGuard<'_, Option<Attachment>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it had ended for good before this lab started.
    fn is_over(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|it| it.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    /// The pod's own directory.
    pub fn directory(&self) -> PathBuf {
        self.shared.state.join("pods").join(&self.subject.uid)
    }

    /// Directory of a container's logs.
    pub fn log_directory(&self, container: &str) -> PathBuf {
        self.directory().join("logs").join(container)
    }

    /// Its address; empty before it has one.
    pub fn address(&self) -> &str {
        self.address.get().map_or("", String::as_str)
    }

    /// The pod's `/etc/hosts` on the machine.
    pub fn hosts(&self) -> PathBuf {
        self.directory().join("etc-hosts")
    }

    /// Writes the names of the pod and of all instances. In place, because a
    /// running container has the very file mounted.
    pub fn write_hosts(&self) {
        if self.address().is_empty() {
            return;
        }
        let instances = self.shared.instances(&self.subject.namespace);
        let hosts = names::hosts(&self.pod, self.address(), &instances);
        if fs::read_to_string(self.hosts()).is_ok_and(|known| known == hosts) {
            return;
        }
        let written =
            fs::create_dir_all(self.directory()).and_then(|()| fs::write(self.hosts(), hosts));
        if let Err(error) = written {
            tracing::warn!("cannot write {}: {error}", self.hosts().display());
        }
    }

    pub fn unit(&self, index: usize) -> Unit {
        self.units()[index].clone()
    }

    /// Changes a container's account without telling anybody yet.
    pub fn note(&self, index: usize, change: impl FnOnce(&mut Unit)) {
        change(&mut self.units()[index]);
    }

    /// Changes a container's account and tells the cluster.
    pub fn change(&self, index: usize, change: impl FnOnce(&mut Unit)) {
        self.note(index, change);
        self.publish();
        self.news.send_replace(());
    }

    /// Notes the newest execution of a container.
    pub fn executes(&self, name: &str, execution: u32, container: Option<Container>) {
        let mut executions = self
            .executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        executions.insert(
            name.to_owned(),
            Executions {
                newest: Some(execution),
                container,
            },
        );
    }

    fn units(&self) -> MutexGuard<'_, Vec<Unit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event about the pod or one of its containers.
    pub fn record(&self, container: Option<&str>, severity: Severity, reason: &str, message: &str) {
        let part = container.map(|name| format!("spec.containers{{{name}}}"));
        let note = Note {
            severity,
            reason,
            message,
            part: &part.unwrap_or_default(),
        };
        self.machine
            .recorder
            .record(&self.subject.reference(), note);
    }

    /// Writes the pod's status to the store, unless the cluster has it no more.
    pub fn publish(&self) {
        if matches!(*self.desired.borrow(), Desired::Stop) {
            return;
        }
        let units = self.units();
        let written = self
            .shared
            .store
            .update_with::<StoreError>(&self.key, |pod| {
                if pod["metadata"]["uid"] != self.subject.uid.as_str() {
                    return Err(StoreError::Modified(self.key.clone()));
                }
                self.write_status(pod, &units);
                Ok(())
            });
        if let Err(error @ StoreError::Precondition(..)) = written {
            tracing::debug!("the status of {} is not written: {error}", self.key);
        }
    }

    fn write_status(&self, pod: &mut Value, units: &[Unit]) {
        let before = PodStatus::deserialize_from(&pod["status"]);
        let policy = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref());
        let status = status::status(&Facts {
            units,
            restart_policy: policy.unwrap_or("Always"),
            fate: self.fate.get(),
            pod_ip: self.address.get().cloned(),
            host_ip: self.machine.address.clone(),
            started: self.started,
            now: Timestamp::now(),
            before: &before,
        });
        pod["status"] = json!(status);
        for unit in units {
            self.write_pid(pod, unit);
        }
    }

    /// Tells the program's pid on the machine, which inside the pod is another.
    fn write_pid(&self, pod: &mut Value, unit: &Unit) {
        let name = format!("{}{}", super::PID_ANNOTATION, unit.name);
        let executions = self
            .executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let container = executions
            .get(&unit.name)
            .and_then(|it| it.container.as_ref());
        let pid = container.and_then(Container::pid);
        match pid.filter(|_| matches!(unit.state, State::Running { .. })) {
            Some(pid) => pod["metadata"]["annotations"][name] = json!(pid.to_string()),
            None => {
                if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
                    annotations.remove(&name);
                }
            }
        }
    }

    /// The log of a container's newest execution, or of the one before.
    pub fn open_log(&self, name: &str, previous: bool) -> Result<LogSource, NodeError> {
        let reason = match self.units().iter().find(|unit| unit.name == name) {
            None => return Err(NodeError::NotFound(name.to_owned())),
            Some(unit) => match &unit.state {
                State::Waiting { reason, .. } => reason.clone(),
                _ => "ContainerCreating".to_owned(),
            },
        };
        let executions = self
            .executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = executions.get(name);
        let Some(newest) = known.and_then(|it| it.newest) else {
            return Err(NodeError::NotStarted(reason));
        };
        let directory = self.log_directory(name);
        if previous {
            return newest
                .checked_sub(1)
                .and_then(|before| logs::past(&directory, before))
                .ok_or_else(|| NodeError::NoPrevious(name.to_owned()));
        }
        match known.and_then(|it| it.container.as_ref()) {
            Some(container) => Ok(container.log()),
            None => logs::past(&directory, newest).ok_or(NodeError::NotStarted(reason)),
        }
    }

    /// Its containers that run.
    pub fn in_execution(&self) -> Vec<Running> {
        let executions = self
            .executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let running = executions.iter().filter_map(|(name, it)| {
            let container = it.container.clone().filter(|it| it.exit().is_none())?;
            Some((self.subject.uid.clone(), name.clone(), container))
        });
        running.collect()
    }

    /// Starts a command in a running container.
    pub async fn exec(&self, name: &str, request: ExecRequest) -> Result<ExecSession, NodeError> {
        self.running(name)?.exec(request).await
    }

    /// Attaches to a running container's program.
    pub fn attach(&self, name: &str, stdin: bool) -> Result<ExecSession, NodeError> {
        self.running(name)?.attach(stdin)
    }

    /// The container's newest execution.
    fn running(&self, name: &str) -> Result<Container, NodeError> {
        let executions = self
            .executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let newest = executions.get(name).and_then(|it| it.container.clone());
        newest.ok_or_else(|| NodeError::NotFound(name.to_owned()))
    }
}

trait DeserializeFrom: Default {
    fn deserialize_from(value: &Value) -> Self;
}

impl DeserializeFrom for PodStatus {
    fn deserialize_from(value: &Value) -> Self {
        serde::Deserialize::deserialize(value).unwrap_or_default()
    }
}

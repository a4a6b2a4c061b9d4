//! The loop of one container: start, watch, decide, wait, start again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container as ContainerSpec;

use super::backoff::{self, Backoff, BackoffMode};
use super::env;
use super::images::{self, Image};
use super::limits;
use super::names;
use super::pod::Worker;
use super::probes::Sick;
use super::resolver;
use super::security;
use super::status::{Ended, Role, State};
use super::volumes::{self, bounded::Trees, files::Origin};
use crate::lab::recorder::Severity;
use crate::lab::runtime::{self, Container, Exit, Isolation, StartError, logs};

/// What has become of an attempt to start a container.
enum Start {
    Running(Container),
    /// The program cannot be executed: it counts as an execution that failed.
    Refused(String),
    /// Something is missing that may come: tried again after a while.
    Later,
    /// The pod ends.
    Ending,
}

impl Worker {
    /// Runs a container until it is not to run any more; says whether it ended
    /// well.
    pub(super) async fn run_unit(&self, index: usize, spec: &ContainerSpec) -> bool {
        if let Some(well) = self.done_before(index) {
            return well;
        }
        let mut backoff = Backoff::new(self.shared.backoff);
        let mut retry = Backoff::new(BackoffMode::Kubernetes);
        // The real kubelet, too, waits before it tries again what failed.
        retry.after(Duration::ZERO);
        loop {
            if !self.goes_on(index) {
                return false;
            }
            let began = Timestamp::now();
            let known = self.shared.store.rv();
            let ended = match self.start(index, spec, &mut retry).await {
                Start::Ending => return false,
                Start::Later => {
                    let wait = retry.after(Duration::ZERO);
                    if !self.await_supply(index, known, wait).await {
                        return false;
                    }
                    continue;
                }
                Start::Refused(reason) => refused(began, reason),
                Start::Running(container) => {
                    let exit = self.see_through(index, spec, &container).await;
                    self.ended(spec, &container, exit)
                }
            };
            let ran = ended.ran();
            let well = ended.code == 0;
            self.change(index, |unit| unit.state = State::Ended(ended));
            if !self.goes_on(index) || !self.restarts(index, well) {
                return well;
            }
            let delay = backoff.after(ran);
            if !delay.is_zero() && !self.wait_out(index, delay).await {
                return false;
            }
        }
    }

    /// What an earlier lab has already run to its end, if it needs no more.
    fn done_before(&self, index: usize) -> Option<bool> {
        let unit = self.unit(index);
        let last = unit.last.clone().filter(|last| last.reason != "Unknown")?;
        let well = last.code == 0;
        if self.restarts(index, well) {
            return None;
        }
        self.change(index, |unit| {
            unit.last = None;
            unit.state = State::Ended(last);
        });
        Some(well)
    }

    /// Whether the pod's policy starts a container again.
    fn restarts(&self, index: usize, well: bool) -> bool {
        let role = self.unit(index).role;
        if role == Role::Sidecar {
            return true;
        }
        let spec = self.pod.spec.as_ref();
        let policy = spec.and_then(|spec| spec.restart_policy.as_deref());
        match policy.unwrap_or("Always") {
            "Never" => false,
            "OnFailure" => !well,
            _ => !(role == Role::Init && well),
        }
    }

    /// Watches a running container to its end, and brings the end about when
    /// the pod is to end or the container is sick.
    async fn see_through(&self, index: usize, spec: &ContainerSpec, container: &Container) -> Exit {
        if !self.post_start(spec, container).await {
            let sick = Sick {
                message: "FailedPostStartHook".to_owned(),
                grace: None,
            };
            return self.bring_down(spec, container, Some(sick)).await;
        }
        if spec.lifecycle.is_some() {
            // Only now, as the hook is part of the start.
            self.runs(index, container);
        }
        let sick = tokio::select! {
            exit = container.wait() => return exit,
            () = self.to_end(index) => None,
            sick = self.attend(index, spec, container) => Some(sick),
        };
        self.bring_down(spec, container, sick).await
    }

    /// Sits a back-off out; says whether the container is to start then.
    async fn wait_out(&self, index: usize, delay: Duration) -> bool {
        let unit = self.unit(index);
        let (name, pod) = (&unit.name, &self.subject.name);
        let id = format!("{pod}_{}({})", self.subject.namespace, self.subject.uid);
        let mut message = format!(
            "back-off {} restarting failed container={name} pod={id}",
            backoff::print(delay)
        );
        if self.shared.backoff == BackoffMode::None {
            message.push_str(": it ends as soon as it starts, and would do so in a hot loop");
        }
        self.change(index, |unit| {
            let waiting = State::Waiting {
                reason: "CrashLoopBackOff".into(),
                message,
            };
            if let State::Ended(ended) = std::mem::replace(&mut unit.state, waiting) {
                unit.last = Some(ended);
            }
        });
        let text = format!("Back-off restarting failed container {name} in pod {id}");
        self.record(Some(name), Severity::Warning, "BackOff", &text);
        self.pause(index, delay).await
    }

    async fn start(&self, index: usize, spec: &ContainerSpec, retry: &mut Backoff) -> Start {
        let never = spec.image_pull_policy.as_deref() == Some("Never");
        let Some(image) = self.pull(index, never, retry).await else {
            return Start::Ending;
        };
        let name = spec.name.as_str();
        let prepared = match self.supply(spec, &image, index).await {
            Ok(prepared) => prepared,
            Err(obstacle) => {
                obstacle.tell(self, name);
                self.change(index, |unit| {
                    let waiting = obstacle.state();
                    if let State::Ended(ended) = std::mem::replace(&mut unit.state, waiting) {
                        unit.last = Some(ended);
                    }
                });
                return Start::Later;
            }
        };
        let execution = prepared.execution;
        // The newest one and the one before are kept.
        if let Some(old) = execution.checked_sub(2) {
            logs::forget(&self.log_directory(name), old);
        }
        let created = format!("Created container: {name}");
        self.record(Some(name), Severity::Normal, "Created", &created);
        match self.shared.runtime.start(prepared).await {
            Ok(container) => {
                self.executes(name, execution, Some(container.clone()));
                self.begins(index, execution, container.id(), spec);
                if spec.lifecycle.is_none() {
                    self.runs(index, &container);
                }
                let started = format!("Started container {name}");
                self.record(Some(name), Severity::Normal, "Started", &started);
                Start::Running(container)
            }
            Err(StartError::Refused(reason)) => {
                self.executes(name, execution, None);
                self.begins(index, execution, "", spec);
                self.change(index, |unit| {
                    unit.state = State::waiting("RunContainerError");
                });
                self.record(
                    Some(name),
                    Severity::Warning,
                    "Failed",
                    &format!("Error: {reason}"),
                );
                Start::Refused(reason)
            }
            Err(StartError::Lab(error)) => {
                let text = format!("Error: {error}");
                self.record(Some(name), Severity::Warning, "Failed", &text);
                self.change(index, |unit| {
                    unit.state = State::Waiting {
                        reason: "CreateContainerError".into(),
                        message: error.to_string(),
                    };
                });
                Start::Later
            }
        }
    }

    /// Notes that an execution begins: the one before becomes the last.
    fn begins(&self, index: usize, execution: u32, id: &str, spec: &ContainerSpec) {
        self.note(index, |unit| {
            let creating = State::waiting("ContainerCreating");
            if let State::Ended(ended) = std::mem::replace(&mut unit.state, creating) {
                unit.last = Some(ended);
            }
            unit.restarts = execution;
            unit.started = spec.startup_probe.is_none();
            unit.passing = spec.readiness_probe.is_none();
            id.clone_into(&mut unit.id);
        });
    }

    /// Tells that the program runs.
    fn runs(&self, index: usize, container: &Container) {
        self.change(index, |unit| {
            unit.state = State::Running {
                since: container.started_at(),
            };
        });
    }

    /// Finds the image, or waits as a node does that cannot pull it; none when
    /// the pod ends.
    async fn pull(&self, index: usize, never: bool, retry: &mut Backoff) -> Option<Image> {
        let unit = self.unit(index);
        let (name, reference) = (unit.name.as_str(), unit.image.as_str());
        if let Some(image) = images::find(reference) {
            let text = format!("Container image {reference:?} already present on machine");
            self.record(Some(name), Severity::Normal, "Pulled", &text);
            let id = format!("lab://{}", image.name);
            self.change(index, |unit| unit.image_id = id);
            return Some(image);
        }
        loop {
            if never {
                self.is_never_pulled(index);
            } else {
                self.cannot_pull(index);
            }
            if !self.pause(index, retry.after(Duration::ZERO)).await {
                return None;
            }
        }
    }

    /// Says of a container that its image is not there, and may not be pulled.
    fn is_never_pulled(&self, index: usize) {
        let unit = self.unit(index);
        let message = format!(
            "Container image {:?} is not present with pull policy of Never",
            unit.image
        );
        for (reason, text) in [
            ("ErrImageNeverPull", message.as_str()),
            ("Failed", "Error: ErrImageNeverPull"),
        ] {
            self.record(Some(&unit.name), Severity::Warning, reason, text);
        }
        self.waits(index, "ErrImageNeverPull", message);
    }

    /// Says of a container what a node says that fails to pull its image.
    fn cannot_pull(&self, index: usize) {
        let unit = self.unit(index);
        let (name, reference) = (unit.name.as_str(), unit.image.as_str());
        let why = images::missing(reference);
        let event = |kind, reason, text: &str| self.record(Some(name), kind, reason, text);
        event(
            Severity::Normal,
            "Pulling",
            &format!("Pulling image {reference:?}"),
        );
        event(
            Severity::Warning,
            "Failed",
            &format!("Failed to pull image {reference:?}: {why}"),
        );
        event(Severity::Warning, "Failed", "Error: ErrImagePull");
        self.waits(index, "ErrImagePull", why.clone());
        event(
            Severity::Normal,
            "BackOff",
            &format!("Back-off pulling image {reference:?}"),
        );
        event(Severity::Warning, "Failed", "Error: ImagePullBackOff");
        let message = format!("Back-off pulling image {reference:?}: ErrImagePull: {why}");
        self.waits(index, "ImagePullBackOff", message);
    }

    fn waits(&self, index: usize, reason: &str, message: String) {
        self.change(index, |unit| {
            unit.state = State::Waiting {
                reason: reason.into(),
                message,
            };
        });
    }

    /// Gets a container what it is to have.
    async fn supply(
        &self,
        spec: &ContainerSpec,
        image: &Image,
        index: usize,
    ) -> Result<runtime::ContainerSpec, Obstacle> {
        let trees = self.trees(spec).await.map_err(Obstacle::Mount)?;
        self.prepare(spec, image, index, trees)
    }

    /// Everything the runtime needs to know.
    fn prepare(
        &self,
        spec: &ContainerSpec,
        image: &Image,
        index: usize,
        trees: Trees,
    ) -> Result<runtime::ContainerSpec, Obstacle> {
        if let Some(why) = security::root_all_the_same(&self.pod, spec) {
            return Err(Obstacle::Config(why));
        }
        let around = self.surroundings();
        let pod = self.as_it_is();
        let origin = Origin {
            pod: &pod,
            sources: self.sources(),
            around: &around,
        };
        let mut env = env::environment(spec, &origin).map_err(Obstacle::Config)?;
        let mut argv = env::command_line(spec, image, &env).map_err(Obstacle::Create)?;
        let mut mounts =
            volumes::mounts(spec, &env, &origin, &self.disks(), &trees).map_err(Obstacle::Mount)?;
        let last_words = self.last_words(spec);
        mounts.push(last_words.map_err(|error| Obstacle::Create(error.to_string()))?);
        let mut cwd = spec.working_dir.clone().unwrap_or_else(|| "/".into());
        if self.shared.runtime.isolation() == Isolation::Group {
            for word in argv
                .iter_mut()
                .chain(env.iter_mut().map(|(_, value)| value))
            {
                *word = volumes::rewrite(word, &mounts);
            }
            cwd = volumes::rewrite(&cwd, &mounts);
            mounts.clear();
            let own = self.temporary(spec);
            let own = own.map_err(|error| Obstacle::Create(error.to_string()))?;
            if !env.iter().any(|(name, _)| name == "TMPDIR") {
                env.push(("TMPDIR".into(), own));
            }
        }
        let unit = self.unit(index);
        let fresh = unit.id.is_empty() && unit.last.is_none() && unit.state.is_waiting();
        Ok(runtime::ContainerSpec {
            name: spec.name.clone(),
            argv,
            env,
            cwd,
            hostname: names::hostname(&self.pod),
            hosts: Some(self.hosts()),
            resolver: self.network().and_then(|_| resolver::resolver(&self.pod)),
            network: self.network(),
            links: image.links.iter().map(|link| (*link).to_owned()).collect(),
            mounts,
            trees: trees.held,
            console: runtime::ConsoleSpec {
                stdin: spec.stdin == Some(true),
                once: spec.stdin_once == Some(true),
                tty: spec.tty == Some(true),
            },
            user: security::user(&self.pod, spec),
            read_only: security::read_only(spec),
            limits: limits::of(spec),
            log_directory: self.log_directory(&spec.name),
            execution: if fresh { 0 } else { unit.restarts + 1 },
        })
    }

    fn ended(&self, spec: &ContainerSpec, container: &Container, exit: Exit) -> Ended {
        let well = exit.ending.code == 0;
        Ended {
            code: exit.ending.code,
            signal: exit.ending.signal,
            reason: match exit.out_of_memory {
                true => "OOMKilled".into(),
                false if well => "Completed".into(),
                false => "Error".into(),
            },
            message: self.message(spec, container, well),
            started: Some(container.started_at()),
            finished: Some(exit.at),
            id: container.id().to_owned(),
        }
    }
}

impl State {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

/// What keeps a container from being started at all, and why.
enum Obstacle {
    /// Its environment cannot be had.
    Config(String),
    /// The runtime cannot make it.
    Create(String),
    /// Its volumes cannot be had.
    Mount(String),
}

impl Obstacle {
    fn tell(&self, worker: &Worker, container: &str) {
        match self {
            Self::Config(why) | Self::Create(why) => {
                let text = format!("Error: {why}");
                worker.record(Some(container), Severity::Warning, "Failed", &text);
            }
            // It is the pod's trouble: no container has begun to exist.
            Self::Mount(why) => worker.record(None, Severity::Warning, "FailedMount", why),
        }
    }

    fn state(&self) -> State {
        let (reason, message) = match self {
            Self::Config(why) => ("CreateContainerConfigError", why.as_str()),
            Self::Create(why) => ("CreateContainerError", why.as_str()),
            Self::Mount(_) => ("ContainerCreating", ""),
        };
        State::Waiting {
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

fn refused(began: Timestamp, message: String) -> Ended {
    Ended {
        // What container runtimes answer when the program never ran.
        code: 128,
        signal: None,
        reason: "StartError".into(),
        message,
        // The same moment: it did not run at all.
        started: Some(began),
        finished: Some(began),
        id: String::new(),
    }
}

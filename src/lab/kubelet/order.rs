//! In what order a pod's containers begin and end, and when the pod as a whole
//! is given up.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::pod::{Desired, Worker};
use super::status::Role;
use crate::lab::recorder::Severity;

impl Worker {
    /// Runs the pod's containers until none is to run any more.
    pub(super) async fn run_containers(self: &Arc<Self>) {
        self.write_hosts();
        let Some(spec) = &self.pod.spec else { return };
        let mut sidecars = Vec::new();
        if self.initialize(&mut sidecars).await {
            let first = spec.init_containers.as_ref().map_or(0, Vec::len);
            let loops = spec.containers.iter().enumerate();
            let loops = loops.map(|(index, container)| self.run_unit(first + index, container));
            join_all(loops).await;
        }
        // The last one to start is the first one to end.
        while let Some((index, task)) = sidecars.pop() {
            self.standing.send_replace(index);
            if let Err(error) = task.await {
                tracing::warn!("a sidecar of {} broke: {error}", self.key);
            }
        }
    }

    /// Runs what comes before the main containers, one after the other; says
    /// whether those may start.
    async fn initialize(self: &Arc<Self>, sidecars: &mut Vec<(usize, JoinHandle<bool>)>) -> bool {
        let spec = self.pod.spec.as_ref();
        let init = spec.and_then(|spec| spec.init_containers.as_ref());
        for (index, container) in init.into_iter().flatten().enumerate() {
            if self.unit(index).role != Role::Sidecar {
                if !self.run_unit(index, container).await {
                    return false;
                }
                continue;
            }
            let (worker, container) = (Arc::clone(self), container.clone());
            let mut news = self.news.subscribe();
            let task = tokio::spawn(async move { worker.run_unit(index, &container).await });
            sidecars.push((index, task));
            while !self.unit(index).is_started() {
                tokio::select! {
                    _ = news.changed() => {}
                    () = self.ending() => return false,
                }
            }
        }
        *self.desired.borrow() == Desired::Run
    }

    /// Gives the pod up when it has run as long as it may; never returns.
    pub(super) async fn deadline(&self) {
        let spec = self.pod.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.active_deadline_seconds);
        if let Some(seconds) = seconds {
            let before = self.pod.status.as_ref();
            let before = before.and_then(|it| it.start_time.as_ref());
            let began = before.map_or(self.started, |time| time.0);
            let ran = Timestamp::now().duration_since(began);
            let left = Duration::from_secs(seconds.max(0) as u64)
                .saturating_sub(ran.try_into().unwrap_or_default());
            tokio::time::sleep(left).await;
            let message = "Pod was active on the node longer than the specified deadline";
            self.record(None, Severity::Normal, "DeadlineExceeded", message);
            self.give_up("DeadlineExceeded", message.to_owned(), self.usual_grace());
        }
        std::future::pending::<()>().await;
    }

    /// Ends the pod as one that failed, unless it ends already.
    pub(super) fn give_up(&self, reason: &'static str, message: String, grace: Duration) {
        let fail = Desired::Fail { grace };
        self.desired.send_if_modified(|desired| {
            // Noted before anybody acts on it.
            let changes = desired.may_become(fail) && self.fate.set((reason, message)).is_ok();
            if changes {
                *desired = fail;
            }
            changes
        });
    }

    /// Returns when the pod is to end, in whatever way.
    pub(super) async fn ending(&self) {
        let mut desired = self.desired.subscribe();
        // The sender is the worker's own, so this cannot fail.
        let _ = desired.wait_for(|desired| *desired != Desired::Run).await;
    }

    /// Whether a container is still to run.
    pub(super) fn goes_on(&self, index: usize) -> bool {
        *self.desired.borrow() == Desired::Run && *self.standing.borrow() > index
    }

    /// Returns when a running container is to end: with its pod, but a sidecar
    /// after all that it serves.
    pub(super) async fn to_end(&self, index: usize) {
        if self.unit(index).role != Role::Sidecar {
            return self.ending().await;
        }
        let mut desired = self.desired.subscribe();
        let killed = desired.wait_for(|it| matches!(it, Desired::Gone | Desired::Stop));
        tokio::select! {
            _ = killed => {}
            () = self.relieved(index) => {}
        }
    }

    /// Returns when a sidecar serves nobody any more.
    async fn relieved(&self, index: usize) {
        let mut standing = self.standing.subscribe();
        let _ = standing.wait_for(|standing| *standing <= index).await;
    }

    /// Waits; says whether the container is still to run then.
    pub(super) async fn pause(&self, index: usize, delay: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(delay) => true,
            () = self.ending() => false,
            () = self.relieved(index) => false,
        }
    }
}

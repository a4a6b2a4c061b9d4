//! The pods of the namespace, in a stable order.

use crate::core::{
    event::{ContainerState, Pod},
    workload::Role,
};

/// All pods, the workload's first, then by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pods {
    rows: Vec<Pod>,
    listed: bool,
}

impl Pods {
    /// The pods in the order in which they are shown.
    pub fn rows(&self) -> &[Pod] {
        &self.rows
    }

    /// Whether the list was ever complete: an empty one means "none" only then.
    pub const fn listed(&self) -> bool {
        self.listed
    }

    /// The pod with this uid.
    pub fn get(&self, uid: &str) -> Option<&Pod> {
        self.rows.iter().find(|pod| pod.uid == uid)
    }

    /// The pod that plays `role` now: the newest that is not on its way out.
    pub fn playing(&self, role: Role) -> Option<&Pod> {
        self.rows
            .iter()
            .filter(|pod| pod.role == Some(role))
            .max_by_key(|pod| (!pod.deleting, runs(pod), pod.created_ms))
    }

    /// How many pods are ready, of how many.
    pub fn ready(&self) -> (usize, usize) {
        (
            self.rows
                .iter()
                .filter(|pod| pod.ready && !pod.deleting)
                .count(),
            self.rows.len(),
        )
    }

    pub(super) fn upsert(&mut self, pod: &Pod) -> bool {
        match self.rows.iter_mut().find(|row| row.uid == pod.uid) {
            Some(row) if row == pod => false,
            Some(row) => {
                row.clone_from(pod);
                true
            }
            None => {
                let key = |pod: &Pod| (pod.role.is_none(), pod.role, pod.name.clone());
                let at = self.rows.partition_point(|row| key(row) < key(pod));
                self.rows.insert(at, pod.clone());
                true
            }
        }
    }

    pub(super) fn remove(&mut self, uid: &str) -> bool {
        let before = self.rows.len();
        self.rows.retain(|pod| pod.uid != uid);
        self.rows.len() != before
    }

    pub(super) fn retain(&mut self, uids: &[String]) {
        let uids: std::collections::HashSet<&str> = uids.iter().map(String::as_str).collect();
        self.rows.retain(|pod| uids.contains(pod.uid.as_str()));
        self.listed = true;
    }
}

/// Whether any container of the pod runs.
pub fn runs(pod: &Pod) -> bool {
    pod.containers
        .iter()
        .any(|container| container.state == ContainerState::Running)
}

/// What `kubectl get pods` shows as STATUS: the most telling reason there is.
pub fn status(pod: &Pod) -> &str {
    if pod.deleting {
        return "Terminating";
    }
    let telling = pod
        .containers
        .iter()
        .find_map(|container| match &container.state {
            ContainerState::Waiting { reason, .. } if !reason.is_empty() => Some(reason.as_str()),
            ContainerState::Terminated(end) if !end.reason.is_empty() => Some(end.reason.as_str()),
            _ => None,
        });
    telling.or(pod.reason.as_deref()).unwrap_or(&pod.phase)
}

/// Restarts of all containers of the pod.
pub fn restarts(pod: &Pod) -> u32 {
    pod.containers
        .iter()
        .map(|container| container.restarts)
        .sum()
}

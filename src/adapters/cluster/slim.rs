//! Pods as the API sends them, reduced while they are read.
//!
//! A pod is four to ten kilobytes of JSON; the cockpit shows a few hundred
//! bytes of it. Everything else (managed fields, volumes, tolerations) is
//! skipped by the parser, never stored: a namespace of 60,000 pods costs tens of
//! megabytes, not gigabytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;

use super::command;
use crate::core::{
    event::{Container, ContainerState, Pod, Terminated},
    workload::Role,
};

pub use crate::core::workload::manifests::{MANAGED_BY, MANAGER};
/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// Where the list stands.
    pub metadata: PageMeta,
    /// Its pods.
    #[serde(default)]
    pub items: Vec<Slim>,
}

/// Where a list stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageMeta {
    /// The version that a watch goes on from.
    pub resource_version: String,
    /// How to get the next page; empty on the last.
    #[serde(rename = "continue")]
    pub next: Option<String>,
}

/// A pod, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub struct Slim {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    uid: String,
    name: String,
    namespace: String,
    resource_version: String,
    labels: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    #[serde(rename = "hostPID")]
    host_pid: Option<bool>,
    share_process_namespace: Option<bool>,
    containers: Vec<SpecContainer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SpecContainer {
    name: String,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    reason: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    restart_count: u32,
    ready: bool,
    state: Option<State>,
    last_state: Option<State>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Ended>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
    message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Running {}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ended {
    exit_code: i32,
    signal: Option<i32>,
    reason: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

/// Which pods play which side.
#[derive(Debug, Clone)]
pub struct Selectors {
    /// The pods that play the client.
    pub client: Selector,
    /// The pods that play the server.
    pub server: Selector,
}

impl Selectors {
    fn role(&self, labels: &BTreeMap<String, String>) -> Option<Role> {
        if self.client.matches(labels) {
            Some(Role::Client)
        } else if self.server.matches(labels) {
            Some(Role::Server)
        } else {
            None
        }
    }
}

impl Slim {
    /// The pod's uid.
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// The version of this state of the pod.
    pub fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// What the cockpit keeps of it.
    pub fn into_pod(self, selectors: &Selectors) -> Pod {
        let Self {
            metadata,
            spec,
            status,
        } = self;
        let labels = metadata.labels.unwrap_or_default();
        let role = selectors.role(&labels);
        let shares = [spec.host_pid, spec.share_process_namespace];
        let shares_pids = shares.contains(&Some(true));
        let player = role.map(|role| player(&spec.containers, role));
        let mut statuses = status.container_statuses.unwrap_or_default();
        let containers = spec
            .containers
            .into_iter()
            .enumerate()
            .map(|(index, spec)| {
                let at = statuses.iter().position(|s| s.name == spec.name);
                let status = at.map(|at| statuses.swap_remove(at)).unwrap_or_default();
                container(spec, status, player == Some(index))
            })
            .collect();
        let ready = status
            .conditions
            .iter()
            .flatten()
            .any(|c| c.r#type == "Ready" && c.status == "True");
        Pod {
            uid: metadata.uid,
            name: metadata.name,
            namespace: metadata.namespace,
            role,
            managed: labels.get(MANAGED_BY).is_some_and(|by| by == MANAGER),
            phase: status.phase,
            reason: status.reason.filter(|reason| !reason.is_empty()),
            node: spec.node_name.filter(|node| !node.is_empty()),
            ip: status.pod_ip.filter(|ip| !ip.is_empty()),
            created_ms: metadata.creation_timestamp.map(Timestamp::as_millisecond),
            deleting: metadata.deletion_timestamp.is_some(),
            ready,
            shares_pids,
            containers,
        }
    }
}

/// The first container whose command line names the role's program; else the
/// first of all, whose image may start it by itself.
fn player(containers: &[SpecContainer], role: Role) -> usize {
    containers
        .iter()
        .position(|container| command::runs(&words(container), role))
        .unwrap_or(0)
}

fn words(container: &SpecContainer) -> Vec<String> {
    [&container.command, &container.args]
        .into_iter()
        .flatten()
        .flatten()
        .cloned()
        .collect()
}

fn container(spec: SpecContainer, status: ContainerStatus, plays: bool) -> Container {
    Container {
        program: plays,
        bytes_per_round: plays.then(|| command::bytes_per_round(&words(&spec))),
        name: spec.name,
        id: status.container_id.filter(|id| !id.is_empty()),
        restarts: status.restart_count,
        ready: status.ready,
        last: status
            .last_state
            .and_then(|state| state.terminated)
            .map(ended),
        state: state(status.state.unwrap_or_default()),
    }
}

fn state(state: State) -> ContainerState {
    if state.running.is_some() {
        ContainerState::Running
    } else if let Some(end) = state.terminated {
        ContainerState::Terminated(ended(end))
    } else if let Some(waiting) = state.waiting {
        ContainerState::Waiting {
            reason: waiting.reason,
            message: waiting.message,
        }
    } else {
        ContainerState::Unknown
    }
}

fn ended(end: Ended) -> Terminated {
    Terminated {
        exit_code: end.exit_code,
        signal: end.signal.filter(|signal| *signal != 0),
        reason: end.reason,
        container_id: end.container_id.filter(|id| !id.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::cluster::selector::parse;

    /// A pod as AKS 1.33 sends it, with a mesh's sidecar, shortened.
    const AKS: &str = r#"{
      "apiVersion": "v1", "kind": "Pod",
      "metadata": {
        "name": "generated-perftestclient-7c9d6b8f5d-x2x8q",
        "generateName": "generated-perftestclient-7c9d6b8f5d-",
        "namespace": "default",
        "uid": "0b5a0f0e-6f0c-4a6e-9a42-4a6f3f5a9c11",
        "resourceVersion": "184467",
        "creationTimestamp": "2026-08-02T10:15:30Z",
        "labels": {"app": "generated-perftestclient", "pod-template-hash": "7c9d6b8f5d",
                   "app.kubernetes.io/managed-by": "aks-tui"},
        "annotations": {"sidecar.istio.io/status": "{\"initContainers\":[\"istio-init\"]}"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "y", "controller": true}],
        "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1",
          "time": "2026-08-02T10:15:33Z", "fieldsType": "FieldsV1",
          "fieldsV1": {"f:status": {"f:phase": {}}}, "subresource": "status"}]
      },
      "spec": {
        "volumes": [{"name": "logs", "azureFile": {"secretName": "s", "shareName": "t"}}],
        "containers": [
          {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "sidecar"]},
          {"name": "client", "image": "ambrosia/ambrosia-perftest",
           "command": ["Job", "--sp", "50001"], "args": ["--bytes-per-round", "64MiB"],
           "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
           "resources": {}, "terminationMessagePath": "/dev/termination-log"}
        ],
        "restartPolicy": "Always", "nodeName": "aks-nodepool1-12345678-vmss000001",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
      },
      "status": {
        "phase": "Running",
        "conditions": [
          {"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-08-02T10:15:30Z"},
          {"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-08-02T10:20:33Z"}
        ],
        "hostIP": "10.224.0.5", "podIP": "10.244.1.17", "podIPs": [{"ip": "10.244.1.17"}],
        "startTime": "2026-08-02T10:15:30Z",
        "containerStatuses": [
          {"name": "client", "ready": true, "restartCount": 2, "started": true,
           "image": "docker.io/ambrosia/ambrosia-perftest:latest",
           "imageID": "docker.io/ambrosia/ambrosia-perftest@sha256:abc",
           "containerID": "containerd://aaa",
           "state": {"running": {"startedAt": "2026-08-02T10:20:32Z"}},
           "lastState": {"terminated": {"exitCode": 137, "reason": "Error", "startedAt": "2026-08-02T10:15:32Z",
              "finishedAt": "2026-08-02T10:20:31Z", "containerID": "containerd://bbb"}}},
          {"name": "istio-proxy", "ready": true, "restartCount": 0,
           "containerID": "containerd://ccc",
           "state": {"running": {"startedAt": "2026-08-02T10:15:31Z"}}, "lastState": {}}
        ],
        "qosClass": "BestEffort"
      }
    }"#;

    fn selectors() -> Selectors {
        Selectors {
            client: parse("app=generated-perftestclient").unwrap(),
            server: parse("app=generated-perftestserver").unwrap(),
        }
    }

    #[test]
    fn a_pod_of_a_real_cluster_is_reduced_to_what_is_shown() {
        let slim: Slim = serde_json::from_str(AKS).unwrap();
        assert_eq!(slim.resource_version(), "184467");
        let pod = slim.into_pod(&selectors());
        assert_eq!(pod.role, Some(Role::Client));
        assert!(pod.managed && pod.ready && !pod.deleting);
        assert_eq!(
            pod.node.as_deref(),
            Some("aks-nodepool1-12345678-vmss000001")
        );
        assert_eq!(pod.ip.as_deref(), Some("10.244.1.17"));
        assert_eq!(pod.created_ms, Some(1_785_665_730_000));
        let names: Vec<_> = pod.containers.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["istio-proxy", "client"], "in the order of the spec");
        let client = &pod.containers[1];
        assert!(
            client.program && !pod.containers[0].program,
            "not the sidecar"
        );
        assert_eq!(client.restarts, 2);
        assert_eq!(client.state, ContainerState::Running);
        assert_eq!(client.id.as_deref(), Some("containerd://aaa"));
        assert_eq!(client.bytes_per_round, Some(64 << 20));
        let last = client.last.as_ref().unwrap();
        assert_eq!((last.exit_code, last.signal), (137, None));
        assert_eq!(last.container_id.as_deref(), Some("containerd://bbb"));
        assert_eq!(pod.containers[0].bytes_per_round, None);
        assert_eq!(pod.containers[0].last, None);
    }

    #[test]
    fn a_pod_that_has_hardly_begun_is_read_too() {
        let text = r#"{"metadata": {"name": "a", "uid": "u", "labels": null},
            "spec": {"containers": [{"name": "c", "command": null}]},
            "status": {"phase": "Pending", "conditions": null}}"#;
        let slim: Slim = serde_json::from_str(text).unwrap();
        let pod = slim.into_pod(&selectors());
        assert_eq!((pod.role, pod.ready), (None, false));
        assert_eq!(pod.containers[0].state, ContainerState::Unknown);
    }

    #[test]
    fn back_off_is_a_reason_and_a_message() {
        let text = r#"{"metadata": {"name": "a", "uid": "u", "deletionTimestamp": "2026-08-02T10:20:31Z"},
            "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3,
              "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
              "lastState": {"terminated": {"exitCode": 1, "signal": 9}}}]}}"#;
        let slim: Slim = serde_json::from_str(text).unwrap();
        let pod = slim.into_pod(&selectors());
        assert!(pod.deleting);
        assert_eq!(
            pod.containers[0].state,
            ContainerState::Waiting {
                reason: "CrashLoopBackOff".to_owned(),
                message: "back-off 40s".to_owned()
            }
        );
        assert_eq!(pod.containers[0].last.as_ref().unwrap().signal, Some(9));
    }
}

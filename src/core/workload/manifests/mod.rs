//! The objects of a deployment, as data: what is sent to a cluster,
//! printed for a person, and compared with what is there.
//!
//! Names and labels are those of the documents (`generated-perftestclient`), so
//! that whoever knows the original finds its pods. Secrets are only referred to.

mod programs;
mod sweep;

use serde_json::{Value, json};

use super::{
    Role, Workload,
    order::{Order, Storage},
};

/// The label that says who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Its value for what this program made.
pub const MANAGER: &str = "aks-tui";

/// The label that says what an object is a part of.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// Annotation: what was asked for, as the JSON of an [`Order`].
pub const ORDER: &str = "aks-tui.dev/order";

/// Annotation: the run whose logs are used.
pub const RUN: &str = "aks-tui.dev/run";

/// Where the instances find their logs.
const LOGS: &str = "/ambrosia_logs";

/// The user and the group of our image.
const USER: u32 = 10_001;

/// What a share is said to hold; Azure goes by the share's own quota.
const SHARE_SIZE: &str = "80Gi";

/// A deployment with everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What is deployed.
    pub workload: Workload,
    /// The namespace.
    pub namespace: String,
    /// What was asked for; its storage is decided.
    pub order: Order,
    /// Where the logs are.
    pub storage: Storage,
    /// The run.
    pub run: String,
}

/// The labels of a role's objects and pods. They are its selector too, so they
/// never change.
pub fn labels(workload: Workload, role: Role) -> Value {
    json!({
        "app": workload.deployment(role),
        "app.kubernetes.io/component": role.name(),
        "app.kubernetes.io/instance": workload.instance(role),
        MANAGED_BY: MANAGER,
        PART_OF: workload.name(),
    })
}

impl Spec {
    /// What must be there before the deployments: volumes, claims, the server's
    /// name, and the original's registrations.
    pub fn groundwork(&self) -> Vec<Value> {
        let mut objects = match &self.storage {
            Storage::Share {
                share,
                resource_group,
            } => self.share(share, resource_group.as_deref()),
            Storage::Class { name, size, shared } => Role::ALL
                .map(|role| self.claim(role, name, size, *shared == Some(true)))
                .to_vec(),
            Storage::Claim { .. } | Storage::Pod => Vec::new(),
        };
        if self.order.is_original() {
            objects.extend([Role::Server, Role::Client].map(|role| self.registration(role)));
        } else {
            objects.push(self.service());
        }
        objects
    }

    /// The deployments, the server's first.
    pub fn deployments(&self) -> Vec<Value> {
        [Role::Server, Role::Client]
            .map(|role| self.deployment(role))
            .to_vec()
    }

    /// Everything, in the order in which it is applied.
    pub fn objects(&self) -> Vec<Value> {
        let mut all = self.groundwork();
        all.extend(self.deployments());
        all
    }

    fn labels(&self, role: Role) -> Value {
        labels(self.workload, role)
    }

    /// The labels of what neither side alone has.
    fn common(&self, component: &str) -> Value {
        json!({
            "app.kubernetes.io/component": component,
            MANAGED_BY: MANAGER,
            PART_OF: self.workload.name(),
        })
    }

    /// The claim of a share.
    fn share_claim(&self, share: &str) -> String {
        format!("{}-{share}", self.workload)
    }

    /// The claim of a role, where each has its own.
    fn class_claim(&self, role: Role) -> String {
        format!("{}-logs-{role}", self.workload)
    }

    /// The volume of a share, as this namespace and this workload have it.
    fn share_volume(&self, share: &str) -> [String; 2] {
        let namespace = &self.namespace;
        // Volumes of perftest are called as they were when it was the only one.
        let whose = match self.workload {
            Workload::Perftest => namespace.clone(),
            Workload::Helloworld => format!("{namespace}-{}", self.workload),
        };
        [
            format!("aks-tui-{whose}-{share}"),
            format!("aks-tui#{whose}#{share}"),
        ]
    }

    /// What was asked for, and the run it is: the next deployment goes on from it,
    /// also if only the claims are left.
    fn marks(&self) -> Value {
        let order = serde_json::to_string(&self.order).unwrap_or_default();
        json!({RUN: self.run, ORDER: order})
    }

    /// The volume of a share and the claim that is bound to it.
    fn share(&self, share: &str, resource_group: Option<&str>) -> Vec<Value> {
        let [volume, handle] = self.share_volume(share);
        let mut attributes = json!({"shareName": share});
        if let Some(group) = resource_group {
            attributes["resourceGroup"] = json!(group);
        }
        let claim = self.share_claim(share);
        vec![
            json!({
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {
                    "name": volume,
                    "labels": self.common("logs"),
                },
                "spec": {
                    "capacity": {"storage": SHARE_SIZE},
                    "accessModes": ["ReadWriteMany"],
                    // What is in the share is nobody's to delete but its owner's.
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": "",
                    "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                        "namespace": self.namespace, "name": claim},
                    // No `nobrl`: the lock that fences an instance's directory is
                    // a byte-range lock, and must reach the server. No `actimeo`:
                    // a successor on another node must see how long a log is.
                    "mountOptions": [
                        "dir_mode=0750", "file_mode=0640",
                        format!("uid={}", self.user()), format!("gid={}", self.user()),
                        "mfsymlinks", "cache=strict", "nosharesock",
                    ],
                    "csi": {
                        "driver": "file.csi.azure.com",
                        "volumeHandle": handle,
                        "volumeAttributes": attributes,
                        "nodeStageSecretRef": {
                            "name": self.order.secret(), "namespace": self.namespace,
                        },
                    },
                },
            }),
            json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": claim,
                    "namespace": self.namespace,
                    "labels": self.common("logs"),
                    "annotations": self.marks(),
                },
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "storageClassName": "",
                    "volumeName": volume,
                    "resources": {"requests": {"storage": SHARE_SIZE}},
                },
            }),
        ]
    }

    fn claim(&self, role: Role, class: &str, size: &str, shared: bool) -> Value {
        let mode = if shared {
            "ReadWriteMany"
        } else {
            "ReadWriteOnce"
        };
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": self.class_claim(role),
                "namespace": self.namespace,
                "labels": self.common("logs"),
                "annotations": self.marks(),
            },
            "spec": {
                "accessModes": [mode],
                "storageClassName": class,
                "resources": {"requests": {"storage": size}},
            },
        })
    }

    /// The name under which the client finds the server, wherever it runs.
    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": self.workload.instance(Role::Server),
                "namespace": self.namespace,
                "labels": self.labels(Role::Server),
            },
            "spec": {
                "selector": self.labels(Role::Server),
                "ports": [{"name": "link", "port": 50001, "targetPort": 50001, "protocol": "TCP"}],
                // A recovered server is reached at once, not after a probe.
                "publishNotReadyAddresses": true,
            },
        })
    }

    /// The user that the image's programs run as; the original's is root.
    fn user(&self) -> u32 {
        if self.order.is_original() { 0 } else { USER }
    }

    fn deployment(&self, role: Role) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": self.workload.deployment(role),
                "namespace": self.namespace,
                "labels": self.labels(role),
                "annotations": self.marks(),
            },
            "spec": {
                "replicas": 1,
                // Two executions of one instance never run at once.
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": self.labels(role)},
                "progressDeadlineSeconds": 600,
                "template": {
                    "metadata": {"labels": self.labels(role)},
                    "spec": self.pod(role),
                },
            },
        })
    }

    fn pod(&self, role: Role) -> Value {
        let volume = match &self.storage {
            Storage::Share { share, .. } => claimed(&self.share_claim(share)),
            Storage::Claim { name } => claimed(name),
            Storage::Class { .. } => claimed(&self.class_claim(role)),
            Storage::Pod => json!({"name": "ambrosia-logs", "emptyDir": {}}),
        };
        let gone = |key: &str| {
            json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": 5})
        };
        let mut pod = json!({
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": false,
            // A node that is down for longer than this is given up.
            "tolerations": [gone("not-ready"), gone("unreachable")],
            // A node that dies takes one side with it, where there are two.
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": self.labels(role.peer())},
                },
            }]}},
            "containers": [self.container(role)],
            "volumes": [volume],
        });
        if !self.order.is_original() {
            pod["securityContext"] = json!({
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            });
        }
        self.add_pull_secret(&mut pod);
        pod
    }

    fn container(&self, role: Role) -> Value {
        let mut container = json!({
            "name": self.workload.instance(role),
            "image": self.order.image(),
            "imagePullPolicy": "IfNotPresent",
            "volumeMounts": [{"name": "ambrosia-logs", "mountPath": LOGS}],
            // Of the processor there is no limit: throttling would be measured.
            "resources": {
                "requests": {"cpu": "250m", "memory": "128Mi"},
                "limits": {"memory": "1Gi"},
            },
        });
        if self.workload == Workload::Helloworld {
            // `kubectl attach -i` presses Enter.
            container["stdin"] = json!(true);
        }
        if self.order.is_original() {
            self.original(role, &mut container);
        } else {
            self.ours(role, &mut container);
        }
        container
    }

    fn add_pull_secret(&self, pod: &mut Value) {
        if let Some(secret) = &self.order.pull_secret {
            pod["imagePullSecrets"] = json!([{"name": secret}]);
        }
    }
}

fn claimed(claim: &str) -> Value {
    json!({"name": "ambrosia-logs", "persistentVolumeClaim": {"claimName": claim}})
}

fn probe(action: &Value, period: u32, failures: u32) -> Value {
    let mut probe = action.clone();
    probe["periodSeconds"] = json!(period);
    probe["timeoutSeconds"] = json!(5);
    probe["failureThreshold"] = json!(failures);
    probe
}

/// FNV-1a: names must be the same in every version, unlike the hashes of std.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

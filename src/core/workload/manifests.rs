//! The objects of a deployment of perftest, as data: what is sent to a cluster,
//! printed for a person, and compared with what is there.
//!
//! Names and labels are those of the documents (`generated-perftestclient`), so
//! that whoever knows the original finds its pods. Secrets are only referred to.

use serde_json::{Value, json};

use super::{
    Role,
    order::{Order, REGISTER_IMAGE, Storage},
};

/// The label that says who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Its value for what this program made.
pub const MANAGER: &str = "aks-tui";

/// The label that says what an object is a part of.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// Its value for everything of this workload.
pub const PERFTEST: &str = "perftest";

/// Annotation: what was asked for, as the JSON of an [`Order`].
pub const ORDER: &str = "aks-tui.dev/order";

/// Annotation: the run whose logs are used.
pub const RUN: &str = "aks-tui.dev/run";

/// Where the instances find their logs.
const LOGS: &str = "/ambrosia_logs";

/// The user and the group of our image.
const USER: u32 = 10_001;

/// A link's port, and the one that only the original's coordinator needs.
const PORTS: [&str; 2] = ["50001", "50002"];

/// The port of the original's coordinator.
const COORDINATOR: &str = "50500";

/// Log, in MB, after which the original takes a checkpoint.
const LOG_TRIGGER_MB: &str = "1024";

/// What a share is said to hold; Azure goes by the share's own quota.
const SHARE_SIZE: &str = "80Gi";

/// A deployment with everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The namespace.
    pub namespace: String,
    /// What was asked for; its storage is decided.
    pub order: Order,
    /// Where the logs are.
    pub storage: Storage,
    /// The run.
    pub run: String,
}

/// The name of a role's instance and of its service.
pub const fn instance(role: Role) -> &'static str {
    match role {
        Role::Client => "perftestclient",
        Role::Server => "perftestserver",
    }
}

/// The name of a role's deployment.
pub fn deployment(role: Role) -> String {
    format!("generated-{}", instance(role))
}

/// The labels of a role's objects and pods. They are its selector too, so they
/// never change.
pub fn labels(role: Role) -> Value {
    json!({
        "app": deployment(role),
        "app.kubernetes.io/component": role.name(),
        "app.kubernetes.io/instance": instance(role),
        MANAGED_BY: MANAGER,
        PART_OF: PERFTEST,
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

    /// What was asked for, and the run it is: the next deployment goes on from it,
    /// also if only the claims are left.
    fn marks(&self) -> Value {
        let order = serde_json::to_string(&self.order).unwrap_or_default();
        json!({RUN: self.run, ORDER: order})
    }

    /// The volume of a share and the claim that is bound to it.
    fn share(&self, share: &str, resource_group: Option<&str>) -> Vec<Value> {
        let volume = format!("aks-tui-{}-{share}", self.namespace);
        let mut attributes = json!({"shareName": share});
        if let Some(group) = resource_group {
            attributes["resourceGroup"] = json!(group);
        }
        let claim = share_claim(share);
        vec![
            json!({
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {
                    "name": volume,
                    "labels": common("logs"),
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
                        "volumeHandle": format!("aks-tui#{}#{share}", self.namespace),
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
                    "labels": common("logs"),
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
                "name": class_claim(role),
                "namespace": self.namespace,
                "labels": common("logs"),
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
                "name": instance(Role::Server),
                "namespace": self.namespace,
                "labels": labels(Role::Server),
            },
            "spec": {
                "selector": labels(Role::Server),
                "ports": [{"name": "link", "port": 50001, "targetPort": 50001, "protocol": "TCP"}],
                // A recovered server is reached at once, not after a probe.
                "publishNotReadyAddresses": true,
            },
        })
    }

    /// The name by which an instance is known to its peers. The original keeps
    /// an instance's state in a table of that name, so a new run is a new name;
    /// ours has a directory for each run.
    fn instance_name(&self, role: Role) -> String {
        if self.order.is_original() {
            let run: String = self
                .run
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            format!("{}{run}", instance(role))
        } else {
            instance(role).to_owned()
        }
    }

    /// The user that the image's programs run as; the original's is root.
    fn user(&self) -> u32 {
        if self.order.is_original() { 0 } else { USER }
    }

    /// Enters an instance of the original into its account's tables.
    fn registration(&self, role: Role) -> Value {
        let name = self.instance_name(role);
        let image = self.order.register_image.as_deref();
        let mut pod = json!({
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "register",
                "image": image.unwrap_or(REGISTER_IMAGE),
                "command": ["Ambrosia", "RegisterInstance", "-i", name,
                    "--rp", PORTS[0], "--sp", PORTS[1], "-l", LOGS, "--lts", LOG_TRIGGER_MB],
                "env": self.account(),
                "resources": {
                    "requests": {"cpu": "100m", "memory": "128Mi"},
                    "limits": {"memory": "1Gi"},
                },
            }],
        });
        self.add_pull_secret(&mut pod);
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                // Another name for another run or image: a job cannot be changed.
                "name": format!("register-{name}-{:08x}", hash(&pod.to_string())),
                "namespace": self.namespace,
                "labels": common("register"),
            },
            "spec": {
                "backoffLimit": 2,
                "activeDeadlineSeconds": 300,
                "template": {
                    "metadata": {"labels": common("register")},
                    "spec": pod,
                },
            },
        })
    }

    /// The connection string of the storage account, put together in the pod.
    fn account(&self) -> Value {
        let from = |key: &str| json!({"secretKeyRef": {"name": self.order.secret(), "key": key}});
        let string = "DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;\
            AccountName=$(STORAGE_ACCOUNT);AccountKey=$(STORAGE_KEY)";
        json!([
            {"name": "STORAGE_ACCOUNT", "valueFrom": from("azurestorageaccountname")},
            {"name": "STORAGE_KEY", "valueFrom": from("azurestorageaccountkey")},
            {"name": "AZURE_STORAGE_CONN_STRING", "value": string},
            {"name": "AZURE_STORAGE_CONNECTION_STRING", "value": string},
        ])
    }

    fn deployment(&self, role: Role) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": deployment(role),
                "namespace": self.namespace,
                "labels": labels(role),
                "annotations": self.marks(),
            },
            "spec": {
                "replicas": 1,
                // Two executions of one instance never run at once.
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels(role)},
                "progressDeadlineSeconds": 600,
                "template": {
                    "metadata": {"labels": labels(role)},
                    "spec": self.pod(role),
                },
            },
        })
    }

    fn pod(&self, role: Role) -> Value {
        let volume = match &self.storage {
            Storage::Share { share, .. } => claimed(&share_claim(share)),
            Storage::Claim { name } => claimed(name),
            Storage::Class { .. } => claimed(&class_claim(role)),
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
                    "labelSelector": {"matchLabels": labels(role.peer())},
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
            "name": instance(role),
            "image": self.order.image(),
            "imagePullPolicy": "IfNotPresent",
            "volumeMounts": [{"name": "ambrosia-logs", "mountPath": LOGS}],
            // Of the processor there is no limit: throttling would be measured.
            "resources": {
                "requests": {"cpu": "250m", "memory": "128Mi"},
                "limits": {"memory": "1Gi"},
            },
        });
        if self.order.is_original() {
            self.original(role, &mut container);
        } else {
            self.ours(role, &mut container);
        }
        container
    }

    fn ours(&self, role: Role, container: &mut Value) {
        let mut command = self.words(role);
        let log = format!("{LOGS}/{}", self.run);
        command.extend(["--log", &log, "--progress", "100ms", "--stay"].map(str::to_owned));
        if let (Role::Client, Some(bytes)) = (role, &self.order.bytes_per_round) {
            command.extend(["--bytes-per-round".to_owned(), bytes.clone()]);
        }
        if let (Role::Client, Some(rate)) = (role, &self.order.rate) {
            command.extend(["--rate".to_owned(), rate.clone()]);
        }
        container["command"] = json!(command);
        container["env"] = json!([
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ]);
        container["securityContext"] = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        let alive = json!({"exec": {"command": ["pidof", role.program()]}});
        let ready = match role {
            Role::Server => {
                container["ports"] =
                    json!([{"name": "link", "containerPort": 50001, "protocol": "TCP"}]);
                json!({"tcpSocket": {"port": 50001}})
            }
            Role::Client => alive.clone(),
        };
        // A replay after a crash takes seconds, from a slow share minutes.
        container["startupProbe"] = probe(&ready, 1, 300);
        container["readinessProbe"] = probe(&ready, 2, 1);
        container["livenessProbe"] = probe(&alive, 10, 6);
    }

    fn original(&self, role: Role, container: &mut Value) {
        let line = format!("runAmbrosiaService.sh {}", self.words(role).join(" "));
        container["command"] = json!(["bash", "-c", line]);
        let mut env = vec![
            json!({"name": "AMBROSIA_IMMORTALCOORDINATOR_PORT", "value": COORDINATOR}),
            json!({"name": "AMBROSIA_INSTANCE_NAME", "value": self.instance_name(role)}),
            json!({"name": "AMBROSIA_LOGDIR", "value": LOGS}),
        ];
        env.extend(self.account().as_array().into_iter().flatten().cloned());
        container["env"] = json!(env);
        let alive = json!({"exec": {"command": ["pidof", role.program()]}});
        // The program starts once its coordinator is ready, which reads its log.
        container["startupProbe"] = probe(&alive, 2, 300);
        container["readinessProbe"] = probe(&alive, 5, 1);
    }

    /// The program and what both images understand, as the documents have it.
    fn words(&self, role: Role) -> Vec<String> {
        let name = |role| self.instance_name(role);
        let mut words = vec![role.program().to_owned()];
        words.extend(["--sp", PORTS[0], "--rp", PORTS[1]].map(str::to_owned));
        words.extend([
            "-j".to_owned(),
            name(Role::Client),
            "-s".to_owned(),
            name(Role::Server),
        ]);
        if role == Role::Client {
            let size = self.order.max_message.clone();
            let size = size.unwrap_or_else(|| super::LARGEST_MESSAGE.to_string());
            words.extend(["--mms".to_owned(), size]);
            words.extend(["-n".to_owned(), self.order.rounds().to_string()]);
        } else {
            words.extend(["-n", "1"].map(str::to_owned));
        }
        words.push("-c".to_owned());
        words
    }

    fn add_pull_secret(&self, pod: &mut Value) {
        if let Some(secret) = &self.order.pull_secret {
            pod["imagePullSecrets"] = json!([{"name": secret}]);
        }
    }
}

/// The labels of what neither side alone has.
fn common(component: &str) -> Value {
    json!({
        "app.kubernetes.io/component": component,
        MANAGED_BY: MANAGER,
        PART_OF: PERFTEST,
    })
}

/// The claim of a share.
fn share_claim(share: &str) -> String {
    format!("perftest-{share}")
}

/// The claim of a role, where each has its own.
fn class_claim(role: Role) -> String {
    format!("perftest-logs-{role}")
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

//! What runs in the containers: our programs, and AMBROSIA's.

use serde_json::{Value, json};

use super::{LOGS, Spec, hash, probe};
use crate::core::workload::{LARGEST_MESSAGE, Role, Workload, order::REGISTER_IMAGE};

/// A link's port, and the one that only the original's coordinator needs.
const PORTS: [&str; 2] = ["50001", "50002"];

/// The port of the original's coordinator.
const COORDINATOR: &str = "50500";

/// Log, in MB, after which the original takes a checkpoint.
const LOG_TRIGGER_MB: &str = "1024";

impl Spec {
    /// The name by which an instance is known to its peers. The original keeps
    /// an instance's state in a table of that name, so a new run is a new name;
    /// ours has a directory for each run.
    pub(super) fn instance_name(&self, role: Role) -> String {
        if self.order.is_original() {
            let run: String = self
                .run
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            format!("{}{run}", self.workload.instance(role))
        } else {
            self.workload.instance(role).to_owned()
        }
    }

    /// Enters an instance of the original into its account's tables.
    pub(super) fn registration(&self, role: Role) -> Value {
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
                "labels": self.common("register"),
            },
            "spec": {
                "backoffLimit": 2,
                "activeDeadlineSeconds": 300,
                "template": {
                    "metadata": {"labels": self.common("register")},
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

    pub(super) fn ours(&self, role: Role, container: &mut Value) {
        let mut command = match self.workload {
            Workload::Perftest => self.words(role),
            Workload::Helloworld => self.greeting(role),
        };
        let log = format!("{LOGS}/{}", self.run);
        command.extend(["--log", &log].map(str::to_owned));
        if self.workload == Workload::Perftest {
            command.extend(["--progress", "100ms"].map(str::to_owned));
        }
        command.push("--stay".to_owned());
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

    pub(super) fn original(&self, role: Role, container: &mut Value) {
        let (words, program) = match self.workload {
            Workload::Perftest => (self.words(role), role.program()),
            Workload::Helloworld => (self.original_greeting(role), "dotnet"),
        };
        let line = format!("runAmbrosiaService.sh {}", words.join(" "));
        container["command"] = json!(["bash", "-c", line]);
        let mut env = vec![
            json!({"name": "AMBROSIA_IMMORTALCOORDINATOR_PORT", "value": COORDINATOR}),
            json!({"name": "AMBROSIA_INSTANCE_NAME", "value": self.instance_name(role)}),
            json!({"name": "AMBROSIA_LOGDIR", "value": LOGS}),
        ];
        env.extend(self.account().as_array().into_iter().flatten().cloned());
        container["env"] = json!(env);
        let alive = json!({"exec": {"command": ["pidof", program]}});
        // The program starts once its coordinator is ready, which reads its log.
        container["startupProbe"] = probe(&alive, 2, 300);
        container["readinessProbe"] = probe(&alive, 5, 1);
    }

    /// helloworld in our image.
    fn greeting(&self, role: Role) -> Vec<String> {
        let mut words = vec![role.program(), self.workload.name()];
        if role == Role::Client {
            words.push(self.workload.instance(role));
        }
        words.extend([self.workload.instance(Role::Server), "--port", PORTS[0]]);
        words.into_iter().map(str::to_owned).collect()
    }

    /// helloworld in AMBROSIA's image, as its scripts have it.
    fn original_greeting(&self, role: Role) -> Vec<String> {
        let program = match role {
            Role::Client => "Client1",
            Role::Server => "Server",
        };
        let mut words = vec![
            "dotnet".to_owned(),
            format!("{program}/publish/{program}.dll"),
        ];
        if role == Role::Client {
            words.push(self.instance_name(role));
        }
        words.push(self.instance_name(Role::Server));
        words
    }

    /// perftest and what both images understand, as the documents have it.
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
            let size = size.unwrap_or_else(|| LARGEST_MESSAGE.to_string());
            words.extend(["--mms".to_owned(), size]);
            words.extend(["-n".to_owned(), self.order.rounds().to_string()]);
        } else {
            words.extend(["-n", "1"].map(str::to_owned));
        }
        words.push("-c".to_owned());
        words
    }
}

//! Taking a run's logs away. It is done where they can be reached: by a job in the
//! cluster that mounts what they are on, as the workload does. From outside there is
//! no way to a claim, and to a share only one that many networks do not let through.

use serde_json::{Value, json};

use super::{LOGS, RUN, Spec};
use crate::core::workload::{Role, order::Storage};

impl Spec {
    /// The workload's own objects with nothing running and no run remembered: what
    /// is deployed next begins anew.
    pub fn at_rest(&self) -> Vec<Value> {
        let mut objects = self.objects();
        objects.retain(|it| it["kind"] == "Deployment" || it["kind"] == "PersistentVolumeClaim");
        for object in &mut objects {
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(RUN);
            }
            if object["kind"] == "Deployment" {
                object["spec"]["replicas"] = json!(0);
            }
        }
        objects
    }

    /// The jobs that delete the run's logs, one for each volume that they are on.
    /// What is in a pod goes with it.
    pub fn sweeps(&self) -> Vec<Value> {
        match &self.storage {
            Storage::Pod => Vec::new(),
            Storage::Share { .. } | Storage::Claim { .. } => vec![self.sweep(Role::Client, "")],
            Storage::Class { .. } => Role::ALL
                .map(|role| self.sweep(role, &format!("-{role}")))
                .to_vec(),
        }
    }

    fn sweep(&self, role: Role, end: &str) -> Value {
        let mut pod = self.pod(role);
        let workload = &pod["containers"][0];
        let mut container = json!({
            "name": "sweep",
            "image": workload["image"],
            "imagePullPolicy": workload["imagePullPolicy"],
            "command": ["sh", "-c", self.script()],
            "volumeMounts": workload["volumeMounts"],
            "resources": {
                "requests": {"cpu": "100m", "memory": "32Mi"},
                "limits": {"memory": "256Mi"},
            },
        });
        if !workload["securityContext"].is_null() {
            container["securityContext"] = workload["securityContext"].clone();
        }
        pod["containers"] = json!([container]);
        pod["restartPolicy"] = json!("Never");
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": format!("sweep-{}{end}", self.workload),
                "namespace": self.namespace,
                "labels": self.common("sweep"),
            },
            "spec": {
                "backoffLimit": 2,
                "activeDeadlineSeconds": 600,
                "template": {"metadata": {"labels": self.common("sweep")}, "spec": pod},
            },
        })
    }

    /// Deletes what is this run's, and what it was in if nothing else is. The run's
    /// name has been checked: it is letters, digits and hyphens.
    fn script(&self) -> String {
        let names = Role::ALL.map(|role| self.instance_name(role));
        if self.order.is_original() {
            let [client, server] = names.map(|name| format!("{LOGS}/{name}_*"));
            return format!("rm -rf -- {client} {server}");
        }
        let run = format!("{LOGS}/{}", self.run);
        let [client, server] = names.map(|name| format!("{run}/{name}_*"));
        format!("rm -rf -- {client} {server} && {{ rmdir {run} 2>/dev/null || true; }}")
    }
}

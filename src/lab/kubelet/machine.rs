//! The node object: what the imagined machine is made of, and how it feels.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::NODE;
use super::images::IMAGES;
use crate::lab::kinds::Resource;
use crate::lab::runtime::boot;
use crate::lab::store::{Key, Store, StoreError, micro_timestamp, timestamp};

/// Below this much free memory the node says that it is under pressure, as the
/// real kubelet does.
const LEAST_MEMORY: u64 = 100 * 1024 * 1024;

/// Below this free share of the disk, in percent, likewise.
const LEAST_DISK: u64 = 10;

/// Pods that a node takes; the real default.
const PODS: u32 = 110;

/// Namespace of the leases that nodes renew.
const LEASES: &str = "kube-node-lease";

/// How long a node's lease holds, in seconds; the real default.
const LEASE_SECONDS: u32 = 40;

/// The node's own account of itself.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Its address.
    pub address: String,
    /// Version of Kubernetes that the lab speaks.
    pub version: String,
    /// Annotations that tell clients how this lab works.
    pub annotations: Vec<(&'static str, String)>,
    /// Directory whose disk it lives on.
    pub state: std::path::PathBuf,
}

impl Machine {
    /// Puts the node object into the store, or renews the one that is there.
    pub fn register(&self, store: &Store) -> Result<(), StoreError> {
        let key = Key::new(Resource::Nodes, "", NODE);
        let mut fresh = json!({"metadata": {"name": NODE}, "spec": {}});
        self.describe(&mut fresh);
        match store.create(Resource::Nodes, fresh) {
            Err(StoreError::AlreadyExists(_)) => {
                store.update_with(&key, |node| {
                    self.describe(node);
                    Ok(())
                })?;
            }
            created => drop(created?),
        }
        Ok(())
    }

    /// Renews the node's status; cheap when nothing has changed but the time.
    pub fn beat(&self, store: &Store) -> Result<(), StoreError> {
        let key = Key::new(Resource::Nodes, "", NODE);
        store.update_with(&key, |node| {
            node["status"]["conditions"] = self.conditions(node);
            Ok::<(), StoreError>(())
        })?;
        Ok(())
    }

    /// Renews the node's lease, which tells that it is alive at less cost.
    pub fn renew(store: &Store) -> Result<(), StoreError> {
        let key = Key::new(Resource::Leases, LEASES, NODE);
        let now = micro_timestamp(Timestamp::now());
        let renewed = store.update_with(&key, |lease| {
            lease["spec"]["renewTime"] = json!(now);
            Ok::<(), StoreError>(())
        });
        if matches!(renewed, Err(StoreError::NotFound(_))) {
            let lease = json!({
                "metadata": {"name": NODE, "namespace": LEASES},
                "spec": {
                    "holderIdentity": NODE,
                    "leaseDurationSeconds": LEASE_SECONDS,
                    "renewTime": now,
                },
            });
            store.create(Resource::Leases, lease)?;
        }
        Ok(())
    }

    fn describe(&self, node: &mut Value) {
        let architecture = architecture();
        for (name, value) in [
            ("kubernetes.io/hostname", NODE),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture),
        ] {
            node["metadata"]["labels"][name] = json!(value);
        }
        for (name, value) in &self.annotations {
            node["metadata"]["annotations"][*name] = json!(value);
        }
        node["spec"]["providerID"] = json!(format!("lab://{NODE}"));
        let resources = self.resources();
        let conditions = self.conditions(node);
        node["status"] = json!({
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": NODE},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": node_info(architecture, &self.version),
            "images": IMAGES.map(|image| json!({
                "names": [format!("{}:latest", image.name)],
                "sizeBytes": 0,
            })),
        });
    }

    fn resources(&self) -> Value {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = memory("MemTotal:").unwrap_or(0);
        let disk = rustix::fs::statvfs(&self.state)
            .map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        json!({
            "cpu": cpus.to_string(),
            "memory": format!("{}Ki", memory / 1024),
            "ephemeral-storage": format!("{}Ki", disk / 1024),
            "pods": PODS.to_string(),
        })
    }

    fn conditions(&self, node: &Value) -> Value {
        let short_of_memory = memory("MemAvailable:").is_some_and(|free| free < LEAST_MEMORY);
        let short_of_disk = rustix::fs::statvfs(&self.state)
            .is_ok_and(|disk| disk.f_bavail * 100 < disk.f_blocks * LEAST_DISK);
        let pressure = |kind: &str, pressed: bool, has: &str, lacks: &str, what: &str| {
            let reason = if pressed { lacks } else { has };
            let word = if pressed {
                "insufficient"
            } else {
                "sufficient"
            };
            let message = format!("kubelet has {word} {what} available");
            condition(node, kind, pressed, reason, &message)
        };
        json!([
            pressure(
                "MemoryPressure",
                short_of_memory,
                "KubeletHasSufficientMemory",
                "KubeletHasInsufficientMemory",
                "memory",
            ),
            condition(
                node,
                "DiskPressure",
                short_of_disk,
                if short_of_disk {
                    "KubeletHasDiskPressure"
                } else {
                    "KubeletHasNoDiskPressure"
                },
                if short_of_disk {
                    "kubelet has disk pressure"
                } else {
                    "kubelet has no disk pressure"
                },
            ),
            pressure("PIDPressure", false, "KubeletHasSufficientPID", "", "PID"),
            condition(
                node,
                "Ready",
                true,
                "KubeletReady",
                "kubelet is posting ready status"
            ),
        ])
    }
}

fn condition(node: &Value, kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    let now = timestamp(Timestamp::now());
    let status = if holds { "True" } else { "False" };
    let before = node["status"]["conditions"].as_array();
    let before = before.into_iter().flatten().find(|it| it["type"] == kind);
    let since = before
        .filter(|it| it["status"] == status)
        .and_then(|it| it["lastTransitionTime"].as_str())
        .unwrap_or(&now);
    json!({
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    })
}

fn node_info(architecture: &str, version: &str) -> Value {
    let kernel = rustix::system::uname();
    let read = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    };
    json!({
        "architecture": architecture,
        "operatingSystem": "linux",
        "kernelVersion": kernel.release().to_string_lossy(),
        "osImage": os_image(&read("/etc/os-release")),
        "bootID": boot(),
        "machineID": read("/etc/machine-id"),
        "systemUUID": read("/etc/machine-id"),
        "containerRuntimeVersion": concat!("lab://", env!("CARGO_PKG_VERSION")),
        "kubeletVersion": version,
        "kubeProxyVersion": "",
    })
}

fn os_image(release: &str) -> &str {
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or("Linux").trim_matches('"')
}

/// What Kubernetes calls this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A line of the kernel's account of memory, in bytes.
fn memory(line: &str) -> Option<u64> {
    let table = std::fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let found = table.lines().find_map(|it| it.strip_prefix(line))?;
    let kibibytes: u64 = found.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_describes_the_machine_and_keeps_what_others_wrote() {
        let state = tempfile::tempdir().unwrap();
        let machine = Machine {
            address: "127.1.1.1".into(),
            version: "v1".into(),
            annotations: vec![("lab.aks-tui.dev/isolation", "group".into())],
            state: state.path().into(),
        };
        let store = Store::new(0);
        machine.register(&store).unwrap();
        let key = Key::new(Resource::Nodes, "", NODE);
        store
            .update_with::<StoreError>(&key, |node| {
                node["spec"]["unschedulable"] = json!(true);
                node["status"]["conditions"][3]["lastTransitionTime"] =
                    json!("2020-01-01T00:00:00Z");
                Ok(())
            })
            .unwrap();
        machine.register(&store).unwrap();
        machine.beat(&store).unwrap();
        let node = store.get(&key).unwrap();
        assert_eq!(node["spec"]["unschedulable"], true);
        let ready = &node["status"]["conditions"][3];
        assert_eq!(ready["type"], "Ready");
        assert_eq!(ready["status"], "True");
        assert_eq!(ready["lastTransitionTime"], "2020-01-01T00:00:00Z");
        assert_eq!(
            node["metadata"]["annotations"]["lab.aks-tui.dev/isolation"],
            "group"
        );
        let memory = node["status"]["capacity"]["memory"].as_str().unwrap();
        assert!(memory.trim_end_matches("Ki").parse::<u64>().unwrap() > 1000);
        Machine::renew(&store).unwrap();
        Machine::renew(&store).unwrap();
        let lease = store
            .get(&Key::new(Resource::Leases, LEASES, NODE))
            .unwrap();
        assert_eq!(lease["spec"]["holderIdentity"], NODE);
    }

    #[test]
    fn the_systems_name_is_read() {
        assert_eq!(os_image("ID=x\nPRETTY_NAME=\"An OS 1\"\n"), "An OS 1");
        assert_eq!(os_image(""), "Linux");
    }
}

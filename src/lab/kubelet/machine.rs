//! A node object: what the imagined machine is made of, and how it feels.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cloud::Vm;
use super::images::IMAGES;
use super::power::{self, POWER_ANNOTATION, Power};
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Key, Store, StoreError, micro_timestamp, new_uid, timestamp};

/// Below this much free memory the node says that it is under pressure, as the
/// real kubelet does.
const LEAST_MEMORY: u64 = 100 * 1024 * 1024;

/// Below this much free disk, likewise. The real kubelet's tenth of the disk is
/// for machines of its own: many a person's machine is always below it, and
/// works.
const LEAST_DISK: u64 = 1024 * 1024 * 1024;

/// Pods that a node takes; the real default.
const PODS: u32 = 110;

/// Namespace of the leases that nodes renew.
const LEASES: &str = "kube-node-lease";

/// How many zones the nodes are spread over, as in most regions.
const ZONES: usize = 3;

/// The region that the lab calls its own.
const REGION: &str = "lab";

/// What the ids of the lab's own machines begin with.
const PROVIDER: &str = "lab://";

/// What the ids of all machines begin with that the lab may have.
pub(super) const PROVIDERS: [&str; 2] = [PROVIDER, "azure://"];

/// How a node tells that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// How long its lease holds; 40 s by default.
    lease: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(40),
        }
    }
}

impl Heartbeat {
    /// Often enough for somebody who takes a node for dead after `grace`, and
    /// never more seldom than by default.
    pub fn within(grace: Duration) -> Self {
        Self {
            lease: Self::default().lease.min(grace),
        }
    }

    /// How often the lease is renewed: four times while it holds, as by default.
    pub fn lease_every(self) -> Duration {
        // An interval of nothing would be none.
        (self.lease / 4).max(Duration::from_millis(50))
    }

    fn lease_seconds(self) -> u64 {
        self.lease.as_secs().max(1)
    }
}

/// A node's own account of itself.
#[derive(Debug)]
pub(super) struct Machine {
    /// Name of the node.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Version of Kubernetes that the lab speaks.
    pub version: String,
    /// Annotations that tell clients how this lab works.
    pub annotations: Vec<(&'static str, String)>,
    /// Directory whose disk it lives on.
    pub state: PathBuf,
    /// Its number among the nodes, from 0.
    pub index: usize,
    /// How many nodes share this machine.
    pub count: usize,
    /// Records events in its kubelet's name.
    pub recorder: Recorder,
    /// How often it tells that it is alive.
    pub heartbeat: Heartbeat,
    /// Its present life, by a name that no other life of it has.
    pub boot: Mutex<String>,
    /// Whether it runs.
    pub power: Power,
    /// Cancelled when it is taken away.
    pub gone: CancellationToken,
    /// What its cloud says of it; none for a share of this machine.
    pub cloud: Option<Vm>,
}

impl Machine {
    /// Begins a new life, and gives its name.
    pub fn reboot(&self) -> String {
        let boot = new_uid();
        let mut now = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone_from(&boot);
        boot
    }

    /// Puts the node object into the store, or renews the one that is there.
    /// Whoever has switched the machine off finds it off.
    pub fn register(&self, store: &Store) -> Result<(), StoreError> {
        let key = Key::new(Resource::Nodes, "", &self.name);
        let mut fresh = json!({"metadata": {"name": self.name}, "spec": {}});
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

    /// Tells how the node feels, if that has changed or the account is to be
    /// `whole`; to somebody else who has made the object, all there is to tell.
    pub fn beat(&self, store: &Store, whole: bool) -> Result<(), StoreError> {
        let key = Key::new(Resource::Nodes, "", &self.name);
        store.update_with(&key, |node| {
            if node["status"]["nodeInfo"].is_null() {
                self.describe(node);
                return Ok::<(), StoreError>(());
            }
            let conditions = self.conditions(node);
            if whole || !same(&conditions, &node["status"]["conditions"]) {
                node["status"]["conditions"] = conditions;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Renews the node's lease, which tells that it is alive at less cost.
    pub fn renew(&self, store: &Store) -> Result<(), StoreError> {
        let key = Key::new(Resource::Leases, LEASES, &self.name);
        let now = micro_timestamp(Timestamp::now());
        let renewed = store.update_with(&key, |lease| {
            lease["spec"]["renewTime"] = json!(now);
            Ok::<(), StoreError>(())
        });
        if matches!(renewed, Err(StoreError::NotFound(_))) {
            let lease = json!({
                "metadata": {"name": self.name, "namespace": LEASES},
                "spec": {
                    "holderIdentity": self.name,
                    "leaseDurationSeconds": self.heartbeat.lease_seconds(),
                    "renewTime": now,
                },
            });
            store.create(Resource::Leases, lease)?;
        }
        Ok(())
    }

    /// Gives up the lease of a machine that is not there any more.
    pub fn surrender(&self, store: &Store) {
        store.remove(&Key::new(Resource::Leases, LEASES, &self.name), None);
    }

    fn describe(&self, node: &mut Value) {
        let architecture = architecture();
        for (name, value) in self.labels(architecture) {
            node["metadata"]["labels"][name] = json!(value);
        }
        for (name, value) in &self.annotations {
            node["metadata"]["annotations"][*name] = json!(value);
        }
        if node["metadata"]["annotations"][POWER_ANNOTATION].is_null() {
            node["metadata"]["annotations"][POWER_ANNOTATION] = json!("on");
        }
        node["spec"]["providerID"] = match &self.cloud {
            Some(vm) => json!(vm.provider),
            None => json!(format!("{PROVIDER}{}", self.name)),
        };
        let resources = self.resources();
        // A machine that is off says nothing of how it feels.
        let conditions = if power::wanted(node) {
            self.conditions(node)
        } else {
            node["status"]["conditions"].take()
        };
        node["status"] = json!({
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": self.info(architecture),
            "images": IMAGES.map(|image| json!({
                "names": [format!("{}:latest", image.name)],
                "sizeBytes": 0,
            })),
        });
    }

    /// What clients of a cloud's nodes look for, in this machine's terms.
    fn labels(&self, architecture: &str) -> Vec<(String, String)> {
        let of_cloud = self.cloud.as_ref().map_or(&[][..], |it| &it.labels);
        let zone = format!("{REGION}-{}", self.index % ZONES + 1);
        let size = format!("lab-{}m", self.millicores());
        [
            ("kubernetes.io/hostname", self.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture),
            ("node.kubernetes.io/instance-type", &size),
            ("beta.kubernetes.io/instance-type", &size),
            ("topology.kubernetes.io/region", REGION),
            ("topology.kubernetes.io/zone", &zone),
            ("failure-domain.beta.kubernetes.io/region", REGION),
            ("failure-domain.beta.kubernetes.io/zone", &zone),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .filter(|(name, _)| !of_cloud.iter().any(|(of_cloud, _)| of_cloud == name))
        .chain(of_cloud.iter().cloned())
        .collect()
    }

    /// Its share of the machine's processors, in thousandths.
    fn millicores(&self) -> usize {
        if let Some(vm) = &self.cloud {
            return vm.millicores;
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        cpus * 1000 / self.count
    }

    /// Its share of the machine: together the nodes promise no more than there
    /// is, unless a cloud does. The disk is one for all.
    fn resources(&self) -> Value {
        let share = || memory("MemTotal:").unwrap_or(0) / self.count as u64;
        let memory = self.cloud.as_ref().map_or_else(share, |it| it.memory);
        let disk = rustix::fs::statvfs(&self.state)
            .map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        json!({
            "cpu": cores(self.millicores()),
            "memory": format!("{}Ki", memory / 1024),
            "ephemeral-storage": format!("{}Ki", disk / 1024),
            "pods": PODS.to_string(),
        })
    }

    fn info(&self, architecture: &str) -> Value {
        let kernel = rustix::system::uname();
        let read = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.trim().to_owned()
        };
        let machine = read("/etc/machine-id");
        // Every node is a machine of its own to its clients.
        let machine = u128::from_str_radix(&machine, 16).map_or(machine, |id| {
            format!("{:032x}", id.wrapping_add(self.index as u128))
        });
        json!({
            "architecture": architecture,
            "operatingSystem": "linux",
            "kernelVersion": kernel.release().to_string_lossy(),
            "osImage": os_image(&read("/etc/os-release")),
            "bootID": *self.boot.lock().unwrap_or_else(PoisonError::into_inner),
            "machineID": machine,
            "systemUUID": machine,
            "containerRuntimeVersion": concat!("lab://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": self.version,
            "kubeProxyVersion": "",
        })
    }

    fn conditions(&self, node: &Value) -> Value {
        let short_of_memory = memory("MemAvailable:").is_some_and(|free| free < LEAST_MEMORY);
        let short_of_disk = rustix::fs::statvfs(&self.state)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_DISK);
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

/// Whether two accounts say the same, but for the time.
fn same(one: &Value, other: &Value) -> bool {
    let says = |it: &Value| {
        let all = it.as_array().into_iter().flatten();
        let mut all: Vec<String> = all
            .map(|it| {
                format!(
                    "{} {} {} {}",
                    it["type"], it["status"], it["reason"], it["message"]
                )
            })
            .collect();
        all.sort_unstable();
        all
    };
    says(one) == says(other)
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

/// A number of processors as Kubernetes writes it: whole ones without a suffix.
fn cores(millicores: usize) -> String {
    if millicores.is_multiple_of(1000) {
        (millicores / 1000).to_string()
    } else {
        format!("{millicores}m")
    }
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

    fn machine(state: &Path, store: &Store, index: usize, count: usize) -> Machine {
        let name = format!("lab-node-{index}");
        Machine {
            recorder: Recorder::new(store.clone(), "kubelet", Some(name.clone())),
            name,
            address: "127.1.1.1".into(),
            version: "v1".into(),
            annotations: vec![("lab.aks-tui.dev/isolation", "group".into())],
            state: state.into(),
            index,
            count,
            heartbeat: Heartbeat::default(),
            boot: Mutex::default(),
            power: Power::new(true),
            gone: CancellationToken::new(),
            cloud: None,
        }
    }

    #[test]
    fn the_node_describes_the_machine_and_keeps_what_others_wrote() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::new(0);
        let machine = machine(state.path(), &store, 0, 1);
        machine.register(&store).unwrap();
        let key = Key::new(Resource::Nodes, "", &machine.name);
        store
            .update_with::<StoreError>(&key, |node| {
                node["spec"]["unschedulable"] = json!(true);
                node["status"]["conditions"][3]["lastTransitionTime"] =
                    json!("2020-01-01T00:00:00Z");
                Ok(())
            })
            .unwrap();
        machine.register(&store).unwrap();
        machine.beat(&store, true).unwrap();
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
        machine.renew(&store).unwrap();
        machine.renew(&store).unwrap();
        let lease = store
            .get(&Key::new(Resource::Leases, LEASES, &machine.name))
            .unwrap();
        assert_eq!(lease["spec"]["holderIdentity"], "lab-node-0");
    }

    #[test]
    fn nodes_share_the_machine_and_stand_in_zones() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::new(0);
        for index in 0..4 {
            let machine = machine(state.path(), &store, index, 4);
            machine.register(&store).unwrap();
        }
        let nodes = store.list(Resource::Nodes, None).items;
        let zones: Vec<_> = nodes
            .iter()
            .map(|node| &node["metadata"]["labels"]["topology.kubernetes.io/zone"])
            .collect();
        assert_eq!(zones, ["lab-1", "lab-2", "lab-3", "lab-1"]);
        let total: u64 = nodes
            .iter()
            .map(|node| {
                let memory = node["status"]["allocatable"]["memory"].as_str().unwrap();
                memory.trim_end_matches("Ki").parse::<u64>().unwrap() * 1024
            })
            .sum();
        assert!(total <= memory("MemTotal:").unwrap(), "{total}");
        let ids: std::collections::BTreeSet<_> = nodes
            .iter()
            .map(|node| node["status"]["nodeInfo"]["machineID"].to_string())
            .collect();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn processors_are_counted_in_whole_ones_where_they_are() {
        assert_eq!(cores(4000), "4");
        assert_eq!(cores(666), "666m");
    }

    #[test]
    fn the_systems_name_is_read() {
        assert_eq!(os_image("ID=x\nPRETTY_NAME=\"An OS 1\"\n"), "An OS 1");
        assert_eq!(os_image(""), "Linux");
    }
}

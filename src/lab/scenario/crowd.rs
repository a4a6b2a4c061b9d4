//! Ten thousand pods on five hundred nodes that cost no processes.
//!
//! They are objects and nothing else, and they say so: label and annotation
//! name them simulated, and a taint keeps every other pod off their nodes. What
//! is simulated is a large cluster's *traffic*: containers restart, readiness
//! comes and goes, pods are replaced, nodes renew their leases.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::lab::defaults;
use crate::lab::kinds::Resource;
use crate::lab::store::{
    Change, Deletion, Key, Store, StoreError, Watch, micro_timestamp, timestamp,
};

/// Label of everything that is simulated.
pub(crate) const SIMULATED: &str = "lab.aks-tui.dev/simulated";

const NODES: usize = 500;
const PODS: usize = 10_000;
const NAMESPACES: usize = 20;

/// Changes of pods a second.
const RATE: u64 = 500;

/// One change in so many replaces a pod by a new one: two changes.
const REPLACED: u64 = 50;

/// How often changes are made; between, nothing runs.
const TICK: Duration = Duration::from_millis(20);

/// How often a node renews its lease; the real kubelet's default.
const LEASE_EVERY: Duration = Duration::from_secs(10);

/// Makes what is not there yet and keeps it changing.
pub(super) async fn keep(store: &Store) {
    for namespace in 0..NAMESPACES {
        make(store, Resource::Namespaces, namespace_of(namespace));
    }
    for node in 0..NODES {
        make(store, Resource::Nodes, node_of(node));
        renew(store, node);
    }
    for pod in 0..PODS {
        make(store, Resource::Pods, pod_of(pod));
        // Others want to run, too, while there is so much to make.
        if pod % 100 == 99 {
            tokio::task::yield_now().await;
        }
    }
    tokio::join!(change(store), beat(store), bury(store));
}

async fn change(store: &Store) {
    let mut every = interval(TICK);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let began = Instant::now();
    let mut done = 0_u64;
    loop {
        every.tick().await;
        let due = began.elapsed().as_millis() as u64 * RATE / 1000;
        // Behind a machine that slept it does not catch up in one burst.
        done = done.max(due.saturating_sub(RATE));
        while done < due {
            done += 1;
            let pod = fastrand::usize(..PODS);
            if done.is_multiple_of(REPLACED) {
                replace(store, pod);
                done += 1;
            } else {
                trouble(store, pod);
            }
        }
    }
}

/// A container restarts, or becomes ready again.
fn trouble(store: &Store, index: usize) {
    let changed = store.update_with(&pod_key(index), |pod| {
        let now = Timestamp::now();
        let container = &pod["status"]["containerStatuses"][0];
        let ready = container["ready"] == true;
        let restarts = container["restartCount"].as_u64().unwrap_or(0);
        let before = container["state"]["running"]["startedAt"].clone();
        pod["status"] = if ready {
            status(index, now, restarts + 1, Some(before))
        } else {
            status(index, now, restarts, None)
        };
        Ok::<(), StoreError>(())
    });
    if changed.is_err() {
        // Somebody deleted it; its replica comes, as in any cluster.
        make(store, Resource::Pods, pod_of(index));
    }
}

fn replace(store: &Store, index: usize) {
    store.remove(&pod_key(index), None);
    make(store, Resource::Pods, pod_of(index));
}

/// Renews every node's lease in time, a few at once.
async fn beat(store: &Store) {
    let mut every = interval(LEASE_EVERY / NODES as u32);
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for node in (0..NODES).cycle() {
        every.tick().await;
        renew(store, node);
    }
}

/// Ends what a client deletes, as a kubelet does when the processes are gone.
async fn bury(store: &Store) {
    loop {
        let (pods, mut watch) = store.list_and_watch(&[Resource::Pods]);
        for pod in &pods {
            end(store, pod);
        }
        while let Some(pod) = next(&mut watch).await {
            end(store, &pod);
        }
    }
}

/// The next pod that is there still; none when changes were missed.
async fn next(watch: &mut Watch) -> Option<std::sync::Arc<Value>> {
    loop {
        let event = watch.next().await.ok()?;
        if event.change != Change::Deleted {
            return Some(std::sync::Arc::clone(&event.object));
        }
    }
}

fn end(store: &Store, pod: &Value) {
    let simulated = pod["metadata"]["labels"][SIMULATED] == "true";
    if simulated && pod["metadata"]["deletionTimestamp"].is_string() {
        let key = Key::of(Resource::Pods, pod);
        // Gone already, or replaced: nothing to end.
        let _ = store.delete(
            &key,
            &Deletion {
                grace: Some(0),
                ..Deletion::default()
            },
        );
    }
}

/// Stores what is not there yet, with the defaults of its kind.
fn make(store: &Store, resource: Resource, mut object: Value) {
    defaults::fill(resource, &mut object);
    // There already, from an earlier life of the lab.
    let _ = store.create(resource, object);
}

fn namespace(index: usize) -> String {
    format!("crowd-{:02}", index % NAMESPACES)
}

fn namespace_of(index: usize) -> Value {
    json!({"metadata": {"name": namespace(index), "labels": {SIMULATED: "true"}}})
}

fn node_name(index: usize) -> String {
    format!("crowd-node-{index:03}")
}

fn node_of(index: usize) -> Value {
    let name = node_name(index);
    let now = timestamp(Timestamp::now());
    let resources =
        json!({"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    let condition = |kind, status, reason, message| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    json!({
        "metadata": {
            "name": name,
            "labels": {
                SIMULATED: "true",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": format!("zone-{}", index % 3 + 1),
            },
        },
        "spec": {"taints": [{"key": SIMULATED, "value": "true", "effect": "NoSchedule"}]},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [{"type": "Hostname", "address": name}],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", "True", "KubeletReady", "simulated: there is no machine"),
            ],
            "nodeInfo": {
                "kubeletVersion": "simulated", "osImage": "simulated", "kernelVersion": "simulated",
                "containerRuntimeVersion": "simulated://0", "operatingSystem": "linux",
                "architecture": "amd64", "machineID": "", "systemUUID": "", "bootID": "",
                "kubeProxyVersion": "",
            },
        },
    })
}

fn renew(store: &Store, index: usize) {
    let name = node_name(index);
    let now = micro_timestamp(Timestamp::now());
    let key = Key::new(Resource::Leases, "kube-node-lease", &name);
    let renewed = store.update_with(&key, |lease| {
        lease["spec"]["renewTime"] = json!(now);
        Ok::<(), StoreError>(())
    });
    if renewed.is_err() {
        make(
            store,
            Resource::Leases,
            json!({
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
            }),
        );
    }
}

fn pod_key(index: usize) -> Key {
    Key::new(Resource::Pods, namespace(index), pod_name(index))
}

fn pod_name(index: usize) -> String {
    format!("{}-{index:05}", app(index))
}

fn app(index: usize) -> &'static str {
    const APPS: [&str; 8] = [
        "orders",
        "payments",
        "search",
        "catalogue",
        "mail",
        "stock",
        "prices",
        "front",
    ];
    APPS[index / NAMESPACES % APPS.len()]
}

fn pod_of(index: usize) -> Value {
    let now = Timestamp::now();
    let app = app(index);
    json!({
        "metadata": {
            "name": pod_name(index),
            "namespace": namespace(index),
            "labels": {
                "app": app,
                "app.kubernetes.io/version": format!("v{}", index % 4 + 1),
                SIMULATED: "true",
            },
            "annotations": {SIMULATED: "it has no process, no log and no address"},
        },
        "spec": {
            "nodeName": node_name(index % NODES),
            "tolerations": [{"key": SIMULATED, "operator": "Exists"}],
            "containers": [{
                "name": app,
                "image": image(index),
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [{"name": "PORT", "value": "8080"}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
        },
        "status": status(index, now, 0, None),
    })
}

fn image(index: usize) -> String {
    format!("aks-tui/simulated-{}:v{}", app(index), index % 4 + 1)
}

/// The status of a pod whose container is ready; or, when one that started at
/// `before` has just ended, runs again and is not ready yet.
fn status(index: usize, now: Timestamp, restarts: u64, before: Option<Value>) -> Value {
    let at = timestamp(now);
    let ready = before.is_none();
    let word = if ready { "True" } else { "False" };
    let last = before.map_or_else(
        || json!({}),
        |started| {
            json!({"terminated": {
                "exitCode": 1, "reason": "Error", "startedAt": started, "finishedAt": at,
            }})
        },
    );
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": at});
    json!({
        "phase": "Running",
        "qosClass": "Burstable",
        "startTime": timestamp(now - SignedDuration::from_secs(1)),
        "conditions": [
            condition("PodReadyToStartContainers", "True"),
            condition("Initialized", "True"),
            condition("Ready", word),
            condition("ContainersReady", word),
            condition("PodScheduled", "True"),
        ],
        "containerStatuses": [{
            "name": app(index), "image": image(index), "imageID": "",
            "ready": ready, "started": ready, "restartCount": restarts,
            "state": {"running": {"startedAt": at}},
            "lastState": last,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_crowd_changes_at_its_rate_and_keeps_its_size() {
        let store = Store::new(0);
        let crowd = tokio::spawn({
            let store = store.clone();
            async move { keep(&store).await }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        while store.list(Resource::Pods, None).items.len() < PODS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = store.rv();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let leases = NODES as u64;
        let changes = store.rv() - before - leases;
        // A change that finds a pod as it is counts as none.
        assert!((4_500..=5_500).contains(&changes), "{changes}");
        assert_eq!(store.list(Resource::Pods, None).items.len(), PODS);
        assert_eq!(store.list(Resource::Nodes, None).items.len(), NODES);
        crowd.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_a_client_deletes_goes_and_its_replica_comes() {
        let store = Store::new(0);
        make(&store, Resource::Pods, pod_of(7));
        let key = pod_key(7);
        let uid = store.get(&key).unwrap()["metadata"]["uid"].clone();
        store.delete(&key, &Deletion::default()).unwrap();
        tokio::select! {
            () = bury(&store) => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        assert!(store.get(&key).is_none());
        trouble(&store, 7);
        assert_ne!(store.get(&key).unwrap()["metadata"]["uid"], uid);
    }
}

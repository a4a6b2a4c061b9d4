//! The life of nodes, folded on a clock that the test moves.

use super::*;

/// A cluster without kubelets: the test says what they would.
struct Cluster {
    store: Store,
    monitor: Monitor,
}

const GRACE: Duration = Duration::from_secs(40);

impl Cluster {
    /// Nodes that are ready, each in the zone of its name's last letter.
    fn new(names: &[&str]) -> Self {
        let cluster = Self {
            store: Store::new(0),
            monitor: Monitor::new(GRACE),
        };
        // Where events about nodes are told.
        let namespace = json!({"metadata": {"name": "default"}});
        let store = &cluster.store;
        store.create(Resource::Namespaces, namespace).unwrap();
        for name in names {
            let zone = &name[name.len() - 1..];
            let node = json!({
                "metadata": {"name": name, "labels": {ZONE: zone}},
                "spec": {},
                "status": {"conditions": [
                    {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": "then"},
                    {"type": "Ready", "status": "True", "lastHeartbeatTime": "then"},
                ]},
            });
            cluster.store.create(Resource::Nodes, node).unwrap();
        }
        let mut cluster = cluster;
        cluster.look();
        cluster
    }

    /// A pod on a node, which tolerates a silent node for so long.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "literals read better at its calls"
    )]
    fn pod(&self, name: &str, node: &str, seconds: Value) -> Key {
        let pod = json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "tolerations": [{"key": UNREACHABLE,
                "operator": "Exists", "effect": NO_EXECUTE, "tolerationSeconds": seconds}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        Key::of(
            Resource::Pods,
            &self.store.create(Resource::Pods, pod).unwrap(),
        )
    }

    /// Looks at everything until nothing changes; gives the shortest wait.
    fn look(&mut self) -> Option<Duration> {
        loop {
            let before = self.store.rv();
            let mut waits = Vec::new();
            for node in self.store.list(Resource::Nodes, None).items {
                let key = Key::of(Resource::Nodes, &node);
                waits.extend(self.monitor.reconcile(&self.store, &key, &node));
            }
            for pod in self.store.list(Resource::Pods, None).items {
                let key = Key::of(Resource::Pods, &pod);
                waits.extend(self.monitor.evict(&self.store, &key, &pod));
            }
            for pod in self.store.list(Resource::Pods, None).items {
                let key = Key::of(Resource::Pods, &pod);
                waits.extend(self.monitor.collect(&self.store, &key, &pod));
            }
            if self.store.rv() == before {
                return waits.into_iter().min();
            }
        }
    }

    /// Lets time pass, with these nodes renewing their leases.
    async fn pass(&mut self, seconds: u64, alive: &[&str]) {
        for second in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            for name in alive {
                let lease = Key::new(Resource::Leases, LEASES, *name);
                let spec = json!({"renewTime": format!("{second} {:?}", Instant::now())});
                let lease_object = json!({
                    "metadata": {"name": name, "namespace": LEASES}, "spec": spec});
                if self.store.create(Resource::Leases, lease_object).is_err() {
                    let renewed = self.store.update_with(&lease, |lease| {
                        lease["spec"] = spec;
                        Ok::<(), StoreError>(())
                    });
                    renewed.unwrap();
                }
            }
            self.look();
        }
    }

    fn node(&self, name: &str) -> Value {
        let key = Key::new(Resource::Nodes, "", name);
        Value::clone(&self.store.get(&key).unwrap())
    }

    fn state(&self, name: &str) -> String {
        let node = self.node(name);
        let ready = conditions::find(&node["status"], "Ready").unwrap();
        ready["status"].as_str().unwrap().to_owned()
    }

    fn taints(&self, name: &str) -> Vec<String> {
        let node = self.node(name);
        let mut taints: Vec<String> = taints::taints(&node)
            .iter()
            .map(|it| format!("{}:{}", it["key"], it["effect"]).replace('"', ""))
            .collect();
        taints.sort();
        taints
    }

    fn marked(&self, pod: &Key) -> bool {
        let pod = self.store.get(pod).unwrap();
        pod["metadata"]["deletionTimestamp"].is_string()
    }

    /// The node's kubelet speaks again.
    fn speaks(&self, name: &str) {
        let key = Key::new(Resource::Nodes, "", name);
        let spoken = self.store.update_with(&key, |node| {
            let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": "now"});
            conditions::put(&mut node["status"], &ready);
            Ok::<(), StoreError>(())
        });
        spoken.unwrap();
    }

    fn told(&self, reason: &str) -> Vec<String> {
        let events = self.store.list(Resource::Events, None).items;
        let told = events.iter().filter(|it| it["reason"] == reason);
        told.map(|it| it["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_unknown_and_its_pods_leave_as_they_tolerate_it() {
    let mut cluster = Cluster::new(&["a", "b"]);
    let soon = cluster.pod("soon", "b", json!(5));
    let late = cluster.pod("late", "b", json!(300));
    let never = cluster.pod("never", "b", Value::Null);
    let other = cluster.pod("other", "a", json!(0));
    cluster.pass(39, &["a"]).await;
    assert_eq!(cluster.state("b"), "True");
    cluster.pass(1, &["a"]).await;
    assert_eq!(cluster.state("b"), "Unknown");
    let node = cluster.node("b");
    let ready = conditions::find(&node["status"], "Ready").unwrap();
    assert_eq!(ready["reason"], "NodeStatusUnknown");
    assert_eq!(ready["message"], "Kubelet stopped posting node status.");
    assert_eq!(ready["lastHeartbeatTime"], "then");
    assert_eq!(
        cluster.taints("b"),
        [
            "node.kubernetes.io/unreachable:NoExecute",
            "node.kubernetes.io/unreachable:NoSchedule",
        ]
    );
    assert_eq!(
        cluster.told("NodeNotReady").len(),
        4,
        "of the node and of each of its pods"
    );
    let pod = cluster.store.get(&soon).unwrap();
    let ready = conditions::find(&pod["status"], "Ready").unwrap();
    assert_eq!(ready["status"], "False");
    assert_eq!(
        (cluster.state("a"), cluster.taints("a")),
        ("True".into(), vec![])
    );

    assert!(!cluster.marked(&soon));
    cluster.pass(5, &["a"]).await;
    assert!(cluster.marked(&soon));
    let pod = cluster.store.get(&soon).unwrap();
    let why = conditions::find(&pod["status"], "DisruptionTarget").unwrap();
    assert_eq!(why["reason"], "DeletionByTaintManager");
    assert_eq!(
        cluster.told("TaintManagerEviction"),
        ["Marking for deletion Pod default/soon"]
    );
    assert!(!cluster.marked(&late));

    // It comes back: who was to leave later stays.
    cluster.speaks("b");
    cluster.pass(1, &["a", "b"]).await;
    assert_eq!(
        (cluster.state("b"), cluster.taints("b")),
        ("True".into(), vec![])
    );
    let told = cluster.told("TaintManagerEviction");
    assert!(
        told.contains(&"Cancelling deletion of Pod default/late".to_owned()),
        "{told:?}"
    );
    cluster.pass(400, &["a", "b"]).await;
    assert!(!cluster.marked(&late) && !cluster.marked(&never) && !cluster.marked(&other));
}

#[tokio::test(start_paused = true)]
async fn when_no_node_is_ready_nobody_is_sent_away() {
    let mut cluster = Cluster::new(&["a", "b"]);
    let pod = cluster.pod("p", "b", json!(0));
    cluster.pass(300, &[]).await;
    assert_eq!(cluster.state("b"), "Unknown");
    assert_eq!(
        cluster.taints("b"),
        ["node.kubernetes.io/unreachable:NoSchedule"]
    );
    assert!(!cluster.marked(&pod));
    // One is back: the other is believed to be dead.
    cluster.speaks("a");
    cluster.pass(1, &["a"]).await;
    assert!(cluster.marked(&pod));
}

#[tokio::test(start_paused = true)]
async fn where_most_nodes_of_a_zone_are_down_nobody_is_sent_away() {
    let mut cluster = Cluster::new(&["1a", "2a", "3a", "4a", "1b"]);
    let pod = cluster.pod("p", "1a", json!(0));
    cluster.pass(60, &["4a", "1b"]).await;
    assert_eq!(cluster.state("1a"), "Unknown");
    assert!(!cluster.marked(&pod));
    // A whole zone that is down is an outage of the zone.
    cluster.pass(60, &["1b"]).await;
    assert!(cluster.marked(&pod));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_spoke_has_a_minute_to() {
    let mut cluster = Cluster::new(&["a"]);
    let silent = json!({"metadata": {"name": "new"}, "spec": {}});
    cluster.store.create(Resource::Nodes, silent).unwrap();
    cluster.look();
    cluster.pass(59, &["a"]).await;
    assert_eq!(
        cluster.taints("new"),
        ["node.kubernetes.io/not-ready:NoSchedule"]
    );
    cluster.pass(1, &["a"]).await;
    let node = cluster.node("new");
    let ready = conditions::find(&node["status"], "Ready").unwrap();
    assert_eq!(ready["reason"], "NodeStatusNeverUpdated");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_that_is_no_more_are_given_up_after_a_while() {
    let mut cluster = Cluster::new(&["a", "b"]);
    let pod = cluster.pod("p", "b", Value::Null);
    let key = Key::new(Resource::Nodes, "", "b");
    cluster.pass(1, &["a", "b"]).await;
    cluster.store.remove(&key, None);
    cluster.monitor.node_gone(&cluster.store, &key);
    assert_eq!(cluster.told("RemovingNode").len(), 1);
    let lease = Key::new(Resource::Leases, LEASES, "b");
    assert!(cluster.store.get(&lease).is_none());
    cluster.look();
    cluster.pass(39, &["a"]).await;
    assert!(cluster.store.get(&pod).is_some());
    cluster.pass(1, &["a"]).await;
    assert!(cluster.store.get(&pod).is_none());
}

#[tokio::test(start_paused = true)]
async fn who_vouches_for_a_dead_node_frees_what_it_held() {
    let mut cluster = Cluster::new(&["a", "b"]);
    let pod = cluster.pod("p", "b", json!(5));
    cluster.pass(50, &["a"]).await;
    assert!(cluster.marked(&pod), "and nobody can finish it");
    let key = Key::new(Resource::Nodes, "", "b");
    let vouched = cluster.store.update_with(&key, |node| {
        let taint =
            json!({"key": taints::OUT_OF_SERVICE, "value": "nodeshutdown", "effect": NO_EXECUTE});
        node["spec"]["taints"].as_array_mut().unwrap().push(taint);
        Ok::<(), StoreError>(())
    });
    vouched.unwrap();
    cluster.look();
    assert!(cluster.store.get(&pod).is_none());
}

#[tokio::test(start_paused = true)]
async fn conditions_and_a_cordon_become_taints_and_others_taints_stay() {
    let mut cluster = Cluster::new(&["a"]);
    let key = Key::new(Resource::Nodes, "", "a");
    let change = |change: &dyn Fn(&mut Value)| {
        let changed = cluster.store.update_with(&key, |node| {
            change(node);
            Ok::<(), StoreError>(())
        });
        changed.unwrap();
    };
    change(&|node| {
        node["spec"]["unschedulable"] = json!(true);
        node["spec"]["taints"] = json!([{"key": "mine", "effect": NO_SCHEDULE}]);
        node["status"]["conditions"][0]["status"] = json!("True");
    });
    cluster.look();
    assert_eq!(
        cluster.taints("a"),
        [
            "mine:NoSchedule",
            "node.kubernetes.io/memory-pressure:NoSchedule",
            "node.kubernetes.io/unschedulable:NoSchedule",
        ]
    );
    let key = Key::new(Resource::Nodes, "", "a");
    let changed = cluster.store.update_with(&key, |node| {
        node["spec"]["unschedulable"] = Value::Null;
        node["status"]["conditions"][0]["status"] = json!("False");
        Ok::<(), StoreError>(())
    });
    changed.unwrap();
    cluster.look();
    assert_eq!(cluster.taints("a"), ["mine:NoSchedule"]);
}

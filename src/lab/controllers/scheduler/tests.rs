//! Who goes where, and the words when nowhere.

use super::*;

struct Bed {
    cluster: Cluster,
}

impl Bed {
    /// Nodes `a`, `b`, `c`: two in zone 1, the last in zone 2, each with room
    /// for ten pods, one processor and 1 Gi of memory.
    fn new() -> Self {
        let node = |(name, zone): (&str, &str)| {
            Arc::new(json!({
                "metadata": {"name": name, "labels": {
                    "kubernetes.io/hostname": name, "zone": zone, "size": "10"}},
                "spec": {},
                "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}},
            }))
        };
        let namespace =
            |name: &str| Arc::new(json!({"metadata": {"name": name, "labels": {"team": name}}}));
        Self {
            cluster: Cluster {
                nodes: [("a", "1"), ("b", "1"), ("c", "2")].map(node).to_vec(),
                pods: Vec::new(),
                namespaces: ["default", "other"].map(namespace).to_vec(),
            },
        }
    }

    fn node(&mut self, index: usize) -> &mut Value {
        Arc::make_mut(&mut self.cluster.nodes[index])
    }

    /// Puts a pod on a node.
    fn bound(&mut self, node: &str, mut pod: Value) {
        pod["spec"]["nodeName"] = json!(node);
        self.cluster.pods.push(Arc::new(pod));
    }

    fn place(&self, pod: &Value) -> Result<String, String> {
        self.cluster.place(pod)
    }

    /// Schedules pods one after the other and says where they went.
    fn fill(&mut self, pod: &Value, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let node = self.place(pod).unwrap();
                self.bound(&node, pod.clone());
                node
            })
            .collect()
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "literals read better at its calls"
)]
fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "default", "labels": {"app": "p"}}, "spec": spec})
}

fn asking(cpu: &str, memory: &str) -> Value {
    let requests = json!({"cpu": cpu, "memory": memory});
    pod(json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
}

#[test]
fn pods_are_spread_and_stop_when_all_is_taken() {
    let mut bed = Bed::new();
    let half = asking("500m", "1Mi");
    let mut places = bed.fill(&half, 6);
    places.sort();
    assert_eq!(places, ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(
        bed.place(&half).unwrap_err(),
        "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: \
         3 No preemption victims found for incoming pod."
    );
    assert_eq!(
        bed.place(&asking("2", "2Gi")).unwrap_err(),
        "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory. preemption: \
         0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
    // Who asks for nothing is still counted.
    let small = pod(json!({"containers": []}));
    bed.fill(&small, 24);
    assert!(
        bed.place(&small)
            .unwrap_err()
            .contains(": 3 Too many pods.")
    );
}

#[test]
fn what_runs_before_counts_by_its_greatest() {
    let bed = Bed::new();
    let requests = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
    let fits = pod(json!({"initContainers": [requests("1"), requests("1")],
        "containers": [requests("500m"), requests("500m")]}));
    assert!(bed.place(&fits).is_ok());
    let more = pod(json!({"initContainers": [requests("1001m")], "containers": []}));
    assert!(bed.place(&more).is_err());
}

#[test]
fn every_node_says_why_it_does_not_take_a_pod() {
    let mut bed = Bed::new();
    bed.node(0)["spec"]["unschedulable"] = json!(true);
    bed.node(1)["spec"]["taints"] = json!([{"key": taints::UNREACHABLE, "effect": NO_EXECUTE}]);
    assert_eq!(
        bed.place(&pod(json!({"nodeSelector": {"disk": "ssd"}})))
            .unwrap_err(),
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
         1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, \
         1 node(s) were unschedulable. preemption: 0/3 nodes are available: \
         3 Preemption is not helpful for scheduling."
    );
    assert_eq!(bed.place(&pod(json!({}))).unwrap(), "c");
    let everywhere = pod(json!({"tolerations": [{"operator": "Exists"}]}));
    let mut places = bed.fill(&everywhere, 3);
    places.sort();
    assert_eq!(places, ["a", "b", "c"]);
    bed.cluster.nodes.clear();
    let nowhere = bed.place(&everywhere).unwrap_err();
    assert_eq!(nowhere, "no nodes available to schedule pods");
}

#[test]
fn a_node_that_would_rather_have_others_is_the_last() {
    let mut bed = Bed::new();
    bed.node(0)["spec"]["taints"] = json!([{"key": "k", "effect": PREFER_NO_SCHEDULE}]);
    bed.bound("b", pod(json!({})));
    bed.bound("c", pod(json!({})));
    assert_eq!(bed.place(&pod(json!({}))).unwrap(), "b");
}

#[test]
fn node_affinity_decides_and_leans() {
    let bed = Bed::new();
    let when = |terms: Value| {
        let required = json!({"nodeSelectorTerms": terms});
        pod(json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": required}}}))
    };
    let expression = |key: &str, operator: &str, values: Value| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
    for (terms, expected) in [
        (expression("zone", "In", json!(["2", "3"])), Some("c")),
        (expression("zone", "NotIn", json!(["1"])), Some("c")),
        (expression("disk", "Exists", json!([])), None),
        (expression("size", "Gt", json!(["9"])), Some("a")),
        (expression("size", "Gt", json!(["10"])), None),
        (expression("size", "Lt", json!(["11"])), Some("a")),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]),
            Some("b"),
        ),
        (json!([]), None),
        (json!([{}]), None),
    ] {
        let placed = bed.place(&when(terms.clone())).ok();
        assert_eq!(placed.as_deref(), expected, "{terms}");
    }
    let leaning = pod(json!({"affinity": {"nodeAffinity": {
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]}},
        {"weight": 9, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["2"]}]}},
    ]}}}));
    assert_eq!(bed.place(&leaning).unwrap(), "c");
}

#[test]
fn pods_keep_away_from_each_other_and_stay_together() {
    let mut bed = Bed::new();
    let term = |topology: &str| json!([{"topologyKey": topology, "labelSelector": {"matchLabels": {"app": "p"}}}]);
    let alone = pod(json!({"affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": term("kubernetes.io/hostname")}}}));
    let mut places = bed.fill(&alone, 3);
    places.sort();
    assert_eq!(places, ["a", "b", "c"]);
    let why = bed.place(&alone).unwrap_err();
    assert!(
        why.contains("3 node(s) didn't match pod anti-affinity rules."),
        "{why}"
    );
    assert!(why.contains("3 No preemption victims"), "{why}");
    // Who does not mind is minded, unless it is somebody else.
    let why = bed.place(&pod(json!({}))).unwrap_err();
    assert!(
        why.contains("3 node(s) didn't satisfy existing pods anti-affinity rules"),
        "{why}"
    );
    let mut stranger = pod(json!({}));
    stranger["metadata"]["namespace"] = json!("other");
    assert!(bed.place(&stranger).is_ok());

    let mut bed = Bed::new();
    let together = pod(json!({"affinity": {"podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": term("zone")}}}));
    let first = bed.fill(&together, 1);
    assert_eq!(first, ["a"], "the first of them goes anywhere");
    let mut others = bed.fill(&together, 3);
    others.sort();
    assert_eq!(others, ["a", "b", "b"]);
    let mut lonely = together.clone();
    lonely["metadata"]["labels"]["app"] = json!("q");
    lonely["metadata"]["namespace"] = json!("other");
    let why = bed.place(&lonely).unwrap_err();
    assert!(
        why.contains("3 node(s) didn't match pod affinity rules"),
        "{why}"
    );
    let mut across = lonely.clone();
    across["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        [0]["namespaceSelector"] = json!({"matchLabels": {"team": "default"}});
    assert_ne!(bed.place(&across).unwrap(), "c");
}

#[test]
fn pods_stand_evenly_where_they_must() {
    let mut bed = Bed::new();
    let even = pod(
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "p"}}}]}),
    );
    let places = bed.fill(&even, 6);
    let far = places.iter().filter(|it| *it == "c").count();
    assert_eq!(far, 3, "{places:?}");
    bed.node(2)["spec"]["unschedulable"] = json!(true);
    bed.fill(&even, 1);
    let why = bed.place(&even).unwrap_err();
    assert!(
        why.contains("2 node(s) didn't match pod topology spread constraints."),
        "{why}"
    );
}

#[test]
fn a_port_of_a_node_is_given_once() {
    let mut bed = Bed::new();
    let web = pod(json!({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}));
    bed.fill(&web, 3);
    let why = bed.place(&web).unwrap_err();
    assert!(
        why.contains("3 node(s) didn't have free ports for the requested pod ports"),
        "{why}"
    );
}

//! The columns of pods, workloads, nodes, events, namespaces and leases, with
//! the real server's names, types and priorities.

/// A column: name, type, priority (0 is always shown) and meaning.
#[derive(Debug)]
pub struct Column(pub &'static str, pub &'static str, pub u8, pub &'static str);

/// The object's name.
pub const NAME: Column = Column("Name", "string", 0, "Name is unique within a namespace.");
/// Its age.
pub const AGE: Column = Column("Age", "string", 0, "Time since the object was created.");
pub const CONTAINERS: Column = Column("Containers", "string", 1, "Containers of the template.");
pub const IMAGES: Column = Column("Images", "string", 1, "Images of those containers.");
pub const SELECTOR: Column = Column(
    "Selector",
    "string",
    1,
    "Labels by which its pods are known.",
);

pub const PODS: &[Column] = &[
    NAME,
    Column("Ready", "string", 0, "Containers that are ready, of all."),
    Column("Status", "string", 0, "What the pod is doing, in one word."),
    Column(
        "Restarts",
        "string",
        0,
        "Restarts of containers, and when the last one was.",
    ),
    AGE,
    Column("IP", "string", 1, "Address of the pod."),
    Column("Node", "string", 1, "Node the pod runs on."),
    Column("Nominated Node", "string", 1, "Node the pod waits for."),
    Column(
        "Readiness Gates",
        "string",
        1,
        "Extra conditions that hold, of all.",
    ),
];

pub const DEPLOYMENTS: &[Column] = &[
    NAME,
    Column(
        "Ready",
        "string",
        0,
        "Pods that are ready, of those wanted.",
    ),
    Column("Up-to-date", "integer", 0, "Pods of the newest template."),
    Column(
        "Available",
        "integer",
        0,
        "Pods that have been ready long enough.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const REPLICA_SETS: &[Column] = &[
    NAME,
    Column("Desired", "integer", 0, "Pods wanted."),
    Column("Current", "integer", 0, "Pods there are."),
    Column("Ready", "integer", 0, "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const NODES: &[Column] = &[
    NAME,
    Column(
        "Status",
        "string",
        0,
        "Whether the node takes and runs pods.",
    ),
    Column("Roles", "string", 0, "Roles of the node."),
    AGE,
    Column("Version", "string", 0, "Version the kubelet reports."),
    Column("Internal-IP", "string", 1, "Address inside the cluster."),
    Column("External-IP", "string", 1, "Address outside the cluster."),
    Column("OS-Image", "string", 1, "Operating system of the node."),
    Column("Kernel-Version", "string", 1, "Kernel of the node."),
    Column(
        "Container-Runtime",
        "string",
        1,
        "What runs the containers.",
    ),
];

pub const EVENTS: &[Column] = &[
    Column("Last Seen", "string", 0, "Time since it last happened."),
    Column("Type", "string", 0, "Normal or Warning."),
    Column("Reason", "string", 0, "What happened, in one word."),
    Column("Object", "string", 0, "What it happened to."),
    Column("Subobject", "string", 1, "Which part of it."),
    Column("Source", "string", 1, "Who reported it."),
    Column("Message", "string", 0, "What happened, in a sentence."),
    Column("First Seen", "string", 1, "Time since it first happened."),
    Column("Count", "integer", 1, "How often it happened."),
    Column("Name", "string", 1, "Name of the event."),
];

pub const NAMESPACES: &[Column] = &[
    NAME,
    Column("Status", "string", 0, "Active or Terminating."),
    AGE,
];

pub const LEASES: &[Column] = &[NAME, Column("Holder", "string", 0, "Who holds it."), AGE];

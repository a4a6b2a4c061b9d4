//! The messages that kubectl sends, as tables of field numbers taken from the
//! API's published `generated.proto` files.

/// How a field is written.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Bytes of text.
    Text,
    /// A varint: a number.
    Number,
    /// A varint: a truth value.
    Flag,
    /// Another message.
    Message(&'static [Field]),
    /// An entry of a map from text to text.
    Entry,
    /// An entry of a map from text to bytes.
    BytesEntry,
    /// A time as seconds since the epoch; written for *none* as an empty message.
    Time,
    /// An integer or a text.
    IntOrString,
}

use Kind::{BytesEntry, Entry, Flag, IntOrString, Message, Number, Text, Time};

/// A field of a message.
pub struct Field {
    /// Its number on the wire.
    pub number: u64,
    /// Its name in JSON.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// Whether it is a list.
    pub list: bool,
    /// Whether zero is how protobuf writes that there is none.
    pub omit: bool,
}

/// A field that is there only when it was given.
const fn one(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        list: false,
        omit: false,
    }
}

/// A field that is written even when it was not given, as zero.
const fn plain(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        omit: true,
        ..one(number, name, kind)
    }
}

/// A list or a map.
const fn many(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        list: true,
        ..one(number, name, kind)
    }
}

/// The fields of a kind's message; none when its objects are read as JSON only.
pub fn of(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" => NAMESPACE,
        "Deployment" => DEPLOYMENT,
        "Job" => JOB,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "Service" => SERVICE,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "Role" => ROLE,
        "ClusterRole" => CLUSTER_ROLE,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "PodDisruptionBudget" => BUDGET,
        "PriorityClass" => PRIORITY,
        "Eviction" => EVICTION,
        "SelfSubjectAccessReview" => ACCESS_REVIEW,
        "SelfSubjectRulesReview" => RULES_REVIEW,
        "SelfSubjectReview" => SELF_REVIEW,
        "TokenRequest" => TOKEN_REQUEST,
        _ => return None,
    })
}

/// What is inside the envelope: version, kind and the message.
pub const ENVELOPE_TYPE: &[Field] = &[one(1, "apiVersion", Text), one(2, "kind", Text)];

/// An integer or a text, and which.
pub const EITHER: &[Field] = &[
    one(1, "type", Number),
    one(2, "int", Number),
    one(3, "text", Text),
];

const METADATA: Field = one(1, "metadata", Message(META));

const META: &[Field] = &[
    one(1, "name", Text),
    one(2, "generateName", Text),
    one(3, "namespace", Text),
    one(4, "selfLink", Text),
    one(5, "uid", Text),
    one(6, "resourceVersion", Text),
    plain(7, "generation", Number),
    one(8, "creationTimestamp", Time),
    many(11, "labels", Entry),
    many(12, "annotations", Entry),
];

const SELECTOR: &[Field] = &[
    many(1, "matchLabels", Entry),
    many(
        2,
        "matchExpressions",
        Message(&[
            one(1, "key", Text),
            one(2, "operator", Text),
            many(3, "values", Text),
        ]),
    ),
];

const CONTAINER: &[Field] = &[
    one(1, "name", Text),
    one(2, "image", Text),
    many(3, "command", Text),
    many(4, "args", Text),
    one(5, "workingDir", Text),
    many(
        6,
        "ports",
        Message(&[
            one(1, "name", Text),
            plain(2, "hostPort", Number),
            one(3, "containerPort", Number),
            one(4, "protocol", Text),
            one(5, "hostIP", Text),
        ]),
    ),
    many(
        7,
        "env",
        Message(&[one(1, "name", Text), one(2, "value", Text)]),
    ),
    one(8, "resources", Message(&[])),
    one(13, "terminationMessagePath", Text),
    one(14, "imagePullPolicy", Text),
    plain(16, "stdin", Flag),
    plain(17, "stdinOnce", Flag),
    plain(18, "tty", Flag),
    one(20, "terminationMessagePolicy", Text),
];

const POD_SPEC: &[Field] = &[
    many(2, "containers", Message(CONTAINER)),
    one(3, "restartPolicy", Text),
    one(4, "terminationGracePeriodSeconds", Number),
    one(6, "dnsPolicy", Text),
    many(7, "nodeSelector", Entry),
    one(8, "serviceAccountName", Text),
    one(9, "serviceAccount", Text),
    one(10, "nodeName", Text),
    plain(11, "hostNetwork", Flag),
    plain(12, "hostPID", Flag),
    plain(13, "hostIPC", Flag),
    one(16, "hostname", Text),
    one(17, "subdomain", Text),
    one(19, "schedulerName", Text),
    one(24, "priorityClassName", Text),
];

const TEMPLATE: &[Field] = &[METADATA, one(2, "spec", Message(POD_SPEC))];

const DEPLOYMENT: &[Field] = &[
    METADATA,
    one(
        2,
        "spec",
        Message(&[
            one(1, "replicas", Number),
            one(2, "selector", Message(SELECTOR)),
            one(3, "template", Message(TEMPLATE)),
            one(
                4,
                "strategy",
                Message(&[
                    one(1, "type", Text),
                    one(
                        2,
                        "rollingUpdate",
                        Message(&[
                            one(1, "maxUnavailable", IntOrString),
                            one(2, "maxSurge", IntOrString),
                        ]),
                    ),
                ]),
            ),
            plain(5, "minReadySeconds", Number),
            one(6, "revisionHistoryLimit", Number),
            plain(7, "paused", Flag),
            one(9, "progressDeadlineSeconds", Number),
        ]),
    ),
    // The status of a new object: zeros, if anything.
    one(
        3,
        "status",
        Message(&[
            plain(1, "observedGeneration", Number),
            plain(2, "replicas", Number),
            plain(3, "updatedReplicas", Number),
            plain(4, "availableReplicas", Number),
            plain(5, "unavailableReplicas", Number),
            plain(7, "readyReplicas", Number),
        ]),
    ),
];

const JOB: &[Field] = &[
    METADATA,
    one(
        2,
        "spec",
        Message(&[
            one(1, "parallelism", Number),
            one(2, "completions", Number),
            one(3, "activeDeadlineSeconds", Number),
            one(4, "selector", Message(SELECTOR)),
            one(5, "manualSelector", Flag),
            one(6, "template", Message(TEMPLATE)),
            one(7, "backoffLimit", Number),
            one(8, "ttlSecondsAfterFinished", Number),
            one(9, "completionMode", Text),
            one(10, "suspend", Flag),
        ]),
    ),
    one(
        3,
        "status",
        Message(&[
            plain(4, "active", Number),
            plain(5, "succeeded", Number),
            plain(6, "failed", Number),
            one(7, "completedIndexes", Text),
        ]),
    ),
];

const NAMESPACE: &[Field] = &[
    METADATA,
    one(2, "spec", Message(&[many(1, "finalizers", Text)])),
    one(3, "status", Message(&[one(1, "phase", Text)])),
];

const CONFIG_MAP: &[Field] = &[
    METADATA,
    many(2, "data", Entry),
    many(3, "binaryData", BytesEntry),
    one(4, "immutable", Flag),
];

const SECRET: &[Field] = &[
    METADATA,
    many(2, "data", BytesEntry),
    one(3, "type", Text),
    many(4, "stringData", Entry),
    one(5, "immutable", Flag),
];

const SERVICE: &[Field] = &[
    METADATA,
    one(
        2,
        "spec",
        Message(&[
            many(
                1,
                "ports",
                Message(&[
                    one(1, "name", Text),
                    one(2, "protocol", Text),
                    one(3, "port", Number),
                    one(4, "targetPort", IntOrString),
                    plain(5, "nodePort", Number),
                    one(6, "appProtocol", Text),
                ]),
            ),
            many(2, "selector", Entry),
            one(3, "clusterIP", Text),
            one(4, "type", Text),
            many(5, "externalIPs", Text),
            one(7, "sessionAffinity", Text),
            one(8, "loadBalancerIP", Text),
            many(9, "loadBalancerSourceRanges", Text),
            one(10, "externalName", Text),
            one(11, "externalTrafficPolicy", Text),
            plain(12, "healthCheckNodePort", Number),
            plain(13, "publishNotReadyAddresses", Flag),
            one(17, "ipFamilyPolicy", Text),
            many(18, "clusterIPs", Text),
            many(19, "ipFamilies", Text),
            one(20, "allocateLoadBalancerNodePorts", Flag),
            one(22, "internalTrafficPolicy", Text),
        ]),
    ),
    one(
        3,
        "status",
        Message(&[one(1, "loadBalancer", Message(&[]))]),
    ),
];

const SERVICE_ACCOUNT: &[Field] = &[
    METADATA,
    many(
        2,
        "secrets",
        Message(&[
            one(1, "kind", Text),
            one(2, "namespace", Text),
            one(3, "name", Text),
            one(4, "uid", Text),
            one(5, "apiVersion", Text),
            one(6, "resourceVersion", Text),
            one(7, "fieldPath", Text),
        ]),
    ),
    many(3, "imagePullSecrets", Message(&[one(1, "name", Text)])),
    one(4, "automountServiceAccountToken", Flag),
];

const RULE: &[Field] = &[
    many(1, "verbs", Text),
    many(2, "apiGroups", Text),
    many(3, "resources", Text),
    many(4, "resourceNames", Text),
    many(5, "nonResourceURLs", Text),
];

const ROLE: &[Field] = &[METADATA, many(2, "rules", Message(RULE))];

const CLUSTER_ROLE: &[Field] = &[
    METADATA,
    many(2, "rules", Message(RULE)),
    one(
        3,
        "aggregationRule",
        Message(&[many(1, "clusterRoleSelectors", Message(SELECTOR))]),
    ),
];

const BINDING: &[Field] = &[
    METADATA,
    many(
        2,
        "subjects",
        Message(&[
            one(1, "kind", Text),
            one(2, "apiGroup", Text),
            one(3, "name", Text),
            one(4, "namespace", Text),
        ]),
    ),
    one(
        3,
        "roleRef",
        Message(&[
            one(1, "apiGroup", Text),
            one(2, "kind", Text),
            one(3, "name", Text),
        ]),
    ),
];

const BUDGET: &[Field] = &[
    METADATA,
    one(
        2,
        "spec",
        Message(&[
            one(1, "minAvailable", IntOrString),
            one(2, "selector", Message(SELECTOR)),
            one(3, "maxUnavailable", IntOrString),
            one(4, "unhealthyPodEvictionPolicy", Text),
        ]),
    ),
    one(
        3,
        "status",
        Message(&[
            plain(1, "observedGeneration", Number),
            plain(3, "disruptionsAllowed", Number),
            plain(4, "currentHealthy", Number),
            plain(5, "desiredHealthy", Number),
            plain(6, "expectedPods", Number),
        ]),
    ),
];

const PRIORITY: &[Field] = &[
    METADATA,
    one(2, "value", Number),
    plain(3, "globalDefault", Flag),
    one(4, "description", Text),
    one(5, "preemptionPolicy", Text),
];

const EVICTION: &[Field] = &[
    METADATA,
    one(
        2,
        "deleteOptions",
        Message(&[
            one(1, "gracePeriodSeconds", Number),
            one(
                2,
                "preconditions",
                Message(&[one(1, "uid", Text), one(2, "resourceVersion", Text)]),
            ),
            one(4, "propagationPolicy", Text),
            many(5, "dryRun", Text),
        ]),
    ),
];

const ACCESS_REVIEW: &[Field] = &[
    METADATA,
    one(
        2,
        "spec",
        Message(&[
            one(
                1,
                "resourceAttributes",
                Message(&[
                    one(1, "namespace", Text),
                    one(2, "verb", Text),
                    one(3, "group", Text),
                    one(4, "version", Text),
                    one(5, "resource", Text),
                    one(6, "subresource", Text),
                    one(7, "name", Text),
                ]),
            ),
            one(
                2,
                "nonResourceAttributes",
                Message(&[one(1, "path", Text), one(2, "verb", Text)]),
            ),
        ]),
    ),
    // The answer that is not there yet.
    one(
        3,
        "status",
        Message(&[
            one(1, "allowed", Flag),
            one(2, "reason", Text),
            one(3, "evaluationError", Text),
            one(4, "denied", Flag),
        ]),
    ),
];

const RULES_REVIEW: &[Field] = &[
    METADATA,
    one(2, "spec", Message(&[one(1, "namespace", Text)])),
    // `incomplete` of an answer that is not there yet.
    one(
        3,
        "status",
        Message(&[one(3, "incomplete", Flag), one(4, "evaluationError", Text)]),
    ),
];

const SELF_REVIEW: &[Field] = &[
    METADATA,
    one(
        2,
        "status",
        Message(&[one(
            1,
            "userInfo",
            Message(&[one(1, "username", Text), one(2, "uid", Text)]),
        )]),
    ),
];

const TOKEN_REQUEST: &[Field] = &[
    METADATA,
    one(
        2,
        "spec",
        Message(&[
            many(1, "audiences", Text),
            one(
                3,
                "boundObjectRef",
                Message(&[
                    one(1, "kind", Text),
                    one(2, "apiVersion", Text),
                    one(3, "name", Text),
                    one(4, "uid", Text),
                ]),
            ),
            one(4, "expirationSeconds", Number),
        ]),
    ),
    // The answer that is not there yet.
    one(
        3,
        "status",
        Message(&[one(1, "token", Text), one(2, "expirationTimestamp", Time)]),
    ),
];

//! The lab: a Kubernetes that fits in one process and runs real processes.
//!
//! It exists so that the cockpit can be shown, tried and tested without a
//! cluster, and it meets the cockpit only as a cluster does: over HTTPS, in the
//! protocols that kubectl and every client library speak.
//!
//! ```text
//!  kubectl, cockpit ──HTTPS──▶ api ──▶ store ◀── controllers
//!                               │        ▲
//!                               └─ node ─┴─ kubelet ──▶ runtime ──▶ Job, Server
//! ```
//!
//! # What is there
//! - [`store`]: every object, one version counter, watches, compaction;
//! - [`api`]: the kinds of [`kinds`], pods with log, exec, attach, port-forward
//!   and eviction, what has replicas with scale; custom resources by definition;
//!   deletion of whole collections; list in pages, watch with bookmarks,
//!   streaming lists and *410*; label and field selectors; JSON, merge and
//!   strategic merge patches; server-side apply; dry runs; field validation; tables; discovery; bounds on
//!   what one user may ask at once (*429*), on connections that say little or
//!   much, or never end;
//! - [`managed`]: who manages which field, conflicts, taking over and letting go;
//! - [`schema`]: Kubernetes' own schemas, for merging and for `kubectl explain`;
//! - [`access`]: three users (a context each), roles and bindings, service
//!   accounts' tokens, impersonation, access reviews;
//! - [`controllers`]: deployments (`Recreate` and `RollingUpdate`), replica
//!   sets, stateful sets, jobs, endpoint slices, disruption budgets, volumes
//!   (bound by hand, or made by the storage classes that AKS has), the
//!   scheduler (resources, ports, labels, taints, affinities, even spreading, claims,
//!   priorities and preemption), the
//!   life of nodes (silence, taints, eviction), garbage collection (background, foreground, orphan), what every
//!   namespace has, the end of namespaces;
//! - [`shares`]: where volumes are that outlive pods;
//! - images that are programs: perftest, a shell, a web server, a crasher, a
//!   memory hog, a log flooder, a slow starter, a pause; any other image waits in
//!   `ImagePullBackOff`, since nothing is pulled;
//! - [`kubelet`] and [`runtime`]: pods as process trees, restarts, back-off,
//!   exit codes and signals, logs, commands in containers, init containers and
//!   sidecars, probes (exec, HTTP, TCP), hooks, last words, deadlines; volumes
//!   on the node (`hostPath`, `emptyDir`, in memory or with a limit), made of objects (config maps,
//!   secrets, the pod's own fields), of claims, shares and disks; variables
//!   from all of these and from services; disks and limited `emptyDir`s that are
//!   full at their size, where the kernel gives namespaces (the node's annotation
//!   `lab.aks-tui.dev/volumes` says it): they are memory, promised only as far as
//!   the machine has it free; several nodes, each with a switch
//!   (the annotation `aks-tui.dev/power`) that pulls its plug;
//! - exec, attach, cp and port-forward over WebSocket and SPDY/3.1, for kubectl
//!   of any age; programs with an input and a terminal (`kubectl run -it`);
//!   pods and services asked through the server's proxy;
//! - [`network`]: a network a pod where the kernel gives them, else the
//!   machine's loopback addresses, as the node's annotation says; services by
//!   address and by name, load balancers and node ports on this machine; faults
//!   of the network (NetworkChaos);
//! - limits of memory and cpu, kept by control groups where the kernel lets the
//!   lab make some, as the node's annotation says: who takes too much memory is
//!   killed by the kernel (`OOMKilled`), who wants too much cpu waits; what a limited
//!   container writes to a disk that is memory counts as its memory;
//! - what a pod says of its own powers: `runAsUser` and `runAsGroup` (the lab's user
//!   under another number, who owns all that the lab's user owns),
//!   `runAsNonRoot`, `readOnlyRootFilesystem`, `hostAliases`, `hostname`. Everybody
//!   has what `drop: [ALL]`, `allowPrivilegeEscalation: false`, `fsGroup` and
//!   `seccompProfile: RuntimeDefault` ask for. What needs namespaces and has none is
//!   told by an event of the pod (`NotHonored`);
//! - what pods and nodes use, as `metrics.k8s.io`;
//! - [`azure`]: an Azure Resource Manager in front of it (`--azure`);
//! - [`scenario`]: situations to practise on, among them a crowd of 10,000
//!   simulated pods;
//! - [`lease`]: how long a lab outlives the cockpit that held it.
//!
//! # What is not
//! - daemon sets, cron jobs, endpoints, ingresses: not served, so not in
//!   discovery (*404*);
//! - of jobs: policies for failures and successes, limits for one index:
//!   refused (*422*); block devices, and recycling of volumes;
//! - of custom resources: more than one version, conversion, rules (CEL) and
//!   rare formats: refused in definitions (*422*);
//! - probes over gRPC or HTTPS or of another host, readiness gates, tokens of
//!   service accounts, volumes of other kinds than those above: refused when a pod
//!   is created (*422*), never ignored;
//! - quotas of file shares: a share is a directory without an end, and so is a
//!   disk where there are no namespaces (there a limited `emptyDir` is refused by
//!   the node, as an event); no pod is evicted for what it writes, but gets *no
//!   space left on device*;
//! - the proxy of nodes (*404*), links in proxied pages (left as they are),
//!   OpenAPI v2 (*404*), HTTP/2, protobuf but for the few bodies that kubectl
//!   sends in nothing else (*415*);
//! - managers of what the lab's own controllers and kubelet write: managed
//!   fields tell of clients only;
//! - limits of other resources than memory and cpu, which a warning says, and those
//!   two where the kernel gives no control groups, which an event of the pod says
//!   (`LimitsNotEnforced`); ports of the node (`hostPort`) are kept for a pod and
//!   not opened, which a warning says;
//! - the machine's network, processes and memory for a pod, processes that
//!   containers share, privileges, added capabilities but for
//!   `NET_BIND_SERVICE`, settings of the kernel, profiles of one's own, resources
//!   of whole pods, devices to claim: refused (*422*); classes of runtimes (*403*);
//! - IPv6, and a way from a pod to this machine or the world, where pods have
//!   networks of their own; addresses and names of services, and a wall before
//!   this machine's ports and abstract sockets, where they have not;
//! - services that tell nodes or clients apart (`Local`, source ranges), that
//!   bring addresses of their own, or speak SCTP: refused (*422*);
//! - anonymous requests, client certificates, token reviews, tokens bound to
//!   objects or for other audiences; giving rights takes the verb `escalate` or
//!   `bind`, as the lab does not compare what is given with what the giver has;
//!   aggregated cluster roles are put together when asked, not in the store.

pub mod access;
pub mod admission;
pub mod api;
pub mod azure;
pub mod controllers;
pub mod defaults;
pub mod kinds;
pub mod kubelet;
pub mod lease;
pub mod managed;
pub mod network;
pub mod node;
pub mod process;
mod programs;
pub mod quantity;
pub mod recorder;
pub mod runtime;
pub mod scenario;
pub mod schema;
pub mod selector;
pub mod shares;
pub mod state;
pub mod store;
pub mod workload;

/// Letters of generated names: no vowels, so that no words appear, and no
/// digits that look like letters. Kubernetes uses the same.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random letters that make a generated name unique.
pub(crate) fn random_suffix() -> String {
    (0..5)
        .map(|_| char::from(SUFFIX_LETTERS[fastrand::usize(..SUFFIX_LETTERS.len())]))
        .collect()
}

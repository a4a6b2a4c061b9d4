//! Random facts of a small world: two roles, a handful of pods, executions and
//! trials, so that random lists of them make stories that go somewhere.

use aks_tui::core::{
    around::{Node, Volume},
    event::{
        ClusterInfo, Container, ContainerState, Event, Fact, Feed, FeedState, Permitted, Pod,
        Terminated, Trouble,
    },
    time::Time,
    trial::{Fault, TrialId, Victim},
    workload::{Role, line::Progress},
};
use proptest::{prelude::*, sample::select};

fn role() -> impl Strategy<Value = Role> {
    select(Role::ALL.to_vec())
}

/// The pods of a role: one that was there first, and one that replaces it.
fn pod_name() -> impl Strategy<Value = (Role, String)> {
    (role(), 0..2).prop_map(|(role, n)| (role, format!("{role}-{n}")))
}

fn terminated(name: &str, restarts: u32) -> impl Strategy<Value = Terminated> + use<> {
    let id = format!("{name}/{restarts}");
    (
        select(vec![Some(9), Some(15), None]),
        proptest::option::of(Just(id)),
    )
        .prop_map(|(signal, container_id)| Terminated {
            exit_code: signal.map_or(1, |signal| 128 + signal),
            signal,
            reason: "Error".into(),
            container_id,
        })
}

fn state(name: &str, restarts: u32) -> impl Strategy<Value = ContainerState> + use<> {
    let waiting = select(vec!["CrashLoopBackOff", "ContainerCreating"]);
    prop_oneof![
        4 => Just(ContainerState::Running),
        2 => terminated(name, restarts).prop_map(ContainerState::Terminated),
        2 => waiting.prop_map(|reason| ContainerState::Waiting {
            reason: reason.into(),
            message: "back-off\t10s\n\"restarting\"".into(),
        }),
        1 => Just(ContainerState::Unknown),
    ]
}

fn pod() -> impl Strategy<Value = Pod> {
    (pod_name(), 0..4_u32)
        .prop_flat_map(|((role, name), restarts)| {
            let last = proptest::option::of(terminated(&name, restarts.saturating_sub(1)));
            let state = state(&name, restarts);
            (
                Just((role, name, restarts)),
                state,
                last,
                any::<(bool, bool)>(),
            )
        })
        .prop_map(|((role, name, restarts), state, last, (ready, deleting))| {
            let container = Container {
                name: role.name().into(),
                id: Some(format!("{name}/{restarts}")),
                restarts,
                ready,
                state,
                last,
                ..Container::default()
            };
            Pod {
                uid: format!("uid-{name}"),
                name,
                namespace: "default".into(),
                role: Some(role),
                phase: "Running".into(),
                ready,
                deleting,
                containers: vec![container],
                ..Pod::default()
            }
        })
}

fn injected() -> impl Strategy<Value = Fact> {
    let fault = select(Fault::ALL.to_vec());
    (1..4_u32, fault, pod_name(), 0..3_u32, any::<bool>()).prop_map(
        |(id, fault, (role, pod), restarts, known)| Fact::FaultInjected {
            trial: TrialId(id),
            fault,
            victim: Victim {
                role,
                namespace: "default".into(),
                pod_uid: format!("uid-{pod}"),
                container: role.name().into(),
                container_id: known.then(|| format!("{pod}/{restarts}")),
                pod,
                node: Some("n1".into()),
                restarts,
                pid: None,
                volume: (fault == Fault::DiskFill).then(|| "/data".into()),
            },
            lasts: fault.holds().then_some(Fault::LASTS),
        },
    )
}

fn progress() -> impl Strategy<Value = Fact> {
    (role(), 1..4_u64, 0..12_u64, any::<bool>()).prop_map(|(role, epoch, mib, replaying)| {
        let progress = Progress {
            epoch,
            call: mib,
            echoed: mib << 20,
            replaying,
        };
        Fact::Progress { role, progress }
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", "[\\t\\n\"\\\\{}:,]{0,12}"]
}

/// What the two sides say, but for their progress.
fn said() -> impl Strategy<Value = Fact> {
    let number = 0..9_u64;
    prop_oneof![
        3 => (pod_name(), 0..3_u32).prop_map(|((role, pod), restart)| Fact::LogBegan {
            role,
            pod,
            restart,
        }),
        // Throughput with as many digits as every reader of JSON reads exactly.
        3 => (role(), 0..10_000_000_u32, any::<bool>()).prop_map(|(role, n, replayed)| {
            Fact::Round { role, size: 65_536, gib_s: f64::from(n) / 1e7, replayed }
        }),
        2 => (role(), number.clone(), any::<u64>()).prop_map(|(role, index, bytes)| {
            Fact::RoundEnd { role, index, size: 16, bytes: bytes >> 8 }
        }),
        2 => (role(), 1..4_u64, number.clone()).prop_map(|(role, epoch, replayed)| {
            Fact::Recovered { role, epoch, replayed, millis: replayed * 3 }
        }),
        1 => (role(), number.clone(), number, any::<bool>()).prop_map(
            |(role, expected, got, replayed)| Fact::OutOfOrder { role, expected, got, replayed }
        ),
        1 => role().prop_map(|role| Fact::PortBusy { role }),
        1 => (role(), any::<u64>()).prop_map(|(role, bytes)| Fact::Total { role, bytes }),
        1 => role().prop_map(|role| Fact::Done { role }),
    ]
}

/// What is known of the world around the workload.
fn around() -> impl Strategy<Value = Fact> {
    let feed = select(vec![
        Feed::Pods,
        Feed::Log(Role::Client),
        Feed::Log(Role::Server),
    ]);
    let state = prop_oneof![
        Just(FeedState::Connecting),
        Just(FeedState::Live),
        text().prop_map(|what| FeedState::Waiting { what }),
        (text(), any::<u64>()).prop_map(|(why, at)| FeedState::Broken {
            why,
            retry_at: Time(at),
        }),
    ];
    prop_oneof![
        (feed, state).prop_map(|(feed, state)| Fact::Feed { feed, state }),
        (text(), text(), proptest::option::of(text())).prop_map(|(context, server, version)| {
            Fact::Cluster(ClusterInfo {
                context,
                server,
                version,
                ..ClusterInfo::default()
            })
        }),
        (text(), proptest::option::of(text()))
            .prop_map(|(what, next)| Fact::Trouble(Trouble { what, next })),
        any::<bool>().prop_map(|allowed| Fact::Permission {
            action: Permitted::DeletePods,
            allowed,
        }),
        (select(vec!["n1", "n2"]), any::<bool>()).prop_map(|(name, ready)| Fact::Node(Node {
            name: name.into(),
            ready,
            ..Node::default()
        })),
        Just(Fact::FinishRequested),
        (text(), any::<u32>(), proptest::option::of(text())).prop_map(|(path, size, why_not)| {
            let volume = Volume {
                path,
                size: u64::from(size),
                free: u64::from(size / 2),
            };
            Fact::DataVolume {
                uid: "uid-c".into(),
                volume: why_not.is_none().then_some(volume),
                why_not,
            }
        }),
    ]
}

/// What happens to trials.
fn of_trials() -> impl Strategy<Value = Fact> {
    prop_oneof![
        6 => injected(),
        1 => (1..4_u32, role(), text()).prop_map(|(id, role, reason)| Fact::FaultRefused {
            trial: TrialId(id),
            fault: Fault::ProcessKill,
            role,
            reason,
        }),
        1 => (1..4_u32, any::<u32>()).prop_map(|(id, pid)| Fact::PidAfter {
            trial: TrialId(id),
            pid,
        }),
        1 => (1..4_u32).prop_map(|id| Fact::DeadlinePassed { trial: TrialId(id) }),
        1 => (1..4_u32, 0..9_000_u64).prop_map(|(id, ms)| Fact::StoodStill {
            trial: TrialId(id),
            since: Time::from_millis(ms),
        }),
        1 => (1..4_u32).prop_map(|id| Fact::VolumeFull { trial: TrialId(id) }),
        2 => (1..4_u32).prop_map(|id| Fact::HealSent { trial: TrialId(id) }),
        2 => (1..4_u32).prop_map(|id| Fact::Healed { trial: TrialId(id) }),
        1 => Just(Fact::CockpitResumed),
    ]
}

/// Any fact that is recorded, but for the first and the last of a run.
pub fn fact() -> impl Strategy<Value = Fact> {
    let uids = proptest::collection::vec(pod_name().prop_map(|(_, name)| name), 0..4);
    prop_oneof![
        12 => progress(),
        6 => pod().prop_map(|pod| Fact::Pod(Box::new(pod))),
        2 => pod_name().prop_map(|(_, name)| Fact::PodGone { uid: format!("uid-{name}") }),
        1 => uids.prop_map(|names| Fact::PodsListed {
            uids: names.iter().map(|name| format!("uid-{name}")).collect(),
        }),
        4 => said(),
        1 => around(),
        3 => of_trials(),
    ]
}

/// Events that come one after another, now and then overtaking one another by a
/// hair.
pub fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![8 => 0..150_000_i64, 1 => -300..0_i64, 1 => 0..5_000_000_i64];
    proptest::collection::vec((step, fact()), count).prop_map(|steps| {
        let mut now = 1_000_000_i64;
        let told = steps.into_iter().map(|(step, fact)| {
            now = (now + step).max(0);
            let at = Time(now as u64);
            Event { at, fact }
        });
        told.collect()
    })
}

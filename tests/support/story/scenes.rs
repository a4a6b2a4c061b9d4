//! Where stories begin: states of a run that are worth looking at.

use std::time::Duration;

use super::{
    Ability, ClusterInfo, ContainerState, Fact, Fault, Feed, FeedState, LineKind, Model, Node,
    Resident, Residents, Role, RunStarted, Story, Time, WALL,
};

impl Story {
    /// The run has begun and nothing is known yet.
    pub fn begun() -> Self {
        let mut story = Self {
            events: Vec::new(),
            model: Model::default(),
            now: Time::ZERO,
            epochs: [1, 1],
            restarts: [0, 0],
            generation: [0, 0],
            calls: 0,
            echoed: 0,
            round: 0,
            size: 65_536,
            round_began: (Time::ZERO, 0),
            trials: 0,
            noise: 7,
        };
        story.tell(Fact::RunStarted(RunStarted {
            run: "20261122-081500-demo".into(),
            wall_ms: WALL,
            version: "0.1.0".into(),
        }));
        story
    }

    /// Connecting to a cluster.
    pub fn connecting() -> Self {
        let mut story = Self::begun();
        story.tell(Fact::Cluster(ClusterInfo {
            context: "aks-tui-lab".into(),
            server: "https://127.0.0.1:40123".into(),
            namespace: "default".into(),
            version: Some("v1.33.2".into()),
            backoff: Some("none".into()),
            isolation: Some("namespaces".into()),
        }));
        story.feed(Feed::Pods, FeedState::Connecting);
        story.wait(200);
        story
    }

    /// There is no cluster yet.
    pub fn nowhere() -> Self {
        let mut story = Self::begun();
        let nowhere = Some("no cluster yet".into());
        story.tell(Fact::Turned { nowhere });
        story.wait(900);
        story
    }

    /// Connected; the namespace has no pods.
    pub fn empty_namespace() -> Self {
        let mut story = Self::connecting();
        story.feed(Feed::Pods, FeedState::Live);
        story.tell(Fact::PodsListed { uids: Vec::new() });
        for role in Role::ALL {
            let what = format!("no {role} pod yet");
            story.feed(Feed::Log(role), FeedState::Waiting { what });
        }
        story.wait(900);
        story
    }

    /// Both pods run, and the workload has just begun.
    pub fn started() -> Self {
        let mut story = Self::connecting();
        story.feed(Feed::Pods, FeedState::Live);
        let pods = Role::ALL.map(|role| story.running(role));
        let uids = pods.iter().map(|pod| pod.uid.clone()).collect();
        for pod in pods {
            story.tell(Fact::Pod(Box::new(pod)));
        }
        story.tell(Fact::PodsListed { uids });
        for role in Role::ALL {
            story.feed(Feed::Log(role), FeedState::Live);
            story.log_begins(role);
        }
        for text in [
            "*X* ImmortalCoordinator -i=perftestserver_0 -p=1500",
            "Ready ...",
        ] {
            story.line(Role::Server, text, LineKind::Plain, false);
        }
        story.line(Role::Client, "*X* becoming primary", LineKind::Plain, false);
        story.line(
            Role::Client,
            "Bytes per RPC   Throughput (GB/sec)",
            LineKind::Plain,
            false,
        );
        story.round_began = (story.now, 0);
        story
    }

    /// A minute of it, with the client killed half-way: it came back.
    pub fn killed_once() -> Self {
        let mut story = Self::started();
        story.works(21_500);
        story.process_trial(Role::Client, 312);
        story.works(16_000);
        story
    }

    /// Several trials, one of each kind, the last of them still open.
    pub fn in_the_middle_of_a_trial() -> Self {
        let mut story = Self::killed_once();
        story.pod_trial(Role::Server, 840);
        story.works(12_000);
        story.refused();
        story.works(6_000);
        story.inject(Fault::ProcessKill, Role::Client);
        story.wait(30);
        story.down(Role::Client);
        story.wait(620);
        story
    }

    /// The node holds the client's restart back.
    pub fn held_back() -> Self {
        let mut story = Self::killed_once();
        story.model.cluster.backoff = Some("kubernetes".into());
        story.inject(Fault::ProcessKill, Role::Client);
        story.wait(41);
        story.down(Role::Client);
        story.wait(60);
        let mut pod = story.running(Role::Client);
        pod.ready = false;
        pod.containers[0].ready = false;
        pod.containers[0].state = ContainerState::Waiting {
            reason: "CrashLoopBackOff".into(),
            message: "back-off 20s restarting failed container=perftestclient".into(),
        };
        story.tell(Fact::Pod(Box::new(pod)));
        story.wait(7_400);
        story
    }

    /// A cluster that can do everything to its networks and nodes.
    pub fn able() -> Self {
        let mut story = Self::killed_once();
        for ability in [Ability::Network, Ability::Power] {
            story.tell(Fact::Able {
                ability,
                why_not: None,
            });
        }
        for name in ["lab-node-0", "lab-node-1"] {
            story.tell(Fact::Node(Node {
                name: name.into(),
                ready: true,
                powered: Some(true),
                ..Node::default()
            }));
        }
        story
    }

    /// Somebody looks at what runs on the first node.
    pub fn looked_at_node(&mut self, foreign: &[&str]) {
        self.wait(20);
        let ours = self.model.pods.rows().iter().map(|pod| Resident {
            name: format!("{}/{}", pod.namespace, pod.name),
            managed: true,
        });
        let foreign = foreign.iter().map(|name| Resident {
            name: (*name).into(),
            managed: false,
        });
        let pods = ours.chain(foreign).collect();
        self.tell(Fact::OnNode {
            node: "lab-node-0".into(),
            residents: Residents { pods, unseen: None },
        });
    }

    /// The server's node lost its power, and its pod is evicted.
    pub fn node_off() -> Self {
        let mut story = Self::able();
        story.inject(Fault::NodeOff, Role::Server);
        story.wait(4_000);
        story.tell(Fact::Node(Node {
            name: "lab-node-0".into(),
            ready: false,
            powered: Some(false),
            off_by_us: true,
            ..Node::default()
        }));
        story.wait(5_000);
        let mut pod = story.running(Role::Server);
        pod.deleting = true;
        pod.ready = false;
        story.tell(Fact::Pod(Box::new(pod)));
        story.wait(600);
        story
    }

    /// A server that was stopped and let go, and a client that stands still.
    pub fn stopped() -> Self {
        let mut story = Self::killed_once();
        story.stop_trial(Role::Server);
        story.works(7_000);
        story.stops(Role::Client, 3_700);
        story
    }

    /// A disk that is full, and heals soon.
    pub fn filled() -> Self {
        let mut story = Self::killed_once();
        story.fills(Role::Server, 3_700);
        story
    }

    /// A kill that was not survived: calls are missing.
    pub fn lost_calls() -> Self {
        let mut story = Self::killed_once();
        story.inject(Fault::ProcessKill, Role::Server);
        story.wait(38);
        story.down(Role::Server);
        story.wait(120);
        story.back(Role::Server);
        story.wait(80);
        story.line(
            Role::Client,
            "*X* out of order expected=81920 got=81923",
            LineKind::Alarm,
            false,
        );
        story.tell(Fact::OutOfOrder {
            role: Role::Client,
            expected: 81_920,
            got: 81_923,
            replayed: false,
        });
        story.works(4_000);
        story
    }

    /// The API server went away.
    pub fn broken() -> Self {
        let mut story = Self::killed_once();
        let retry_at = story.now + Duration::from_secs(16);
        for feed in [Feed::Pods, Feed::Log(Role::Client), Feed::Log(Role::Server)] {
            story.feed(
                feed,
                FeedState::Broken {
                    why: "the API server does not answer: connection refused (127.0.0.1:40123)"
                        .into(),
                    retry_at,
                },
            );
        }
        story.wait(12_300);
        story
    }

    /// There is no way to the cluster at all.
    pub fn unreachable() -> Self {
        let mut story = Self::connecting();
        let retry_at = story.now + Duration::from_secs(8);
        story.feed(
            Feed::Pods,
            FeedState::Broken {
                why: "the token has expired: sign in again with `az login`".into(),
                retry_at,
            },
        );
        story.wait(2_000);
        story
    }
}

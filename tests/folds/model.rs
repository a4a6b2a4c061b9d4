//! The model beside its trials.

use std::time::Duration;

use aks_tui::core::{
    azure::desk::{Cluster, Seen, Wish},
    deploy::{Plan, Stage},
    event::{ClusterInfo, Fact, Feed, FeedState, LineKind, LogLine, Permitted, Trouble},
    model::{Model, log::Entry, pods},
    time::Time,
    trial::{Fault, State},
};

use crate::story::{Client, Does, Server, Story, pod, victim};

fn names(model: &Model) -> Vec<&str> {
    model
        .pods
        .rows()
        .iter()
        .map(|pod| pod.name.as_str())
        .collect()
}

fn other(name: &str) -> Fact {
    let mut other = pod(Client, name, 0, Does::Runs);
    other.role = None;
    Fact::Pod(Box::new(other))
}

fn feed(feed: Feed, state: FeedState) -> Fact {
    Fact::Feed { feed, state }
}

#[test]
fn the_workload_stands_first_and_the_rest_by_name() {
    let mut story = Story::default();
    story
        .sees(other("b"))
        .pod(Server, "s", 0, Does::RunsReady)
        .sees(other("a"))
        .pod(Client, "c", 0, Does::Creates);
    assert_eq!(names(&story.model), ["c", "s", "a", "b"]);
    assert_eq!(story.model.pods.ready(), (1, 4));
    assert!(!story.model.pods.listed());
    story.sees(Fact::PodsListed {
        uids: ["uid-c", "uid-a"].map(Into::into).to_vec(),
    });
    assert_eq!(names(&story.model), ["c", "a"]);
    assert!(story.model.pods.listed());
    story.pod_gone("a").pod_gone("never-seen");
    assert_eq!(names(&story.model), ["c"]);
}

#[test]
fn a_pod_that_changes_keeps_its_place_and_shows_its_worst() {
    let mut story = Story::default();
    story
        .pod(Client, "c", 0, Does::RunsReady)
        .pod(Server, "s", 0, Does::RunsReady)
        .pod(Client, "c", 3, Does::HeldBack);
    let pod = &story.model.pods.rows()[0];
    assert_eq!(pods::status(pod), "CrashLoopBackOff");
    assert_eq!(pods::restarts(pod), 3);
    assert_eq!(story.model.pods.rows().len(), 2);
}

#[test]
fn a_part_is_played_by_the_pod_that_is_here_to_stay() {
    let mut story = Story::default();
    let mut old = pod(Client, "old", 0, Does::RunsReady);
    old.deleting = true;
    story
        .sees(Fact::Pod(Box::new(old)))
        .pod(Client, "new", 0, Does::Creates);
    assert_eq!(story.model.pods.playing(Client).unwrap().name, "new");
    assert_eq!(story.model.pods.playing(Server), None);
    let status = pods::status(&story.model.pods.rows()[1]);
    assert_eq!(status, "Terminating");
}

#[test]
fn a_seen_again_pod_is_no_change() {
    let mut story = Story::of_a_running_workload();
    let again = aks_tui::core::event::Event {
        at: Time::from_millis(1_100),
        fact: Fact::Pod(Box::new(pod(Client, "c", 0, Does::RunsReady))),
    };
    assert!(!story.model.apply(&again));
    let changed = aks_tui::core::event::Event {
        fact: Fact::Pod(Box::new(pod(Client, "c", 1, Does::RunsReady))),
        ..again
    };
    assert!(story.model.apply(&changed));
}

#[test]
fn a_stream_tells_how_old_its_news_is_and_why_it_broke() {
    let mut story = Story::default();
    assert_eq!(story.model.age(Time::from_millis(5)), None);
    story
        .at(100)
        .sees(feed(Feed::Pods, FeedState::Live))
        .at(200)
        .pod(Client, "c", 0, Does::Runs);
    let age = story.model.age(Time::from_millis(900));
    assert_eq!(age, Some(Duration::from_millis(700)));
    assert_eq!(story.model.broken(), None);
    let broken = FeedState::Broken {
        why: "refused".into(),
        retry_at: Time::from_millis(2_000),
    };
    story.at(1_000).sees(feed(Feed::Pods, broken));
    let retry = Time::from_millis(2_000);
    assert_eq!(story.model.broken(), Some((Feed::Pods, "refused", retry)));
    assert_eq!(
        story.model.age(Time::from_millis(1_000)),
        Some(Duration::from_millis(800)),
        "breaking brought no news"
    );
    story.at(3_000).sees(Fact::CockpitResumed);
    assert_eq!(story.model.broken(), None, "another cockpit, other streams");
}

/// Where the curve has points (`x`) and where it breaks (`-`).
fn curve(model: &Model) -> String {
    let points = model.throughput.points().iter();
    points
        .map(|point| if point.gib_s.is_some() { 'x' } else { '-' })
        .collect()
}

#[test]
fn no_curve_is_drawn_while_the_client_is_dead() {
    let mut story = Story::of_a_running_workload();
    story.at(1_100).progress(Client, 1, 200);
    assert_eq!(curve(&story.model), "xx");
    story.at(1_150).pod(Client, "c", 0, Does::Ended(9));
    assert_eq!(curve(&story.model), "xx-");
    assert!(story.model.throughput.is_interrupted());
    assert_eq!(story.model.throughput.now(), None);
    story.at(1_200).pod(Client, "c", 1, Does::Runs);
    story.at(1_300).replays(Client, 2, 150);
    story.at(1_400).replays(Client, 2, 190);
    assert_eq!(curve(&story.model), "xx-", "replay is no throughput");
    story.at(1_500).progress(Client, 2, 201);
    story.at(1_600).progress(Client, 2, 301);
    assert_eq!(curve(&story.model), "xx-xx");
}

#[test]
fn nor_while_its_pod_is_gone() {
    for listed in [false, true] {
        let mut story = Story::of_a_running_workload();
        story.at(1_100).progress(Client, 1, 200);
        story.at(1_150);
        if listed {
            let uids = vec!["uid-s".into()];
            story.sees(Fact::PodsListed { uids });
        } else {
            story.pod_gone("c");
        }
        assert_eq!(curve(&story.model), "xx-");
    }
}

#[test]
fn the_end_of_an_old_pod_does_not_break_the_curve_of_the_new_one() {
    let mut story = Story::of_a_running_workload();
    let mut old = pod(Client, "old", 0, Does::Ended(9));
    old.deleting = true;
    story.at(1_100).progress(Client, 1, 200);
    story
        .at(1_150)
        .sees(Fact::Pod(Box::new(old)))
        .pod_gone("old");
    story.at(1_200).progress(Client, 1, 300);
    assert_eq!(curve(&story.model), "xxx");
}

#[test]
fn nor_while_its_log_is_not_heard_or_nobody_looked() {
    let mut story = Story::of_a_running_workload();
    story.at(1_100).progress(Client, 1, 200);
    let what = "the pod".to_owned();
    story
        .at(1_200)
        .sees(feed(Feed::Log(Client), FeedState::Waiting { what }));
    assert_eq!(curve(&story.model), "xx-");
    story.at(1_300).progress(Client, 1, 300);
    story.at(1_400).progress(Client, 1, 400);
    story.at(1_500).sees(Fact::CockpitResumed);
    assert_eq!(curve(&story.model), "xx-xx-");
    assert_eq!(story.model.throughput.now(), None);
}

#[test]
fn the_server_dying_is_a_curve_at_zero_not_a_gap() {
    let mut story = Story::of_a_running_workload();
    story.at(1_100).progress(Client, 1, 200);
    story.at(1_150).pod(Server, "s", 0, Does::Ended(9));
    story.at(1_200).progress(Client, 1, 200);
    assert_eq!(curve(&story.model), "xxx");
    assert_eq!(story.model.throughput.now(), Some(0.0));
}

#[test]
fn what_must_arrive_is_known_once_every_round_is() {
    let mut story = Story::default();
    let round = |index, bytes| Fact::RoundEnd {
        role: Client,
        index,
        size: 1,
        bytes,
    };
    assert_eq!(story.model.expected_bytes(), None);
    story.sees(round(1, 1_000)).sees(round(2, 500));
    assert_eq!(story.model.expected_bytes(), Some(1_500));
    story.sees(round(4, 100));
    assert_eq!(story.model.expected_bytes(), None, "the third was missed");
    story.sees(round(3, 200)).sees(round(1, 1_000));
    assert_eq!(
        story.model.expected_bytes(),
        Some(1_800),
        "a round that is printed again counts once"
    );
}

#[test]
fn a_round_is_marked_once_and_only_the_clients() {
    let mut story = Story::default();
    story
        .round(Client, false)
        .round(Client, true)
        .round(Server, false);
    assert_eq!(story.model.rounds.len(), 1);
}

#[test]
fn the_end_of_a_run_is_what_both_sides_say() {
    let mut story = Story::default();
    for role in [Client, Server] {
        story.sees(Fact::Total { role, bytes: 9 });
        story.sees(Fact::Done { role });
        let side = story.model.side(role);
        assert_eq!((side.total, side.done), (Some(9), true));
    }
    assert!(!story.model.ended);
    story.at(5).sees(Fact::FinishRequested).sees(Fact::RunEnded);
    assert_eq!(story.model.finishing, Some(Time::from_millis(5)));
    assert!(story.model.ended);
}

#[test]
fn the_seam_between_two_executions_is_in_the_log() {
    let mut story = Story::default();
    let line = |text: &str| LogLine {
        stamp_ms: None,
        text: text.into(),
        kind: LineKind::Plain,
        replayed: false,
    };
    let says = |text: &str| Fact::Log {
        role: Client,
        lines: vec![line(text)],
    };
    story
        .log_began(Client, "c", 0)
        .sees(says("one"))
        .log_began(Client, "c", 1)
        .sees(says("two"));
    let told: Vec<_> = story
        .model
        .log
        .since(0)
        .map(|(number, entry)| match &**entry {
            Entry::Seam { restart, first, .. } => format!("{number} seam {restart} {first}"),
            Entry::Line { line, .. } => format!("{number} {}", line.text),
        })
        .collect();
    assert_eq!(told, ["0 seam 0 true", "1 one", "2 seam 1 false", "3 two"]);
    assert_eq!(story.model.side(Client).lives, 2);
}

#[test]
fn a_busy_port_is_waited_for_until_the_next_word() {
    let mut story = Story::default();
    story.at(7).sees(Fact::PortBusy { role: Server });
    let waits = |story: &Story| story.model.side(Server).waits_for_port;
    assert_eq!(waits(&story), Some(Time::from_millis(7)));
    story.at(9).replays(Server, 2, 1);
    assert_eq!(waits(&story), None);
}

#[test]
fn what_may_be_done_and_where_is_remembered_and_troubles_are_bounded() {
    let mut story = Story::default();
    assert!(story.model.allows(Permitted::ExecPods));
    story.sees(Fact::Permission {
        action: Permitted::ExecPods,
        allowed: false,
    });
    assert!(!story.model.allows(Permitted::ExecPods));
    assert!(story.model.allows(Permitted::DeletePods));
    let info = ClusterInfo {
        context: "lab".into(),
        ..ClusterInfo::default()
    };
    story.sees(Fact::Cluster(info.clone()));
    assert_eq!(story.model.cluster, info);
    for n in 0..150 {
        let what = n.to_string();
        story.sees(Fact::Trouble(Trouble { what, next: None }));
    }
    assert_eq!(story.model.troubles.len(), 100);
    assert_eq!(story.model.troubles.back().unwrap().1.what, "149");
}

#[test]
fn another_cluster_leaves_nothing_of_the_last_one_but_history() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .kills(1, Client)
        .at(2_200)
        .pod(Client, "c", 1, Does::RunsReady)
        .at(2_300)
        .progress(Client, 2, 101)
        .progress(Server, 1, 101)
        .sees(Fact::DeployPlanned(Box::default()))
        .sees(Fact::Turned {
            nowhere: Some("the cluster was deleted".into()),
        });
    let model = &story.model;
    assert_eq!(model.nowhere.as_deref(), Some("the cluster was deleted"));
    assert!(model.pods.rows().is_empty() && !model.pods.listed());
    assert!(model.feeds.is_empty());
    assert_eq!(model.cluster, ClusterInfo::default());
    assert_eq!(model.deploy.stage, Stage::Idle);
    assert_eq!(model.side(Client).fresh, None);
    assert_eq!(story.state(1), &State::Verified, "trials are history");
    // A workload that counts from nothing is measured by its own figures.
    story
        .sees(Fact::Turned { nowhere: None })
        .at(9_000)
        .pod(Client, "d", 0, Does::RunsReady)
        .progress(Client, 1, 1)
        .at(9_100)
        .injects(2, Fault::ProcessKill, victim(Client, "d", 0))
        .at(9_200)
        .pod(Client, "d", 1, Does::RunsReady)
        .at(9_300)
        .progress(Client, 2, 2);
    assert_eq!(story.model.nowhere, None);
    assert_eq!(story.state(2), &State::Recovered);
}

#[test]
fn a_fresh_run_is_not_measured_by_the_one_before() {
    let deployed = |resumes| {
        let mut story = Story::of_a_running_workload();
        story
            .at(2_000)
            .sees(Fact::DeployPlanned(Box::new(Plan {
                resumes,
                ..Plan::default()
            })))
            .sees(Fact::DeployBegan { removes: false })
            .at(3_000)
            .log_began(Client, "d", 0);
        story
    };
    assert_eq!(deployed(false).model.side(Client).fresh, None);
    assert!(deployed(true).model.side(Client).fresh.is_some());
}

/// What was going on when a cockpit died is nobody's any more.
#[test]
fn a_cockpit_that_takes_over_can_ask_again() {
    let mut story = Story::default();
    let cluster = Cluster::Gone {
        kubeconfig: "k".into(),
    };
    story
        .sees(Fact::Azure(Seen::Cluster(cluster.clone())))
        .sees(Fact::Azure(Seen::Began {
            wish: Wish::Provision,
        }))
        .sees(Fact::DeployBegan { removes: false })
        .sees(Fact::CockpitResumed);
    let model = &story.model;
    assert_eq!(model.azure.busy, None);
    assert!(matches!(
        model.azure.outcome,
        Some((Wish::Provision, Some(_)))
    ));
    assert_eq!(model.azure.cluster, Some(cluster));
    assert!(matches!(model.deploy.stage, Stage::Failed { .. }));
}

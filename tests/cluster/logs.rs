//! The logs of the workload, through restarts, replacements and broken streams.

use aks_tui::core::{
    event::{Fact, Feed, FeedState, LineKind},
    workload::Role,
};
use serde_json::json;

use crate::{
    cockpit::{Cockpit, lines, stamp},
    fake::{Fake, pod, running, terminated, until},
};

fn progress(epoch: u64, echoed: u64, replaying: u8) -> Vec<u8> {
    format!("*X* progress epoch={epoch} call={echoed} echoed={echoed} replaying={replaying}")
        .into_bytes()
}

fn began(cockpit: &Cockpit) -> Vec<(String, u32)> {
    cockpit
        .said
        .iter()
        .filter_map(|fact| match fact {
            Fact::LogBegan {
                role: Role::Client,
                pod,
                restart,
            } => Some((pod.clone(), *restart)),
            _ => None,
        })
        .collect()
}

fn numbered(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|i| format!("line {i}")).collect()
}

fn print_numbered(fake: &Fake, pod: &str, range: std::ops::Range<u64>) {
    for i in range {
        fake.print(pod, &stamp(i * 7), format!("line {i}").as_bytes());
    }
}

#[tokio::test]
async fn what_a_role_prints_is_told_as_lines_and_facts() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.print("c", &stamp(0), b"Bytes per RPC\tThroughput (GB/sec)");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Log(Role::Client)).await;
    fake.print("c", &stamp(10), &progress(1, 64, 0));
    fake.print("c", &stamp(20), b"*X* 65536\t0.0103833476182065");
    fake.print(
        "c",
        &stamp(20),
        b"*X* round index=1 size=65536 bytes=1048576",
    );
    fake.print("c", &stamp(30), b"*X* 65536\t0,01");
    fake.print("c", &stamp(40), b"Out of order message. Expected 7, got 9");
    fake.print("c", &stamp(50), b"Bytes received: 1048576");
    fake.print("c", &stamp(60), b"DONE");
    cockpit
        .hear("DONE", |fact| *fact == Fact::Done { role: Role::Client })
        .await;
    let role = Role::Client;
    for fact in [
        Fact::Round {
            role,
            size: 65536,
            gib_s: 0.010_383_347_618_206_5,
            replayed: false,
        },
        Fact::RoundEnd {
            role,
            index: 1,
            size: 65536,
            bytes: 1_048_576,
        },
        Fact::OutOfOrder {
            role,
            expected: 7,
            got: 9,
            replayed: false,
        },
        Fact::Total {
            role,
            bytes: 1_048_576,
        },
    ] {
        assert!(cockpit.said.contains(&fact), "{fact:?}");
    }
    let kinds: Vec<LineKind> = cockpit
        .said
        .iter()
        .flat_map(lines)
        .map(|line| line.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            LineKind::Plain,
            LineKind::Progress,
            LineKind::Round,
            LineKind::Progress,
            LineKind::Plain,
            LineKind::Alarm,
            LineKind::Milestone,
            LineKind::Milestone
        ]
    );
}

#[tokio::test]
async fn a_running_workload_is_joined_with_its_last_lines() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 3, &running()));
    print_numbered(&fake, "c", 0..2000);
    fake.print("c", &stamp(20_000), b"*X* 65536\t0.5");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("*X* 65536       0.5").await;
    let log = cockpit.log(Role::Client);
    assert_eq!(log.len(), 500);
    assert_eq!(log[0], "line 1501");
    // Its beginning was not read, so none of it is held to be replay; but a
    // round that ended before anybody looked is no mark on the curve.
    assert!(
        cockpit
            .said
            .iter()
            .flat_map(lines)
            .all(|line| !line.replayed)
    );
    cockpit
        .hear("the round", |fact| {
            matches!(fact, Fact::Round { replayed: true, .. })
        })
        .await;
}

#[tokio::test]
async fn a_broken_stream_goes_on_with_no_line_lost_or_doubled() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    print_numbered(&fake, "c", 0..100);
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("line 99").await;
    let mut next = 100;
    for _ in 0..3 {
        // Equal lines at one instant are legal, on both sides of a cut.
        fake.print("c", &stamp(next * 7), b"twin");
        fake.print("c", &stamp(next * 7), b"twin");
        cockpit.hear_line("twin").await;
        fake.cut_streams();
        fake.print("c", &stamp(next * 7), b"twin");
        print_numbered(&fake, "c", next + 1..next + 50);
        next += 50;
        cockpit.hear_line(&format!("line {}", next - 1)).await;
    }
    let log = cockpit.log(Role::Client);
    let twins = log.iter().filter(|line| *line == "twin").count();
    assert_eq!(twins, 9);
    let rest: Vec<&String> = log.iter().filter(|line| *line != "twin").collect();
    let expected: Vec<String> = numbered(0..250)
        .into_iter()
        .filter(|line| !["line 100", "line 150", "line 200"].contains(&line.as_str()))
        .collect();
    assert_eq!(rest, expected.iter().collect::<Vec<_>>());
    assert_eq!(began(&cockpit).len(), 1, "it is still the same execution");
}

#[tokio::test]
async fn a_restart_is_sewn_on_and_replay_is_told_from_news() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.print("c", &stamp(0), &progress(1, 64, 0));
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Log(Role::Client)).await;
    fake.print("c", &stamp(10), b"*X* 65536\t0.5");
    fake.print("c", &stamp(11), b"last words, cut in the mid");
    cockpit.hear_line("last words, cut in the mid").await;
    fake.end_execution("c");
    cockpit
        .hear("a wait", |fact| {
            matches!(
                fact,
                Fact::Feed {
                    feed: Feed::Log(Role::Client),
                    state: FeedState::Waiting { .. }
                }
            )
        })
        .await;
    fake.begin_execution("c");
    fake.print("c", &stamp(100), b"*X* 65536\t0.1");
    fake.print(
        "c",
        &stamp(101),
        b"*X* recovered epoch=2 replayed=9 pages=3 from_checkpoint=1 ms=12",
    );
    fake.print("c", &stamp(102), b"*X* 32768\t0.2");
    fake.put_pod(&pod("c", "client", 1, &running()));
    cockpit.hear_line("*X* 32768       0.2").await;
    cockpit
        .hear("news", |fact| {
            matches!(fact, Fact::Round { size: 32768, .. })
        })
        .await;
    assert_eq!(began(&cockpit), [("c".to_owned(), 0), ("c".to_owned(), 1)]);
    let rounds: Vec<(u64, bool)> = cockpit
        .said
        .iter()
        .filter_map(|fact| match fact {
            Fact::Round { size, replayed, .. } => Some((*size, *replayed)),
            _ => None,
        })
        .collect();
    assert_eq!(rounds, [(65536, false), (65536, true), (32768, false)]);
}

#[tokio::test]
async fn a_stream_that_broke_before_the_end_is_finished_from_the_previous_log() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    print_numbered(&fake, "c", 0..10);
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("line 9").await;
    // The node goes silent, the container prints on, dies and starts again.
    fake.state()
        .refusals
        .push((http::Method::GET, "/c/log", 502, "dial tcp: i/o timeout"));
    fake.cut_streams();
    cockpit.hear_broken(Feed::Log(Role::Client)).await;
    print_numbered(&fake, "c", 10..20);
    fake.end_execution("c");
    fake.begin_execution("c");
    print_numbered(&fake, "c", 20..30);
    fake.put_pod(&pod("c", "client", 1, &running()));
    fake.state().refusals.clear();
    cockpit.hear_line("line 29").await;
    assert_eq!(cockpit.log(Role::Client), numbered(0..30));
    assert_eq!(began(&cockpit), [("c".to_owned(), 0), ("c".to_owned(), 1)]);
    assert!(fake.count("previous=true") > 0);
}

#[tokio::test]
async fn a_replacement_pod_joins_by_itself() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("a", "client", 0, &running()));
    print_numbered(&fake, "a", 0..3);
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("line 2").await;
    let mut leaving = pod("a", "client", 0, &running());
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-22T07:41:00Z");
    fake.put_pod(&leaving);
    print_numbered(&fake, "a", 3..5);
    cockpit.hear_line("line 4").await;
    fake.put_pod(&pod(
        "b",
        "client",
        0,
        &json!({"waiting": {"reason": "ContainerCreating"}}),
    ));
    fake.end_execution("a");
    cockpit
        .hear("what it waits for", |fact| {
            matches!(fact, Fact::Feed { state: FeedState::Waiting { what }, .. } if what.contains("ContainerCreating"))
        })
        .await;
    fake.remove_pod("a");
    fake.print("b", &stamp(50), b"*X* 65536\t0.1");
    fake.print("b", &stamp(51), b"it lives");
    fake.put_pod(&pod("b", "client", 0, &running()));
    cockpit.hear_line("it lives").await;
    assert_eq!(began(&cockpit), [("a".to_owned(), 0), ("b".to_owned(), 0)]);
    let last = cockpit.said.iter().flat_map(lines).last().unwrap();
    assert!(last.replayed, "an instance that ran before recovers first");
}

#[tokio::test]
async fn a_pod_whose_node_will_not_let_it_die_does_not_hold_its_replacement_up() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("a", "client", 0, &running()));
    print_numbered(&fake, "a", 0..3);
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("line 2").await;
    // The log of the old one goes on for ever.
    fake.print("b", &stamp(50), b"it lives");
    fake.put_pod(&pod("b", "client", 0, &running()));
    fake.remove_pod("a");
    cockpit.hear_line("it lives").await;
}

#[tokio::test]
async fn a_log_that_ends_without_a_reason_is_opened_again() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    print_numbered(&fake, "c", 0..3);
    fake.end_execution("c");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("line 2").await;
    cockpit
        .hear("a wait", |fact| {
            matches!(
                fact,
                Fact::Feed {
                    feed: Feed::Log(Role::Client),
                    state: FeedState::Waiting { .. }
                }
            )
        })
        .await;
    // It was a proxy that ended it; the container runs on.
    fake.state().logs.get_mut("c").unwrap()[0].ended = false;
    print_numbered(&fake, "c", 3..6);
    cockpit.hear_line("line 5").await;
    assert_eq!(cockpit.log(Role::Client), numbered(0..6));
}

#[tokio::test]
async fn a_container_that_ended_is_read_to_its_end_and_waited_for() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &terminated()));
    print_numbered(&fake, "c", 0..3);
    fake.end_execution("c");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("line 2").await;
    cockpit
        .hear("a wait", |fact| {
            matches!(fact, Fact::Feed { feed: Feed::Log(Role::Client), state: FeedState::Waiting { what } }
                if what.contains("ended with code 137"))
        })
        .await;
    assert_eq!(cockpit.log(Role::Client), numbered(0..3));
}

#[tokio::test]
async fn hostile_lines_are_shown_and_never_samples() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    let mut huge = b"*X* 65536\t0.5".to_vec();
    huge.resize(1 << 20, b'9');
    fake.print("c", &stamp(0), &huge);
    fake.print("c", &stamp(1), b"\xff\xfe\x1b[2J\ttab");
    fake.print("c", &stamp(2), b"*X* -1\t0.5");
    fake.print("c", &stamp(3), b"after");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("after").await;
    let log = cockpit.log(Role::Client);
    assert_eq!(log.len(), 4);
    assert!(
        log[0].ends_with("bytes more)") && log[0].len() < 5000,
        "{}",
        log[0].len()
    );
    assert_eq!(log[1], "\\xff\\xfe␛[2J    tab");
    assert!(
        !cockpit
            .said
            .iter()
            .any(|fact| matches!(fact, Fact::Round { .. }))
    );
}

#[tokio::test]
async fn a_torn_last_line_is_shown_and_believed_nothing() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.print("c", &stamp(0), b"whole");
    fake.state().torn = true;
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("whole").await;
    fake.print("c", &stamp(1), b"Bytes received: 13");
    fake.end_execution("c");
    fake.put_pod(&pod("c", "client", 0, &terminated()));
    cockpit.hear_line("Bytes received: 13").await;
    fake.put_pod(&pod("other", "other", 0, &running()));
    cockpit
        .hear(
            "the pod",
            |fact| matches!(fact, Fact::Pod(pod) if pod.name == "other"),
        )
        .await;
    assert!(
        !cockpit
            .said
            .iter()
            .any(|fact| matches!(fact, Fact::Total { .. }))
    );
}

#[tokio::test]
async fn fifty_thousand_lines_come_in_batches_and_none_is_lost() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.print("c", &stamp(0), b"begin");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_live(Feed::Log(Role::Client)).await;
    {
        let mut state = fake.state();
        let lines = &mut state.logs.get_mut("c").unwrap()[0].lines;
        for i in 0..50_000_u32 {
            let stamp = format!("2026-11-22T07:40:42.{i:09}Z");
            let text = format!("*X* progress epoch=1 call={i} echoed={i} replaying=0");
            lines.push((stamp, text.into_bytes()));
        }
    }
    let printed = std::time::Instant::now();
    fake.print("c", &stamp(3000), b"end");
    cockpit.hear_line("end").await;
    assert_eq!(cockpit.log(Role::Client).len(), 50_002);
    let batches = cockpit
        .said
        .iter()
        .filter(|fact| matches!(fact, Fact::Log { .. }))
        .count();
    assert!(batches < 400, "{batches}");
    // The last progress comes, late but at last.
    cockpit
        .hear(
            "the last progress",
            |fact| matches!(fact, Fact::Progress { progress, .. } if progress.call == 49_999),
        )
        .await;
    let told = cockpit
        .said
        .iter()
        .filter(|fact| matches!(fact, Fact::Progress { .. }))
        .count();
    let seconds = printed.elapsed().as_secs() as usize + 1;
    assert!(told <= 10 * (seconds + 1), "{told} in {seconds} s");
}

#[tokio::test]
async fn lines_reach_the_cockpit_within_milliseconds() {
    let fake = Fake::start().await;
    fake.put_pod(&pod("c", "client", 0, &running()));
    fake.print("c", &stamp(0), b"begin");
    let mut cockpit = Cockpit::at(&fake);
    cockpit.hear_line("begin").await;
    until("the stream is followed", || fake.count("/c/log") == 1).await;
    let mut delays = Vec::new();
    for i in 1..20_u64 {
        let printed = std::time::Instant::now();
        fake.print("c", &stamp(i), format!("line {i}").as_bytes());
        cockpit.hear_line(&format!("line {i}")).await;
        delays.push(printed.elapsed());
    }
    delays.sort_unstable();
    assert!(delays[delays.len() / 2].as_millis() < 20, "{delays:?}");
}

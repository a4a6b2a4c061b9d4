//! Many trials together.

use aks_tui::core::trial::{Fault, State};

use crate::story::{Client, Does, Server, Story, victim};

/// Kills the client for the `id`th time; it comes back after `rto` ms, of which
/// it was held back for `held`.
fn survive(story: &mut Story, id: u32, from: u64, rto: u64, held: u64) {
    let before = id - 1;
    let mib = 100 + u64::from(id) * 10;
    story
        .at(from)
        .injects(id, Fault::ProcessKill, victim(Client, "c", before))
        .at(from + 10)
        .pod(Client, "c", before, Does::Ended(9));
    if held > 0 {
        story.pod(Client, "c", before, Does::HeldBack);
    }
    story
        .at(from + 10 + held)
        .pod(Client, "c", id, Does::RunsReady)
        .at(from + rto)
        .progress(Client, u64::from(id) + 1, mib)
        .at(from + rto + 10)
        .progress(Server, 1, mib + 1);
    assert_eq!(story.state(id), &State::Verified);
}

#[test]
fn percentiles_are_given_with_and_without_back_off() {
    let mut story = Story::of_a_running_workload();
    for (id, rto, held) in [(1, 300, 0), (2, 10_500, 10_000), (3, 20_900, 20_000)] {
        survive(&mut story, id, u64::from(id) * 100_000, rto, held);
    }
    let summary = story.model.ledger.summary();
    assert_eq!((summary.kills, summary.survived, summary.failed), (3, 3, 0));
    let figures = |spread: Option<aks_tui::core::model::ledger::Spread>| {
        let spread = spread.unwrap();
        [spread.p50, spread.p95, spread.max].map(|time| time.as_millis())
    };
    assert_eq!(figures(summary.rto), [10_500, 20_900, 20_900]);
    assert_eq!(figures(summary.rto_without_backoff), [500, 900, 900]);
    assert!(!summary.coarse);
}

#[test]
fn what_failed_counts_as_a_kill_and_what_was_refused_does_not() {
    let mut story = Story::of_a_running_workload();
    survive(&mut story, 1, 10_000, 300, 0);
    story.at(20_000).refused(2, "read-only");
    story
        .at(30_000)
        .injects(3, Fault::ProcessKill, victim(Client, "c", 1))
        .at(150_000)
        .deadline(3);
    let summary = story.model.ledger.summary();
    assert_eq!((summary.kills, summary.survived, summary.failed), (2, 1, 1));
    assert_eq!(summary.rto.unwrap().max.as_millis(), 300);
}

#[test]
fn an_open_trial_is_neither_survived_nor_failed() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Server);
    let summary = story.model.ledger.summary();
    assert_eq!((summary.kills, summary.survived, summary.failed), (1, 0, 0));
    assert_eq!(story.model.ledger.open().unwrap().id.0, 1);
    assert_eq!(summary.rto, None);
}

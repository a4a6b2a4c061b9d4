//! Trials of faults that last until they are healed.

use aks_tui::core::{
    event::Fact,
    time::Time,
    trial::{Fault, Phase, State},
};

use crate::story::{Client, Does, Server, Story, pod, victim};

fn stopped(role: aks_tui::core::workload::Role) -> Story {
    let mut story = Story::of_a_running_workload();
    let name = &role.name()[..1];
    story
        .at(2_000)
        .injects(1, Fault::ProcessStop, victim(role, name, 0));
    story
}

#[test]
fn a_stopped_server_is_seen_whole() {
    let mut story = stopped(Server);
    story.at(2_100).progress(Client, 1, 104);
    assert_eq!(story.state(1), &State::Injected);
    story.at(2_200).progress(Client, 1, 104);
    story.at(3_150).stood_still(1, 2_100);
    assert_eq!(story.state(1), &State::Stalled);
    story.at(11_900).progress(Client, 1, 104);
    story.at(12_000).heal_sent(1);
    assert_eq!(story.state(1), &State::Healed);
    // The client speaks at once when the first new echo comes, and before the
    // command that let the server go has answered.
    story.at(12_040).progress(Client, 1, 105);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(12_060).healed(1);
    story.at(12_100).progress(Server, 1, 106);
    assert_eq!(story.state(1), &State::Verified);

    let trial = story.trial(1);
    assert!(trial.survived() && !trial.is_unhealed() && !trial.coarse);
    assert_eq!(trial.epoch_after, None, "nobody died");
    assert_eq!(trial.marks.restarted, None);
    assert_eq!(story.rto(1), Some(10_040));
    let from_heal = trial.recovery_time_from_heal().unwrap();
    assert_eq!(from_heal.as_millis(), 40);
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 100),
            (Phase::Hold, 9_900),
            (Phase::Recover, 40)
        ]
    );
    let summary = story.model.ledger.summary();
    assert_eq!(summary.rto_from_heal.unwrap().p50.as_millis(), 40);
    assert_eq!(summary.rto.unwrap().p50.as_millis(), 10_040);
}

/// What it did before it was stopped, it tells when it is let go.
#[test]
fn the_first_words_of_a_client_that_was_stopped_prove_nothing() {
    let mut story = stopped(Client);
    story.at(12_000).heal_sent(1).at(12_030).healed(1);
    story.at(12_050).progress(Client, 1, 103);
    assert_eq!(story.state(1), &State::Healed);
    let stalled = story.trial(1).marks.stalled;
    assert_eq!(stalled, Some(Time::from_millis(2_000)), "implied");
    story.at(12_150).progress(Client, 1, 104);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(12_200).progress(Server, 1, 105);
    assert!(story.trial(1).survived());
    assert_eq!(story.rto(1), Some(10_150));
}

#[test]
fn no_work_before_the_heal_is_a_recovery() {
    let mut story = stopped(Server);
    // The fault did not hold: work goes on all the time.
    for ms in (2_100..12_000).step_by(100) {
        story.at(ms).progress(Client, 1, ms);
        story.at(ms + 5).progress(Server, 1, ms + 1);
    }
    assert_eq!(story.state(1), &State::Injected);
    assert_eq!(story.trial(1).marks.stalled, None);
    story.at(12_000).heal_sent(1).healed(1);
    story.at(12_100).progress(Client, 1, 12_100);
    assert_eq!(
        story.state(1),
        &State::Healed,
        "done before the heal, maybe"
    );
    story.at(12_200).progress(Client, 1, 12_200);
    story.at(12_300).progress(Server, 1, 12_300);
    assert!(story.trial(1).survived());
    assert_eq!(
        story.phases(1),
        [(Phase::Hold, 10_000), (Phase::Recover, 200)]
    );
}

/// A liveness probe kills it before it is let go: then it is a death like any
/// other, and the old life proves nothing.
#[test]
fn who_is_killed_for_standing_still_must_restart() {
    let mut story = stopped(Server);
    story.at(3_100).stood_still(1, 2_050);
    story.at(5_000).pod(Server, "s", 0, Does::Ended(9));
    assert_eq!(story.state(1), &State::Down);
    story.at(5_500).pod(Server, "s", 1, Does::RunsReady);
    story.at(5_600).progress(Client, 1, 101);
    assert_eq!(story.state(1), &State::Ready, "an old echo");
    story.at(5_700).progress(Server, 2, 102);
    story.at(5_800).progress(Client, 1, 103);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(5_900).progress(Server, 2, 104);
    assert!(story.trial(1).survived());
    assert_eq!(story.rto(1), Some(3_800));
    assert_eq!(story.trial(1).recovery_time_from_heal(), None);
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 50),
            (Phase::Hold, 2_950),
            (Phase::Restart, 500),
            (Phase::Ready, 0),
            (Phase::Recover, 300)
        ]
    );
    // It is over, and still to be healed: at once.
    assert!(story.trial(1).is_unhealed());
    assert_eq!(story.trial(1).heal_due(), Some(Time::ZERO));
    assert!(story.model.ledger.unhealed().is_some());
    story.at(6_000).heal_sent(1).healed(1);
    assert!(story.model.ledger.unhealed().is_none());
    assert!(story.trial(1).survived(), "the verdict stands");
    assert_eq!(story.rto(1), Some(3_800));
}

#[test]
fn a_fault_that_was_refused_needs_no_heal() {
    let mut story = stopped(Server);
    assert!(story.model.ledger.unhealed().is_some());
    story.at(2_100).refused(1, "kill: not permitted");
    assert!(story.model.ledger.unhealed().is_none());
    // An answer that comes after the fault was seen to hold refuses nothing.
    let mut story = stopped(Server);
    story
        .at(3_100)
        .stood_still(1, 2_100)
        .refused(1, "timed out");
    assert_eq!(story.state(1), &State::Stalled);
    assert!(story.model.ledger.unhealed().is_some());
}

#[test]
fn who_does_not_come_back_after_the_heal_is_not_survived() {
    let mut story = stopped(Server);
    story.at(3_100).stood_still(1, 2_100);
    story.at(12_000).heal_sent(1).healed(1);
    story.at(140_000).deadline(1);
    assert_eq!(story.state(1), &State::TimedOut);
}

#[test]
fn a_heal_that_did_not_work_out_is_sent_again_and_the_last_counts() {
    let mut story = stopped(Server);
    story.at(2_100).progress(Client, 1, 100);
    story.at(3_100).stood_still(1, 2_000);
    story.at(12_000).heal_sent(1);
    story.at(13_000).progress(Client, 1, 100);
    assert!(story.trial(1).is_unhealed());
    story.at(22_000).heal_sent(1).healed(1);
    story.at(22_100).progress(Client, 1, 101);
    story.at(22_200).progress(Server, 1, 102);
    assert!(story.trial(1).survived());
    let from_heal = story.trial(1).recovery_time_from_heal().unwrap();
    assert_eq!(from_heal.as_millis(), 100);
}

#[test]
fn a_fault_that_outlived_its_cockpit_is_still_to_be_healed() {
    let mut story = stopped(Client);
    story.at(60_000).sees(Fact::CockpitResumed);
    let trial = story.model.ledger.unhealed().unwrap();
    assert!(trial.heal_due().unwrap() < Time::from_millis(60_000));
    story.at(60_100).heal_sent(1).healed(1);
    story.at(60_200).progress(Client, 1, 102);
    story.at(60_300).progress(Client, 1, 103);
    story.at(60_400).progress(Server, 1, 104);
    assert!(story.trial(1).survived() && story.trial(1).interrupted);
    let summary = story.model.ledger.summary();
    assert_eq!((summary.rto, summary.rto_from_heal), (None, None));
}

#[test]
fn the_original_image_is_judged_by_the_first_round_after_the_heal() {
    let mut story = Story::default();
    story.pod(Server, "s", 0, Does::RunsReady);
    story
        .at(2_000)
        .injects(1, Fault::ProcessStop, victim(Server, "s", 0));
    story.at(2_500).round(Client, false);
    assert_eq!(story.state(1), &State::Injected);
    story.at(12_000).heal_sent(1).healed(1);
    story.at(15_000).round(Client, false);
    assert!(story.trial(1).survived() && story.trial(1).coarse);
    assert_eq!(story.rto(1), Some(13_000));
}

/// A container that is killed whole comes back as a killed process does.
#[test]
fn a_killed_container_restarts() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::ContainerKill, victim(Client, "c", 0));
    story.at(2_050).pod(Client, "c", 0, Does::Ended(9));
    story.at(2_200).pod(Client, "c", 1, Does::RunsReady);
    story.at(2_350).progress(Client, 2, 101);
    story.at(2_400).progress(Server, 1, 102);
    assert!(story.trial(1).survived() && !story.trial(1).is_unhealed());
    assert_eq!(story.rto(1), Some(350));
}

fn node_off() -> Story {
    let mut story = Story::of_a_running_workload();
    story.node("n1", true).node("n2", true);
    story
        .at(2_000)
        .injects(1, Fault::NodeOff, victim(Server, "s", 0));
    story
}

fn told_to_go(name: &str) -> Fact {
    let mut pod = pod(Server, name, 0, Does::Runs);
    pod.deleting = true;
    Fact::Pod(Box::new(pod))
}

#[test]
fn a_node_without_power_is_seen_whole() {
    let mut story = node_off();
    story.at(2_100).progress(Client, 1, 102);
    story.at(2_200).progress(Client, 1, 102);
    story.at(3_000).node("n2", false);
    assert_eq!(story.state(1), &State::Injected, "another node");
    story.at(6_000).node("n1", false);
    assert_eq!(story.state(1), &State::NodeDown);
    // Its pod is called unready, and is still the one it was.
    story.at(6_010).pod(Server, "s", 0, Does::Runs);
    assert_eq!(story.state(1), &State::NodeDown);
    story.at(11_000).sees(told_to_go("s"));
    assert_eq!(story.state(1), &State::Down);
    story.at(11_100).pod(Server, "s2", 0, Does::Creates);
    story.at(12_000).pod(Server, "s2", 0, Does::Runs);
    assert_eq!(story.state(1), &State::Restarted);
    story.at(12_500).pod(Server, "s2", 0, Does::RunsReady);
    story.at(12_600).progress(Server, 2, 103);
    story.at(12_700).progress(Client, 1, 104);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(12_800).progress(Server, 2, 105);
    assert!(story.trial(1).survived());
    assert_eq!(story.rto(1), Some(10_700));
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 4_000),
            (Phase::Evict, 5_000),
            (Phase::Restart, 1_000),
            (Phase::Ready, 500),
            (Phase::Recover, 200)
        ]
    );
    // The power comes back when all is over, and changes nothing of it.
    assert_eq!(story.trial(1).heal_due(), Some(Time::ZERO));
    story.at(13_000).heal_sent(1).healed(1).node("n1", true);
    assert!(story.model.ledger.unhealed().is_none());
    assert!(story.trial(1).survived());
    assert_eq!(story.trial(1).marks.healed, None);
}

#[test]
fn an_eviction_that_nobody_saw_is_implied_by_the_replacement() {
    let mut story = node_off();
    story.at(12_000).pod(Server, "s2", 0, Does::RunsReady);
    assert_eq!(story.state(1), &State::Ready);
    story.at(12_100).node("n1", false);
    assert_eq!(story.state(1), &State::Ready, "late news");
    assert_eq!(story.trial(1).heal_due(), None, "not before it is over");
    story.at(12_600).progress(Server, 2, 103);
    story.at(12_700).progress(Client, 1, 104);
    story.at(12_800).progress(Server, 2, 105);
    assert!(story.trial(1).survived());
}

/// Somebody switches it on again before anything was evicted: its pods restart
/// where they are.
#[test]
fn a_node_that_comes_back_restarts_its_pods() {
    let mut story = node_off();
    story.at(6_000).node("n1", false);
    story.at(7_000).heal_sent(1).healed(1).node("n1", true);
    assert_eq!(story.state(1), &State::NodeDown);
    story.at(8_000).pod(Server, "s", 1, Does::RunsReady);
    assert_eq!(story.state(1), &State::Ready);
    story.at(8_500).progress(Server, 2, 101);
    story.at(8_600).progress(Client, 1, 102);
    story.at(8_700).progress(Server, 2, 103);
    assert!(story.trial(1).survived());
    assert_eq!(story.trial(1).epoch_after, Some(2));
}

/// A lossy network slows work down and stops nothing; what counts is the first
/// work after the heal is certain.
#[test]
fn a_network_that_is_only_worse_is_judged_after_its_heal() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::NetworkLoss, victim(Client, "c", 0));
    for ms in (2_100..=12_000).step_by(300) {
        story.at(ms).progress(Client, 1, ms);
    }
    assert_eq!(story.state(1), &State::Injected);
    story.at(12_000).heal_sent(1);
    story.at(12_100).progress(Client, 1, 12_100);
    assert_eq!(story.state(1), &State::Healed, "maybe still lossy");
    story.at(12_500).healed(1);
    story.at(12_600).progress(Client, 1, 12_600);
    assert_eq!(story.state(1), &State::Healed, "done before it was certain");
    story.at(12_700).progress(Client, 1, 12_700);
    story.at(12_800).progress(Server, 1, 12_800);
    assert!(story.trial(1).survived());
    assert_eq!(
        story.phases(1),
        [(Phase::Hold, 10_000), (Phase::Recover, 700)]
    );
}

fn filled() -> Story {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::DiskFill, victim(Server, "s", 0));
    story
}

#[test]
fn a_full_disk_stalls_and_work_goes_on_when_there_is_room() {
    let mut story = filled();
    story.at(2_100).progress(Client, 1, 104);
    assert_eq!(story.state(1), &State::Injected);
    story.at(2_300).volume_full(1);
    assert_eq!(story.state(1), &State::Full);
    story.at(2_400).progress(Client, 1, 105);
    story.at(3_500).stood_still(1, 2_400);
    assert_eq!(story.state(1), &State::Stalled);
    story.at(12_000).heal_sent(1);
    // What needs no room may have been done all the time: it proves nothing.
    story.at(12_040).progress(Client, 1, 106);
    assert_eq!(story.state(1), &State::Healed);
    story.at(12_060).healed(1);
    story.at(12_100).progress(Client, 1, 107);
    story.at(12_150).progress(Client, 1, 108);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(12_200).progress(Server, 1, 109);
    let trial = story.trial(1);
    assert!(trial.survived() && !trial.is_unhealed());
    assert_eq!(trial.epoch_after, None, "nobody died");
    assert_eq!(
        story.phases(1),
        [
            (Phase::Fill, 300),
            (Phase::Detect, 100),
            (Phase::Hold, 9_600),
            (Phase::Recover, story.rto(1).unwrap() - 10_000),
        ]
    );
}

/// Work may stand still before anybody says that the volume is full.
#[test]
fn a_disk_that_is_seen_full_late_was_full_when_work_stood_still() {
    let mut story = filled();
    story.at(2_100).progress(Client, 1, 104);
    story.at(2_200).progress(Client, 1, 104);
    story.at(3_200).stood_still(1, 2_100);
    story.at(3_400).volume_full(1);
    assert_eq!(story.state(1), &State::Stalled);
    story.at(12_000).heal_sent(1).healed(1);
    assert_eq!(
        story.phases(1),
        [(Phase::Fill, 100), (Phase::Detect, 0), (Phase::Hold, 9_900)]
    );
}

#[test]
fn a_program_may_die_of_a_full_disk_and_still_come_back() {
    let mut story = filled();
    story.at(2_200).volume_full(1);
    story.at(2_500).pod(Server, "s", 0, Does::Ended(1));
    assert_eq!(story.state(1), &State::Down);
    story.at(12_000).heal_sent(1).healed(1);
    story.at(12_300).pod(Server, "s", 1, Does::RunsReady);
    story.at(12_600).progress(Server, 2, 101);
    story.at(12_700).progress(Client, 1, 102);
    story.at(12_800).progress(Server, 2, 103);
    assert!(story.trial(1).survived());
    assert_eq!(
        story.phases(1)[..2],
        [(Phase::Fill, 200), (Phase::Detect, 300)]
    );
}

/// A journal of a version that knew no full disk.
#[test]
fn marks_and_victims_of_older_journals_are_read() {
    let mut story = filled();
    story.at(2_200).volume_full(1);
    let mut trial = serde_json::to_value(story.trial(1)).unwrap();
    trial["marks"].as_object_mut().unwrap().remove("full");
    let read: aks_tui::core::trial::Trial = serde_json::from_value(trial).unwrap();
    assert_eq!(read.marks.full, None);
    assert_eq!(read.victim.unwrap().volume, None);
}

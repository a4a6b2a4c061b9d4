//! Single trials.

use aks_tui::core::{
    event::Fact,
    trial::{Fault, Phase, State, TrialId},
};

use crate::story::{Client, Does, Server, Story, pod, victim};

#[test]
fn a_killed_client_is_seen_whole() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    assert_eq!(story.state(1), &State::Injected);
    story.at(2_050).pod(Client, "c", 0, Does::Ended(9));
    assert_eq!(story.state(1), &State::Down);
    story.at(2_200).pod(Client, "c", 1, Does::Runs);
    assert_eq!(story.state(1), &State::Restarted);
    story.at(2_210).pod(Client, "c", 1, Does::RunsReady);
    assert_eq!(story.state(1), &State::Ready);
    story.at(2_300).replays(Client, 2, 90);
    assert_eq!(story.state(1), &State::Ready);
    story.at(2_350).progress(Client, 2, 101);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(2_400).progress(Server, 1, 102);
    assert_eq!(story.state(1), &State::Verified);
    story.sees(Fact::PidAfter {
        trial: TrialId(1),
        pid: 12,
    });

    let trial = story.trial(1);
    assert!(trial.survived() && !trial.coarse && !trial.interrupted);
    assert_eq!((trial.epoch_before, trial.epoch_after), (Some(1), Some(2)));
    assert_eq!(trial.signal_seen, Some(9));
    assert_eq!(trial.pid_after, Some(12));
    assert_eq!(trial.container_after.as_deref(), Some("c/1"));
    assert_eq!(story.rto(1), Some(350));
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 50),
            (Phase::Restart, 150),
            (Phase::Ready, 10),
            (Phase::Recover, 140)
        ]
    );
}

#[test]
fn a_death_that_nobody_saw_is_implied_by_the_restart() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_200).pod(Client, "c", 1, Does::RunsReady);
    assert_eq!(story.state(1), &State::Ready);
    assert_eq!(story.trial(1).signal_seen, Some(9), "the last end tells");
    story
        .at(2_300)
        .progress(Client, 2, 101)
        .at(2_400)
        .progress(Server, 1, 102);
    assert_eq!(story.state(1), &State::Verified);
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 200),
            (Phase::Restart, 0),
            (Phase::Ready, 0),
            (Phase::Recover, 100)
        ]
    );
}

#[test]
fn a_recovery_that_only_the_log_saw_is_a_recovery() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story
        .at(2_200)
        .progress(Client, 2, 101)
        .at(2_250)
        .progress(Server, 1, 102);
    assert_eq!(story.state(1), &State::Verified);
    assert_eq!(story.rto(1), Some(200));
}

#[test]
fn a_readiness_that_is_seen_late_is_no_phase() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_200).replays(Client, 2, 90);
    story.at(2_300).progress(Client, 2, 101);
    story.at(2_350).pod(Client, "c", 1, Does::RunsReady);
    assert_eq!(story.state(1), &State::Recovered, "later marks stand");
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 200),
            (Phase::Restart, 0),
            (Phase::Recover, 100)
        ]
    );
}

#[test]
fn back_off_is_counted_apart_however_often_it_comes() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_100).pod(Client, "c", 0, Does::Ended(9));
    story.at(2_200).pod(Client, "c", 0, Does::HeldBack);
    assert_eq!(story.state(1), &State::Backoff);
    story.at(12_200).pod(Client, "c", 1, Does::Runs);
    assert_eq!(story.state(1), &State::Restarted);
    // It finds its port still taken, dies, and is held back again.
    story.at(12_300).pod(Client, "c", 1, Does::Ended(6));
    assert_eq!(story.state(1), &State::Down);
    story.at(12_400).pod(Client, "c", 1, Does::HeldBack);
    story.at(32_400).pod(Client, "c", 2, Does::RunsReady);
    story.at(32_900).progress(Client, 3, 101);
    story.at(33_000).progress(Server, 1, 102);

    assert_eq!(story.state(1), &State::Verified);
    assert_eq!(story.rto(1), Some(30_900));
    let without = story.trial(1).recovery_time_without_backoff().unwrap();
    assert_eq!(without.as_millis(), 900);
    assert_eq!(story.trial(1).signal_seen, Some(9), "the victim's, not 6");
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 100),
            (Phase::Backoff, 30_000),
            (Phase::Restart, 300),
            (Phase::Ready, 0),
            (Phase::Recover, 500)
        ]
    );
}

#[test]
fn a_deleted_pod_is_replaced_by_another() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::PodDelete, victim(Client, "c", 0));
    story.at(2_050).pod_gone("c");
    assert_eq!(story.state(1), &State::Down);
    story.at(2_100).pod(Client, "c2", 0, Does::Creates);
    assert_eq!(story.state(1), &State::Down);
    story.at(2_200).pod(Client, "c2", 0, Does::RunsReady);
    assert_eq!(story.state(1), &State::Ready);
    story.at(2_300).log_began(Client, "c2", 0);
    story.at(2_400).progress(Client, 2, 101);
    story.at(2_450).progress(Server, 1, 102);
    assert_eq!(story.state(1), &State::Verified);
    assert_eq!(story.trial(1).container_after.as_deref(), Some("c2/0"));
    assert_eq!(story.rto(1), Some(400));
}

#[test]
fn a_replacement_that_runs_before_the_old_pod_is_gone_counts() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::PodDelete, victim(Client, "c", 0));
    story.at(2_050).pod(Client, "c2", 0, Does::Creates);
    assert_eq!(
        story.state(1),
        &State::Injected,
        "a pod that waits says nothing of another's death"
    );
    story.at(2_200).pod(Client, "c2", 0, Does::RunsReady);
    story.at(2_250).pod_gone("c");
    assert_eq!(story.state(1), &State::Ready);
    story.at(2_400).progress(Client, 2, 101);
    assert_eq!(
        story.phases(1),
        [
            (Phase::Detect, 200),
            (Phase::Restart, 0),
            (Phase::Ready, 0),
            (Phase::Recover, 200)
        ]
    );
}

#[test]
fn a_pod_that_was_deleted_before_replaces_nobody() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::PodDelete, victim(Client, "c", 0));
    let mut older = pod(Client, "c0", 0, Does::Runs);
    older.deleting = true;
    story.at(2_010).sees(Fact::Pod(Box::new(older)));
    assert_eq!(story.state(1), &State::Injected);
}

#[test]
fn a_pod_of_the_same_part_is_no_replacement_of_a_killed_process() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_050).pod(Client, "c", 0, Does::Ended(9));
    story.at(2_100).pod(Client, "standby", 0, Does::RunsReady);
    assert_eq!(story.state(1), &State::Down);
    // The node lost the pod altogether: now it is.
    story.at(2_200).pod_gone("c");
    story.at(2_300).pod(Client, "standby", 0, Does::RunsReady);
    assert_eq!(story.state(1), &State::Ready);
}

#[test]
fn a_pod_that_is_missing_from_the_list_is_gone() {
    let mut story = Story::of_a_running_workload();
    story
        .at(2_000)
        .injects(1, Fault::PodDelete, victim(Client, "c", 0));
    story.at(2_100).sees(Fact::PodsListed {
        uids: vec!["uid-s".into(), "uid-c".into()],
    });
    assert_eq!(story.state(1), &State::Injected);
    story.at(2_200).sees(Fact::PodsListed {
        uids: vec!["uid-s".into()],
    });
    assert_eq!(story.state(1), &State::Down);
}

#[test]
fn the_echoes_of_a_killed_server_stand_still_and_then_exceed() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).progress(Client, 1, 150).kills(1, Server);
    story.at(2_100).progress(Client, 1, 152);
    story.at(2_200).progress(Client, 1, 152);
    story.at(2_250).pod(Server, "s", 0, Does::Ended(9));
    story.at(2_300).progress(Client, 1, 152);
    story.at(2_400).pod(Server, "s", 1, Does::RunsReady);
    story.at(2_450).replays(Server, 2, 120);
    story.at(2_500).progress(Client, 1, 152);
    assert_eq!(story.state(1), &State::Ready, "nothing new is done yet");
    story.at(2_550).progress(Server, 2, 153);
    assert_eq!(story.state(1), &State::Ready, "the client has to say so");
    story.at(2_600).progress(Client, 1, 160);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(2_650).progress(Server, 2, 161);
    assert_eq!(story.state(1), &State::Verified);
    assert_eq!(story.rto(1), Some(600));
    assert_eq!(
        story.phases(1)[0],
        (Phase::Detect, 200),
        "its echoes stopped before its end was seen"
    );
}

#[test]
fn an_echo_that_was_on_its_way_when_the_server_died_is_no_recovery() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Server);
    story.at(2_050).pod(Server, "s", 0, Does::Ended(9));
    story.at(2_060).progress(Client, 1, 110);
    story.at(2_200).pod(Server, "s", 1, Does::Runs);
    story.at(2_210).progress(Client, 1, 111);
    story.at(2_300).sees(Fact::Recovered {
        role: Server,
        epoch: 2,
        replayed: 9,
        millis: 3,
    });
    story.at(2_310).progress(Client, 1, 111);
    assert_eq!(story.state(1), &State::Restarted);
    story.at(2_410).progress(Client, 1, 112);
    assert_eq!(story.state(1), &State::Recovered);
}

#[test]
fn an_echo_that_the_client_had_before_it_died_is_no_recovery() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_050).pod(Client, "c", 1, Does::RunsReady);
    // Its last words come late.
    story.at(2_060).progress(Client, 1, 130);
    assert_eq!(story.state(1), &State::Ready);
    story.at(2_200).progress(Client, 2, 130);
    assert_eq!(
        story.state(1),
        &State::Ready,
        "as far as before, not further"
    );
    story.at(2_300).progress(Client, 2, 131);
    assert_eq!(story.state(1), &State::Recovered);
}

#[test]
fn replayed_progress_is_no_recovery() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_100).pod(Client, "c", 1, Does::RunsReady);
    story.at(2_200).replays(Client, 2, 200);
    assert_eq!(story.state(1), &State::Ready);
    story.at(2_300).progress(Client, 2, 201);
    assert_eq!(story.rto(1), Some(300));
}

#[test]
fn a_kill_in_the_middle_of_a_replay_still_asks_for_new_work() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_100).pod(Client, "c", 1, Does::RunsReady);
    story.at(2_200).replays(Client, 2, 20);
    story.at(2_300).deadline(1);
    story
        .at(2_400)
        .injects(2, Fault::ProcessKill, victim(Client, "c", 1));
    story.at(2_500).progress(Client, 3, 60);
    assert_ne!(
        story.state(2),
        &State::Recovered,
        "100 MiB were echoed before the first kill"
    );
    story.at(2_600).progress(Client, 3, 101);
    assert_eq!(story.state(2), &State::Recovered);
}

#[test]
fn the_server_vouches_only_once_it_has_come_as_far() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_200).progress(Client, 2, 120);
    story.at(2_210).progress(Server, 1, 119);
    assert_eq!(story.state(1), &State::Recovered, "an old line, come late");
    story.at(2_310).progress(Server, 1, 121);
    assert_eq!(story.state(1), &State::Verified);
}

#[test]
fn a_refused_fault_killed_nobody() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).refused(1, "forbidden: pods/exec");
    let refused = State::NotInjected {
        reason: "forbidden: pods/exec".into(),
    };
    assert_eq!(story.state(1), &refused);
    assert!(story.trial(1).victim.is_none());
    assert_eq!(story.model.ledger.summary().kills, 0);

    // The clock was started, and then there was nothing to kill.
    story.at(3_000).kills(2, Client);
    story.at(3_100).refused(2, "no process Job in c");
    assert!(!story.trial(2).reached());
    assert_eq!(story.model.ledger.summary().kills, 0);
    assert_eq!(story.model.ledger.open(), None);
    assert_eq!(story.model.ledger.next_id(), TrialId(3));
}

#[test]
fn an_answer_that_comes_after_the_death_refuses_nothing() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_050).pod(Client, "c", 0, Does::Ended(9));
    story.at(2_100).refused(1, "the connection was closed");
    assert_eq!(story.state(1), &State::Down);
    story.at(2_200).progress(Client, 2, 101);
    story.at(2_300).progress(Server, 1, 102);
    story.at(2_400).refused(1, "timed out");
    assert_eq!(story.state(1), &State::Verified);
}

#[test]
fn what_does_not_come_back_in_time_is_not_survived() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_100).pod(Client, "c", 0, Does::Ended(9));
    story.at(100_000).deadline(9);
    assert_eq!(story.state(1), &State::Down, "another trial's deadline");
    story.at(122_000).deadline(1);
    assert_eq!(story.state(1), &State::TimedOut);
    story.at(123_000).progress(Client, 2, 101);
    assert_eq!(story.rto(1), None, "over is over");
}

#[test]
fn a_missing_call_is_lost_and_a_repeated_one_duplicated() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_200).progress(Client, 2, 101);
    story.at(2_250).out_of_order(Server, 7, 10);
    assert_eq!((story.state(1), story.trial(1).lost), (&State::Lost, 3));
    story.at(2_260).out_of_order(Client, 7, 6);
    assert_eq!(story.trial(1).duplicated, 1);
    let summary = story.model.ledger.summary();
    assert_eq!((summary.lost, summary.duplicated), (3, 1));
    assert_eq!((summary.kills, summary.survived, summary.failed), (1, 0, 1));
}

#[test]
fn a_replayed_complaint_is_none() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_100).sees(Fact::OutOfOrder {
        role: Client,
        expected: 7,
        got: 9,
        replayed: true,
    });
    assert_eq!(story.state(1), &State::Injected);
}

#[test]
fn a_loss_that_shows_after_the_verdict_changes_the_verdict() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_200).progress(Client, 2, 101);
    story.at(2_300).progress(Server, 1, 102);
    assert!(story.trial(1).survived());
    story.at(2_350).refused(2, "nothing to kill");
    story.at(2_400).out_of_order(Server, 7, 8);
    assert_eq!(story.state(1), &State::Lost);
    assert_eq!(story.trial(2).lost, 0, "nothing was done to anybody");
}

#[test]
fn a_trial_that_outlived_its_cockpit_is_judged_but_not_timed() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(60_000).sees(Fact::CockpitResumed);
    story.at(60_100).pod(Client, "c", 1, Does::RunsReady);
    story.at(60_200).progress(Client, 2, 900);
    story.at(60_300).progress(Server, 1, 901);
    assert!(story.trial(1).survived() && story.trial(1).interrupted);
    let summary = story.model.ledger.summary();
    assert_eq!((summary.kills, summary.survived), (1, 1));
    assert_eq!(summary.rto, None);
    assert_eq!(summary.rto_without_backoff, None);
}

#[test]
fn a_cockpit_that_dies_between_trials_interrupts_none() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_200).progress(Client, 2, 101);
    story.at(2_300).progress(Server, 1, 102);
    story.at(60_000).sees(Fact::CockpitResumed);
    assert!(!story.trial(1).interrupted);
}

#[test]
fn the_original_image_tells_of_a_recovery_by_its_next_round() {
    let mut story = Story::default();
    story
        .pod(Client, "c", 0, Does::RunsReady)
        .log_began(Client, "c", 0)
        .at(1_000)
        .round(Client, false);
    story.at(2_000).kills(1, Client);
    story.at(2_050).pod(Client, "c", 0, Does::Ended(9));
    story.at(3_000).pod(Client, "c", 1, Does::RunsReady);
    story.at(3_010).round(Client, false);
    assert_eq!(
        story.state(1),
        &State::Ready,
        "the old execution's last word"
    );
    story.at(3_100).log_began(Client, "c", 1);
    story.at(3_200).round(Client, true);
    assert_eq!(story.state(1), &State::Ready, "printed again");
    story.at(9_000).round(Client, false);
    assert_eq!(story.state(1), &State::Verified);
    assert!(story.trial(1).coarse);
    assert_eq!(story.rto(1), Some(7_000));
    assert!(story.model.ledger.summary().coarse);
}

#[test]
fn the_original_server_is_judged_by_the_clients_rounds() {
    let mut story = Story::default();
    story.pod(Server, "s", 0, Does::RunsReady);
    story.at(2_000).kills(1, Server);
    story.at(2_500).round(Client, false);
    assert_eq!(story.state(1), &State::Injected, "it is not dead yet");
    story.at(3_000).pod(Server, "s", 1, Does::RunsReady);
    story.at(9_000).round(Client, false);
    assert_eq!(story.state(1), &State::Verified);
    assert!(story.trial(1).coarse);
}

#[test]
fn a_client_that_was_never_heard_before_its_death_is_known_by_its_log() {
    let mut story = Story::default();
    story
        .pod(Client, "c", 0, Does::RunsReady)
        .at(100)
        .kills(1, Client);
    story.at(200).pod(Client, "c", 1, Does::RunsReady);
    story.at(250).log_began(Client, "c", 1);
    story.at(300).progress(Client, 2, 1);
    assert_eq!(story.state(1), &State::Recovered);
    story.at(350).progress(Server, 1, 2);
    assert_eq!(story.state(1), &State::Verified);
    assert!(!story.trial(1).coarse);
    assert_eq!(story.trial(1).epoch_after, Some(2));
}

#[test]
fn facts_that_overtake_each_other_by_a_hair_make_no_negative_phase() {
    let mut story = Story::of_a_running_workload();
    story.at(2_000).kills(1, Client);
    story.at(2_101).pod(Client, "c", 0, Does::Ended(9));
    story.at(2_100).pod(Client, "c", 1, Does::RunsReady);
    story.at(2_099).progress(Client, 2, 101);
    let total: u128 = story.phases(1).iter().map(|(_, ms)| ms).sum();
    assert_eq!(story.rto(1), Some(total));
    assert_eq!(story.rto(1), Some(101));
}

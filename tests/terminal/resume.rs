//! The cockpit has the property that it demonstrates.

use std::fs;

use rustix::process::Signal;
use termlens::Terminal;

use crate::{
    sandbox::{Sandbox, age, eventually, is_alive, kill as send, run_mark},
    screen::{See, at_work, inject, kill, leave, press, survived, trial},
};

/// Ends the cockpit as nothing can be prepared for.
#[track_caller]
fn kill_cockpit(mut terminal: Terminal) {
    terminal.signal(termlens::Signal::Kill).unwrap();
    terminal.wait_exit().unwrap();
}

/// The process of the run's lab, as the lab says itself.
fn lab_pid(sandbox: &Sandbox) -> i32 {
    let run = sandbox.runs().pop().unwrap();
    let about = fs::read(sandbox.lab(&run).join("state").join("lab.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    about["pid"].as_i64().unwrap() as i32
}

#[test]
fn a_killed_cockpit_comes_back_to_the_same_ledger_and_the_same_lab() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 'p', 1);
    let lab = lab_pid(&sandbox);
    kill_cockpit(terminal);
    assert!(is_alive(lab), "the lab lingers");

    let mut again = sandbox.terminal(&["demo"]);
    // The very first frame knows what was.
    let first = again.see(|_| true);
    assert!(survived(1)(&first), "{}", first.text());
    again.see(at_work);
    assert_eq!(sandbox.runs().len(), 1, "the same run goes on");
    assert_eq!(lab_pid(&sandbox), lab, "the same lab");
    let screen = kill(&mut again, None, 'p', 2);
    assert!(survived(1)(&screen), "{}", screen.text());
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn if_the_lab_died_too_perftest_recovers_from_its_logs() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 'p', 1);
    let lab = lab_pid(&sandbox);
    kill_cockpit(terminal);
    send(lab, Signal::KILL);
    eventually("all pods die with their lab", || {
        sandbox.processes().is_empty()
    });

    let mut again = sandbox.demo();
    assert_eq!(sandbox.runs().len(), 1, "the same run goes on");
    assert_ne!(lab_pid(&sandbox), lab);
    // The third execution: the calls before are replayed, none is made again.
    let screen = kill(&mut again, None, 'p', 2);
    assert!(survived(1)(&screen), "{}", screen.text());
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn a_trial_that_was_open_meanwhile_counts_and_is_not_timed() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    // While the server stands still, no client can recover.
    let servers = sandbox.processes_called("Server");
    assert!(!servers.is_empty());
    for pid in &servers {
        send(*pid, Signal::STOP);
    }
    let clients = sandbox.processes_called("Job");
    inject(&mut terminal, None, 'p');
    terminal.see(|s| trial(s, 1).is_some());
    // A trial begins before the kill is sent.
    eventually("the client is killed", || {
        !clients.iter().any(|pid| is_alive(*pid))
    });
    kill_cockpit(terminal);
    for pid in &servers {
        send(*pid, Signal::CONT);
    }
    let mut again = sandbox.demo();
    let screen = again.see(survived(1));
    let row = trial(&screen, 1).unwrap();
    assert!(row.contains(" – ") && !row.contains("ms"), "{row}");
    let header = screen.row_text(0);
    assert!(
        header.contains("1 survived") && !header.contains("RTO"),
        "{header}"
    );
    let screen = kill(&mut again, None, 'p', 2);
    assert!(screen.row_text(0).contains("RTO p50"), "{}", screen.text());
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn a_fault_that_lasts_is_healed_by_the_next_cockpit() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    inject(&mut terminal, Some('s'), 'z');
    terminal.see(|s| s.contains("stalled, heals in"));
    kill_cockpit(terminal);
    let mut again = sandbox.terminal(&["demo"]);
    let screen = again.see(survived(1));
    let row = trial(&screen, 1).unwrap();
    assert!(row.contains("STOP") && !row.contains("ms"), "{row}");
    again.see(at_work);
    leave(again);
    sandbox.assert_clean();
}

/// What fills a disk is no child of the cockpit; the next one ends it.
#[test]
fn a_full_disk_is_healed_by_the_next_cockpit() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    inject(&mut terminal, Some('s'), 'f');
    terminal.see(|s| s.contains("stalled, heals in"));
    kill_cockpit(terminal);
    let mut again = sandbox.terminal(&["demo"]);
    let screen = again.see(survived(1));
    let row = trial(&screen, 1).unwrap();
    assert!(row.contains("disk") && !row.contains("ms"), "{row}");
    again.see(at_work);
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn a_lab_that_dies_under_the_cockpit_is_started_again() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 'p', 1);
    send(lab_pid(&sandbox), Signal::KILL);
    terminal.see(|s| s.row_text(0).contains("STALE") && s.row_text(0).contains("retry in"));
    terminal.see(at_work);
    kill(&mut terminal, Some('s'), 'p', 2);
    leave(terminal);
    sandbox.assert_clean();
}

#[test]
fn a_finished_run_is_listed_and_shown_again() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 'p', 1);
    leave(terminal);
    let run = sandbox.runs().pop().unwrap();

    let listed = sandbox.command(&["runs", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["run"], run.as_str(), "{listed:#}");
    assert_eq!(listed[0]["state"], "ended", "{listed:#}");
    assert_eq!(listed[0]["survived"], 1, "{listed:#}");

    for args in [
        &["replay", &run, "--speed", "0"][..],
        &["replay", "--speed", "1000"],
    ] {
        let mut replay = sandbox.terminal(args);
        let screen = replay.see(survived(1));
        assert!(
            screen.row_text(0).contains("1 survived"),
            "{}",
            screen.text()
        );
        replay.see(|s| s.row_text(0).contains("run ended"));
        press(&mut replay, 'x', |s| s.contains("nothing is killed"));
        leave(replay);
    }
    let wrong = sandbox
        .command(&["replay", "20260101-000000-aaaa"])
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 1, "looking at a run records none");
}

#[test]
fn a_plain_cockpit_only_mentions_the_unfinished_demo() {
    let sandbox = Sandbox::new();
    kill_cockpit(sandbox.demo());
    let mut plain = sandbox.terminal(&["--kubeconfig", "/nonexistent"]);
    plain.see(|s| s.contains("was not finished"));
    // Even one that is killed itself does not come before the demo.
    kill_cockpit(plain);
    let again = sandbox.demo();
    assert_eq!(
        sandbox.runs().len(),
        2,
        "the demo's and the plain cockpit's"
    );
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn a_journal_that_is_damaged_does_not_keep_a_new_demo_from_starting() {
    let sandbox = Sandbox::new();
    kill_cockpit(sandbox.demo());
    let run = sandbox.runs().pop().unwrap();
    let journal = sandbox
        .path("state")
        .join("runs")
        .join(format!("{run}.jsonl"));
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(&journal, bytes).unwrap();

    let mut again = sandbox.terminal(&["demo"]);
    again.see(|s| s.contains("cannot be taken up"));
    again.see(at_work);
    assert_eq!(sandbox.runs().len(), 2);
    leave(again);
}

#[test]
fn what_long_dead_demos_left_is_put_away_by_the_next() {
    let sandbox = Sandbox::new();
    let dead = "20200101-000000-dead";
    let dir = sandbox.lab(dead);
    fs::create_dir_all(dir.join("state").join("node")).unwrap();
    fs::write(dir.join("lab.log"), "").unwrap();
    age(&dir.join("lab.log"));
    let mut orphan = std::process::Command::new("sleep")
        .arg("600")
        .envs([run_mark(dead).split_once('=').unwrap()])
        .spawn()
        .unwrap();
    // Nobody knows whose this is.
    let strange = sandbox.lab("strange");
    fs::create_dir_all(&strange).unwrap();
    fs::write(strange.join("thesis.txt"), "").unwrap();

    let terminal = sandbox.demo();
    assert!(!dir.exists());
    assert!(strange.join("thesis.txt").exists());
    assert!(!orphan.wait().unwrap().success());
    leave(terminal);
    fs::remove_dir_all(strange.parent().unwrap()).unwrap();
    sandbox.assert_clean();
}

//! The cockpit has the property that it demonstrates.

use termlens::{Key, Signal};

use crate::sandbox::{Sandbox, at_work, eventually, leave, press};

#[test]
fn a_killed_cockpit_comes_back_to_the_same_ledger_and_the_same_lab() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    press(&mut terminal, 'x', |s| s.contains("kill -9"));
    press(&mut terminal, 'p', |s| {
        s.contains("#1") && s.contains("survived")
    });
    let lab = sandbox.processes();
    terminal.signal(Signal::Kill).unwrap();
    terminal.wait_exit().unwrap();
    assert!(!sandbox.processes().is_empty(), "the lab lingers");

    let mut again = sandbox.demo();
    assert_eq!(sandbox.runs().len(), 1, "the same run goes on");
    let screen = again.screen().text();
    assert!(
        screen.contains("#1") && screen.contains("survived"),
        "the same ledger:\n{screen}"
    );
    let now = sandbox.processes();
    assert!(
        lab.iter().any(|pid| now.contains(pid)),
        "the same lab: {lab:?} {now:?}"
    );
    press(&mut again, 'x', |s| s.contains("kill -9"));
    press(&mut again, 'p', |s| {
        s.contains("#2") && s.text().matches("survived").count() >= 2
    });
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn if_the_lab_died_too_perftest_recovers_from_its_logs() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    terminal.signal(Signal::Kill).unwrap();
    terminal.wait_exit().unwrap();
    for pid in sandbox.processes() {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        // A child of one that was killed may be gone already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    eventually("all are dead", || sandbox.processes().is_empty());

    let mut again = sandbox.demo();
    assert_eq!(sandbox.runs().len(), 1, "the same run goes on");
    press(&mut again, 'x', |s| s.contains("kill -9"));
    press(&mut again, 'p', |s| {
        s.contains("#1") && s.contains("survived")
    });
    leave(again);
    sandbox.assert_clean();
}

#[test]
fn a_finished_run_is_listed_and_shown_again() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    press(&mut terminal, 'x', |s| s.contains("kill -9"));
    press(&mut terminal, 'p', |s| {
        s.contains("#1") && s.contains("survived")
    });
    leave(terminal);

    let listed = sandbox.command(&["runs"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&sandbox.runs()[0]), "{listed}");

    let mut replay = sandbox.terminal(&["replay", &sandbox.runs()[0], "--speed", "0"]);
    replay
        .wait_until(|s| s.contains("#1") && s.contains("survived"))
        .unwrap();
    replay.send(Key::Char('x')).unwrap();
    replay
        .wait_until(|s| s.contains("nothing is killed"))
        .unwrap();
    leave(replay);
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 1, "looking at a run records none");
}

#[test]
fn a_plain_cockpit_only_mentions_the_unfinished_demo() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    terminal.signal(Signal::Kill).unwrap();
    terminal.wait_exit().unwrap();
    let mut plain = sandbox.terminal(&["--kubeconfig", "/nonexistent"]);
    plain.wait_until(|s| s.contains("not finished")).unwrap();
    leave(plain);
    let mut again = sandbox.demo();
    again.wait_until(at_work).unwrap();
    leave(again);
    sandbox.assert_clean();
}

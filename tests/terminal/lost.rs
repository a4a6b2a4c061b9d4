//! A terminal that is gone: its window was closed, its connection dropped.

use rustix::process::Signal;
use termlens::Terminal;

use crate::{
    bare::Bare,
    sandbox::{self, GENTLE, PROGRAM, Sandbox, eventually, is_alive},
    screen::{See, at_work, kill, leave, survived},
};

#[test]
fn a_terminal_that_ends_without_a_signal_ends_the_cockpit_and_not_the_lab() {
    let sandbox = Sandbox::new();
    let mut terminal = Bare::demo(&sandbox, 120, 36);
    terminal.read_until_shown((120, 36), "its pods", |text| text.contains("Running"));
    let mut cockpit = terminal.close();

    let mut code = None;
    eventually("the cockpit leaves", || {
        code = cockpit.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.unwrap().code(), Some(129));
    assert!(!sandbox.processes().is_empty(), "the lab lingers");

    let mut again = sandbox.demo();
    assert_eq!(sandbox.runs().len(), 1, "the same run goes on");
    kill(&mut again, None, 'p', 1);
    leave(again);
    sandbox.assert_clean();
}

/// The window of an interactive shell is closed while the demo runs in it.
#[test]
fn a_closed_window_ends_the_cockpit_and_not_the_lab() {
    let sandbox = Sandbox::new();
    let mut shell = sandbox.interactive_shell();
    let cockpit = demo_in(&mut shell);
    kill(&mut shell, None, 'p', 1);
    let shell_pid = shell.pid().unwrap();
    // As terminals do. That the terminal's end closes too is not enough: a process
    // that another test started just then may hold a copy of it.
    sandbox::kill(shell_pid.cast_signed(), Signal::HUP);
    drop(shell);

    eventually("the cockpit leaves", || !is_alive(cockpit));
    assert!(!sandbox.processes().is_empty(), "the lab lingers");
    let mut again = sandbox.demo();
    again.see(survived(1));
    leave(again);
    sandbox.assert_clean();
}

/// A shell that dies with its window takes the terminal first, and the cockpit
/// is told to leave from where it may not touch it any more.
#[test]
fn a_cockpit_whose_shell_has_taken_the_terminal_leaves_all_the_same() {
    let sandbox = Sandbox::new();
    let mut shell = sandbox.interactive_shell();
    let cockpit = demo_in(&mut shell);
    sandbox::kill(cockpit, Signal::STOP);
    shell.wait_until(|s| s.contains("Stopped")).unwrap();

    sandbox::kill(cockpit, Signal::TERM);
    sandbox::kill(cockpit, Signal::CONT);
    eventually("the cockpit leaves", || !is_alive(cockpit));
    drop(shell);
    sandbox.assert_clean();
}

/// Starts the demo in an interactive shell and returns its pid.
#[track_caller]
fn demo_in(shell: &mut Terminal) -> i32 {
    let load = GENTLE.join(" ");
    shell.send_str(&format!("{PROGRAM} demo {load}\r")).unwrap();
    shell.see(at_work);
    let pid = shell.pid().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.unwrap().trim().parse().unwrap()
}

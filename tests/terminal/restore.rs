//! The terminal is given back as it was found, on every way out.

use termlens::{Key, Screen, Terminal};

use crate::sandbox::{PROGRAM, Sandbox, at_work, eventually};

/// A shell that prints the terminal's settings before and after the program.
fn shell_around(sandbox: &Sandbox, program: &str) -> Terminal {
    let script =
        format!("echo before=$(stty -g); {program}; echo code=$?; echo after=$(stty -g); cat");
    sandbox.run("/bin/sh", &["-c", &script])
}

fn setting(screen: &Screen, when: &str) -> Option<String> {
    let text = screen.logical_text();
    let at = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(when).map(str::to_owned))?;
    at.strip_prefix('=').map(str::to_owned)
}

/// Every mode that the cockpit switches on is off, and the settings are as before.
#[track_caller]
fn assert_restored(terminal: &mut Terminal) {
    terminal
        .wait_until(|s| setting(s, "after").is_some_and(|after| after.len() > 20))
        .unwrap();
    let screen = terminal.screen();
    let shown = screen.full_text();
    assert_eq!(
        setting(&screen, "before"),
        setting(&screen, "after"),
        "termios\n{shown}"
    );
    assert!(!screen.alternate_screen(), "alternate screen\n{shown}");
    assert!(screen.cursor_visible(), "cursor\n{shown}");
    assert!(!screen.bracketed_paste(), "bracketed paste\n{shown}");
    assert!(
        screen.mouse_modes().is_empty(),
        "mouse: {:?}\n{shown}",
        screen.mouse_modes()
    );
}

/// The cockpit's process: the newest child of the shell.
fn cockpit(terminal: &Terminal) -> rustix::process::Pid {
    let shell = terminal.pid().unwrap();
    let mut found = None;
    eventually("the shell has a child", || {
        found = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))
            .ok()
            .and_then(|children| children.split_whitespace().last()?.parse().ok())
            .and_then(rustix::process::Pid::from_raw);
        found.is_some()
    });
    found.unwrap()
}

fn demo_in_shell(sandbox: &Sandbox) -> Terminal {
    let load = crate::sandbox::GENTLE.join(" ");
    let mut terminal = shell_around(sandbox, &format!("{PROGRAM} demo {load} --linger 5"));
    terminal
        .wait_until(|s| s.alternate_screen() && at_work(s))
        .unwrap();
    terminal
}

#[test]
fn after_quit() {
    let sandbox = Sandbox::new();
    let mut terminal = demo_in_shell(&sandbox);
    terminal.send(Key::Char('q')).unwrap();
    assert_restored(&mut terminal);
    assert!(terminal.screen().contains("code=0"));
    sandbox.assert_clean();
}

#[test]
fn after_sigterm_with_the_lab_put_away() {
    let sandbox = Sandbox::new();
    let mut terminal = demo_in_shell(&sandbox);
    rustix::process::kill_process(cockpit(&terminal), rustix::process::Signal::TERM).unwrap();
    assert_restored(&mut terminal);
    sandbox.assert_clean();
}

#[test]
fn after_sighup_with_the_lab_left_to_linger() {
    let sandbox = Sandbox::new();
    let mut terminal = demo_in_shell(&sandbox);
    rustix::process::kill_process(cockpit(&terminal), rustix::process::Signal::HUP).unwrap();
    assert_restored(&mut terminal);
    assert!(
        !sandbox.processes().is_empty(),
        "the lab waits for the next cockpit"
    );
    eventually("the lab ends by itself", || sandbox.processes().is_empty());
}

#[test]
fn after_a_panic_anywhere_in_the_cockpit() {
    let sandbox = Sandbox::new();
    let mut terminal = shell_around(&sandbox, &format!("{PROGRAM} panic-on-screen"));
    assert_restored(&mut terminal);
    let screen = terminal.screen();
    assert!(
        screen.full_text().contains("panicked on purpose"),
        "{}",
        screen.full_text()
    );
    assert!(screen.contains("code=101"), "{}", screen.text());
}

#[test]
fn around_suspend() {
    let sandbox = Sandbox::new();
    let load = crate::sandbox::GENTLE.join(" ");
    let mut shell = sandbox.run("/bin/bash", &["--norc", "-i"]);
    shell
        .send_str(&format!("PS1='ready> '; {PROGRAM} demo {load}\r"))
        .unwrap();
    shell
        .wait_until(|s| s.alternate_screen() && at_work(s))
        .unwrap();
    shell.send(Key::Char('z').ctrl()).unwrap();
    shell
        .wait_until(|s| !s.alternate_screen() && s.contains("Stopped"))
        .unwrap();
    assert!(shell.screen().mouse_modes().is_empty() && shell.screen().cursor_visible());
    shell.send_str("fg\r").unwrap();
    shell
        .wait_until(|s| s.alternate_screen() && at_work(s))
        .unwrap();
    shell.send(Key::Char('q')).unwrap();
    shell.wait_until(|s| !s.alternate_screen()).unwrap();
    shell.send_str("exit\r").unwrap();
    shell.wait_exit().unwrap();
    sandbox.assert_clean();
}

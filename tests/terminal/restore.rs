//! The terminal is given back as it was found, on every way out.

use rustix::process::Signal;
use termlens::{Key, Screen, Terminal};

use crate::{
    sandbox::{GENTLE, PROGRAM, Sandbox, eventually, kill},
    screen::{See, at_work},
};

/// A shell that prints the terminal's settings before and after the program.
fn shell_around(sandbox: &Sandbox, program: &str) -> Terminal {
    let script =
        format!("echo before=$(stty -g); {program}; echo code=$?; echo after=$(stty -g); cat");
    sandbox.run("/bin/sh", &["-c", &script])
}

/// What the shell printed after `name=`.
fn printed(screen: &Screen, name: &str) -> Option<String> {
    let text = screen.logical_text();
    let mut lines = text.lines();
    lines.find_map(|line| {
        line.trim()
            .strip_prefix(name)?
            .strip_prefix('=')
            .map(str::to_owned)
    })
}

/// Every mode that the cockpit switches on is off, and the settings are as before.
#[track_caller]
fn assert_restored(terminal: &mut Terminal, code: &str) -> Screen {
    // The settings are nineteen numbers; half a line is not compared.
    terminal
        .wait_until(|s| printed(s, "after").is_some_and(|after| after.split(':').count() > 20))
        .unwrap();
    let screen = terminal.screen();
    let shown = screen.full_text();
    assert_eq!(
        printed(&screen, "before"),
        printed(&screen, "after"),
        "termios\n{shown}"
    );
    assert_eq!(printed(&screen, "code").as_deref(), Some(code), "{shown}");
    assert_modes_off(&screen);
    screen
}

#[track_caller]
fn assert_modes_off(screen: &Screen) {
    let shown = screen.full_text();
    assert!(!screen.alternate_screen(), "alternate screen\n{shown}");
    assert!(screen.cursor_visible(), "cursor\n{shown}");
    assert!(!screen.bracketed_paste(), "bracketed paste\n{shown}");
    assert!(!screen.focus_events(), "focus events\n{shown}");
    assert!(!screen.application_cursor(), "cursor keys\n{shown}");
    let mouse = screen.mouse_modes();
    assert!(mouse.is_empty(), "mouse: {mouse:?}\n{shown}");
}

/// The cockpit's process: the shell's child.
fn cockpit(terminal: &Terminal) -> i32 {
    let shell = terminal.pid().unwrap();
    let children = format!("/proc/{shell}/task/{shell}/children");
    let mut found = None;
    eventually("the shell has a child", || {
        let children = std::fs::read_to_string(&children).unwrap_or_default();
        found = children
            .split_whitespace()
            .last()
            .and_then(|pid| pid.parse().ok());
        found.is_some()
    });
    found.unwrap()
}

fn demo_in_shell(sandbox: &Sandbox) -> Terminal {
    let load = GENTLE.join(" ");
    let mut terminal = shell_around(sandbox, &format!("{PROGRAM} demo {load} --linger 1"));
    let screen = terminal.see(at_work);
    assert!(
        screen.alternate_screen() && screen.bracketed_paste() && !screen.mouse_modes().is_empty(),
        "there is something to restore"
    );
    terminal
}

#[test]
fn after_quit() {
    let sandbox = Sandbox::new();
    let mut terminal = demo_in_shell(&sandbox);
    terminal.send(Key::Char('q')).unwrap();
    assert_restored(&mut terminal, "0");
    sandbox.assert_clean();
}

#[test]
fn after_sigterm_and_sigint_with_the_lab_put_away() {
    for signal in [Signal::TERM, Signal::INT] {
        let sandbox = Sandbox::new();
        let mut terminal = demo_in_shell(&sandbox);
        kill(cockpit(&terminal), signal);
        assert_restored(&mut terminal, "0");
        sandbox.assert_clean();
    }
}

#[test]
fn after_sighup_with_the_lab_left_to_linger() {
    let sandbox = Sandbox::new();
    let mut terminal = demo_in_shell(&sandbox);
    kill(cockpit(&terminal), Signal::HUP);
    assert_restored(&mut terminal, "129");
    assert!(
        !sandbox.processes().is_empty(),
        "the lab waits for the next cockpit"
    );
    eventually("the lab ends by itself", || sandbox.processes().is_empty());
}

#[test]
fn after_a_panic_on_whichever_thread() {
    let sandbox = Sandbox::new();
    for program in ["panic-on-screen", "panic-on-screen --elsewhere"] {
        let mut terminal = shell_around(&sandbox, &format!("{PROGRAM} {program}"));
        let screen = assert_restored(&mut terminal, "101");
        let shown = screen.full_text();
        assert!(shown.contains("panicked on purpose"), "{shown}");
    }
    // A terminal that somebody else spoilt meanwhile is not ours to repair.
    sandbox.assert_clean();
}

#[test]
fn around_suspend() {
    let sandbox = Sandbox::new();
    let load = GENTLE.join(" ");
    let mut shell = sandbox.interactive_shell();
    // A wrapper in the same job, as `cargo run` is one.
    shell
        .send_str(&format!("sh -c '{PROGRAM} demo {load}; echo code=$?'\r"))
        .unwrap();
    shell.see(at_work);
    for _ in 0..2 {
        shell.send(Key::Ctrl('z')).unwrap();
        shell
            .wait_until(|s| !s.alternate_screen() && s.contains("Stopped"))
            .unwrap();
        assert_modes_off(&shell.screen());
        shell
            .send_str("clear; echo the-shell-$((40+2))-works\r")
            .unwrap();
        shell
            .wait_until(|s| s.contains("the-shell-42-works"))
            .unwrap();
        shell.send_str("clear; fg\r").unwrap();
        shell.see(|s| s.alternate_screen() && at_work(s));
    }
    shell.send(Key::Char('q')).unwrap();
    shell
        .wait_until(|s| !s.alternate_screen() && s.contains("code=0"))
        .unwrap();
    shell.send_str("exit\r").unwrap();
    shell.wait_exit().unwrap();
    sandbox.assert_clean();
}

/// Where no shell could ever continue it, Ctrl-z would be the end.
#[test]
fn without_a_shell_it_does_not_stop() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    terminal.send(Key::Ctrl('z')).unwrap();
    let screen = terminal.see(|s| s.contains("not stopped"));
    assert!(screen.alternate_screen());
    crate::screen::leave(terminal);
    sandbox.assert_clean();
}

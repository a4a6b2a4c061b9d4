//! The story that the cockpit exists for.

use termlens::{Key, Terminal};

use crate::sandbox::{Sandbox, at_work, leave, press};

/// Kills through the fault menu and waits until the ledger says how it went.
#[track_caller]
fn kill(terminal: &mut Terminal, aim: Option<char>, fault: char, trial: usize) {
    press(terminal, 'x', |s| {
        s.contains("kill -9") && s.contains("generated-perftestclient-")
    });
    if let Some(side) = aim {
        press(terminal, side, |s| s.contains("generated-perftestserver-"));
    }
    terminal.send(Key::Char(fault)).unwrap();
    let row = format!("#{trial}");
    terminal
        .wait_until(|s| {
            s.text().lines().any(|line| {
                line.contains(&row) && line.contains("0 lost") && line.contains("survived")
            })
        })
        .unwrap();
}

#[test]
fn the_client_is_killed_and_comes_back_with_nothing_lost() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 'p', 1);
    let screen = terminal.screen().text();
    assert!(
        screen.contains("1/1") || screen.contains("1 kill"),
        "the header counts:\n{screen}"
    );
    leave(terminal);
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 1, "the journal is kept");
}

#[test]
fn the_plain_kill_the_deleted_pod_and_the_server_are_survived_too() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 't', 1);
    terminal.wait_until(at_work).unwrap();
    kill(&mut terminal, None, 'd', 2);
    terminal.wait_until(at_work).unwrap();
    kill(&mut terminal, Some('s'), 'p', 3);
    terminal.wait_until(at_work).unwrap();
    kill(&mut terminal, Some('s'), 'd', 4);
    leave(terminal);
    sandbox.assert_clean();
}

#[test]
fn two_demos_at_once_do_not_know_of_each_other() {
    let (one, other) = (Sandbox::new(), Sandbox::new());
    let (mut first, mut second) = (one.demo(), other.demo());
    kill(&mut first, None, 'p', 1);
    assert!(
        !second.screen().contains("#1"),
        "{}",
        second.screen().text()
    );
    kill(&mut second, None, 'p', 1);
    leave(first);
    one.assert_clean();
    second.wait_until(at_work).unwrap();
    leave(second);
    other.assert_clean();
}

#[test]
fn two_demos_of_one_user_share_a_state_directory() {
    let sandbox = Sandbox::new();
    let (first, second) = (sandbox.demo(), sandbox.demo());
    assert_eq!(sandbox.runs().len(), 2);
    leave(first);
    leave(second);
    sandbox.assert_clean();
}

#[test]
fn help_palette_and_own_log_open_and_close() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    press(&mut terminal, '?', |s| {
        s.contains("Help") && s.contains("fault menu")
    });
    terminal.send(Key::Esc).unwrap();
    terminal.wait_until(|s| !s.contains("Help")).unwrap();
    press(&mut terminal, ':', |s| {
        s.contains("kill_process") || s.contains("kill process")
    });
    terminal.send_str("own log").unwrap();
    terminal.send(Key::Enter).unwrap();
    terminal.wait_until(|s| s.contains("Own log")).unwrap();
    terminal.send(Key::Esc).unwrap();
    terminal
        .wait_until(|s| at_work(s) && !s.contains("Own log"))
        .unwrap();
    leave(terminal);
}

#[test]
fn any_size_down_to_one_cell_is_survived() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    for (cols, rows) in [
        (80, 24),
        (1, 1),
        (240, 60),
        (3, 40),
        (60, 2),
        (20, 5),
        (120, 36),
    ] {
        terminal.resize(cols, rows).unwrap();
        terminal.send(Key::Char('?')).unwrap();
        terminal.send(Key::Esc).unwrap();
    }
    terminal.wait_until(at_work).unwrap();
    leave(terminal);
}

//! The story that the cockpit exists for.

use termlens::{Key, Screen};

use crate::{
    bare::Bare,
    sandbox::{Sandbox, all_listening, ended, eventually},
    screen::{See, at_work, inject, kill, leave, press, survived, trial},
    standalone::Lab,
};

#[test]
fn the_client_is_killed_and_comes_back_with_nothing_lost() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    // The API server's; the workload's too, where its pods have no networks of
    // their own.
    let sockets = sandbox.listening();
    assert!(!sockets.is_empty());
    let screen = kill(&mut terminal, None, 'p', 1);
    let header = screen.row_text(0);
    assert!(header.contains("1 survived"), "{header}");
    assert!(header.contains("0 lost"), "{header}");
    assert!(header.contains("RTO p50"), "{header}");
    terminal.see(at_work);
    leave(terminal);
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 1, "the journal is kept");
    let left: Vec<_> = sockets.intersection(&all_listening()).cloned().collect();
    assert_eq!(left, [], "still listening");
}

#[test]
fn the_plain_kill_the_deleted_pod_and_the_server_are_survived_too() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 't', 1);
    kill(&mut terminal, None, 'd', 2);
    kill(&mut terminal, Some('s'), 'p', 3);
    kill(&mut terminal, Some('s'), 'd', 4);
    leave(terminal);
    sandbox.assert_clean();
}

/// The whole container dies, and a process that stands still comes back as the
/// one it was.
#[test]
fn the_killed_container_and_the_stopped_process_are_survived_too() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    kill(&mut terminal, None, 'a', 1);
    // For two seconds instead of ten.
    press(&mut terminal, 'x', |s| s.contains("SIGSTOP) for 10 s"));
    press(&mut terminal, '-', |s| s.contains("SIGSTOP) for 5 s"));
    press(&mut terminal, '-', |s| s.contains("SIGSTOP) for 2 s"));
    press(&mut terminal, 'z', |s| s.contains("stalled, heals in"));
    let states = |name: &str| states(sandbox.processes_called(name));
    assert_eq!(states("Job"), "T");
    let screen = terminal.see(survived(2));
    assert_ne!(states("Job"), "T");
    let row = trial(&screen, 2).unwrap();
    assert!(row.contains("STOP"), "{row}");
    // The server, healed by hand long before its time.
    inject(&mut terminal, Some('s'), 'z');
    terminal.see(|s| s.contains("stalled, heals in"));
    assert_eq!(states("Server"), "T");
    terminal.send(Key::Char('H')).unwrap();
    terminal.see(survived(3));
    assert_ne!(states("Server"), "T");
    leave(terminal);
    sandbox.assert_clean();
}

/// The states of processes, as the kernel tells them.
fn states(processes: Vec<i32>) -> String {
    let state = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap()[..1].to_owned()
    };
    processes.into_iter().map(state).collect()
}

#[test]
fn a_cockpit_that_leaves_lets_go_whom_it_stopped() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let mut terminal = sandbox.terminal(&["--kubeconfig", lab.kubeconfig()]);
    terminal.see(at_work);
    inject(&mut terminal, None, 'z');
    terminal.see(|s| s.contains("stalled, heals in"));
    assert_eq!(states(lab.processes_called("Job")), "T");
    leave(terminal);
    assert_ne!(states(lab.processes_called("Job")), "T");
    lab.stop();
    sandbox.assert_clean();
}

/// A cockpit that is killed lets go of nobody. The clock that it left beside the
/// stopped process does, a while after the cockpit would have.
#[test]
fn who_was_stopped_by_a_cockpit_that_died_is_let_go_all_the_same() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let mut terminal = sandbox.terminal(&["--kubeconfig", lab.kubeconfig()]);
    terminal.see(at_work);
    press(&mut terminal, 'x', |s| s.contains("SIGSTOP) for 10 s"));
    press(&mut terminal, '-', |s| s.contains("SIGSTOP) for 5 s"));
    press(&mut terminal, '-', |s| s.contains("SIGSTOP) for 2 s"));
    press(&mut terminal, 'z', |s| s.contains("stalled, heals in"));
    terminal.signal(termlens::Signal::Kill).unwrap();
    terminal.wait_exit().unwrap();
    assert_eq!(states(lab.processes_called("Job")), "T");
    eventually("it is let go", || {
        states(lab.processes_called("Job")) != "T"
    });
    lab.stop();
    sandbox.assert_clean();
}

#[test]
fn two_demos_at_once_do_not_know_of_each_other() {
    let (one, other) = (Sandbox::new(), Sandbox::new());
    let (mut first, mut second) = (one.demo(), other.demo());
    kill(&mut first, None, 'p', 1);
    assert!(
        !second.screen().contains("survived"),
        "{}",
        second.screen().text()
    );
    kill(&mut second, None, 'p', 1);
    leave(first);
    one.assert_clean();
    // The second goes on as before.
    kill(&mut second, None, 'p', 2);
    leave(second);
    other.assert_clean();
}

#[test]
fn two_demos_of_one_user_share_a_state_directory() {
    let sandbox = Sandbox::new();
    let mut first = sandbox.demo();
    let second = sandbox.demo();
    assert_eq!(sandbox.runs().len(), 2);
    leave(second);
    kill(&mut first, None, 'p', 1);
    leave(first);
    sandbox.assert_clean();
}

#[test]
fn help_palette_and_own_log_open_and_close() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    press(&mut terminal, '?', |s| {
        s.contains("Help: ") && s.contains("open the fault menu")
    });
    terminal.send(Key::Esc).unwrap();
    terminal.see(|s| !s.contains("Help: "));
    press(&mut terminal, ':', |s| s.contains("kill process"));
    terminal.send_str("own log").unwrap();
    terminal.see(|s| s.contains("▸ own log"));
    terminal.send(Key::Enter).unwrap();
    terminal.see(|s| s.contains("Own log") && s.contains("the lab is ready"));
    terminal.send(Key::Esc).unwrap();
    terminal.see(|s| !s.contains("Own log"));
    // A fault by its name.
    press(&mut terminal, ':', |s| s.contains("kill process"));
    terminal.send_str("kill proc").unwrap();
    terminal.see(|s| s.contains("▸ kill process"));
    terminal.send(Key::Enter).unwrap();
    press(&mut terminal, 'p', survived(1));
    leave(terminal);
    sandbox.assert_clean();
}

#[test]
fn any_size_is_survived_while_keys_are_pressed() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.demo();
    for (cols, rows) in [(80, 24), (240, 60), (3, 40), (60, 2), (20, 5), (2, 2)] {
        terminal.resize(cols, rows).unwrap();
        terminal.send_str(KEYS).unwrap();
        terminal.see(|s| s.size() == (cols, rows));
    }
    terminal.resize(120, 36).unwrap();
    terminal.see(at_work);
    // Fast hands, or a slow line: both keys arrive in one piece.
    terminal.send_str(":\u{1b}?").unwrap();
    terminal.see(|s| s.contains("Help: "));
    terminal.send_str("\u{1b}q").unwrap();
    assert!(terminal.wait_exit().unwrap().success());
    sandbox.assert_clean();
}

/// Into every dialog and out again, through the panes, into zoom and back. The
/// escape in the end and the next time's first key may arrive as one.
const KEYS: &str = "?jqxqLqzz\t\tf:x\u{1b}";

#[test]
fn one_cell_and_none_are_survived_too() {
    let sandbox = Sandbox::new();
    let mut terminal = Bare::demo(&sandbox, 1, 1);
    for (cols, rows) in [(1, 1), (0, 0), (1, 40), (200, 1), (0, 7), (7, 0), (1, 1)] {
        terminal.resize(cols, rows);
        // Each is drawn, not only the last.
        terminal.read_until("\u{1b}[?2026l");
        terminal.send(KEYS);
        terminal.read_until("\u{1b}[?2026l");
    }
    terminal.resize(120, 36);
    // Seven times frozen or freed: the picture stands still.
    terminal.send("f");
    terminal.read_until_shown((120, 36), "its pods", |text| text.contains("Running"));
    terminal.send("q");
    terminal.read_until("\u{1b}[?1049l");
    let mut demo = terminal.demo;
    assert!(ended(&mut demo));
    sandbox.assert_clean();
}

/// Both are waited for in one place, and neither may hide the other.
#[test]
fn a_key_that_comes_with_a_resize_is_heard() {
    let sandbox = Sandbox::new();
    let mut terminal = Bare::demo(&sandbox, 80, 24);
    let title = |text: &str| text.contains("Pods");
    terminal.read_until_shown((80, 24), "the panes", title);
    for round in 0..100 {
        let size = (81 - round % 2, 24);
        terminal.resize(size.0, size.1);
        terminal.send("f");
        let frozen = round % 2 == 0;
        terminal.read_until_shown(size, "the key's effect", |text| {
            title(text) && text.contains("FROZEN") == frozen
        });
    }
    terminal.send("q");
    terminal.read_until("\u{1b}[?1049l");
    assert!(ended(&mut terminal.demo));
    sandbox.assert_clean();
}

#[test]
fn the_first_frame_does_not_wait_for_the_lab() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&["demo"]);
    let first = terminal.see(|_| true);
    assert!(!first.contains("2/2"), "{}", first.text());
    assert!(first.contains("Throughput"), "{}", first.text());
    terminal.see(at_work);
    leave(terminal);
}

/// However early someone leaves, and by whichever key.
#[test]
fn leaving_at_once_leaves_nothing() {
    for leave in ["q", "\u{3}"] {
        let sandbox = Sandbox::new();
        let mut terminal = sandbox.terminal(&["demo"]);
        terminal.wait_until(Screen::alternate_screen).unwrap();
        terminal.send_str(leave).unwrap();
        let status = terminal.wait_exit().unwrap();
        assert!(status.success(), "{status:?}\n{}", terminal.screen().text());
        sandbox.assert_clean();
    }
    // Later, while the lab is starting or its first pods are.
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&["demo"]);
    eventually("there is a lab", || !sandbox.processes().is_empty());
    terminal.send(Key::Char('q')).unwrap();
    assert!(terminal.wait_exit().unwrap().success());
    sandbox.assert_clean();
}

//! A terminal that is gone: its window was closed, its connection dropped.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Stdio},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    sandbox::{GENTLE, PROGRAM, Sandbox, eventually, is_alive},
    screen::{at_work, kill, leave, survived},
};

/// A terminal that nobody's session belongs to: no SIGHUP tells of its end.
fn bare_terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
    let size = Winsize {
        ws_col: 120,
        ws_row: 36,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).unwrap();
    (master, slave)
}

fn demo_on(sandbox: &Sandbox, slave: &OwnedFd) -> Child {
    let end = || Stdio::from(slave.try_clone().unwrap());
    sandbox
        .command(&["demo"])
        .args(GENTLE)
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap()
}

/// Reads until the text was seen; colours and cursor moves may stand in it.
fn read_until(master: &mut File, text: &str) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(text) {
        let length = master.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..length]);
    }
}

#[test]
fn a_terminal_that_ends_without_a_signal_ends_the_cockpit_and_not_the_lab() {
    let sandbox = Sandbox::new();
    let (master, slave) = bare_terminal();
    let mut cockpit = demo_on(&sandbox, &slave);
    drop(slave);
    let mut master = File::from(master);
    read_until(&mut master, "Running");
    drop(master);

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
    let load = GENTLE.join(" ");
    let mut shell = sandbox.run("/bin/bash", &["--norc", "--noprofile", "-i"]);
    shell.send_str(&format!("{PROGRAM} demo {load}\r")).unwrap();
    shell.wait_frame(at_work).unwrap();
    kill(&mut shell, None, 'p', 1);
    let shell_pid = shell.pid().unwrap();
    let children = format!("/proc/{shell_pid}/task/{shell_pid}/children");
    let cockpit: i32 = std::fs::read_to_string(children)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    drop(shell);

    eventually("the cockpit leaves", || !is_alive(cockpit));
    assert!(!sandbox.processes().is_empty(), "the lab lingers");
    let mut again = sandbox.demo();
    again.wait_frame(survived(1)).unwrap();
    leave(again);
    sandbox.assert_clean();
}

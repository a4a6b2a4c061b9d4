//! A terminal without an emulator and without a session: it may have any size,
//! and no SIGHUP tells of its end.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    process::{Child, Stdio},
};

use rustix::{
    fs::{Mode, OFlags, fcntl_setfl},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::sandbox::{GENTLE, Sandbox, eventually, kill};

/// The demo on such a terminal.
pub struct Bare {
    master: File,
    pub demo: Child,
}

impl Bare {
    pub fn demo(sandbox: &Sandbox, cols: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
        set_size(&master, cols, rows);
        // A reader that waits could wait for ever.
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let demo = sandbox
            .command(&["demo"])
            .args(GENTLE)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self {
            master: master.into(),
            demo,
        }
    }

    /// Reads until a control sequence was seen.
    pub fn read_until(&mut self, sequence: &str) {
        let mut seen = Vec::new();
        self.read(sequence, |bytes| {
            seen.extend_from_slice(bytes);
            String::from_utf8_lossy(&seen).contains(sequence)
        });
    }

    /// Reads until a screen of this size shows what is wanted. It may come in
    /// pieces: letters that stood there before are not sent again.
    pub fn read_until_shown(
        &mut self,
        (cols, rows): (u16, u16),
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) {
        let cells = |count: u16| count.try_into().unwrap();
        let mut shown = Shown(vt100::Parser::new(cells(rows), cells(cols), 0));
        self.read(what, |bytes| {
            shown.0.process(bytes);
            wanted(&shown.0.screen().contents())
        });
    }

    fn read(&mut self, until: &str, mut seen: impl FnMut(&[u8]) -> bool) {
        let mut buffer = [0; 4096];
        eventually(until, || match self.master.read(&mut buffer) {
            Ok(length) => seen(&buffer[..length]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "before {until}");
                false
            }
        });
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        set_size(&self.master, cols, rows);
        // No session's terminal, so the kernel tells nobody.
        kill(self.demo.id() as i32, Signal::WINCH);
    }

    pub fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Closes it, as a window is closed.
    pub fn close(self) -> Child {
        self.demo
    }
}

/// A screen that is told of if the test fails.
struct Shown(vt100::Parser);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the screen:\n{}", self.0.screen().contents());
        }
    }
}

fn set_size(master: &impl std::os::fd::AsFd, ws_col: u16, ws_row: u16) {
    let size = Winsize {
        ws_col,
        ws_row,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

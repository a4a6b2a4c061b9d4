//! What `/proc` says of processes: who they are, whose children, since when.

use std::collections::HashSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Clock ticks in a second, as the kernel counts them towards programs on
/// every machine.
pub(super) const TICKS_PER_SECOND: u64 = 100;

/// A process, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    /// Its name as the kernel keeps it: at most 15 bytes.
    pub name: String,
    /// One letter: `R` runs, `S` sleeps, `Z` has ended and waits to be reaped.
    pub state: char,
    pub parent: i32,
    pub session: i32,
    /// Number of its controlling terminal, 0 for none.
    pub terminal: i32,
    /// Processor time used, in clock ticks.
    pub ticks: u64,
    /// The same of its children that have ended and were waited for.
    pub ticks_of_ended: u64,
    /// When it started, in clock ticks since the machine did. With the pid it
    /// names one process for ever: a pid alone is used again.
    pub started: u64,
}

impl Process {
    /// Reads one process; none when there is no such.
    pub fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &[u8]) -> Option<Self> {
        // The name may hold blanks and brackets, so it ends at the last one.
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(&stat[..open]).ok()?.trim();
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            name: String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned(),
            state: fields.first()?.chars().next()?,
            parent: number(1)?,
            session: number(3)?,
            terminal: number(4)?,
            ticks: ticks(11)? + ticks(12)?,
            ticks_of_ended: ticks(13)? + ticks(14)?,
            started: ticks(19)?,
        })
    }

    /// Whether it can still do anything.
    pub fn alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// Last part of the first word of its command line.
    pub fn called(&self) -> Option<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).ok()?;
        let first = line.split(|byte| *byte == 0).next()?;
        let name = Path::new(std::str::from_utf8(first).ok()?).file_name()?;
        Some(name.to_str()?.to_owned())
    }

    /// Whether `name` is what it is known as, to the kernel or to its caller.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.called().is_some_and(|called| called == name)
    }

    /// Whether its environment as it was started holds `NAME=value`.
    pub fn has_environment(&self, entry: &str) -> bool {
        fs::read(format!("/proc/{}/environ", self.pid)).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|found| found == entry.as_bytes())
        })
    }

    /// A handle on this very process; none when it is gone, even if its pid is
    /// in use again.
    pub fn handle(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Opened by pid, so it is checked by time of birth.
        Self::read(self.pid)
            .is_some_and(|now| now.started == self.started)
            .then_some(handle)
    }

    /// Sends a signal to this very process; says whether it was there.
    pub fn signal(&self, signal: Signal) -> bool {
        self.handle()
            .is_some_and(|handle| pidfd_send_signal(handle, signal).is_ok())
    }
}

/// Every process that can be seen.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// The children of `root`, their children and so on, without `root` itself.
pub(super) fn descendants(root: i32, among: Vec<Process>) -> Vec<Process> {
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        for process in &among {
            if family.contains(&process.parent) {
                family.insert(process.pid);
            }
        }
        if family.len() == before {
            break;
        }
    }
    family.remove(&root);
    let mut found = among;
    found.retain(|process| family.contains(&process.pid));
    found
}

/// The machine's present boot: a pid and a time of birth mean nothing after
/// another one.
pub fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"42 (a) b) (c) S 7 42 40 34816 -1 0 0 0 0 0 3 4 1 0 25 5 1 0 12345 0";
        let process = Process::parse(stat).unwrap();
        assert_eq!(
            process,
            Process {
                pid: 42,
                name: "a) b) (c".into(),
                state: 'S',
                parent: 7,
                session: 40,
                terminal: 34816,
                ticks: 7,
                ticks_of_ended: 1,
                started: 12345,
            }
        );
        assert_eq!(Process::parse(b"42 (cut"), None);
        assert_eq!(Process::parse(b""), None);
    }

    #[test]
    fn this_process_is_found() {
        let own = Process::read(std::process::id() as i32).unwrap();
        assert!(own.alive());
        assert!(all().iter().any(|process| process.pid == own.pid));
        assert!(own.handle().is_some());
        let other = Process {
            started: own.started + 1,
            ..own
        };
        assert!(other.handle().is_none(), "another process of that pid");
    }

    #[test]
    fn descendants_are_found_whatever_their_order() {
        let process = |pid, parent| Process {
            pid,
            parent,
            name: String::new(),
            state: 'S',
            session: 0,
            terminal: 0,
            ticks: 0,
            ticks_of_ended: 0,
            started: 0,
        };
        let among = vec![process(9, 8), process(8, 5), process(5, 1), process(7, 6)];
        let found = descendants(5, among);
        let pids: Vec<_> = found.iter().map(|process| process.pid).collect();
        assert_eq!(pids, [9, 8]);
    }
}

//! `kill`, `pidof` and `ps`, small: what a fault needs inside a pod.
//!
//! They serve twice. On a host without procps the program plays them itself
//! inside the container, under their names. In the group mode, where a command
//! cannot be shut in, the lab plays them over the pod's own processes and
//! executes nothing at all.

use std::fmt::Write as _;

use rustix::process::Signal;

use super::procs::{self, Process, TICKS_PER_SECOND};

/// The names they are called by.
pub(super) const NAMES: [&str; 3] = ["kill", "pidof", "ps"];

/// Signals by number, from 1.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// One of the three commands, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applet {
    /// Send a signal; none only asks whether the target is there.
    Kill {
        signal: Option<Signal>,
        targets: Vec<Target>,
    },
    /// Print the table of signals.
    Signals,
    /// Print the pids of processes by name; only one when `single`.
    Pidof { names: Vec<String>, single: bool },
    /// Print a table of processes.
    Ps,
}

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Pid(i32),
    Named(String),
}

/// A word of a command line: written out, or to be replaced by pids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Plain(String),
    PidsOf(Vec<String>),
}

/// What a command printed, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Applet {
    /// Understands a command line.
    ///
    /// # Errors
    /// What is wrong with it, in words for the caller.
    pub fn parse(line: &[Word]) -> Result<Self, String> {
        let Some((Word::Plain(name), arguments)) = line.split_first() else {
            return Err("no command".into());
        };
        match name.rsplit('/').next().unwrap_or_default() {
            "kill" => parse_kill(arguments),
            "pidof" => parse_pidof(arguments),
            "ps" => Ok(Self::Ps),
            _ => Err(format!("{name}: not one of {}", NAMES.join(", "))),
        }
    }

    /// Does it, over these processes and no others.
    pub fn run(&self, among: &[Process]) -> Outcome {
        match self {
            Self::Kill { signal, targets } => kill(*signal, targets, among),
            Self::Signals => Outcome {
                stdout: signal_table(),
                ..Outcome::default()
            },
            Self::Pidof { names, single } => pidof(names, *single, among),
            Self::Ps => Outcome {
                stdout: ps(among),
                ..Outcome::default()
            },
        }
    }
}

/// Plays the applet `name`, in a container that the host gave none.
pub(super) fn main(name: &str, arguments: impl Iterator<Item = String>) -> u8 {
    let line: Vec<Word> = std::iter::once(name.to_owned())
        .chain(arguments)
        .map(Word::Plain)
        .collect();
    let own = std::process::id() as i32;
    let mut among = procs::all();
    among.retain(|process| process.pid != own);
    let outcome = match Applet::parse(&line) {
        Ok(applet) => applet.run(&among),
        Err(wrong) => Outcome {
            stderr: format!("{wrong}\n"),
            code: 1,
            ..Outcome::default()
        },
    };
    print!("{}", outcome.stdout);
    eprint!("{}", outcome.stderr);
    outcome.code as u8
}

fn parse_kill(arguments: &[Word]) -> Result<Applet, String> {
    let mut signal = Some(Signal::TERM);
    let mut targets = Vec::new();
    let mut named = false;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let word = match word {
            Word::PidsOf(names) => {
                targets.extend(names.iter().cloned().map(Target::Named));
                named = true;
                continue;
            }
            Word::Plain(word) => word.as_str(),
        };
        match word {
            "-l" | "-L" => return Ok(Applet::Signals),
            "-s" | "-n" => match rest.next() {
                Some(Word::Plain(name)) => signal = parse_signal(name)?,
                _ => return Err(format!("kill: {word} needs a signal")),
            },
            "--" => {}
            _ if targets.is_empty() && word.starts_with('-') => signal = parse_signal(&word[1..])?,
            _ => match word.parse() {
                // Groups and *everybody* are no targets: a pod is the boundary.
                Ok(pid) if pid > 0 => targets.push(Target::Pid(pid)),
                _ => return Err(format!("kill: {word}: not a process id")),
            },
        }
    }
    if targets.is_empty() && !named {
        return Err("kill: no process id given".into());
    }
    Ok(Applet::Kill { signal, targets })
}

fn parse_signal(text: &str) -> Result<Option<Signal>, String> {
    let unknown = || format!("kill: {text}: unknown signal");
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match SIGNALS.iter().position(|known| *known == name) {
        Some(index) => index as i32 + 1,
        None => text.parse().map_err(|_| unknown())?,
    };
    if number == 0 {
        return Ok(None);
    }
    Signal::from_named_raw(number).map(Some).ok_or_else(unknown)
}

fn parse_pidof(arguments: &[Word]) -> Result<Applet, String> {
    let mut names = Vec::new();
    let mut single = false;
    for argument in arguments {
        match argument {
            Word::Plain(word) if word == "-s" => single = true,
            // Other flags choose among scripts and roots, which a pod has not.
            Word::Plain(word) if word.starts_with('-') => {}
            Word::Plain(word) => names.push(word.clone()),
            Word::PidsOf(_) => return Err("pidof: names expected".into()),
        }
    }
    if names.is_empty() {
        return Err("pidof: no name given".into());
    }
    Ok(Applet::Pidof { names, single })
}

/// Living processes of that name, newest first as `pidof` has it.
fn named<'a>(name: &str, among: &'a [Process]) -> Vec<&'a Process> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let mut found: Vec<_> = among
        .iter()
        .filter(|process| process.alive() && process.is_named(name))
        .collect();
    found.sort_by_key(|process| std::cmp::Reverse(process.pid));
    found
}

fn kill(signal: Option<Signal>, targets: &[Target], among: &[Process]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut refuse = |text: String| {
        outcome.stderr.push_str(&text);
        outcome.code = 1;
    };
    for target in targets {
        let found = match target {
            Target::Pid(pid) => among.iter().filter(|found| found.pid == *pid).collect(),
            Target::Named(name) => named(name, among),
        };
        let reached = found
            .iter()
            .filter(|process| match signal {
                Some(signal) => process.signal(signal),
                None => process.handle().is_some(),
            })
            .count();
        if reached == 0 {
            refuse(match target {
                Target::Pid(pid) => format!("kill: ({pid}) - No such process\n"),
                Target::Named(name) => format!("kill: no process named {name}\n"),
            });
        }
    }
    outcome
}

fn pidof(names: &[String], single: bool, among: &[Process]) -> Outcome {
    let mut pids: Vec<String> = names
        .iter()
        .flat_map(|name| named(name, among))
        .map(|process| process.pid.to_string())
        .collect();
    if pids.is_empty() {
        return Outcome {
            code: 1,
            ..Outcome::default()
        };
    }
    if single {
        pids.truncate(1);
    }
    Outcome {
        stdout: format!("{}\n", pids.join(" ")),
        ..Outcome::default()
    }
}

fn ps(among: &[Process]) -> String {
    let mut table = "    PID TTY          TIME CMD\n".to_owned();
    let mut processes: Vec<_> = among.iter().collect();
    processes.sort_by_key(|process| process.pid);
    for process in processes {
        // Pseudo-terminals have the major numbers from 136 on.
        let terminal = match process.terminal {
            0 => "?".to_owned(),
            number => format!("pts/{}", (number & 0xff) | ((number >> 12) & 0xfff00)),
        };
        let seconds = process.ticks / TICKS_PER_SECOND;
        let time = format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        let ended = if process.alive() { "" } else { " <defunct>" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{:>7} {terminal:<8} {time} {}{ended}",
            process.pid, process.name
        );
    }
    table
}

fn signal_table() -> String {
    let mut table = String::new();
    for (index, name) in SIGNALS.iter().enumerate() {
        let end = if index % 8 == 7 { "\n" } else { " " };
        let _ = write!(table, "{:>2} {name:<6}{end}", index + 1);
    }
    table.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Applet, String> {
        let words: Vec<_> = line
            .split(' ')
            .map(|word| Word::Plain(word.to_owned()))
            .collect();
        Applet::parse(&words)
    }

    #[test]
    fn kill_takes_a_signal_in_every_spelling() {
        for line in [
            "kill -9 7",
            "kill -KILL 7",
            "kill -SIGKILL 7",
            "kill -sigkill 7",
            "kill -s KILL 7",
            "kill -s 9 -- 7",
            "kill -n 9 7",
            "/bin/kill -9 7",
        ] {
            let expected = Applet::Kill {
                signal: Some(Signal::KILL),
                targets: vec![Target::Pid(7)],
            };
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
        let plain = Applet::Kill {
            signal: Some(Signal::TERM),
            targets: vec![Target::Pid(7), Target::Pid(8)],
        };
        assert_eq!(parse("kill 7 8"), Ok(plain));
        let asking = Applet::Kill {
            signal: None,
            targets: vec![Target::Pid(7)],
        };
        assert_eq!(parse("kill -0 7"), Ok(asking));
    }

    #[test]
    fn kill_reaches_neither_groups_nor_everybody() {
        for line in [
            "kill",
            "kill -9",
            "kill 7 -1",
            "kill 0",
            "kill -- -7",
            "kill -9 -1",
            "kill x",
            "kill -99 7",
            "kill -s",
            "kill -NONE 7",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn unknown_processes_are_said() {
        let none = parse("kill 7").unwrap().run(&[]);
        assert_eq!(none.code, 1);
        assert_eq!(none.stderr, "kill: (7) - No such process\n");
        assert_eq!(parse("pidof Job").unwrap().run(&[]).code, 1);
    }

    #[test]
    fn pidof_finds_a_process_by_either_name() {
        let own = Process::read(std::process::id() as i32).unwrap();
        let called = own.called().unwrap();
        let known = own.name.clone();
        let among = [own.clone()];
        for name in [called, known] {
            let outcome = parse(&format!("pidof -s {name}")).unwrap().run(&among);
            assert_eq!(outcome.stdout, format!("{}\n", own.pid), "{name}");
        }
        assert!(
            parse("ps aux")
                .unwrap()
                .run(&among)
                .stdout
                .contains(&own.name)
        );
        assert!(
            parse("kill -l")
                .unwrap()
                .run(&among)
                .stdout
                .contains(" 9 KILL")
        );
    }
}

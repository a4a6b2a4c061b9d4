//! A home of its own for each test, and a look around it afterwards.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use termlens::Terminal;

#[path = "../support/folders.rs"]
mod folders;

use crate::screen::{See, at_work};
use folders::Folders;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_aks-tui");

/// A load that leaves two cores some air, in rounds that end soon.
pub const GENTLE: [&str; 4] = ["--rate", "2MiB", "--bytes-per-round", "256KiB"];

/// How long anything may take before a test fails. Generous: these tests share
/// the machine with each other, and perhaps with a compiler.
pub const LONG: Duration = Duration::from_secs(90);

/// Directories that vanish with the test, and nothing else of the user's.
pub struct Sandbox {
    folders: Folders,
}

impl Sandbox {
    pub fn new() -> Self {
        let folders = Folders::new("aks-tui-test-").unwrap();
        Self { folders }
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.folders.path(part)
    }

    /// The program in a terminal of 120×36.
    pub fn terminal(&self, args: &[&str]) -> Terminal {
        self.run(PROGRAM, args)
    }

    /// Any program in a terminal of 120×36.
    pub fn run(&self, program: &str, args: &[&str]) -> Terminal {
        Terminal::builder()
            .size(120, 36)
            .timeout(LONG)
            .env_clear()
            .envs(self.folders.env())
            .args(args)
            .spawn(program)
            .unwrap()
    }

    /// A shell with job control, which keeps no history.
    pub fn interactive_shell(&self) -> Terminal {
        let mut shell = self.run("/bin/bash", &["--norc", "--noprofile", "-i"]);
        // Its own use of paste mode would hide ours.
        let quiet = "unset HISTFILE; bind 'set enable-bracketed-paste off'\r";
        shell.send_str(quiet).unwrap();
        shell
    }

    /// The demo in a terminal, with both sides at work.
    pub fn demo(&self) -> Terminal {
        self.demo_with(&[])
    }

    /// The demo with more arguments.
    pub fn demo_with(&self, args: &[&str]) -> Terminal {
        let mut all = vec!["demo"];
        all.extend(GENTLE);
        all.extend(args);
        let mut terminal = self.terminal(&all);
        terminal.see(at_work);
        terminal
    }

    /// The program without a terminal.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).env_clear().envs(self.folders.env());
        command
    }

    /// The names of the recorded runs, oldest first.
    pub fn runs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("state").join("runs")) else {
            return Vec::new();
        };
        let mut runs: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        runs.sort();
        runs
    }

    /// The directory of a run's lab.
    pub fn lab(&self, run: &str) -> PathBuf {
        self.path("state").join("lab").join(run)
    }

    /// Processes that have this sandbox in their environment, whoever started
    /// them: all of a lab's carry its run, and the run's name is in the sandbox.
    pub fn processes(&self) -> Vec<i32> {
        let mut marks: Vec<_> = self.runs().iter().map(|run| run_mark(run)).collect();
        // A run whose journal could not be made has a directory of its lab.
        if let Ok(labs) = fs::read_dir(self.path("state").join("lab")) {
            marks.extend(labs.map(|lab| run_mark(lab.unwrap().file_name().to_str().unwrap())));
        }
        processes_with(&marks)
    }

    /// The processes of this sandbox that are called so.
    pub fn processes_called(&self, name: &str) -> Vec<i32> {
        called(self.processes(), name)
    }

    /// The sockets on which processes of this sandbox listen now.
    pub fn listening(&self) -> BTreeSet<Listening> {
        let ours: BTreeSet<u64> = self.processes().into_iter().flat_map(sockets_of).collect();
        let mut listening = all_listening();
        listening.retain(|socket| ours.contains(&socket.inode));
        listening
    }

    /// Everything that is left but the journals, directories included.
    pub fn leftovers(&self) -> Vec<String> {
        let processes = self.processes().into_iter();
        let mut left: Vec<_> = processes.map(|pid| format!("process {pid}")).collect();
        let runs = self.path("state").join("runs");
        let mut pending = vec![self.path("state"), self.path("tmp"), self.path("home")];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let journal = path.parent() == Some(&runs)
                    && path
                        .extension()
                        .is_some_and(|extension| extension == "jsonl");
                if path == runs {
                    pending.push(path);
                } else if !journal {
                    left.push(path.display().to_string());
                }
            }
        }
        left
    }

    /// Nothing is left but the journals.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.leftovers(), Vec::<String>::new(), "left behind");
    }
}

impl Drop for Sandbox {
    /// A test that failed half way must not leave a lab behind.
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid, Signal::KILL);
        }
    }
}

/// What a process of this run has in its environment.
pub fn run_mark(run: &str) -> String {
    format!("AKS_TUI_RUN={run}")
}

/// The processes that have one of these in their environment.
pub fn processes_with(marks: &[String]) -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                environ
                    .split(|byte| *byte == 0)
                    .any(|var| marks.iter().any(|mark| var == mark.as_bytes()))
            })
        })
        .collect()
}

/// A socket that waits for connections. The inode tells it from another one on
/// the same port later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listening {
    pub address: String,
    pub inode: u64,
}

/// All of them on this machine.
pub fn all_listening() -> BTreeSet<Listening> {
    const LISTEN: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tables = tables.into_iter().flatten().collect::<String>();
    tables
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let address = fields.nth(1)?.to_owned();
            (fields.nth(1)? == LISTEN).then_some(())?;
            let inode = fields.nth(5)?.parse().ok()?;
            Some(Listening { address, inode })
        })
        .collect()
}

fn sockets_of(pid: i32) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            link.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// Those of some processes that are called so.
pub fn called(mut processes: Vec<i32>, name: &str) -> Vec<i32> {
    processes.retain(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    });
    processes
}

/// Sends a signal; a process that is gone already is all right.
pub fn kill(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// Whether the process runs or is stopped; a zombie does neither.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

/// Waits until something holds that no terminal shows.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for a child of a test and says whether it succeeded.
#[track_caller]
pub fn ended(child: &mut Child) -> bool {
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().success()
}

/// Makes a file look as if nobody had touched it for a day.
pub fn age(file: &Path) {
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(86_400);
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_modified(long_ago).unwrap();
}

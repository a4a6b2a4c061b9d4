//! A home of its own for each test, and a look around it afterwards.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use termlens::{Key, Screen, Terminal};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_aks-tui");

/// A load that leaves two cores some air, in rounds that end soon.
pub const GENTLE: [&str; 4] = ["--rate", "16MiB", "--bytes-per-round", "2MiB"];

/// How long anything may take before a test fails. Generous: these tests share
/// the machine with each other.
pub const LONG: Duration = Duration::from_secs(60);

/// Directories that vanish with the test, and nothing else of the user's.
pub struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("aks-tui-test-")
            .tempdir()
            .unwrap();
        for part in ["state", "config", "home", "tmp"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    /// What the program finds in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let of = |part| self.path(part).display().to_string();
        vec![
            ("AKS_TUI_STATE".into(), of("state")),
            ("AKS_TUI_CONFIG".into(), of("config")),
            ("HOME".into(), of("home")),
            ("TMPDIR".into(), of("tmp")),
            ("PATH".into(), std::env::var("PATH").unwrap()),
            ("TERM".into(), "xterm-256color".into()),
            ("COLORTERM".into(), "truecolor".into()),
            ("LANG".into(), "C.UTF-8".into()),
        ]
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
            .envs(self.env())
            .args(args)
            .spawn(program)
            .unwrap()
    }

    /// The demo in a terminal, with both sides at work.
    pub fn demo(&self) -> Terminal {
        let mut args = vec!["demo"];
        args.extend(GENTLE);
        let mut terminal = self.terminal(&args);
        terminal.wait_until(at_work).unwrap();
        terminal
    }

    /// The program without a terminal.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(args).env_clear().envs(self.env());
        command
    }

    /// The names of the recorded runs, oldest first.
    pub fn runs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("state").join("runs")) else {
            return Vec::new();
        };
        let mut runs: Vec<_> = entries
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        runs.sort();
        runs
    }

    /// Processes that carry any run of this sandbox in their environment.
    pub fn processes(&self) -> Vec<i32> {
        let runs = self.runs();
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                    environ.split(|b| *b == 0).any(|var| {
                        runs.iter()
                            .any(|run| var == format!("AKS_TUI_RUN={run}").as_bytes())
                    })
                })
            })
            .collect()
    }

    /// Everything that is left but the journals.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<_> = self
            .processes()
            .into_iter()
            .map(|pid| format!("process {pid}"))
            .collect();
        let mut pending = vec![self.path("state"), self.path("tmp")];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let journal = path
                    .extension()
                    .is_some_and(|extension| extension == "jsonl");
                if path.is_dir() {
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
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Both sides run and the curve has begun.
pub fn at_work(screen: &Screen) -> bool {
    screen.contains("2/2")
        && screen.contains("iB/s")
        && screen.text().matches("Running").count() >= 2
}

/// Presses a key and waits for what it must bring.
#[track_caller]
pub fn press(terminal: &mut Terminal, key: char, brings: impl FnMut(&Screen) -> bool) {
    terminal.send(Key::Char(key)).unwrap();
    terminal.wait_until(brings).unwrap();
}

/// Leaves with `q`, which must end well.
#[track_caller]
pub fn leave(mut terminal: Terminal) {
    terminal.send(Key::Char('q')).unwrap();
    let status = terminal.wait_exit().unwrap();
    assert!(status.success(), "{status:?}\n{}", terminal.screen().text());
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

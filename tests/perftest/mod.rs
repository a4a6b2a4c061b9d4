//! Runs perftest as real processes, keeps every line that they print, and judges
//! them: a pair has a directory and a loopback address of its own, so tests run side
//! by side.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory and an address for one server and its jobs.
pub struct World {
    pub logs: tempfile::TempDir,
    pub host: String,
}

impl World {
    pub fn new() -> Self {
        let part = || fastrand::u8(1..=254);
        Self {
            logs: tempfile::tempdir().unwrap(),
            host: format!("127.{}.{}.{}", part(), part(), part()),
        }
    }

    /// Starts `perftest <program>` with `options`, split at blanks, beside what makes
    /// it belong to this world.
    pub fn start(&self, program: &str, options: &str) -> Process {
        self.spawn(self.command(program, options))
    }

    /// What [`World::start`] starts.
    pub fn command(&self, program: &str, options: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-tui"));
        command
            .args(["perftest", program, "-c", "--sp", "50001", "--log"])
            .arg(self.logs.path())
            .args(options.split_whitespace());
        command
    }

    pub fn spawn(&self, mut command: Command) -> Process {
        command
            .env("POD_IP", &self.host)
            .env("SERVER_SERVICE_HOST", &self.host);
        Process::start(command)
    }

    pub fn directory(&self, instance: &str) -> std::path::PathBuf {
        self.logs.path().join(format!("{instance}_0"))
    }
}

type Lines = Arc<(Mutex<(Vec<String>, bool)>, Condvar)>;

/// One execution and what it has printed.
pub struct Process {
    child: Child,
    lines: Lines,
    reader: Option<JoinHandle<()>>,
    errors: Arc<Mutex<String>>,
    error_reader: Option<JoinHandle<()>>,
    pub started: Instant,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self::adopt(child)
    }

    /// Takes a process whose standard output is a pipe.
    pub fn adopt(mut child: Child) -> Self {
        let lines = Lines::default();
        let out = BufReader::new(child.stdout.take().unwrap());
        let into = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in out.lines() {
                into.0.lock().unwrap().0.push(line.unwrap());
                into.1.notify_all();
            }
            into.0.lock().unwrap().1 = true;
            into.1.notify_all();
        });
        let errors = Arc::<Mutex<String>>::default();
        let error_reader = child.stderr.take().map(|pipe| {
            let into = Arc::clone(&errors);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines() {
                    let mut errors = into.lock().unwrap();
                    errors.push_str(&line.unwrap());
                    errors.push('\n');
                }
            })
        });
        Self {
            child,
            lines,
            reader: Some(reader),
            errors,
            error_reader,
            started: Instant::now(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.raw_pid(), signal).unwrap();
    }

    /// Stops it, and waits until it stands still: a signal takes its time.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let stopped = waitpid(Some(self.raw_pid()), WaitOptions::UNTRACED).unwrap();
        let (_, status) = stopped.unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Waits until a line satisfies `wanted` and answers it; fails if the process ends
    /// or patience does.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (lines, printed) = &*self.lines;
        let mut guard = lines.lock().unwrap();
        let mut seen = 0;
        loop {
            if let Some(line) = guard.0[seen..].iter().find(|line| wanted(line)) {
                return line.clone();
            }
            seen = guard.0.len();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !guard.1 && !left.is_zero(),
                "no {what} in:\n{}\n{}",
                tail(&guard.0),
                self.errors.lock().unwrap()
            );
            guard = printed.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// Waits for a fresh progress line.
    pub fn wait_fresh(&self) -> Progress {
        let line = self.wait_for("fresh progress", |line| {
            Progress::parse(line).is_some_and(|progress| !progress.replaying)
        });
        Progress::parse(&line).unwrap()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.0.lock().unwrap().0.clone()
    }

    /// Kills it with SIGKILL, as nothing else does, and answers all it printed.
    pub fn kill(mut self) -> Vec<String> {
        self.signal(Signal::KILL);
        let status = self.child.wait().unwrap();
        let lines = self.finish();
        if status.signal() != Some(9) {
            let errors = self.errors();
            panic!(
                "it had ended by itself: {status}: {errors}\n{}",
                tail(&lines)
            );
        }
        lines
    }

    /// Waits for its end; answers status, lines and standard error.
    pub fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                tail(&self.lines())
            );
            thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.wait().unwrap();
        let errors = self.errors();
        (status, self.finish(), errors)
    }

    fn errors(&mut self) -> String {
        if let Some(reader) = self.error_reader.take() {
            reader.join().unwrap();
        }
        self.errors.lock().unwrap().clone()
    }

    /// Waits for a good end and answers the lines.
    pub fn succeed(self) -> Vec<String> {
        let (status, lines, errors) = self.end();
        assert!(status.success(), "{status}: {errors}\n{}", tail(&lines));
        assert_eq!(errors, "");
        lines
    }

    fn finish(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.lines()
    }
}

/// The last lines, for a message.
fn tail(lines: &[String]) -> String {
    let mut shown: Vec<&str> = lines.iter().map(String::as_str).collect();
    // One progress line after the other says no more than the last of them.
    shown.dedup_by(|later, earlier| {
        let both = [&later, &earlier].map(|line| Progress::parse(line).is_some());
        if both == [true, true] {
            *earlier = *later;
        }
        both == [true, true]
    });
    shown[shown.len().saturating_sub(30)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failed test leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A progress line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub epoch: u64,
    pub call: u64,
    pub echoed: u64,
    pub replaying: bool,
}

impl Progress {
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("*X* progress ")?.split(' ');
        let mut field = |name: &str| {
            let value = fields.next().and_then(|f| f.strip_prefix(name));
            value.and_then(|v| v.strip_prefix('=')?.parse::<u64>().ok())
        };
        Some(Self {
            epoch: field("epoch")?,
            call: field("call")?,
            echoed: field("echoed")?,
            replaying: field("replaying")? == 1,
        })
    }
}

/// What all executions of one instance printed, one list an execution.
pub type History = Vec<Vec<String>>;

/// Nothing was lost, doubled or reordered as far as the application can tell, no
/// figure went back, and every execution counted itself.
pub fn assert_steady(side: &str, history: &History) {
    let (mut epoch, mut echoed) = (0, 0);
    for (execution, lines) in history.iter().enumerate() {
        let mut epoch_here = None;
        for line in lines {
            let lower = line.to_lowercase();
            assert!(
                !lower.contains("out of order") && !lower.contains("ignored a call"),
                "{side} {execution}: {line}"
            );
            if let Some(progress) = Progress::parse(line) {
                let first = *epoch_here.get_or_insert(progress.epoch);
                assert_eq!(first, progress.epoch, "{side} {execution}: {line}");
                if !progress.replaying {
                    assert!(
                        progress.echoed >= echoed,
                        "{side} {execution} went back from {echoed}: {line}"
                    );
                    echoed = progress.echoed;
                }
            }
        }
        if let Some(here) = epoch_here {
            assert!(
                here > epoch,
                "{side} {execution}: epoch {here} after {epoch}"
            );
            epoch = here;
        }
    }
}

/// The rounds that all executions together printed, each once, as (size, figure):
/// an execution prints again what it replays, figure for figure.
pub fn rounds(history: &History) -> Vec<(u64, String)> {
    let mut all: Vec<(u64, String)> = Vec::new();
    for lines in history {
        let here: Vec<_> = lines.iter().filter_map(|line| round(line)).collect();
        let Some(first) = here.first() else { continue };
        let start = all.iter().position(|known| known == first);
        let start = start.unwrap_or(all.len());
        for (index, round) in here.into_iter().enumerate() {
            match all.get(start + index) {
                Some(known) => assert_eq!(*known, round, "a replay printed another figure"),
                None => all.push(round),
            }
        }
    }
    all
}

fn round(line: &str) -> Option<(u64, String)> {
    let (size, figure) = line.strip_prefix("*X* ")?.split_once('\t')?;
    let value: f64 = figure.parse().unwrap();
    assert!(value > 0.0 && value.is_finite(), "{line}");
    Some((size.parse().unwrap(), figure.to_owned()))
}

/// What `rounds` rounds come to, by the formula: bytes, and the sizes of the rounds.
pub fn formula(max: u64, round_bytes: u64, rounds: usize, endless: bool) -> (u64, Vec<u64>) {
    let (mut size, mut bytes, mut sizes) = (max, 0, Vec::new());
    for _ in 0..rounds {
        bytes += round_bytes / size * size;
        sizes.push(size);
        size = match size {
            17.. => (size / 2).max(16),
            _ if endless => max,
            _ => size,
        };
    }
    (bytes, sizes)
}

/// The last execution ended with this total and DONE.
pub fn assert_total(side: &str, history: &History, bytes: u64) {
    let last = history.last().unwrap();
    let total = format!("Bytes received: {bytes}");
    for wanted in [total.as_str(), "DONE"] {
        let times = last.iter().filter(|line| *line == wanted).count();
        assert_eq!(times, 1, "{side}: {wanted} in\n{}", tail(last));
    }
}

/// Bytes of all files below a directory.
pub fn disk_use(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

/// Puts a log of the first version, as a kill left it, where an instance will look.
pub fn kept_log(instance: &str, directory: &Path) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perftest/first_version");
    std::fs::create_dir_all(directory).unwrap();
    for entry in std::fs::read_dir(kept.join(format!("{instance}_0"))).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
    }
}

/// Waits until something holds; fails when patience ends.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "no sign of {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

//! Directories that vanish, and a lab that is stopped, whatever happens.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use color_eyre::eyre::{Result, WrapErr, eyre};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

#[path = "../../tests/support/folders.rs"]
mod folders;

use folders::Folders;

/// The variable by which every process of a run is found.
const RUN: &str = "AKS_TUI_RUN=";

/// How long a lab may take to stop.
const STOP: Duration = Duration::from_secs(15);

/// A home directory for one measurement.
pub struct Home {
    folders: Folders,
}

impl Home {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let folders = Folders::new("aks-tui-bench-")?;
        Ok(Self { folders })
    }

    /// A place in it.
    pub fn path(&self, part: &str) -> PathBuf {
        self.folders.path(part)
    }

    /// What a program of it finds in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        self.folders.env()
    }

    /// A program of it without a terminal.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.env()).stdin(Stdio::null());
        command
    }
}

impl Drop for Home {
    /// A measurement that failed half way must not leave a lab behind.
    fn drop(&mut self) {
        let mark = format!("AKS_TUI_STATE={}", self.path("state").display());
        let own = environments().filter(|(_, env)| env.contains(&mark));
        let own: Vec<_> = own.collect();
        let runs: BTreeSet<String> = own
            .iter()
            .flat_map(|(_, env)| env.iter().filter(|var| var.starts_with(RUN)).cloned())
            .collect();
        let of_runs = environments()
            .filter(|(_, env)| env.iter().any(|var| runs.contains(var)))
            .map(|(pid, _)| pid);
        for pid in own.iter().map(|(pid, _)| *pid).chain(of_runs) {
            // Gone already is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Every process that may be looked at, with its environment.
fn environments() -> impl Iterator<Item = (Pid, Vec<String>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environ = fs::read(entry.path().join("environ")).ok()?;
        let vars = environ
            .split(|b| *b == 0)
            .map(|var| String::from_utf8_lossy(var).into_owned());
        Some((Pid::from_raw(pid)?, vars.collect()))
    })
}

/// A lab without perftest.
pub struct Lab {
    child: Child,
    ready: Ready,
}

#[derive(Deserialize)]
struct Ready {
    kubeconfig: PathBuf,
}

impl Lab {
    /// Starts it in `home` with these options and waits until it is ready.
    pub fn start(program: &Path, home: &Home, options: &[&str]) -> Result<Self> {
        let mut child = home
            .command(program)
            .args(["lab", "--empty", "--backoff", "none", "--linger", "30"])
            .arg("--state")
            .arg(Self::state(home))
            .args(options)
            .env("AKS_TUI_RUN", format!("bench-{}", std::process::id()))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path("lab.log"))?)
            .spawn()
            .wrap_err("cannot start the lab")?;
        let out = child.stdout.take();
        let mut line = String::new();
        BufReader::new(out.ok_or_else(|| eyre!("the lab has no output"))?).read_line(&mut line)?;
        if let Ok(ready) = serde_json::from_str(&line) {
            return Ok(Self { child, ready });
        }
        let said = fs::read_to_string(home.path("lab.log")).unwrap_or_default();
        child.wait()?;
        Err(eyre!("the lab did not start: {}", said.trim()))
    }

    /// Its state directory in `home`.
    pub fn state(home: &Home) -> PathBuf {
        home.path("lab")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The kubeconfig that leads to it.
    pub fn kubeconfig(&self) -> &Path {
        &self.ready.kubeconfig
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

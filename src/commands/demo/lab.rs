//! The lab as the demo holds it: started as a process of its own, found again
//! after a cockpit died, stopped when a person leaves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use color_eyre::eyre::{Context, Result, bail, eyre};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// The environment variable that every process of a run carries.
pub const RUN_VARIABLE: &str = "AKS_TUI_RUN";

/// How long the lab may take to be ready; it takes a fraction of a second.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long the lab may take to stop and reap everything.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// How the lab is to be.
#[derive(Debug, Clone, clap::Args)]
pub struct LabArgs {
    /// How restarts are held back: `kubernetes` as a real node does, or `none`
    #[arg(long, default_value = "none", value_parser = ["kubernetes", "none"])]
    pub backoff: String,

    /// How pods are kept apart: `namespaces` where the kernel allows it, or `group`
    #[arg(long, value_parser = ["namespaces", "group"])]
    pub isolation: Option<String>,

    /// Seconds that the lab waits for a new cockpit after this one was killed
    #[arg(long, default_value_t = 600)]
    pub linger: u64,

    /// Payload bytes of a round; suffixes KiB, MiB, GiB
    #[arg(long, value_name = "BYTES")]
    pub bytes_per_round: Option<String>,

    /// Payload bytes that the client sends a second at most; suffixes KiB, MiB, GiB
    #[arg(long, value_name = "BYTES")]
    pub rate: Option<String>,
}

/// What the lab prints when it is ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ready {
    kubeconfig: PathBuf,
    pid: i32,
}

/// A lab that runs.
#[derive(Debug)]
pub struct Lab {
    ready: Ready,
    dir: PathBuf,
    run: String,
    /// Present if this process started it.
    child: Option<Child>,
}

impl Lab {
    /// Finds the lab of `run` alive, or starts it on its directory.
    pub async fn hold(dir: &Path, run: &str, args: &LabArgs) -> Result<Self> {
        if let Some(ready) = alive(dir, run) {
            tracing::info!(pid = ready.pid, "the lab of this run is alive: attached");
            return Ok(Self {
                ready,
                dir: dir.to_owned(),
                run: run.to_owned(),
                child: None,
            });
        }
        Self::start(dir, run, args).await
    }

    async fn start(dir: &Path, run: &str, args: &LabArgs) -> Result<Self> {
        fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
        let log = dir.join("lab.log");
        let stderr =
            fs::File::create(&log).wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("lab")
            .arg("--own-session")
            .arg("--state")
            .arg(dir.join("state"))
            .arg("--kubeconfig")
            .arg(dir.join("kubeconfig"))
            .args(["--backoff", &args.backoff])
            .args(["--linger", &args.linger.to_string()])
            .env(RUN_VARIABLE, run)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        for (flag, value) in [
            ("--isolation", &args.isolation),
            ("--bytes-per-round", &args.bytes_per_round),
            ("--rate", &args.rate),
        ] {
            if let Some(value) = value {
                command.args([flag, value]);
            }
        }
        let mut child = command.spawn().wrap_err("cannot start the lab")?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| eyre!("the lab has no output"))?;
        let mut line = String::new();
        let read = timeout(READY_WITHIN, BufReader::new(stdout).read_line(&mut line)).await;
        let ready: Ready = match read {
            Ok(Ok(length)) if length > 0 => serde_json::from_str(&line)
                .wrap_err_with(|| format!("the lab said something odd: {line}"))?,
            Ok(_) => bail!("the lab did not start: {}", last_line(&log)),
            Err(_) => {
                let _ = child.kill().await;
                bail!(
                    "the lab was not ready within {} s: {}",
                    READY_WITHIN.as_secs(),
                    last_line(&log)
                );
            }
        };
        fs::write(dir.join("ready.json"), &line)?;
        Ok(Self {
            ready,
            dir: dir.to_owned(),
            run: run.to_owned(),
            child: Some(child),
        })
    }

    /// The kubeconfig that leads to it.
    pub fn kubeconfig(&self) -> &Path {
        &self.ready.kubeconfig
    }

    /// Stops the lab and everything it started, and removes its directory.
    pub async fn stop(mut self) -> Result<()> {
        signal(self.ready.pid, End::Term);
        let gone = async {
            match &mut self.child {
                Some(child) => drop(child.wait().await),
                // Nobody tells a process that is not the parent.
                None => {
                    while is_of_run(self.ready.pid, &self.run) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        };
        if timeout(STOPPED_WITHIN, gone).await.is_err() {
            signal(self.ready.pid, End::Kill);
            bail!(
                "the lab (pid {}) did not stop within {} s and was killed; see {}",
                self.ready.pid,
                STOPPED_WITHIN.as_secs(),
                self.dir.join("lab.log").display()
            );
        }
        remove(&self.dir)
    }

    /// Leaves the lab running for the next cockpit; it ends itself if none comes.
    pub fn leave(self) {
        drop(self.child);
    }
}

/// The lab of `run`, if it is alive.
fn alive(dir: &Path, run: &str) -> Option<Ready> {
    let text = fs::read_to_string(dir.join("ready.json")).ok()?;
    let ready: Ready = serde_json::from_str(&text).ok()?;
    is_of_run(ready.pid, run).then_some(ready)
}

/// Removes the directory of a lab, if it is there.
fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).wrap_err_with(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// The last thing the lab said on its standard error.
fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

#[derive(Clone, Copy)]
enum End {
    Term,
    Kill,
}

/// Whether the process is alive and carries the run in its environment: a pid
/// alone may be somebody else's by now.
#[cfg(target_os = "linux")]
fn is_of_run(pid: i32, run: &str) -> bool {
    let wanted = format!("{RUN_VARIABLE}={run}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        environ
            .split(|b| *b == 0)
            .any(|var| var == wanted.as_bytes())
    })
}

#[cfg(not(target_os = "linux"))]
fn is_of_run(_: i32, _: &str) -> bool {
    false
}

#[cfg(unix)]
fn signal(pid: i32, end: End) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match end {
        End::Term => Signal::TERM,
        End::Kill => Signal::KILL,
    };
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already, which is what is wanted.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(not(unix))]
fn signal(_: i32, _: End) {}

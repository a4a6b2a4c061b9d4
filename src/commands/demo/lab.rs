//! The lab as the demo holds it: started as a process of its own, found again
//! after a cockpit died, stopped when a person leaves.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use color_eyre::eyre::{Context, Result, bail, eyre};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::adapters::journal::{StateDir, store};

/// The environment variable that every process of a run carries.
pub const RUN_VARIABLE: &str = "AKS_TUI_RUN";

/// How long the lab may take to be ready; it takes a fraction of a second.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long the lab may take to stop and reap everything.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// How often a lab that another process started is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// A directory whose lab has said something within this time is not reaped: it
/// may be about to start.
const YOUNG: Duration = Duration::from_mins(1);

/// What the lab says on its standard error.
const LOG: &str = "lab.log";

/// The lab's own directory in that of the run.
pub(super) const STATE: &str = "state";

/// What the lab says of its Azure, in its own directory.
pub(super) const AZURE: &str = "azure.json";

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

    /// Nodes of the lab, each with an equal share of this machine; at most 16
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: u8,

    // Nobody on a stage waits for a minute until a dead node is noticed.
    /// Seconds of silence after which a node is not ready any more; Kubernetes waits for 50
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub node_monitor_grace: u64,

    // A round every second or two: its mark is soon on the curve, and a run that
    // is asked to end does.
    /// Payload bytes of a round; suffixes KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value = "64MiB")]
    pub bytes_per_round: String,

    // About what the original's runs showed, and easy on a laptop's disk: both
    // sides log what they receive.
    /// Payload bytes that the client sends a second at most; suffixes KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value = "64MiB")]
    pub rate: String,

    /// There is an Azure in front, so many times faster than the real one.
    #[arg(skip)]
    pub azure: Option<&'static str>,
}

/// What the lab says of itself when it is ready.
#[derive(Debug, Clone, Deserialize)]
struct About {
    pid: i32,
}

/// A lab that runs.
#[derive(Debug)]
pub struct Lab {
    pid: i32,
    dir: PathBuf,
    run: String,
    /// Present if this process started it.
    child: Option<Child>,
}

impl Lab {
    /// Finds the lab of `run` alive, or starts it on its directory. None if it
    /// was `stopped` before it was ready; then nothing of it is left.
    ///
    /// # Errors
    /// It cannot be started, or ended before it was ready: says why.
    pub async fn hold(
        dir: &Path,
        run: &str,
        args: &LabArgs,
        stopped: impl Future<Output = ()>,
    ) -> Result<Option<Self>> {
        if let Some(pid) = alive(dir, run) {
            tracing::info!(pid, "the lab of this run is alive: attached");
            return Ok(Some(Self {
                pid,
                dir: dir.to_owned(),
                run: run.to_owned(),
                child: None,
            }));
        }
        let mut lab = Self::start(dir, run, args)?;
        let ready = tokio::select! {
            ready = timeout(READY_WITHIN, lab.ready()) => ready,
            () = stopped => {
                lab.stop().await?;
                return Ok(None);
            }
        };
        match ready {
            Ok(Ok(())) => {
                tracing::info!(pid = lab.pid, "the lab is ready");
                Ok(Some(lab))
            }
            Ok(Err(error)) => {
                lab.end().await?;
                Err(error)
            }
            Err(_) => {
                lab.end().await?;
                bail!(
                    "the lab was not ready within {} s: {}",
                    READY_WITHIN.as_secs(),
                    last_words(dir)
                )
            }
        }
    }

    fn start(dir: &Path, run: &str, args: &LabArgs) -> Result<Self> {
        make_dir(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
        let log = dir.join(LOG);
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("lab")
            .arg("--own-session")
            .arg("--state")
            .arg(dir.join(STATE))
            .arg("--kubeconfig")
            .arg(kubeconfig(dir))
            .args(["--backoff", &args.backoff])
            .args(["--linger", &args.linger.to_string()])
            .args(["--node-monitor-grace", &args.node_monitor_grace.to_string()])
            .env(RUN_VARIABLE, run)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        command
            .args(["--bytes-per-round", &args.bytes_per_round])
            .args(["--rate", &args.rate]);
        match args.azure {
            Some(scale) => command.args(["--azure", "--azure-time-scale", scale]),
            None => command.args(["--nodes", &args.nodes.to_string()]),
        };
        if let Some(isolation) = &args.isolation {
            command.args(["--isolation", isolation]);
        }
        let child = command.spawn().wrap_err("cannot start the lab")?;
        let pid = child.id().ok_or_else(|| eyre!("the lab has no pid"))?;
        Ok(Self {
            pid: pid as i32,
            dir: dir.to_owned(),
            run: run.to_owned(),
            child: Some(child),
        })
    }

    /// Waits until it says that it is ready.
    async fn ready(&mut self) -> Result<()> {
        let stdout = self.child.as_mut().and_then(|child| child.stdout.take());
        let stdout = stdout.ok_or_else(|| eyre!("the lab has no output"))?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).await;
        if !matches!(read, Ok(length) if length > 0) {
            bail!("the lab did not start: {}", last_words(&self.dir));
        }
        serde_json::from_str::<About>(&line)
            .map(drop)
            .wrap_err_with(|| format!("the lab said something odd: {}", line.trim_end()))
    }

    /// The kubeconfig that leads to it.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig(&self.dir)
    }

    /// Waits until it ends without having been told to, and says what it said.
    pub async fn ended(&mut self) -> String {
        self.gone().await;
        last_words(&self.dir)
    }

    async fn gone(&mut self) {
        match &mut self.child {
            // An error means that somebody else has waited for it.
            Some(child) => drop(child.wait().await),
            // Nobody tells a process that is not the parent.
            None => {
                while is_of_run(self.pid, &self.run) {
                    tokio::time::sleep(GLANCE).await;
                }
            }
        }
    }

    /// Stops the lab and everything it started, and removes its directory.
    ///
    /// # Errors
    /// It had to be killed, or its directory cannot be removed.
    pub async fn stop(mut self) -> Result<()> {
        self.end().await?;
        remove(&self.dir)
    }

    /// Stops the lab and everything it started.
    async fn end(&mut self) -> Result<()> {
        if self
            .child
            .as_ref()
            .is_some_and(|child| child.id().is_none())
        {
            // It ended and was waited for: its pid may be somebody else's.
            return Ok(());
        }
        signal(self.pid, End::Term);
        if timeout(STOPPED_WITHIN, self.gone()).await.is_err() {
            signal(self.pid, End::Kill);
            bail!(
                "the lab (pid {}) did not stop within {} s and was killed; see {}",
                self.pid,
                STOPPED_WITHIN.as_secs(),
                self.dir.join(LOG).display()
            );
        }
        Ok(())
    }

    /// Leaves the lab running for the next cockpit; it ends itself if none comes.
    pub fn leave(self) {
        drop(self.child);
    }
}

/// Whether there is something to go on with: a lab that lives, or the disks of
/// one that was killed. A lab that stopped itself has removed them.
pub fn is_there(dir: &Path) -> bool {
    dir.join(STATE).is_dir()
}

/// Whether there is an Azure in front of it.
pub fn has_azure(dir: &Path) -> bool {
    dir.join(STATE).join(AZURE).is_file()
}

/// Removes what labs have left whose run nobody goes on with: the cockpit is
/// dead, the lab is dead, and it is not the run that is taken up now. What is
/// younger than [`YOUNG`] may be about to start and stays.
pub fn reap(state: &StateDir, taken_up: Option<&str>) {
    let Ok(labs) = fs::read_dir(state.labs()) else {
        return;
    };
    for dir in labs.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(run) = dir.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let age = fs::metadata(dir.join(LOG)).and_then(|log| log.modified());
        // What has no log of ours is somebody else's.
        let old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > YOUNG));
        let living = || store::look_at(&state.runs(), run).is_some_and(|run| run.living);
        if !old || taken_up == Some(run) || living() || alive(&dir, run).is_some() {
            continue;
        }
        for pid in processes_of(run) {
            signal(pid, End::Kill);
        }
        match remove(&dir) {
            Ok(()) => tracing::info!(run, "removed what a dead lab had left"),
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
}

/// The lab of the run, if it is alive.
fn alive(dir: &Path, run: &str) -> Option<i32> {
    let text = fs::read_to_string(dir.join(STATE).join("lab.json")).ok()?;
    let about: About = serde_json::from_str(&text).ok()?;
    is_of_run(about.pid, run).then_some(about.pid)
}

fn kubeconfig(dir: &Path) -> PathBuf {
    dir.join("kubeconfig")
}

/// Makes a directory whose parent another demo may be removing at this moment.
fn make_dir(dir: &Path) -> io::Result<()> {
    for _ in 0..3 {
        match fs::create_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            made => return made,
        }
    }
    fs::create_dir_all(dir)
}

/// Removes the directory of a lab, and the one of all labs if it was the last.
fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).wrap_err_with(|| format!("cannot remove {}", dir.display()));
        }
        _ => {}
    }
    if let Some(labs) = dir.parent() {
        // Refused while there are others, which is right.
        let _ = fs::remove_dir(labs);
    }
    Ok(())
}

/// The last thing the lab said on its standard error.
fn last_words(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    let last = text.lines().last().unwrap_or("it said nothing");
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
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

#[cfg(target_os = "linux")]
fn processes_of(run: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| is_of_run(*pid, run))
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn is_of_run(_: i32, _: &str) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn processes_of(_: &str) -> Vec<i32> {
    Vec::new()
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

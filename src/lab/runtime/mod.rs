//! The process layer of the lab: containers that are real process trees. It
//! knows nothing of Kubernetes.
//!
//! A container is an [`init`] process and the program it runs. How far it is
//! shut in is the [`Isolation`]. With *namespaces* it has its own processes,
//! its own small [root](rootfs) and an empty set of capabilities; commands
//! beside the program are real commands. With process *groups* it shares the
//! host's processes and files, so commands beside it are [played](group) by the
//! lab, and only those that a fault needs.
//!
//! ```text
//!  lab ── spawner thread ──▶ lab-enter ──▶ lab-init (pid 1) ──▶ Job
//!   ▲                        (namespaces)      │  ▲            ──▶ commands
//!   └────────── one packet socket ─────────────┘  └ reaps all
//! ```
//!
//! Nothing outlives the lab, but for the keeper of [bounded volumes](bounded), on
//! purpose. The outermost process gets a signal when the lab
//! dies, and every init ends when the lab's end of its socket closes. What
//! escapes both is found by the next lab, from its [records].

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::programs;
use crate::sys::{Birth, Session};

mod applets;
mod bounded;
mod cgroups;
mod console;
mod container;
pub mod cri;
mod group;
mod init;
pub(crate) mod logs;
mod procs;
mod records;
mod rootfs;
mod sandbox;
mod sessions;
mod spawner;
mod usage;
mod user;
mod volumes;
mod wire;

pub use bounded::{Bounded, Placed};
pub use cgroups::{Enforced, Limits};
pub use console::ConsoleSpec;
pub use container::{Container, ContainerSpec, Exit, StartError};
pub use logs::ROTATE_AT;
pub use procs::boot;
pub use rootfs::Mount;
pub use sandbox::{Edge, Sandbox, Sandboxes, SocketKind};
pub use usage::{Used, measure};
pub use user::User;
pub use volumes::{SourceKind, prepare_source};
pub use wire::Ending;

use cgroups::Cgroups;
use container::Spawned;
use logs::Log;
use records::Records;
use rootfs::Root;
use spawner::{Request, Spawner};
use wire::Boot;

/// Environment variable that marks every process of one lab.
pub const RUN_ENV: &str = "AKS_TUI_RUN";

/// Environment variable that marks every process of one container.
const CONTAINER_ENV: &str = "AKS_TUI_CONTAINER";

/// Hidden subcommand: make namespaces, then run the init in them.
const ENTER: &str = "lab-enter";

/// Hidden subcommand: join a network, then do as [`ENTER`].
const JOIN: &str = "lab-join";

/// Hidden subcommand: make a network.
const NETWORK: &str = "lab-network";

/// Hidden subcommand: keep bounded volumes.
const KEEPER: &str = "lab-keeper";

/// Hidden subcommand: mount bounded volumes at their keeper's.
const HAND: &str = "lab-volumes";

/// Hidden subcommand: be process 1 of a container.
const INIT: &str = "lab-init";

/// Directories of a container's `PATH` that are the host's.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Plays the part that this process was called for, if it is one of the
/// runtime's own: a hidden subcommand, or an applet in a container. To be asked
/// first thing in `main`, before any thread is started. Gives the exit code.
pub fn play_part() -> Option<u8> {
    let mut arguments = std::env::args();
    let called = arguments.next()?;
    let called = called.rsplit('/').next()?;
    if applets::NAMES.contains(&called) {
        return Some(applets::main(called, arguments));
    }
    if programs::NAMES.contains(&called) {
        return Some(programs::main(called, arguments));
    }
    let part = match arguments.next()?.as_str() {
        ENTER => init::enter,
        JOIN => init::join,
        NETWORK => sandbox::part,
        KEEPER => bounded::keep,
        HAND => bounded::serve,
        INIT => init::run,
        _ => return None,
    };
    Some(match crate::sys::close_inherited() {
        Ok(()) => part(),
        Err(_) => 1,
    })
}

/// How far a container is shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Own processes, own root, no capabilities.
    Namespaces,
    /// A process group: it sees the host, and commands beside it are limited.
    Group,
}

impl Isolation {
    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Group => "group",
        }
    }
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a runtime needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its directory. One runtime at a time holds it.
    pub state: PathBuf,
    /// The executable of this program.
    pub executable: PathBuf,
    /// Name of this run of the lab; every process carries it.
    pub run: String,
    /// The isolation to use; none means namespaces if the kernel allows them.
    pub isolation: Option<Isolation>,
    /// Whether limits are kept, as far as the kernel allows it.
    pub limits: bool,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Another lab holds the directory.
    #[error("another lab runs on {}: stop it, or choose another --state directory", .0.display())]
    Taken(PathBuf),
    /// Namespaces were asked for.
    #[error(
        "this machine gives no namespaces ({0}): use --isolation group, or let the kernel allow \
         unprivileged user namespaces"
    )]
    NoNamespaces(String),
    /// The host has no shell.
    #[error("there is no /bin/sh on this machine: the lab's pods need one, install a shell")]
    NoShell,
    /// The directory cannot be used.
    #[error("cannot prepare {} for the lab's processes: {error}", .path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// The process layer. Dropping it ends every container.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    isolation: Isolation,
    fallback: Option<String>,
    reaped: usize,
    executable: PathBuf,
    spawner: Spawner,
    records: Arc<Records>,
    cgroups: Cgroups,
    containers: Mutex<HashMap<String, Container>>,
}

impl Runtime {
    /// Takes the state directory, ends what an earlier lab left in it, and
    /// finds out which isolation the kernel allows by trying it.
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub async fn open(config: Config) -> Result<Self, RuntimeError> {
        if !Path::new("/bin/sh").exists() {
            return Err(RuntimeError::NoShell);
        }
        let state = |error: io::Error| RuntimeError::State {
            path: config.state.clone(),
            error,
        };
        fs::create_dir_all(&config.state).map_err(state)?;
        let records = Records::take(config.state.join("records")).map_err(state)?;
        let records = records.ok_or_else(|| RuntimeError::Taken(config.state.clone()))?;
        let reaped = records.reap().await.map_err(state)?;
        let cgroups = Cgroups::open(&config.state, config.limits).map_err(state)?;
        // Places of roots and links of an earlier lab; nothing is mounted here.
        for name in ["roots", "links"] {
            clear(&config.state.join(name)).map_err(state)?;
        }
        let executable = place_executable(&config).map_err(state)?;
        let mut runtime = Self {
            isolation: config.isolation.unwrap_or(Isolation::Namespaces),
            fallback: None,
            reaped,
            executable,
            spawner: Spawner::start().map_err(state)?,
            records: Arc::new(records),
            cgroups,
            containers: Mutex::default(),
            config,
        };
        if runtime.isolation == Isolation::Namespaces
            && let Err(reason) = runtime.try_namespaces().await
        {
            if runtime.config.isolation.is_some() {
                return Err(RuntimeError::NoNamespaces(reason));
            }
            runtime.isolation = Isolation::Group;
            runtime.fallback = Some(reason);
        }
        Ok(runtime)
    }

    /// The isolation of its containers.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Why namespaces are not used although they were not declined.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Which limits of containers are kept.
    pub fn enforced(&self) -> Enforced {
        self.cgroups.enforced()
    }

    /// How many processes of an earlier lab were ended at the start.
    pub fn reaped(&self) -> usize {
        self.reaped
    }

    /// Starts a container; it runs when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, spec: ContainerSpec) -> Result<Container, StartError> {
        let id = format!("{:032x}", fastrand::u128(..));
        let isolated = self.isolation == Isolation::Namespaces;
        let staging = isolated.then(|| self.config.state.join("roots").join(&id));
        if let Some(staging) = &staging {
            fs::create_dir_all(staging)?;
        }
        let (log, [stdout, stderr]) = Log::begin(&spec.log_directory, spec.execution)?;
        let console = spec.console;
        let record = console.tty.then(|| stdout.try_clone()).transpose()?;
        let boot = Boot {
            env: self.environment(&id, &spec)?,
            argv: spec.argv,
            cwd: spec.cwd,
            tty: console.tty,
            stdin: console.stdin,
            trees: spec.trees.len(),
            user: spec.user,
            root: staging.clone().map(|staging| Root {
                staging,
                executable: self.executable.clone(),
                links: spec.links,
                hostname: spec.hostname,
                hosts: spec.hosts,
                resolver: spec.resolver,
                mounts: spec.mounts,
                read_only: spec.read_only,
            }),
        };
        let (control, stdin) = wire::pair()?;
        let argument = match &spec.network {
            Some(network) if isolated => {
                // It lies in the socket before there is anybody to read it.
                wire::send(&control, &wire::Join, &network.keys())?;
                JOIN
            }
            None if isolated => ENTER,
            _ => INIT,
        };
        let group = self.cgroups.make(&id, spec.limits)?;
        let child = self.spawner.spawn(Request {
            executable: self.executable.clone(),
            argument,
            env: vec![
                (RUN_ENV, self.config.run.clone()),
                (CONTAINER_ENV, id.clone()),
            ],
            stdin,
            stdout,
            stderr,
            birth: Birth {
                session: Session::New,
                // The init of a group must live to end the others; it notices
                // the lab's death by its socket.
                parent_death: isolated.then_some(Signal::KILL),
            },
        });
        let remains = container::Remains {
            records: Arc::clone(&self.records),
            staging,
            group: group.map(Arc::new),
        };
        let child = match child.await {
            Ok(child) => child,
            Err(error) => {
                remains.clear(&id).await;
                return Err(error.into());
            }
        };
        let name = spec.name;
        let spawned = Spawned {
            child,
            control,
            record,
            trees: spec.trees,
        };
        let container =
            Container::boot(id.clone(), name, &boot, spawned, console, log, remains).await?;
        let mut containers = self.containers();
        containers.retain(|_, container| container.exit().is_none());
        containers.insert(id, container.clone());
        Ok(container)
    }

    /// What makes networks for its containers.
    ///
    /// # Errors
    /// When no thread can be had for it.
    pub fn sandboxes(&self) -> io::Result<Sandboxes> {
        Sandboxes::start(self.executable.clone(), self.config.run.clone())
    }

    /// The volumes with a bound that its containers can have.
    ///
    /// # Errors
    /// When its directory cannot be used, or no thread can be had.
    pub fn bounded(&self) -> io::Result<Bounded> {
        let why_not = (self.isolation == Isolation::Group).then(|| {
            "volumes have no bound here: pods are process groups, and nothing can be mounted for \
             them"
                .to_owned()
        });
        let executable = self.executable.clone();
        Bounded::open(
            &self.config.state,
            executable,
            self.config.run.clone(),
            why_not,
        )
    }

    /// Kills every container and waits until all are gone.
    pub async fn stop(&self) {
        let running: Vec<_> = self.containers().drain().map(|(_, it)| it).collect();
        join_all(running.iter().map(Container::kill)).await;
        self.cgroups.close();
    }

    fn containers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Container>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The environment of a container: what was asked for, the marks, `PATH`.
    fn environment(&self, id: &str, spec: &ContainerSpec) -> io::Result<Vec<(String, String)>> {
        let mut env = spec.env.clone();
        if !env.iter().any(|(name, _)| name == "PATH") {
            let path = match self.isolation {
                Isolation::Namespaces => {
                    format!("{}:{SYSTEM_PATH}:{}", rootfs::PROGRAMS, rootfs::APPLETS)
                }
                Isolation::Group => {
                    format!("{}:{SYSTEM_PATH}", self.links(&spec.links)?.display())
                }
            };
            env.push(("PATH".into(), path));
        }
        env.push((RUN_ENV.into(), self.config.run.clone()));
        env.push((CONTAINER_ENV.into(), id.into()));
        Ok(env)
    }

    /// A directory of the host with links of these names to the executable.
    fn links(&self, names: &[String]) -> io::Result<PathBuf> {
        let directory = self.config.state.join("links").join(names.join("+"));
        fs::create_dir_all(&directory)?;
        for name in names {
            match std::os::unix::fs::symlink(&self.executable, directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(directory)
    }

    /// Runs a container that does nothing, to see whether one can be run.
    async fn try_namespaces(&self) -> Result<(), String> {
        let log_directory = self.config.state.join("probe");
        let container = self.start(ContainerSpec {
            name: "probe".into(),
            argv: ["/bin/sh", "-c", "exit 0"].map(String::from).to_vec(),
            env: Vec::new(),
            cwd: "/".into(),
            hostname: "probe".into(),
            hosts: None,
            resolver: None,
            network: None,
            links: Vec::new(),
            mounts: Vec::new(),
            trees: Vec::new(),
            console: ConsoleSpec::default(),
            limits: Limits::default(),
            user: User::default(),
            read_only: false,
            log_directory: log_directory.clone(),
            execution: 0,
        });
        let outcome = match container.await {
            Ok(container) => match container.wait().await.ending {
                Ending { code: 0, .. } => Ok(()),
                ending => Err(format!("a shell in them ended with {}", ending.code)),
            },
            Err(error) => Err(error.to_string()),
        };
        // It is a matter of disk space only, if it stays.
        let _ = fs::remove_dir_all(log_directory);
        outcome
    }
}

/// Ends what outlives a runtime on purpose, so that its directory can be
/// removed: the keeper of bounded volumes, and with it what is on them.
pub fn forget(state: &Path) {
    bounded::end_keeper(state);
}

fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps the executable of this very process reachable by a path, whatever
/// happens to the file it was started from: a build may replace it.
fn place_executable(config: &Config) -> io::Result<PathBuf> {
    let original = fs::canonicalize(&config.executable)?;
    let flags = rustix::fs::statvfs(&config.state)?.f_flag;
    if flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
        return Ok(original);
    }
    let running = fs::metadata(&config.executable)?;
    let place = config.state.join("aks-tui");
    clear_file(&place)?;
    let same = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (running.dev(), running.ino()))
    };
    // A link costs nothing, but not every file system or owner allows one.
    if fs::hard_link(&original, &place).is_ok() && same(&place) {
        return Ok(place);
    }
    clear_file(&place)?;
    fs::copy(&config.executable, &place)?;
    Ok(place)
}

fn clear_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

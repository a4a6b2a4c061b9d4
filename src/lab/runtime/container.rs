//! One execution of a container, from the lab's side.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::watch;

use super::cgroups::{Group, Limits};
use super::console::{Console, ConsoleSpec};
use super::logs::Log;
use super::procs::{self, Process};
use super::records::{self, Records};
use super::rootfs::Mount;
use super::sandbox::Sandbox;
use super::user::User;
use super::wire::{Boot, Channel, Ending, Order, Report};
use super::{Isolation, group, sessions};
use crate::lab::node::{ExecRequest, ExecSession, LogSource, NodeError};

/// How long an init may take to get its program running.
const START: Duration = Duration::from_secs(30);

/// How long a killed container may take before its init is killed as well.
const KILL: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Name for messages, not unique.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment. `PATH` is added when missing.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: String,
    /// Host name; only with namespaces.
    pub hostname: String,
    /// A file of the host that becomes `/etc/hosts`; only with namespaces.
    pub hosts: Option<PathBuf>,
    /// Its `/etc/resolv.conf`; none is the host's. Only with namespaces.
    pub resolver: Option<String>,
    /// The network it is in; none shares the host's. Only with namespaces.
    pub network: Option<Sandbox>,
    /// Names under which this executable is found on the `PATH`.
    pub links: Vec<String>,
    /// Volumes. Without namespaces there is no place to mount them; the caller
    /// passes their paths to the program instead.
    pub mounts: Vec<Mount>,
    /// Detached mounts that some of the volumes are in; each is used up.
    pub trees: Vec<Arc<OwnedFd>>,
    /// Its standard input, and whether it has a terminal.
    pub console: ConsoleSpec,
    /// Who its processes are to themselves; only with namespaces.
    pub user: User,
    /// Its own root is closed to it, its volumes are not; only with namespaces.
    pub read_only: bool,
    /// What it may use of the machine; kept as far as the kernel allows it.
    pub limits: Limits,
    /// Directory of its logs.
    pub log_directory: PathBuf,
    /// Number of this execution; it names the log file.
    pub execution: u32,
}

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be executed, or its root cannot be built: starting it
    /// again will fail again.
    #[error("{0}")]
    Refused(String),
    /// The lab itself could not do it.
    #[error("cannot start a container process: {0}")]
    Lab(#[from] io::Error),
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code and signal of the program.
    pub ending: Ending,
    /// When the lab learned of it.
    pub at: Timestamp,
    /// The kernel has killed a process of it for taking more memory than it may.
    pub out_of_memory: bool,
}

/// A running container. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Container(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    name: String,
    isolation: Isolation,
    pid: Option<i32>,
    init: Process,
    started_at: Timestamp,
    log: Log,
    control: Arc<Channel>,
    console: Arc<Console>,
    group: Option<Arc<Group>>,
    gone: watch::Receiver<Option<Exit>>,
}

/// An init that has just been spawned.
pub(super) struct Spawned {
    pub child: Child,
    pub control: OwnedFd,
    /// Where the output of a terminal is to go.
    pub record: Option<OwnedFd>,
    /// What its volumes are in.
    pub trees: Vec<Arc<OwnedFd>>,
}

/// What is cleaned away when a container is gone.
pub(super) struct Remains {
    pub records: Arc<Records>,
    pub staging: Option<PathBuf>,
    pub group: Option<Arc<Group>>,
}

impl Remains {
    pub async fn clear(&self, id: &str) {
        if let Some(staging) = &self.staging {
            // Nothing is mounted on it here; it is empty.
            let _ = fs::remove_dir(staging);
        }
        if let Some(group) = &self.group {
            group.remove().await;
        }
        self.records.forget(id);
    }
}

impl Container {
    /// Brings a freshly spawned init to run its program.
    pub(super) async fn boot(
        id: String,
        name: String,
        boot: &Boot,
        spawned: Spawned,
        console: ConsoleSpec,
        log: Log,
        remains: Remains,
    ) -> Result<Self, StartError> {
        let Spawned {
            mut child,
            control,
            record,
            trees,
        } = spawned;
        let pid = child.id() as i32;
        let isolation = match boot.root {
            Some(_) => Isolation::Namespaces,
            None => Isolation::Group,
        };
        let started = async {
            // Not reaped yet, so it is there, if only as a zombie.
            let init = Process::read(pid).ok_or_else(|| io::Error::other("its init has gone"))?;
            remains.records.write(&id, &init)?;
            let control = Channel::new(control)?;
            let doors = remains.group.as_ref().map(|group| group.doors());
            let doors = doors.transpose()?.unwrap_or_default();
            let trees = trees.iter().map(AsFd::as_fd);
            let handles: Vec<_> = trees.chain(doors.iter().map(AsFd::as_fd)).collect();
            let sent = control.send(boot, &handles).await;
            if let Err(error) = sent
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                return Err(error.into());
            }
            // An init that has ended already has said why.
            let answer = tokio::time::timeout(START, control.receive::<Report>()).await;
            let answer = answer.map_err(|_| {
                io::Error::other(format!(
                    "its init was not ready after {} s",
                    START.as_secs()
                ))
            })??;
            match answer {
                Some((Report::Running { pid }, handles)) => {
                    let mut handles = handles.into_iter();
                    let kept = console.is_kept().then(|| handles.next()).flatten();
                    let console = Console::open(console, kept, record, log.viewers())?;
                    Ok((init, control, pid, handles.next(), Arc::new(console)))
                }
                Some((Report::Failed(reason), _)) => Err(StartError::Refused(reason)),
                Some((Report::Exited(_), _)) | None => {
                    Err(io::Error::other("its init ended before the program ran").into())
                }
            }
        };
        let (init, control, inner_pid, handle, console) = match started.await {
            Ok(started) => started,
            Err(error) => {
                // Gone already, or of no use.
                let _ = child.kill();
                let _ = reap(child).await;
                log.ended().await;
                remains.clear(&id).await;
                return Err(error);
            }
        };
        let control = Arc::new(control);
        let (tell, gone) = watch::channel(None);
        let container = Self(Arc::new(Inner {
            id: id.clone(),
            name,
            isolation,
            pid: match isolation {
                Isolation::Group => Some(inner_pid),
                Isolation::Namespaces => handle.as_ref().and_then(pid_of),
            },
            init,
            started_at: Timestamp::now(),
            log: log.clone(),
            control: Arc::clone(&control),
            console: Arc::clone(&console),
            group: remains.group.clone(),
            gone,
        }));
        tokio::spawn(async move {
            let mut exit = watch_over(&id, &control, child, isolation).await;
            log.ended().await;
            console.close();
            let group = remains.group.as_ref();
            exit.out_of_memory = group.is_some_and(|group| group.out_of_memory());
            remains.clear(&id).await;
            tell.send_replace(Some(exit));
        });
        Ok(container)
    }

    /// A name that no other execution has.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The program's process id on the host; none on kernels that do not tell.
    pub fn pid(&self) -> Option<i32> {
        self.0.pid
    }

    /// The process that all of the container descend from, on the host.
    pub(super) fn outermost(&self) -> i32 {
        self.0.init.pid
    }

    /// Memory that it holds, where a control group counts it.
    pub(super) fn memory(&self) -> Option<u64> {
        self.0.group.as_ref()?.memory()
    }

    /// When the program ran.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    /// How it ended; none while any of its processes is left.
    pub fn exit(&self) -> Option<Exit> {
        *self.0.gone.borrow()
    }

    /// Waits until every process of it is gone and its log is complete.
    pub async fn wait(&self) -> Exit {
        let mut gone = self.0.gone.clone();
        let exit = gone.wait_for(Option::is_some).await.map(|exit| *exit);
        // The watching task tells before it ends, unless the lab itself ends.
        exit.ok().flatten().unwrap_or_else(|| Exit {
            ending: Ending::killed(Signal::KILL.as_raw()),
            at: Timestamp::now(),
            out_of_memory: false,
        })
    }

    /// Sends the program a signal.
    pub async fn signal(&self, signal: Signal) {
        // An init that is gone has no program.
        let _ = self
            .0
            .control
            .send(&Order::Signal(signal.as_raw()), &[])
            .await;
    }

    /// Kills everything in the container and waits until it is gone.
    pub async fn kill(&self) -> Exit {
        let orderly = async {
            self.signal(Signal::KILL).await;
            self.wait().await
        };
        if let Ok(exit) = tokio::time::timeout(KILL, orderly).await {
            return exit;
        }
        self.0.init.signal(Signal::KILL);
        self.wait().await
    }

    /// Starts a command beside the program.
    ///
    /// # Errors
    /// [`NodeError::NotFound`] when the container is no longer running,
    /// [`NodeError::CannotExecute`] when the command is not there.
    pub async fn exec(&self, request: ExecRequest) -> Result<ExecSession, NodeError> {
        let inner = &self.0;
        if self.exit().is_some() {
            return Err(NodeError::NotFound(inner.name.clone()));
        }
        match inner.isolation {
            Isolation::Namespaces => sessions::open(&inner.name, &inner.control, request).await,
            Isolation::Group => {
                let outcome = match group::understand(&request.command) {
                    Ok(applet) => applet.run(&procs::descendants(inner.init.pid, procs::all())),
                    Err(reason) => super::applets::Outcome {
                        stderr: format!("{reason}\n"),
                        code: 126,
                        ..Default::default()
                    },
                };
                Ok(sessions::finished(&request, outcome).await)
            }
        }
    }

    /// Attaches to the program's own streams: what it says from now on and, with
    /// `stdin`, its input. The session ends with the program.
    ///
    /// # Errors
    /// [`NodeError::NotFound`] when the container is no longer running.
    pub fn attach(&self, stdin: bool) -> Result<ExecSession, NodeError> {
        let attached = self.0.console.attach(stdin);
        attached.ok_or_else(|| NodeError::NotFound(self.0.name.clone()))
    }

    /// Its log.
    pub fn log(&self) -> LogSource {
        self.0.log.source()
    }
}

/// The pid behind a pidfd, as this process sees it.
fn pid_of(handle: &OwnedFd) -> Option<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Waits for the end of a container and of everything in it.
async fn watch_over(id: &str, control: &Channel, child: Child, isolation: Isolation) -> Exit {
    let mut exit = None;
    // Until the init has closed its end, which it does with its death.
    while let Ok(Some((report, _))) = control.receive::<Report>().await {
        if let Report::Exited(ending) = report {
            exit = Some(Exit {
                ending,
                at: Timestamp::now(),
                out_of_memory: false,
            });
        }
    }
    let orderly = reap(child)
        .await
        .is_ok_and(|status| status.code().is_some());
    if isolation == Isolation::Group && !orderly {
        // The init was killed and could not end the others. What it left is
        // found by its mark; what cannot be ended has been reported already.
        if let Err(error) = records::end_marked(id).await {
            tracing::warn!("{error}");
        }
    }
    exit.unwrap_or_else(|| Exit {
        ending: Ending::killed(Signal::KILL.as_raw()),
        at: Timestamp::now(),
        out_of_memory: false,
    })
}

async fn reap(mut child: Child) -> io::Result<std::process::ExitStatus> {
    let waited = tokio::task::spawn_blocking(move || child.wait()).await;
    waited.map_err(io::Error::other)?
}

//! Process 1 of a container.
//!
//! It starts the program, forwards signals to it, reaps whatever ends, starts
//! commands beside the program when the lab asks, and ends when the program
//! ends, with everything else in the container. When the lab is gone, it ends
//! at once.
//!
//! It runs as a process of its own, without threads, so that it may enter
//! namespaces. In the namespace mode its end is the end of the namespace, and
//! the kernel kills what is left. In the group mode it adopts every orphan of
//! the container, so that it finds them all and kills them itself.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getgid, getuid, kill_process, pidfd_open,
    set_child_subreaper, set_parent_process_death_signal, setpriority_process,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::procs;
use super::rootfs;
use super::user::Maps;
use super::wire::{self, Boot, Channel, Ending, Exec, Join, Order, Report, SessionReport};
use crate::sys::{self, Birth, Session};

/// Pods yield to the cockpit and the lab: on two cores the screen stays live.
const NICE: i32 = 5;

/// Options of tar for commands beside the program, unless it has its own. The
/// container has one user, root, which cannot give files away: without this
/// `kubectl cp` of any other user's file would fail.
const TAR: &str = "TAR_OPTIONS";

/// Signals that a program may be meant by when its init gets them.
const FORWARDED: [SignalKind; 6] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

/// First stage of the namespace mode: makes the namespaces, and stays outside
/// as the parent of the init. It ends when nothing in them is left.
pub(super) fn enter() -> u8 {
    match try_enter() {
        Ok(code) => code,
        Err(reason) => {
            // If the lab is gone, nobody is left to be told.
            let _ = wire::send(rustix::stdio::stdin(), &Report::Failed(reason), &[]);
            1
        }
    }
}

/// As [`enter`], in a network that the lab has put the keys of into the socket.
pub(super) fn join() -> u8 {
    let joined = match wire::receive::<Join>(rustix::stdio::stdin()) {
        Ok(Some((Join, keys))) => match keys.as_slice() {
            [user, network] => sys::join_network(user.as_fd(), network.as_fd())
                .map_err(|error| format!("join the pod's network: {error}")),
            _ => Err("join the pod's network: its keys are missing".to_owned()),
        },
        // The lab is gone.
        _ => return 1,
    };
    match joined {
        Ok(()) => enter(),
        Err(reason) => {
            let _ = wire::send(rustix::stdio::stdin(), &Report::Failed(reason), &[]);
            1
        }
    }
}

fn try_enter() -> Result<u8, String> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    sys::enter_new_namespaces().map_err(|error| no_namespaces(&error))?;
    rootfs::become_root(uid, gid).map_err(|error| format!("become root in them: {error}"))?;
    // Changing credentials has cleared it.
    let kill = Some(Signal::KILL);
    set_parent_process_death_signal(kill).map_err(|error| error.to_string())?;
    let mut init = Command::new("/proc/self/exe");
    init.arg(super::INIT);
    let birth = Birth {
        session: Session::Inherited,
        parent_death: kill,
    };
    sys::prepare(&mut init, birth);
    let mut init = init
        .spawn()
        .map_err(|error| format!("start the init: {error}"))?;
    // The container's output ends with the container, not with this process.
    let outputs = silence();
    let status = init.wait().map_err(|error| error.to_string())?;
    outputs.map_err(|error| error.to_string())?;
    Ok(status.code().unwrap_or(1) as u8)
}

/// Why the kernel makes no namespaces, in words that help more than its own.
fn no_namespaces(error: &io::Error) -> String {
    let why = match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::NOSPC) => ": user.max_user_namespaces is 0 or used up",
        Some(rustix::io::Errno::PERM) => ": unprivileged users may not have them",
        _ => "",
    };
    format!("make namespaces: {error}{why}")
}

fn silence() -> io::Result<()> {
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// The init. Its standard input is the lab.
pub(super) fn run() -> u8 {
    // A lower priority than the lab's cannot be given back: that is no error.
    let _ = setpriority_process(None, NICE);
    let Ok(lab) = take_control() else { return 1 };
    let Ok(Some((boot, mut trees))) = wire::receive::<Boot>(&lab) else {
        return 1;
    };
    let doors = Arc::new(trees.split_off(boot.trees.min(trees.len())));
    match supervise(&lab, boot, trees, doors) {
        Ok(ending) => ending.code as u8,
        Err(reason) => {
            let _ = wire::send(&lab, &Report::Failed(reason), &[]);
            1
        }
    }
}

/// Moves the lab's socket from standard input, where a program would find it,
/// to a descriptor that no program inherits.
fn take_control() -> io::Result<OwnedFd> {
    let lab = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(lab)
}

fn supervise(
    lab: &OwnedFd,
    boot: Boot,
    trees: Vec<OwnedFd>,
    doors: Doors,
) -> Result<Ending, String> {
    let isolated = boot.root.is_some();
    // Where the kernel has no keys, or no more of them for this user, it stays
    // with the lab's own, which is empty.
    let _ = sys::leave_keyring();
    if let Some(root) = &boot.root {
        let maps = Maps::hold().map_err(|error| error.to_string())?;
        root.enter(&trees).map_err(|error| error.to_string())?;
        drop(trees);
        maps.become_user(boot.user)
            .map_err(|error| format!("become user {}: {error}", boot.user.uid))?;
        rootfs::renounce().map_err(|error| error.to_string())?;
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    } else {
        let own = rustix::process::getpid();
        set_child_subreaper(Some(own)).map_err(|error| error.to_string())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("start the init's loop: {error}"))?;
    runtime.block_on(async {
        let lab = lab.try_clone().and_then(Channel::new);
        let lab = lab.map_err(|error| error.to_string())?;
        let mut init = Init::start(lab, boot, doors).await?;
        let ending = init.wait().await.map_err(|error| error.to_string())?;
        // If the lab is gone, the container ends all the same.
        let _ = init.lab.send(&Report::Exited(ending), &[]).await;
        if !isolated {
            init.end_all().await;
        }
        Ok(ending)
    })
}

/// The control groups that all but the init are in.
type Doors = Arc<Vec<OwnedFd>>;

struct Init {
    lab: Channel,
    boot: Boot,
    doors: Doors,
    program: Pid,
    children: tokio::signal::unix::Signal,
    forwarded: mpsc::Receiver<Signal>,
    sessions: HashMap<Pid, Arc<Channel>>,
    /// Sessions that the lab has dropped.
    dropped: mpsc::Receiver<Pid>,
    drop_session: mpsc::Sender<Pid>,
}

impl Init {
    async fn start(lab: Channel, boot: Boot, doors: Doors) -> Result<Self, String> {
        let children = signal(SignalKind::child()).map_err(|error| error.to_string())?;
        let forwarded = forwarded().map_err(|error| error.to_string())?;
        let mut program = command(&boot, &boot.argv).map_err(|refused| refused.reason)?;
        let console = connect_console(&mut program, &boot).map_err(|error| error.to_string())?;
        let birth = Birth {
            session: if boot.tty {
                Session::NewWithTerminal
            } else {
                Session::New
            },
            parent_death: Some(Signal::KILL),
        };
        sys::enter_groups(&mut program, Arc::clone(&doors));
        sys::prepare(&mut program, birth);
        let started = program.spawn();
        // With it go this process's own ends of the program's streams.
        drop(program);
        let program = started.map_err(|error| Refused::from_exec(&boot.argv[0], &error).reason)?;
        let program = Pid::from_child(&program);
        // Where the kernel has no such handle, the lab does without.
        let handle = pidfd_open(program, PidfdFlags::empty()).ok();
        let handles = console.iter().chain(&handle);
        let handles: Vec<BorrowedFd<'_>> = handles.map(AsFd::as_fd).collect();
        let report = Report::Running {
            pid: program.as_raw_nonzero().get(),
        };
        lab.send(&report, &handles)
            .await
            .map_err(|error| error.to_string())?;
        // The container's output ends with its processes, not with the init.
        silence().map_err(|error| error.to_string())?;
        let (drop_session, dropped) = mpsc::channel(16);
        Ok(Self {
            lab,
            boot,
            doors,
            program,
            children,
            forwarded,
            sessions: HashMap::new(),
            dropped,
            drop_session,
        })
    }

    /// Serves until the program has ended, or the lab has.
    async fn wait(&mut self) -> io::Result<Ending> {
        loop {
            tokio::select! {
                _ = self.children.recv() => {
                    if let Some(ending) = self.reap().await {
                        return Ok(ending);
                    }
                }
                order = self.lab.receive::<Order>() => match order? {
                    None => return Ok(Ending::killed(Signal::KILL.as_raw())),
                    Some((Order::Signal(number), _)) => {
                        if let Some(signal) = Signal::from_named_raw(number) {
                            self.signal(signal);
                        }
                    }
                    Some((Order::Exec(exec), descriptors)) => {
                        self.exec(&exec, descriptors).await?;
                    }
                },
                Some(signal) = self.forwarded.recv() => self.signal(signal),
                Some(session) = self.dropped.recv() => self.end_session(session),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // It cannot be another process: it is reaped only here, and then all ends.
        let _ = kill_process(self.program, signal);
    }

    /// Reaps everything that has ended; says how the program did, if it did.
    async fn reap(&mut self) -> Option<Ending> {
        let mut program = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let ending = Ending::of(status);
            if pid == self.program {
                program = Some(ending);
            } else if let Some(session) = self.sessions.remove(&pid) {
                let _ = session.send(&SessionReport::Exited(ending), &[]).await;
            }
        }
        program
    }

    async fn exec(&mut self, exec: &Exec, mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let Some(session) = descriptors.pop() else {
            return Ok(());
        };
        let session = Arc::new(Channel::new(session)?);
        match start_session(&self.boot, &self.doors, exec) {
            Ok((pid, streams)) => {
                self.sessions.insert(pid, Arc::clone(&session));
                let streams: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
                // A session that was dropped meanwhile is noticed just below.
                let _ = session.send(&SessionReport::Started, &streams).await;
                let drop_session = self.drop_session.clone();
                tokio::spawn(async move {
                    // The lab sends nothing here: what comes is the end of file.
                    let _ = session.receive::<()>().await;
                    let _ = drop_session.send(pid).await;
                });
            }
            Err(Refused { code, reason }) => {
                let report = SessionReport::Failed { code, reason };
                let _ = session.send(&report, &[]).await;
            }
        }
        Ok(())
    }

    /// Kills a command whose session was dropped, and what it has started.
    fn end_session(&mut self, leader: Pid) {
        // One that has ended by itself may leave processes, as in a real pod.
        if self.sessions.remove(&leader).is_none() {
            return;
        }
        let leader = leader.as_raw_nonzero().get();
        let all = procs::all();
        let members = all.iter().filter(|process| process.session == leader);
        for process in members {
            process.signal(Signal::KILL);
        }
        for process in procs::descendants(leader, all) {
            process.signal(Signal::KILL);
        }
    }

    /// Kills and reaps every process of the container, until none is left.
    async fn end_all(&mut self) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        loop {
            for process in procs::descendants(own, procs::all()) {
                process.signal(Signal::KILL);
            }
            let left = loop {
                match rustix::process::wait(WaitOptions::NOHANG) {
                    Ok(Some(_)) => {}
                    left => break left,
                }
            };
            // Orphans are adopted: no children means that nobody is left.
            if left.is_err() {
                return;
            }
            // One may have been born between the look and the kill.
            let _ = tokio::time::timeout(Duration::from_millis(5), self.children.recv()).await;
        }
    }
}

fn forwarded() -> io::Result<mpsc::Receiver<Signal>> {
    let (forward, forwarded) = mpsc::channel(16);
    for kind in FORWARDED {
        let mut arrived = signal(kind)?;
        let forward = forward.clone();
        tokio::spawn(async move {
            while arrived.recv().await.is_some() {
                if let Some(signal) = Signal::from_named_raw(kind.as_raw_value()) {
                    let _ = forward.send(signal).await;
                }
            }
        });
    }
    Ok(forwarded)
}

/// A command that cannot be executed, in the words of a container runtime.
struct Refused {
    code: i32,
    reason: String,
}

impl Refused {
    fn new(code: i32, name: &str, why: impl std::fmt::Display) -> Self {
        let reason = format!("unable to start container process: exec: {name:?}: {why}");
        Self { code, reason }
    }

    fn from_exec(name: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(127, name, "no such file or directory"),
            io::ErrorKind::PermissionDenied => Self::new(126, name, "permission denied"),
            _ => Self::new(126, name, error),
        }
    }
}

fn command(boot: &Boot, argv: &[String]) -> Result<Command, Refused> {
    let Some((name, arguments)) = argv.split_first() else {
        return Err(Refused::new(126, "", "no command specified"));
    };
    let path = find(boot, name)?;
    if !Path::new(&boot.cwd).is_dir() {
        let why = format!("working directory {:?} does not exist", boot.cwd);
        return Err(Refused::new(126, name, why));
    }
    let mut command = Command::new(path);
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(boot.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&boot.cwd);
    Ok(command)
}

/// Finds a program as a shell would, by the container's own `PATH`.
fn find(boot: &Boot, name: &str) -> Result<PathBuf, Refused> {
    if name.contains('/') {
        return Ok(Path::new(&boot.cwd).join(name));
    }
    let path = boot.env.iter().rev().find(|(key, _)| key == "PATH");
    let path = path.map(|(_, value)| value.as_str()).unwrap_or_default();
    let mut forbidden = false;
    for directory in path.split(':').filter(|directory| !directory.is_empty()) {
        let candidate = Path::new(directory).join(name);
        if candidate.is_file() {
            if rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK).is_ok() {
                return Ok(candidate);
            }
            forbidden = true;
        }
    }
    if forbidden {
        return Err(Refused::new(126, name, "permission denied"));
    }
    Err(Refused::new(
        127,
        name,
        "executable file not found in $PATH",
    ))
}

/// Starts a command beside the program and gives the lab's ends of its streams.
fn start_session(boot: &Boot, doors: &Doors, exec: &Exec) -> Result<(Pid, Vec<OwnedFd>), Refused> {
    let mut command = command(boot, &exec.argv)?;
    let name = &exec.argv[0];
    if boot.root.is_some() && !boot.env.iter().any(|(name, _)| name == TAR) {
        command.env(TAR, "--no-same-owner");
    }
    let streams = if exec.tty {
        connect_terminal(&mut command)
    } else {
        connect_pipes(&mut command, exec.stdin)
    };
    let streams = streams.map_err(|error| Refused::new(126, name, error))?;
    let birth = Birth {
        session: if exec.tty {
            Session::NewWithTerminal
        } else {
            Session::New
        },
        parent_death: Some(Signal::KILL),
    };
    sys::enter_groups(&mut command, Arc::clone(doors));
    sys::prepare(&mut command, birth);
    let child = command
        .spawn()
        .map_err(|error| Refused::from_exec(name, &error))?;
    Ok((Pid::from_child(&child), streams))
}

/// Connects the program's own streams, beyond what it inherits, and gives the
/// lab's end of them.
fn connect_console(program: &mut Command, boot: &Boot) -> io::Result<Option<OwnedFd>> {
    if boot.tty {
        return Ok(connect_terminal(program)?.pop());
    }
    if boot.stdin {
        let (inner, stdin) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        program.stdin(inner);
        return Ok(Some(stdin));
    }
    program.stdin(Stdio::null());
    Ok(None)
}

fn connect_terminal(command: &mut Command) -> io::Result<Vec<OwnedFd>> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags)?;
    unlockpt(&terminal)?;
    let inner = ioctl_tiocgptpeer(&terminal, flags)?;
    command
        .env("TERM", "xterm")
        .stdin(inner.try_clone()?)
        .stdout(inner.try_clone()?)
        .stderr(inner);
    Ok(vec![terminal])
}

fn connect_pipes(command: &mut Command, stdin: bool) -> io::Result<Vec<OwnedFd>> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (stdout, inner_stdout) = pipe()?;
    let (stderr, inner_stderr) = pipe()?;
    command.stdout(inner_stdout).stderr(inner_stderr);
    let mut streams = vec![stdout, stderr];
    if stdin {
        let (inner_stdin, stdin) = pipe()?;
        command.stdin(inner_stdin);
        streams.push(stdin);
    } else {
        command.stdin(Stdio::null());
    }
    Ok(streams)
}

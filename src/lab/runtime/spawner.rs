//! The thread that all containers are spawned from.
//!
//! A process can ask for a signal at its parent's death, but the kernel means
//! the parent *thread*. A pool's threads come and go, so one thread does
//! nothing else and lives as long as the runtime.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::sys::{self, Birth};

/// A process to spawn.
#[derive(Debug)]
pub(super) struct Request {
    pub executable: PathBuf,
    pub argument: &'static str,
    pub env: Vec<(&'static str, String)>,
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub birth: Birth,
}

type Order = (Request, oneshot::Sender<io::Result<Child>>);

/// A handle on the thread. The thread ends with its last handle, and with it
/// every process that asked for a signal then.
#[derive(Debug, Clone)]
pub(super) struct Spawner(mpsc::Sender<Order>);

impl Spawner {
    pub fn start() -> io::Result<Self> {
        let (orders, waiting) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("lab-spawner".into())
            .spawn(move || {
                for (request, answer) in waiting {
                    // Whoever asked may have gone; then the process goes too,
                    // because its end of the socket is closed.
                    let _ = answer.send(spawn(request));
                }
            })?;
        Ok(Self(orders))
    }

    pub async fn spawn(&self, request: Request) -> io::Result<Child> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.0.send((request, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn spawn(request: Request) -> io::Result<Child> {
    let mut command = Command::new(&request.executable);
    command
        .arg(request.argument)
        .env_clear()
        .envs(request.env)
        .current_dir("/")
        .stdin(request.stdin)
        .stdout(request.stdout)
        .stderr(request.stderr);
    sys::prepare(&mut command, request.birth);
    command.spawn()
}

//! Commands beside a container's program: their streams, their terminal, and
//! how they end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::applets::Outcome;
use super::wire::{self, Channel, Ending, Exec, Order, SessionReport};
use crate::lab::node::{ExecExit, ExecRequest, ExecSession, NodeError, Stream, TerminalSize};

/// How much output waits for a slow reader, in reads.
pub(super) const QUEUE: usize = 16;

/// How much is read at a time, in bytes.
const CHUNK: usize = 32 * 1024;

/// How long an init may take to start a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a terminal takes for the end of its input.
const END_OF_INPUT: &[u8] = &[4];

/// Starts a command in the container whose init is at the other end.
pub(super) async fn open(
    container: &str,
    init: &Channel,
    request: ExecRequest,
) -> Result<ExecSession, NodeError> {
    let broken = |error: io::Error| NodeError::Internal(format!("start a command: {error}"));
    let (ours, theirs) = wire::pair().map_err(broken)?;
    let order = Order::Exec(Exec {
        argv: request.command.clone(),
        tty: request.tty,
        stdin: request.stdin,
    });
    let sent = init
        .send(&order, &[std::os::fd::AsFd::as_fd(&theirs)])
        .await;
    drop(theirs);
    match sent {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(broken(error)),
        // The init has ended: it answers like a container that is not there.
        Err(_) => return Err(NodeError::NotFound(container.to_owned())),
        Ok(()) => {}
    }
    let session = Channel::new(ours).map_err(broken)?;
    let answer = tokio::time::timeout(PATIENCE, session.receive::<SessionReport>()).await;
    let answer = answer.map_err(|_| {
        let seconds = PATIENCE.as_secs();
        NodeError::Internal(format!("the container did not answer within {seconds} s"))
    })?;
    match answer.map_err(broken)? {
        Some((SessionReport::Started, streams)) => connect(session, &request, streams),
        Some((SessionReport::Failed { code, reason }, _)) => {
            Err(NodeError::CannotExecute { reason, code })
        }
        Some((SessionReport::Exited(_), _)) | None => {
            Err(NodeError::NotFound(container.to_owned()))
        }
    }
}

/// A session of a command that the lab did itself and has finished.
pub(super) async fn finished(request: &ExecRequest, outcome: Outcome) -> ExecSession {
    let (to_output, output) = mpsc::channel(2);
    for (stream, text) in [
        (Stream::Stdout, outcome.stdout),
        (Stream::Stderr, outcome.stderr),
    ] {
        // With a terminal there is one stream, and lines end as on a terminal.
        let (stream, text) = if request.tty {
            (Stream::Stdout, text.replace('\n', "\r\n"))
        } else {
            (stream, text)
        };
        if !text.is_empty() {
            // The queue holds both.
            let _ = to_output.send((stream, Bytes::from(text))).await;
        }
    }
    let (tell, exit) = oneshot::channel();
    let _ = tell.send(ExecExit { code: outcome.code });
    ExecSession {
        stdin: request.stdin.then(|| mpsc::channel(1).0),
        output,
        resize: mpsc::channel(1).0,
        exit,
        guard: Box::new(()),
    }
}

fn connect(
    session: Channel,
    request: &ExecRequest,
    streams: Vec<OwnedFd>,
) -> Result<ExecSession, NodeError> {
    let broken = |error: io::Error| NodeError::Internal(format!("connect a command: {error}"));
    let (to_output, output) = mpsc::channel(QUEUE);
    let (stdin, from_stdin) = mpsc::channel(QUEUE);
    let (resize, sizes) = mpsc::channel(1);
    let (tell, exit) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut readers = JoinSet::new();
    let mut streams = streams.into_iter();
    if request.tty {
        let terminal = streams.next().ok_or_else(|| missing("terminal"))?;
        let terminal = Arc::new(Terminal::new(terminal).map_err(broken)?);
        readers.spawn(Arc::clone(&terminal).read(to_output));
        tasks.spawn(Arc::clone(&terminal).resize(sizes));
        if request.stdin {
            tasks.spawn(terminal.write(from_stdin));
        }
    } else {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pipe = streams.next().ok_or_else(|| missing("output"))?;
            let pipe = pipe::Receiver::from_owned_fd(pipe).map_err(broken)?;
            readers.spawn(read(pipe, stream, to_output.clone(), ended.clone()));
        }
        if request.stdin {
            let pipe = streams.next().ok_or_else(|| missing("input"))?;
            let pipe = pipe::Sender::from_owned_fd(pipe).map_err(broken)?;
            tasks.spawn(write(pipe, from_stdin));
        }
    }
    tasks.spawn(async move {
        let ending = match session.receive::<SessionReport>().await {
            Ok(Some((SessionReport::Exited(ending), _))) => ending,
            // The whole container was killed, and the command with it.
            _ => Ending::killed(9),
        };
        end.send_replace(true);
        while readers.join_next().await.is_some() {}
        let _ = tell.send(ExecExit { code: ending.code });
    });
    Ok(ExecSession {
        stdin: request.stdin.then_some(stdin),
        output,
        resize,
        exit,
        // Dropping the set ends its tasks, which closes the session's socket;
        // the init kills the command then.
        guard: Box::new(tasks),
    })
}

fn missing(what: &str) -> NodeError {
    NodeError::Internal(format!("the container gave the command no {what}"))
}

async fn read(
    mut pipe: pipe::Receiver,
    stream: Stream,
    output: mpsc::Sender<(Stream, Bytes)>,
    mut ended: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read.unwrap_or(0),
            // What it wrote is in the pipe already, even if nothing has said so
            // yet. Processes that it left behind may hold the pipe open for ever.
            _ = ended.wait_for(|ended| *ended) => {
                rustix::io::read(&pipe, &mut buffer).unwrap_or(0)
            }
        };
        if length == 0 {
            return;
        }
        let bytes = Bytes::copy_from_slice(&buffer[..length]);
        if output.send((stream, bytes)).await.is_err() {
            return;
        }
    }
}

/// Writes what comes to a pipe, and closes it then.
pub(super) async fn write(mut pipe: pipe::Sender, mut input: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = input.recv().await {
        // A command that reads no more has closed its end: the rest is for nobody.
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// The outer end of a command's terminal.
#[derive(Debug)]
pub(super) struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    pub fn new(terminal: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&terminal, fcntl_getfl(&terminal)? | OFlags::NONBLOCK)?;
        Ok(Self(crate::sys::watch(terminal)?))
    }

    /// Reads until the command's session ends: the kernel hangs the terminal up
    /// then, and reading fails after the last byte.
    pub async fn read(self: Arc<Self>, output: mpsc::Sender<(Stream, Bytes)>) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = self.0.async_io(Interest::READABLE, |terminal| {
                Ok(rustix::io::read(terminal, &mut buffer)?)
            });
            let length = read.await.unwrap_or(0);
            if length == 0 {
                return;
            }
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            if output.send((Stream::Stdout, bytes)).await.is_err() {
                return;
            }
        }
    }

    /// Writes what comes, and says then that no more will.
    pub async fn write(self: Arc<Self>, mut input: mpsc::Receiver<Bytes>) {
        while let Some(bytes) = input.recv().await {
            if self.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // A terminal cannot be closed from one side only.
        let _ = self.write_all(END_OF_INPUT).await;
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = self.0.async_io(Interest::WRITABLE, |terminal| {
                Ok(rustix::io::write(terminal, bytes)?)
            });
            bytes = &bytes[write.await?..];
        }
        Ok(())
    }

    /// Gives it the sizes that come.
    pub async fn resize(self: Arc<Self>, mut sizes: mpsc::Receiver<TerminalSize>) {
        while let Some(size) = sizes.recv().await {
            let size = Winsize {
                ws_row: size.height,
                ws_col: size.width,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            // A terminal that was hung up has no size.
            let _ = tcsetwinsize(self.0.get_ref(), size);
        }
    }
}

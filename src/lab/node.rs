//! What the API server needs of a node: the streams that do not live in the
//! store, a container's log and a command executed beside it.
//!
//! Everything else between the two goes through the [store](super::store): the
//! node watches pods there and writes their status back.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

/// The nodes as the API server sees them.
pub trait Node: Send + Sync + 'static {
    /// Whether the kubelet of a node answers. Asked before anything else is.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`] when its machine has no power.
    fn reach(&self, node: &str) -> Result<(), NodeError>;

    /// Opens a container's log. `previous` means the execution before the
    /// newest one.
    ///
    /// # Errors
    /// [`NodeError::NotFound`] when the node never had that container,
    /// [`NodeError::NotStarted`] when it has not written a log yet,
    /// [`NodeError::NoPrevious`] when there was no earlier execution.
    fn open_log(
        &self,
        pod_uid: &str,
        container: &str,
        previous: bool,
    ) -> Result<LogSource, NodeError>;

    /// Starts a command in a running container.
    fn exec(
        &self,
        pod_uid: &str,
        container: &str,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, NodeError>>;

    /// Attaches to the streams of a running container's own program, from now
    /// on; with `stdin` to its input as well, if it has one.
    ///
    /// # Errors
    /// [`NodeError::NotFound`] when it does not run.
    fn attach(&self, pod_uid: &str, container: &str, stdin: bool)
    -> Result<ExecSession, NodeError>;

    /// What running containers used when they were last measured.
    fn usage(&self) -> Vec<Usage>;

    /// Connects to a port of a pod, by the pod's address.
    fn dial(&self, pod: IpAddr, port: u16) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// What a container used at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// The pod's uid.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// When it was measured.
    pub at: Timestamp,
    /// Over how long the processor was watched.
    pub window: Duration,
    /// Thousand-millionths of a processor, on average over the window.
    pub nanocores: u64,
    /// Memory in bytes.
    pub memory: u64,
}

/// Why a node could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The node does not have that pod or container.
    #[error("container not found (\"{0}\")")]
    NotFound(String),
    /// The container waits to be started; the reason is its waiting state's.
    #[error("container is waiting to start: {0}")]
    NotStarted(String),
    /// There was no execution before the newest one.
    #[error("previous terminated container not found (\"{0}\")")]
    NoPrevious(String),
    /// The command could not be started, with the reason and the exit code a
    /// shell would give: 126 for *cannot execute*, 127 for *not found*.
    #[error("{reason}")]
    CannotExecute {
        /// What stood in the way.
        reason: String,
        /// 126 or 127.
        code: i32,
    },
    /// Nobody answers at the node's address.
    #[error("dial tcp {0}:10250: connect: no route to host")]
    Unreachable(String),
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

/// A command to execute in a container, and which of its streams are wanted.
#[allow(
    clippy::struct_excessive_bools,
    reason = "the four switches of the protocol"
)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Connect standard input.
    pub stdin: bool,
    /// Connect standard output.
    pub stdout: bool,
    /// Connect standard error; with a terminal it is part of standard output.
    pub stderr: bool,
    /// Give the command a terminal of its own.
    pub tty: bool,
}

/// One of a command's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecExit {
    /// Exit code; 128 + the signal's number when a signal ended it.
    pub code: i32,
}

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A running command, whose end comes with its session's, or a program that
/// somebody has attached to, which goes on without them.
#[derive(Debug)]
pub struct ExecSession {
    /// Standard input, when it was asked for; dropping it closes the stream.
    pub stdin: Option<mpsc::Sender<Bytes>>,
    /// Output in the order it was written; ends when both streams are closed.
    pub output: mpsc::Receiver<(Stream, Bytes)>,
    /// Sizes for the terminal; ignored without one.
    pub resize: mpsc::Sender<TerminalSize>,
    /// How it ended; an error means the node lost it.
    pub exit: oneshot::Receiver<ExecExit>,
    /// Kills the command when dropped; the node puts here whatever does that.
    pub guard: Box<dyn std::any::Any + Send>,
}

/// How far a container's log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogState {
    /// Bytes written over all files since the log began; it only grows, and it
    /// changes after the bytes can be read.
    pub bytes: u64,
    /// How often the current file was renamed and begun anew. A follower reads
    /// the file it holds to its end, then opens [`LogSource::current`] again.
    pub rotations: u64,
    /// The container has ended and everything it wrote is in the files.
    pub ended: bool,
}

/// The log of one execution of a container, in the format of the container
/// runtime interface: `<RFC3339Nano> stdout|stderr F|P <text>`, one line each,
/// `P` for a part of a line that was too long.
#[derive(Debug, Clone)]
pub struct LogSource {
    /// Files that are complete, oldest first. One may have been removed to
    /// keep the log bounded.
    pub rotated: Vec<PathBuf>,
    /// The file being written.
    pub current: PathBuf,
    /// How far it has come; a follower waits here instead of polling.
    pub state: watch::Receiver<LogState>,
}

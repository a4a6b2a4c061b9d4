//! The standard streams of a container's own program, for those who attach to
//! it: its input, its terminal, and a copy of what it says.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::sessions::{self, QUEUE, Terminal};
use crate::lab::node::{ExecExit, ExecSession, Stream};

/// How long a viewer may keep a program waiting before it is let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a program's standard input is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsoleSpec {
    /// It has one; else it reads the end at once.
    pub stdin: bool,
    /// It ends with the first who attached to it.
    pub once: bool,
    /// All three streams are a terminal.
    pub tty: bool,
}

impl ConsoleSpec {
    /// Whether the init keeps an end of the program's streams for the lab.
    pub(super) fn is_kept(self) -> bool {
        self.stdin || self.tty
    }
}

/// The lab's ends of a program's streams.
#[derive(Debug)]
pub(super) struct Console {
    ends: Mutex<Ends>,
    once: bool,
    viewers: Viewers,
}

#[derive(Debug, Default)]
struct Ends {
    stdin: Option<mpsc::Sender<Bytes>>,
    terminal: Option<Arc<Terminal>>,
}

impl Console {
    /// Takes over what an init kept: the outer end of the program's terminal,
    /// or of its standard input. What the terminal shows goes to `record`.
    pub fn open(
        spec: ConsoleSpec,
        kept: Option<OwnedFd>,
        record: Option<OwnedFd>,
        viewers: Viewers,
    ) -> io::Result<Self> {
        let (stdin, input) = mpsc::channel(QUEUE);
        let mut ends = Ends::default();
        match kept {
            Some(kept) if spec.tty => {
                let terminal = Arc::new(Terminal::new(kept)?);
                if let Some(record) = record {
                    let record = pipe::Sender::from_owned_fd(record)?;
                    tokio::spawn(copy(Arc::clone(&terminal), record));
                }
                if spec.stdin {
                    tokio::spawn(Arc::clone(&terminal).write(input));
                    ends.stdin = Some(stdin);
                }
                ends.terminal = Some(terminal);
            }
            Some(kept) => {
                let pipe = pipe::Sender::from_owned_fd(kept)?;
                tokio::spawn(sessions::write(pipe, input));
                ends.stdin = Some(stdin);
            }
            None => {}
        }
        Ok(Self {
            ends: Mutex::new(ends),
            once: spec.once,
            viewers,
        })
    }

    /// Attaches to the program: what it says from now on, and with `stdin` its
    /// input. None when it has ended.
    pub fn attach(&self, stdin: bool) -> Option<ExecSession> {
        let (output, exit) = self.viewers.join()?;
        let mut ends = self.ends();
        let stdin = match stdin {
            true if self.once => ends.stdin.take(),
            true => ends.stdin.clone(),
            false => None,
        };
        let (resize, sizes) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        if let Some(terminal) = &ends.terminal {
            tasks.spawn(Arc::clone(terminal).resize(sizes));
        }
        Some(ExecSession {
            stdin,
            output,
            resize,
            exit,
            guard: Box::new(tasks),
        })
    }

    /// Closes what is left when the program has ended.
    pub fn close(&self) {
        *self.ends() = Ends::default();
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies what a terminal shows to where a program's output is recorded.
async fn copy(terminal: Arc<Terminal>, mut record: pipe::Sender) {
    let (shown, mut show) = mpsc::channel(QUEUE);
    let recording = async {
        while let Some((_, bytes)) = show.recv().await {
            let bytes: Bytes = bytes;
            if record.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(terminal.read(shown), recording);
}

/// Some of what a program says.
type Chunk = (Stream, Bytes);

/// Whoever watches what a program says; none any more when it has ended.
#[derive(Debug, Clone)]
pub(super) struct Viewers(Arc<Mutex<Option<Vec<Viewer>>>>);

#[derive(Debug)]
struct Viewer {
    output: mpsc::Sender<Chunk>,
    /// Told in the end; dropped when the viewer is let go before it.
    ended: oneshot::Sender<ExecExit>,
}

impl Viewers {
    /// Nobody yet.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    fn join(&self) -> Option<(mpsc::Receiver<Chunk>, oneshot::Receiver<ExecExit>)> {
        let (output, shown) = mpsc::channel(QUEUE);
        let (ended, exit) = oneshot::channel();
        self.lock().as_mut()?.push(Viewer { output, ended });
        Some((shown, exit))
    }

    /// Shows everyone what the program has said. A program waits for whoever
    /// watches it, as on any terminal, but not for ever.
    pub async fn show(&self, stream: Stream, bytes: &[u8]) {
        let mut watching = match self.lock().as_mut() {
            Some(viewers) if !viewers.is_empty() => std::mem::take(viewers),
            _ => return,
        };
        let bytes = Bytes::copy_from_slice(bytes);
        let mut stayed = Vec::new();
        for viewer in watching.drain(..) {
            let sent = viewer.output.send((stream, bytes.clone()));
            if let Ok(Ok(())) = tokio::time::timeout(PATIENCE, sent).await {
                stayed.push(viewer);
            }
        }
        if let Some(viewers) = self.lock().as_mut() {
            viewers.extend(stayed);
        }
    }

    /// Tells everyone that the program has ended.
    pub fn end(&self) {
        for viewer in self.lock().take().into_iter().flatten() {
            // How it ended is the pod's status, not the viewers'.
            let _ = viewer.ended.send(ExecExit { code: 0 });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Viewer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_does_not_look_is_let_go_and_the_others_are_not() {
        let viewers = Viewers::new();
        let (_blind, blind_end) = viewers.join().unwrap();
        let (mut shown, end) = viewers.join().unwrap();
        let watching = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some((_, bytes)) = shown.recv().await {
                all.extend_from_slice(&bytes);
            }
            all
        });
        for _ in 0..=QUEUE {
            viewers.show(Stream::Stdout, b"x").await;
        }
        assert!(blind_end.await.is_err());
        viewers.end();
        assert_eq!(end.await, Ok(ExecExit { code: 0 }));
        assert_eq!(watching.await.unwrap(), vec![b'x'; QUEUE + 1]);
        assert!(viewers.join().is_none(), "it has ended");
    }
}

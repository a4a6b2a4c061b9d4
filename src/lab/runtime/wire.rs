//! How the lab and the init of a container talk: one JSON message a packet,
//! over a socket pair, with file descriptors riding along.
//!
//! A packet socket keeps the boundaries of messages, so there is no framing to
//! get wrong, and its end of file is news by itself: to the init it means *the
//! lab is gone, end everything*, to the lab *the container is gone*.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::rootfs::Root;
use super::user::User;

/// The largest message. The kernel's own limit on a packet is a little above.
const LARGEST: usize = 200 * 1024;

/// The most descriptors one message carries: as many as a container may have
/// bounded volumes. Otherwise it is three at most, the standard streams.
const DESCRIPTORS: usize = 32;

/// The message before all others, where there are namespaces to join: a user
/// namespace and the one that it administers come with it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Join;

/// The first message to an init: what it is to run, and in what. With it come the
/// trees of its bounded volumes, and then the `cgroup.procs` of the control groups
/// that all of it is to be in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment of the program and of commands beside it.
    pub env: Vec<(String, String)>,
    /// Working directory of both.
    pub cwd: String,
    /// The program's standard streams are a terminal, whose outer end the lab
    /// gets with the report that it runs.
    pub tty: bool,
    /// The program has a standard input; without a terminal the lab gets its
    /// other end likewise.
    pub stdin: bool,
    /// How many of the descriptors that come with it are trees.
    pub trees: usize,
    /// Who all of it is to itself; only with a root.
    pub user: User,
    /// The root to build and move into; none shares the host's.
    pub root: Option<Root>,
}

/// What the lab may ask of an init after that.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Order {
    /// Send the program a signal.
    Signal(i32),
    /// Start a command beside the program. A socket for the session comes with
    /// the message.
    Exec(Exec),
}

/// A command to start beside the program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Exec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Give it a terminal of its own.
    pub tty: bool,
    /// Keep its standard input open.
    pub stdin: bool,
}

/// What an init tells the lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Report {
    /// The program runs. With the message come the lab's end of its terminal or
    /// standard input, if it has one, and a pidfd of it where the kernel has such.
    Running {
        /// Its process id as the init sees it.
        pid: i32,
    },
    /// The program could not be started.
    Failed(String),
    /// The program ended.
    Exited(Ending),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Exit code; 128 + the signal's number when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Ending {
    /// The end of a process that exited by itself.
    pub const fn exited(code: i32) -> Self {
        Self { code, signal: None }
    }

    /// The end of a process that a signal killed.
    pub const fn killed(signal: i32) -> Self {
        Self {
            code: 128 + signal,
            signal: Some(signal),
        }
    }

    /// What the kernel said of a process that was waited for.
    pub(super) fn of(status: rustix::process::WaitStatus) -> Self {
        match status.terminating_signal() {
            Some(signal) => Self::killed(signal),
            None => Self::exited(status.exit_status().unwrap_or(0)),
        }
    }
}

/// What an init tells about one command, over the socket of its session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum SessionReport {
    /// It runs. With the message come its terminal, or its standard output,
    /// standard error and (when kept open) standard input.
    Started,
    /// It could not be started.
    Failed {
        /// 126 for *cannot execute*, 127 for *not found*.
        code: i32,
        /// What stood in the way.
        reason: String,
    },
    /// It ended.
    Exited(Ending),
}

/// Two connected ends; neither survives an exec.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message, waiting for room as long as the socket is blocking.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "command, environment and mounts take {} bytes together, the limit is {LARGEST}",
                bytes.len()
            ),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one message and what came with it; none when the other end closed.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; LARGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let received = recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        match received {
            Ok(received) => break received.bytes,
            // The other end died with messages of ours unread. The kernel tells
            // that once, and before it gives out what the other end sent last.
            Err(rustix::io::Errno::CONNRESET) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&bytes[..length])?;
    Ok(Some((message, descriptors)))
}

/// One end of a pair, for tasks. Several may use it at a time.
#[derive(Debug)]
pub(super) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    /// Takes an end over.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&end, fcntl_getfl(&end)? | OFlags::NONBLOCK)?;
        Ok(Self(crate::sys::watch(end)?))
    }

    /// Sends one message. It can be cancelled; the message has been sent whole
    /// or not at all.
    pub async fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.0
            .async_io(Interest::WRITABLE, |end| send(end, message, descriptors))
            .await
    }

    /// Receives one message; none when the other end closed. It can be
    /// cancelled without losing one.
    pub async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.0
            .async_io(Interest::READABLE, |end| receive(end))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_keep_their_bounds_and_their_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        let file = std::fs::File::open("/dev/null").unwrap();
        ours.send(&Order::Signal(15), &[file.as_fd()])
            .await
            .unwrap();
        ours.send(&Order::Signal(9), &[]).await.unwrap();
        let (first, descriptors) = theirs.receive::<Order>().await.unwrap().unwrap();
        assert!(matches!(first, Order::Signal(15)));
        assert_eq!(descriptors.len(), 1);
        let (second, descriptors) = theirs.receive::<Order>().await.unwrap().unwrap();
        assert!(matches!(second, Order::Signal(9)));
        assert!(descriptors.is_empty());
        drop(ours);
        assert!(theirs.receive::<Order>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn last_words_are_heard_even_from_one_that_did_not_listen() {
        let (ours, theirs) = pair().unwrap();
        let ours = Channel::new(ours).unwrap();
        ours.send(&Order::Signal(15), &[]).await.unwrap();
        send(&theirs, &Report::Failed("why".into()), &[]).unwrap();
        drop(theirs);
        let (report, _) = ours.receive::<Report>().await.unwrap().unwrap();
        assert!(matches!(report, Report::Failed(why) if why == "why"));
        assert!(ours.receive::<Report>().await.unwrap().is_none());
    }

    #[test]
    fn a_message_that_no_packet_holds_says_so() {
        let (ours, _theirs) = pair().unwrap();
        let error = send(&ours, &"x".repeat(LARGEST), &[]).unwrap_err();
        assert!(error.to_string().contains("the limit is"), "{error}");
    }
}

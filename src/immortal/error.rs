//! What can go wrong in an immortal instance, each as one line that says what
//! happened, to which file or peer, and what to do next.

use std::io;
use std::path::PathBuf;

/// A failure that ends the process: an instance that cannot keep its promises
/// stops rather than guesses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused an operation.
    #[error("cannot {action} {}: {source}; free space or fix permissions, then start again", path.display())]
    Disk {
        /// What was tried, as a verb: "write", "create".
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A log holds something that was never written, before its end.
    #[error("corrupt log {} at byte {offset}: {reason}; restore this file from a copy, or remove the instance directory to start over", path.display())]
    CorruptLog {
        /// The damaged file.
        path: PathBuf,
        /// Where the first unreadable page begins, in bytes from the start of the file.
        offset: u64,
        /// What did not hold.
        reason: String,
    },
    /// No checkpoint could be read, so the logs have nothing to start from.
    #[error("no valid checkpoint in {}: {reason}; restore the directory from a copy, or remove it to start over", path.display())]
    NoCheckpoint {
        /// The instance directory.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// A log between the checkpoint and the end is gone.
    #[error("missing log {}: its pages are needed for recovery; restore this file from a copy, or remove the instance directory to start over", path.display())]
    MissingLog {
        /// The file that should be there.
        path: PathBuf,
    },
    /// A file was written in another layout.
    #[error("{} was written in format {found}, this program reads {known}; finish with the version that wrote it, or remove the instance directory to start over", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: char,
        /// The one that is understood.
        known: char,
    },
    /// This execution must not act any more: another one does.
    #[error("{instance} (execution {epoch}) has stopped: {reason}")]
    Yielded {
        /// Its name.
        instance: String,
        /// Which execution it was.
        epoch: u64,
        /// What it noticed.
        reason: String,
    },
    /// A directory that was to be read only is being written.
    #[error("{} is in use by a running execution; stop it first, or read a copy", path.display())]
    InUse {
        /// The instance directory.
        path: PathBuf,
    },
    /// A replay came to another state than the execution that was logged.
    #[error(
        "the replay is not what happened: at checkpoint {checkpoint} it has another state; the program that logged it is another version, or a handler asks something that is not logged"
    )]
    Diverged {
        /// The checkpoint that should have been reached.
        checkpoint: u64,
    },
    /// The application cannot read its own saved state.
    #[error("cannot restore the state in {}: {reason}", path.display())]
    State {
        /// The checkpoint the state came from.
        path: PathBuf,
        /// What the application said.
        reason: String,
    },
    /// The two ends of a link do not remember the same calls.
    #[error("{reason}; remove the logs of both instances to start over")]
    History {
        /// Which end lost what.
        reason: String,
    },
    /// The other end refused this instance for good.
    #[error("{peer} refused {instance}: {reason}")]
    Refused {
        /// Who refused.
        peer: String,
        /// Who was refused.
        instance: String,
        /// In the words of the other end.
        reason: String,
    },
    /// The address to listen on cannot be used.
    #[error(
        "cannot listen on {address}: {source}; give another address in POD_IP or another port with --sp"
    )]
    Listen {
        /// The address that was asked for.
        address: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A logged call cannot be decoded although its checksum holds.
    #[error("malformed call {seq} from {source_name}: both ends must be the same version")]
    Malformed {
        /// Whose call it was.
        source_name: String,
        /// Its sequence number on that link.
        seq: u64,
    },
    /// A thread panicked; its message went to standard error.
    #[error("the {thread} thread panicked; the state is safe in the log, start again")]
    Panicked {
        /// Which one.
        thread: &'static str,
    },
    /// The operating system refused a thread, a signal handler or the like.
    #[error("cannot start {what}: {source}")]
    System {
        /// What could not be started.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Whether nothing is wrong but that a disk, or somebody's share of it, is full.
    pub fn is_for_want_of_room(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Disk { source, .. } if full.contains(&source.kind()))
    }

    /// Wraps an I/O error with what was tried on which path.
    pub fn disk(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk {
            action,
            path,
            source,
        }
    }
}

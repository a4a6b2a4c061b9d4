//! The run's record: what makes the cockpit itself survive being killed.
//!
//! Every fact that the [relay](relay()) hands to the loop is also handed to a
//! writer on a thread of its own, which appends it to one file a run. A cockpit
//! that dies of `kill -9` loses at most what was on its way to that thread; the
//! next one reads the file, folds it, and stands where the dead one stood.
//!
//! The file is for people too: one JSON [record](mod@record) and its checksum a
//! line, so `less`, `grep` and `jq` (after `cut -f1`) all work on it.
//!
//! - [`store`]: where runs are kept, what they are called, which there are;
//! - [`record`]: the form of one line;
//! - [`reader`]: a file, read again;
//! - [`pick`]: which facts are worth keeping;
//! - [`handle`]: a journal that is made, or taken up again;
//! - [`writer`]: the thread that appends, and what it does when the disk is
//!   slow or full;
//! - [`relay`](mod@relay): the task between the adapters and the loop;
//! - [`pacing`]: a finished run, at the speed at which a person wants to see it.

pub mod handle;
pub mod pacing;
pub mod pick;
pub mod reader;
pub mod record;
pub mod relay;
pub mod store;
pub mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use self::{
    handle::{Journal, Opened},
    pacing::Pacing,
    reader::{Reader, Recording, read},
    relay::{Ending, Relay, relay},
    store::{RunInfo, StateDir, list, unfinished},
    writer::JournalState,
};

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A living cockpit writes it.
    #[error("the journal {} is being written by another cockpit: leave that one first", .0.display())]
    Locked(PathBuf),
    /// The run was ended in good order, so there is nothing to take up again.
    #[error("the run in {} is over; `aks-tui replay` shows it again", .0.display())]
    Over(PathBuf),
    /// The file says something that no journal says.
    #[error(
        "the journal {} is damaged at byte {offset}: {why}; move the file away, its run cannot be read past this byte",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the line that cannot be read begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing was ever recorded in it.
    #[error(
        "the journal {} holds no record: its cockpit died while it began, and the file can be removed",
        .0.display()
    )]
    Empty(PathBuf),
    /// A newer aks-tui wrote it.
    #[error(
        "the journal {} has format {}.{}, and this aks-tui reads {}.x: open it with a newer aks-tui",
        path.display(), found[0], found[1], record::FORMAT[0]
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format: major and minor number.
        found: [u16; 2],
    },
    /// No place for the journal is known.
    #[error(
        "no directory for the state of runs is known (no home directory): set AKS_TUI_STATE to one"
    )]
    NoStateDir,
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

//! Time travel: executing again, offline, what an instance once did.
//!
//! Nothing is written and nobody is called. The replay starts from any checkpoint
//! that lies in the directory and goes through every page after it; at each later
//! checkpoint it must hold, byte for byte, what the execution that took it held.
//! So a replay also finds handlers that ask something that is not logged.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::app::App;
use super::checkpoint::{self, Snapshot};
use super::directory::Directory;
use super::error::Error;
use super::execute::Executor;
use super::link::Link;
use super::log::{self, End};
use super::shared::Shared;

/// An instance directory that is looked at while nobody lives there.
#[derive(Debug)]
pub struct Past {
    directory: Directory,
    instance: String,
    start: Snapshot,
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The checkpoint it started from.
    pub from_checkpoint: u64,
    /// Pages that were executed again.
    pub pages: u64,
    /// Bytes of those pages.
    pub bytes: u64,
    /// Calls that were executed again.
    pub calls: u64,
    /// Later checkpoints that were met, with the same state.
    pub met: u64,
    /// Bytes of a half-written page at the end that were passed over.
    pub torn: u64,
    /// The state at the end: equal to what the last execution that got there printed.
    pub state: u64,
}

impl Past {
    /// Opens `<root>/<instance>_0` at the checkpoint `from`, else at the oldest. One
    /// that a running execution uses is refused.
    pub fn open(path: &Path, from: Option<u64>) -> Result<Self, Error> {
        let directory = Directory::inspect(path)?;
        let none = |reason: String| Error::NoCheckpoint {
            path: path.to_owned(),
            reason,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let instance = name.strip_suffix("_0").unwrap_or(&name).to_owned();
        let there = directory.checkpoints()?;
        let number = match (from, &there[..]) {
            (_, []) => return Err(none("there is none".into())),
            (None, [oldest, ..]) => *oldest,
            (Some(from), _) if there.contains(&from) => from,
            (Some(from), _) => {
                let there: Vec<String> = there.iter().map(u64::to_string).collect();
                let there = there.join(", ");
                return Err(none(format!("{from} is not there, but {there}")));
            }
        };
        let start = checkpoint::read(&directory, &instance, number)?
            .map_err(|reason| none(format!("{number} cannot be read: {reason}")))?;
        Ok(Self {
            directory,
            instance,
            start,
        })
    }

    /// What the application had saved there.
    pub fn state(&self) -> &[u8] {
        &self.start.app
    }

    /// Has `app` do again what was done.
    pub fn replay<A: App>(self, mut app: A) -> Result<Replayed, Error> {
        let Self {
            directory,
            instance,
            start,
        } = self;
        let number = start.number;
        let path = directory.checkpoint_path(number);
        app.load(&start.app)
            .map_err(|reason| Error::State { path, reason })?;
        let mut later = Vec::new();
        for number in directory.checkpoints()? {
            // One that is damaged cannot be met; recovery passes it over too.
            if number > start.number
                && let Ok(snapshot) = checkpoint::read(&directory, &instance, number)?
            {
                later.push(Expected::of(&snapshot));
            }
        }
        let (events, _nobody_listens) = channel();
        let links = start.links.iter().map(Link::new).collect();
        let shared = Arc::new(Shared::new(instance, links, None, events));
        let next_page = start.next_page;
        let mut executor = Executor::new(app, shared, start);
        let mut met = 0;
        let mut meet = |executor: &Executor<A>| {
            let (next_page, _) = executor.position();
            let state = executor.state();
            for expected in later.iter().filter(|later| later.next_page == next_page) {
                if expected.state != state {
                    return Err(Error::Diverged {
                        checkpoint: expected.number,
                    });
                }
                met += 1;
            }
            Ok(())
        };
        let due: Vec<u64> = later.iter().map(|expected| expected.next_page).collect();
        if due.contains(&next_page) {
            meet(&executor)?;
        }
        let replayed = log::replay(&directory, number, next_page, End::Leave, |stamp, body| {
            executor.execute(stamp, [body])?;
            if due.contains(&executor.position().0) {
                meet(&executor)?;
            }
            Ok(())
        })?;
        Ok(Replayed {
            from_checkpoint: number,
            pages: replayed.pages,
            bytes: replayed.bytes,
            calls: executor.calls(),
            met,
            torn: replayed.torn,
            state: executor.state(),
        })
    }
}

/// What a later checkpoint holds.
struct Expected {
    number: u64,
    next_page: u64,
    state: u64,
}

impl Expected {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            number: snapshot.number,
            next_page: snapshot.next_page,
            state: snapshot.state(),
        }
    }
}

//! Making inputs safe, and bounding what a recovery has to read.
//!
//! The committer writes one page after the other and hands each to the executor
//! once it is safe. When a log is long enough it begins the next generation; the
//! executor takes the checkpoint when it gets to that place, and another thread
//! writes it while calls go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::checkpoint::{self, Snapshot};
use super::directory::Directory;
use super::error::Error;
use super::execute::Committed;
use super::log::LogWriter;
use super::page::{Page, Record, Stamp};
use super::relief;
use super::room::Room;
use super::shared::Shared;

/// No log shorter than this is followed by a checkpoint for the time that its replay
/// would take, in bytes.
const WORTHWHILE: u64 = 1 << 20;

/// Whether a checkpoint is on its way: only one is.
#[derive(Debug, Default)]
pub struct Generations {
    busy: Mutex<bool>,
    done: Condvar,
    /// Length of the application's state in the last checkpoint, in bytes.
    state: AtomicU64,
    /// Whether a standby that takes checkpoints has failed to.
    alone: AtomicBool,
}

impl Generations {
    /// Claims the right to begin a generation; `false` if the checkpoint of the last
    /// one is not done. While `wait` answers true it waits for that instead.
    pub fn begin(&self, wait: impl Fn() -> bool) -> bool {
        const LOOK_AGAIN: Duration = Duration::from_millis(10);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while *busy {
            if !wait() {
                return false;
            }
            let waited = self.done.wait_timeout(busy, LOOK_AGAIN);
            busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *busy = true;
        true
    }

    /// The checkpoint is there, and holds so many bytes of the application's state if
    /// this execution took it; or nobody takes it.
    pub fn end(&self, state: Option<u64>) {
        if let Some(state) = state {
            self.state.store(state, Ordering::SeqCst);
        }
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.done.notify_all();
    }
}

impl Generations {
    /// From now on this execution takes all checkpoints itself.
    pub fn rely_on_nobody(&self) {
        self.alone.store(true, Ordering::SeqCst);
    }

    fn is_alone(&self) -> bool {
        self.alone.load(Ordering::SeqCst)
    }
}

/// Writes checkpoints as they are taken.
pub fn write_checkpoints(
    directory: &Directory,
    instance: &str,
    taken: &Receiver<Snapshot>,
    generations: &Generations,
    room: &Room,
) -> Result<(), Error> {
    for snapshot in taken {
        // Each attempt begins it anew.
        room.until_there_is(|| checkpoint::publish(directory, instance, &snapshot))?;
        generations.end(Some(snapshot.app.len() as u64));
    }
    Ok(())
}

/// Where the committer stands.
#[derive(Debug)]
pub struct Committer {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Where logs are.
    pub directory: Arc<Directory>,
    /// The log being written.
    pub log: LogWriter,
    /// Sequence number of the next page.
    pub next_page: u64,
    /// Clock of the page before.
    pub time: u64,
    /// A log this long is followed by another generation, in bytes.
    pub trigger: u64,
    /// And so is one whose replay would take so long.
    pub replay_trigger: Duration,
    /// Checkpoints under way.
    pub generations: Arc<Generations>,
    /// Who is told of a checkpoint that a standby is to take.
    pub relief: Sender<u64>,
    /// The state after recovery, whose checkpoint is written once something new is
    /// logged: until then the one before is as good, and the first page does not wait
    /// behind it.
    pub recovered: Option<Snapshot>,
    /// Who writes checkpoints.
    pub checkpoints: Sender<Snapshot>,
    /// Where it waits when the disk is full.
    pub room: Arc<Room>,
}

impl Committer {
    /// Commits pages for ever.
    pub fn run(mut self, executor: &Sender<Committed>) -> Result<(), Error> {
        let mut logged: Vec<u64> = vec![0; self.shared.links.len()];
        let mut next_in = Vec::new();
        loop {
            let mut page = self.shared.inbox.take(&mut next_in);
            if let Some(number) = self.next_generation()? {
                if !self.generations.is_alone() && relief::is_held(&self.directory) {
                    let _ = self.relief.send(number);
                } else {
                    let _ = executor.send(Committed::Generation(number));
                }
            }
            let stamp = self.append(&mut page, &mut logged)?;
            self.shared.inbox.committed();
            if let Some(snapshot) = self.recovered.take() {
                let _ = self.checkpoints.send(snapshot);
            }
            for (link, next_in) in self.shared.links.iter().zip(&next_in) {
                link.made_durable(next_in - 1);
            }
            let _ = executor.send(Committed::Page { page, stamp });
            self.next_page += 1;
        }
    }

    fn next_generation(&mut self) -> Result<Option<u64>, Error> {
        let length = self.log.length;
        // Large states are written less often: no more bytes go into checkpoints than
        // into logs.
        let state = self.generations.state.load(Ordering::SeqCst);
        let trigger = self.trigger.max(state);
        // A checkpoint that cannot keep up holds the log back rather than let the
        // disk fill. Not so while it has to wait for an executor that waits for a
        // peer: what that peer says may have to be logged first, and what the others
        // can still send is bounded.
        let hold = || length >= 2 * trigger && !self.shared.waiting.load(Ordering::SeqCst);
        let slow = length >= WORTHWHILE.max(state)
            && self.shared.busy.load(Ordering::SeqCst) >= self.replay_trigger.as_nanos() as u64;
        if !slow && length < trigger || !self.generations.begin(hold) {
            return Ok(None);
        }
        self.shared.busy.store(0, Ordering::SeqCst);
        let next = self.log.number + 1;
        self.log = (self.room).until_there_is(|| LogWriter::create(&self.directory, next))?;
        Ok(Some(self.log.number))
    }

    fn append(&mut self, page: &mut Page, logged: &mut [u64]) -> Result<Stamp, Error> {
        let links = self.shared.links.iter().zip(logged);
        for (link, (owed, logged)) in (0..).zip(links) {
            let seq = owed.last_acknowledged();
            if seq > *logged {
                *logged = seq;
                page.put(Record::Acknowledged { link, seq });
            }
        }
        self.time = clock().max(self.time + 1);
        let stamp = Stamp {
            log: self.log.number,
            seq: self.next_page,
            epoch: self.shared.epoch(),
            time: self.time,
            seed: fastrand::u32(..),
        };
        page.seal(&stamp);
        let (room, log) = (&self.room, &mut self.log);
        room.until_there_is(|| log.append(page))?;
        Ok(stamp)
    }
}

fn clock() -> u64 {
    // A clock before 1970 or after 2500 only makes throughputs odd.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
        })
}

//! The thread that appends to a journal, and what it does when it cannot.
//!
//! The loop never waits for a disk. The relay puts facts on a queue and goes
//! on; this thread writes what it finds there, one `write` a batch and no
//! `fsync`: the record survives the cockpit's death, not the machine's. While a
//! batch takes longer than [`SLOW`], samples of the curve pass unrecorded; when
//! the queue is [`QUEUE`] facts long, everything does; when the disk refuses,
//! what was to be written is lost and it is tried again every [`RETRY`]. What
//! is missing is counted, shown while it lasts, and recorded as a gap once
//! there is a way to record it.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use super::{
    record::{Digest, Gap, Written},
    store,
};
use crate::core::{
    event::{Event, Fact},
    time::Time,
};

/// A batch that takes longer than this means that the disk is slow.
pub const SLOW: Duration = Duration::from_millis(50);

/// Facts that may wait for the disk.
pub const QUEUE: u64 = 8_192;

/// How often a disk that refused is tried again.
pub const RETRY: Duration = Duration::from_secs(1);

/// The longest journal, bytes.
pub const LIMIT: u64 = 64 << 20;

/// What of it is kept free for the last records.
const RESERVE: u64 = 64 << 10;

/// Facts that go into one write: the memory of one batch stays small.
const BATCH: usize = 1_024;

/// Why facts pass unrecorded while a write is under way.
pub(super) const SLOW_DISK: &str = "the disk is slow";

/// How often the wall clock is recorded, so that a run that is taken up again
/// knows how long nobody looked.
const STAMP_EVERY: Duration = Duration::from_secs(5);

/// How recording is going.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum JournalState {
    /// Every fact worth keeping is kept.
    Recording,
    /// Facts pass unrecorded for now.
    Paused {
        /// Why, in words for the screen.
        why: String,
        /// How many passed since it was last well.
        missed: u64,
    },
    /// The journal is as long as it may be; facts pass unrecorded from now on.
    Full,
    /// Nothing is recorded.
    #[default]
    Off,
}

#[derive(Debug)]
pub(super) enum Message {
    Facts(Vec<Event>),
    /// The run is over. Answered when it is on disk, or cannot be.
    End(Time, Box<Digest>, oneshot::Sender<()>),
}

/// What the relay and the writer know of each other.
#[derive(Debug)]
pub(super) struct Shared {
    origin: Instant,
    /// When the batch that is being written was begun, µs since `origin`; zero
    /// while none is.
    busy_since: AtomicU64,
    /// Facts on the queue.
    waiting: AtomicU64,
    /// Facts that passed unrecorded and are in no gap record yet.
    missed: AtomicU64,
    state: watch::Sender<JournalState>,
}

impl Shared {
    pub(super) fn new(state: watch::Sender<JournalState>) -> Self {
        Self {
            origin: Instant::now(),
            busy_since: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            state,
        }
    }

    /// The batch that is being written takes too long.
    pub(super) fn is_slow(&self) -> bool {
        let since = self.busy_since.load(Ordering::Acquire);
        since > 0
            && self
                .origin
                .elapsed()
                .saturating_sub(Duration::from_micros(since))
                > SLOW
    }

    /// Takes `facts` places on the queue, if there are as many.
    pub(super) fn reserve(&self, facts: u64) -> bool {
        let waiting = self.waiting.fetch_add(facts, Ordering::AcqRel);
        let fits = waiting + facts <= QUEUE;
        if !fits {
            self.waiting.fetch_sub(facts, Ordering::AcqRel);
        }
        fits
    }

    fn missed(&self) -> u64 {
        self.missed.load(Ordering::Acquire)
    }

    /// Facts pass unrecorded. The first reason stands until it is over.
    pub(super) fn miss(&self, facts: u64, why: impl FnOnce() -> String) {
        let missed = self.missed.fetch_add(facts, Ordering::AcqRel) + facts;
        self.state.send_if_modified(|state| match state {
            JournalState::Full => false,
            JournalState::Paused { missed: known, .. } => {
                std::mem::replace(known, missed) != missed
            }
            JournalState::Recording | JournalState::Off => {
                *state = JournalState::Paused { why: why(), missed };
                true
            }
        });
    }
}

/// Where a journal is written to: a file, or a disk that a test made.
pub(super) trait Storage: Send + 'static {
    /// Appends all of `bytes`, or fails having appended any part of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes it `len` bytes long, which is no longer than it is.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }
}

/// What the thread knows.
#[derive(Debug)]
pub(super) struct Writer<S> {
    storage: S,
    /// Length of the whole records in it, bytes.
    len: u64,
    /// A write failed half way, and what it left was not cut off yet.
    torn: bool,
    limit: u64,
    shared: Arc<Shared>,
    stamped: Instant,
    /// Why the disk refused, and when it is tried again.
    refused: Option<(String, Instant)>,
    full: bool,
    latest: Time,
    bytes: Vec<u8>,
}

impl<S: Storage> Writer<S> {
    pub(super) fn new(storage: S, len: u64, shared: Arc<Shared>) -> Self {
        Self {
            storage,
            len,
            torn: false,
            limit: LIMIT - RESERVE,
            shared,
            stamped: Instant::now(),
            refused: None,
            full: false,
            latest: Time::ZERO,
            bytes: Vec::new(),
        }
    }

    /// Writes what comes in until the run ends or nobody can send any more.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Message>) {
        let mut batch = Vec::new();
        loop {
            let first = match self.patience() {
                Some(patience) => inbox.recv_timeout(patience),
                None => inbox.recv().map_err(mpsc::RecvTimeoutError::from),
            };
            let mut next = match first {
                Ok(message) => Some(message),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let mut end = None;
            while let Some(message) = next.take() {
                match message {
                    Message::Facts(facts) => batch.extend(facts),
                    Message::End(at, digest, done) => end = Some((at, digest, done)),
                }
                if end.is_none() && batch.len() < BATCH {
                    next = inbox.try_recv().ok();
                }
            }
            self.write(&batch);
            self.shared
                .waiting
                .fetch_sub(batch.len() as u64, Ordering::AcqRel);
            batch.clear();
            if let Some((at, digest, done)) = end {
                self.end(at, &digest);
                // Closed, and so unlocked, before anybody is told.
                drop(self);
                // Nobody may be waiting any more, which is all right.
                let _ = done.send(());
                return;
            }
        }
    }

    /// How long nothing may come in before there is something to do; none if
    /// there is nothing to do.
    fn patience(&self) -> Option<Duration> {
        match &self.refused {
            Some((_, retry)) => Some(retry.saturating_duration_since(Instant::now())),
            // A gap is to be told, and the badge taken down.
            None if self.shared.missed() > 0 && !self.full => Some(Duration::ZERO),
            None => None,
        }
    }

    /// Writes a batch, after the gap that stands before it.
    fn write(&mut self, batch: &[Event]) {
        if self.full {
            return;
        }
        if let Some((why, retry)) = &self.refused
            && Instant::now() < *retry
        {
            let why = why.clone();
            self.shared.miss(batch.len() as u64, || why);
            return;
        }
        if let Some(last) = batch.last() {
            self.latest = self.latest.max(last.at);
        }
        let missed = self.shared.missed.swap(0, Ordering::AcqRel);
        let at = batch.first().map_or(self.latest, |event| event.at);
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        if missed > 0 {
            let why = match &*self.shared.state.borrow() {
                JournalState::Paused { why, .. } => why.clone(),
                _ => SLOW_DISK.into(),
            };
            put_gap(&mut bytes, at, missed, why);
        }
        let unwritable = self.put_events(&mut bytes, batch);
        let facts = missed + batch.len() as u64 - unwritable;
        if self.len + bytes.len() as u64 > self.limit {
            self.fill_up(at, facts);
        } else if !bytes.is_empty() {
            self.put(&bytes, facts);
        }
        if unwritable > 0 {
            self.shared
                .miss(unwritable, || "a fact has no JSON form".into());
        }
        self.bytes = bytes;
    }

    /// Returns how many of the events have no written form.
    fn put_events(&mut self, bytes: &mut Vec<u8>, batch: &[Event]) -> u64 {
        let mut unwritable = 0;
        for event in batch {
            let mut record = Written::from(event);
            if self.stamped.elapsed() > STAMP_EVERY {
                record.wall = Some(store::wall_ms());
                self.stamped = Instant::now();
            }
            unwritable += u64::from(record.append_to(bytes).is_err());
        }
        unwritable
    }

    /// Appends, and says how it went. `facts` are lost if it fails.
    fn put(&mut self, bytes: &[u8], facts: u64) {
        match self.append(bytes) {
            Ok(()) => {
                self.refused = None;
                // What was missed meanwhile is still to be told.
                let well = self.shared.missed() == 0;
                self.shared.state.send_if_modified(|state| {
                    let over = well && matches!(state, JournalState::Paused { .. });
                    if over {
                        *state = JournalState::Recording;
                    }
                    over
                });
            }
            Err(error) => {
                let why = format!("the disk refused: {error}");
                self.refused = Some((why.clone(), Instant::now() + RETRY));
                self.shared.miss(facts, || why);
            }
        }
    }

    /// Appends whole records, or nothing.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let began = self.shared.origin.elapsed().as_micros() as u64;
        self.shared
            .busy_since
            .store(began.max(1), Ordering::Release);
        let written = self.append_or_tear(bytes);
        self.shared.busy_since.store(0, Ordering::Release);
        written
    }

    fn append_or_tear(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A part of a record in the middle of a file would be damage.
        if self.torn {
            self.storage.cut(self.len)?;
            self.torn = false;
        }
        let written = self.storage.append(bytes);
        match &written {
            Ok(()) => self.len += bytes.len() as u64,
            Err(_) => self.torn = self.storage.cut(self.len).is_err(),
        }
        written
    }

    /// The journal is as long as it may be.
    fn fill_up(&mut self, at: Time, facts: u64) {
        self.full = true;
        let mut bytes = Vec::new();
        let mib = LIMIT >> 20;
        put_gap(
            &mut bytes,
            at,
            facts,
            format!("a journal may be {mib} MiB long, and what came later is not in it"),
        );
        // If even this cannot be written, the state says what there is to say.
        let _ = self.append(&bytes);
        self.shared.state.send_replace(JournalState::Full);
    }

    /// Whatever refused before gets its last chance.
    fn end(&mut self, at: Time, digest: &Digest) {
        self.refused = None;
        self.write(&[]);
        let record = Written {
            wall: Some(store::wall_ms()),
            at: at.max(self.latest),
            fact: Some(&Fact::RunEnded),
            digest: Some(digest),
            ..Written::default()
        };
        let mut bytes = Vec::new();
        if record.append_to(&mut bytes).is_ok() {
            self.put(&bytes, 1);
        }
    }
}

fn put_gap(bytes: &mut Vec<u8>, at: Time, missed: u64, why: String) {
    let record = Written {
        at,
        gap: Some(&Gap { missed, why }),
        ..Written::default()
    };
    // Two numbers and a text always have a JSON form.
    let _ = record.append_to(bytes);
}

#[cfg(test)]
mod tests;

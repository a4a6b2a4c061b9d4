//! What the threads of an instance have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::error::Error;
use super::inbox::Inbox;
use super::link::Link;

/// New work is begun only while less than this is owed to peers, in bytes.
const OWED_SOFT: u64 = 8 << 20;
/// Answers are made only while less than this is owed to peers, in bytes.
const OWED_HARD: u64 = 16 << 20;

/// What the instance's main thread is told.
#[derive(Debug)]
pub enum Event {
    /// The application has finished.
    Finished,
    /// A peer has confirmed that this instance may leave, or is leaving itself.
    Left(u16),
    /// A peer has made more of our calls durable.
    Acknowledged,
    /// The instance cannot go on.
    Failed(Error),
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    /// The instance's name.
    pub instance: String,
    /// The links, by index.
    pub links: Vec<Link>,
    /// Inputs on their way to the log.
    pub inbox: Inbox,
    /// Where the main thread listens.
    pub events: Sender<Event>,
    /// A chunk is sealed when it holds this much.
    pub chunk_bytes: usize,
    /// Cap of payload bytes sent a second, for each link.
    pub rate: Option<u64>,
    /// Whether the application has finished and every acknowledgement is news.
    pub finishing: AtomicBool,
    /// Nanoseconds spent executing since the last generation began: what replay would
    /// take.
    pub busy: AtomicU64,
    /// Whether the executor waits until less is owed to peers.
    pub waiting: AtomicBool,
    less_owed: (Mutex<()>, Condvar),
    epoch: AtomicU64,
}

impl Shared {
    /// Brings the parts together.
    pub fn new(
        instance: String,
        links: Vec<Link>,
        rate: Option<u64>,
        events: Sender<Event>,
    ) -> Self {
        /// Large enough to make a system call cheap a call, small enough to be soon full.
        const CHUNK: u64 = 128 << 10;
        Self {
            instance,
            links,
            inbox: Inbox::default(),
            events,
            // A capped sender sends twenty times a second, so that the curve is smooth.
            chunk_bytes: rate.map_or(CHUNK, |rate| (rate / 20).clamp(1, CHUNK)) as usize,
            rate,
            finishing: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            less_owed: (Mutex::default(), Condvar::new()),
            epoch: AtomicU64::new(0),
        }
    }

    /// Which execution this is; 0 while it only looks on.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// This is the `epoch`th execution.
    pub fn begin(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    /// Replay is over: these calls are expected next, one number a link; those before
    /// them came from the log, so they are durable.
    pub fn expect_next(&self, next_in: &[u64]) {
        for (link, next_in) in self.links.iter().zip(next_in) {
            link.made_durable(next_in - 1);
        }
        self.inbox.expect(next_in.to_vec());
    }

    /// Bytes owed to peers.
    pub fn owed(&self) -> u64 {
        self.links.iter().map(Link::retained).sum()
    }

    fn room(&self) -> bool {
        self.owed() < OWED_SOFT
    }

    /// Logs a call of the instance to itself, as soon as there is room for the work
    /// it makes.
    pub fn own(&self, seq: u64, call: Arc<[u8]>) {
        self.inbox.own(seq, call, || self.room());
    }

    /// A peer has made our calls durable up to `seq`.
    pub fn acknowledged(&self, link: u16, seq: u64) {
        self.links[usize::from(link)].acknowledged(seq);
        self.inbox.admit(|| self.room());
        let (mutex, condition) = &self.less_owed;
        drop(mutex.lock().unwrap_or_else(PoisonError::into_inner));
        condition.notify_all();
        if self.finishing.load(Ordering::SeqCst) {
            self.tell(Event::Acknowledged);
        }
    }

    /// Waits until there is room for answers.
    pub fn wait_for_room(&self) {
        if self.owed() < OWED_HARD {
            return;
        }
        let (mutex, condition) = &self.less_owed;
        let mut guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(true, Ordering::SeqCst);
        while self.owed() >= OWED_HARD {
            guard = condition
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.waiting.store(false, Ordering::SeqCst);
    }

    /// Tells the main thread.
    pub fn tell(&self, event: Event) {
        // The main thread stops listening only when the process ends.
        let _ = self.events.send(event);
    }
}

//! The open connections, bounded. When there are as many as there may be, one
//! on which nothing happens makes room, or else one whose request takes its time
//! to come: whoever opens thousands and says little keeps nobody out.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// All open connections.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Entry>,
    /// When one was last asked to go.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    /// Requests under way, and whatever else goes on.
    busy: usize,
    /// Those among them that have not come in as a whole.
    receiving: usize,
    /// Whether it ever carried a token that opens.
    known: bool,
    /// Since when nothing happens.
    since: Instant,
    close: CancellationToken,
}

/// One open connection; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Line {
    id: u64,
    connections: Arc<Connections>,
    close: CancellationToken,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// A request under way.
#[derive(Debug)]
pub struct Busy(Arc<Line>);

/// A request that is still coming in.
#[derive(Debug)]
pub struct Receiving<'a>(&'a Line);

/// Whoever was asked to leave and has not within this time, because its client
/// does not take the last of its answer, is not waited for alone.
const COURTESY: Duration = Duration::from_millis(50);

impl Connections {
    /// Room for `limit` connections.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            table: Mutex::default(),
            freed: Notify::new(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub async fn enter(self: &Arc<Self>) -> Arc<Line> {
        loop {
            if let Some(line) = self.try_enter() {
                return line;
            }
            // Somebody else is asked if it takes longer.
            let _ = tokio::time::timeout(COURTESY, self.freed.notified()).await;
        }
    }

    /// Takes a place, or asks the connection that can best be spared to go.
    fn try_enter(self: &Arc<Self>) -> Option<Arc<Line>> {
        let mut table = self.table();
        if table.open.len() >= self.limit {
            let leaving = table.open.values().any(|it| it.close.is_cancelled());
            let now = Instant::now();
            if leaving && table.asked.is_some_and(|asked| now < asked + COURTESY) {
                return None;
            }
            let staying = table.open.values().filter(|it| !it.close.is_cancelled());
            let spare = staying
                .filter(|it| it.busy == it.receiving)
                .min_by_key(|it| (it.receiving, it.known, it.since));
            if let Some(spare) = spare {
                spare.close.cancel();
                table.asked = Some(now);
            }
            return None;
        }
        let id = table.next;
        table.next += 1;
        let close = CancellationToken::new();
        let entry = Entry {
            busy: 0,
            receiving: 0,
            known: false,
            since: Instant::now(),
            close: close.clone(),
        };
        table.open.insert(id, entry);
        Some(Arc::new(Line {
            id,
            connections: Arc::clone(self),
            close,
            kept: Mutex::default(),
        }))
    }
}

impl Line {
    fn with(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.connections.table().open.get_mut(&self.id) {
            change(entry);
        }
    }

    /// A request begins.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.with(|entry| entry.busy += 1);
        Busy(Arc::clone(self))
    }

    /// The request that has begun is still coming in, while this is held.
    pub fn receiving(&self) -> Receiving<'_> {
        self.with(|entry| {
            entry.receiving += 1;
            entry.since = Instant::now();
        });
        Receiving(self)
    }

    /// Its client has a token that opens.
    pub fn known(&self) {
        self.with(|entry| entry.known = true);
    }

    /// It carries something else than requests from now on; `place` is held
    /// until it is closed.
    pub fn keep(&self, place: Box<dyn Any + Send>) {
        self.with(|entry| entry.busy += 1);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(place);
    }

    /// Completes when it shall be closed to make room.
    pub fn unwanted(&self) -> WaitForCancellationFuture<'_> {
        self.close.cancelled()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
        self.connections.freed.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.with(|entry| {
            entry.busy -= 1;
            entry.since = Instant::now();
        });
        self.0.connections.freed.notify_one();
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.with(|entry| entry.receiving -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_makes_room_and_a_busy_one_does_not() {
        let connections = Connections::new(3);
        let (busy, idle, stranger) = (
            connections.enter().await,
            connections.enter().await,
            connections.enter().await,
        );
        let request = busy.begin();
        drop(idle.begin());
        idle.known();
        let more = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.enter().await }
        });
        // The stranger goes first, though the other has been idle longer.
        stranger.unwanted().await;
        assert!(!idle.close.is_cancelled() && !busy.close.is_cancelled());
        drop(stranger);
        let more = more.await.unwrap();
        more.keep(Box::new(()));
        drop(idle);
        let last = connections.enter().await;
        let _also_busy = last.begin();
        // Now all are busy: who comes waits, until one is not.
        let waiting = tokio::time::timeout(Duration::from_secs(5), connections.enter());
        assert!(waiting.await.is_err());
        drop(request);
        let waiting = tokio::spawn(async move { connections.enter().await });
        busy.unwanted().await;
        drop(busy);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_its_time_to_come_makes_room_after_the_silent_ones() {
        let connections = Connections::new(3);
        let lines = [
            connections.enter().await,
            connections.enter().await,
            connections.enter().await,
        ];
        let [slow, whole, idle] = &lines;
        slow.known();
        whole.known();
        let _requests = [slow.begin(), whole.begin()];
        let coming = slow.receiving();
        drop(whole.receiving());
        let mut more = std::pin::pin!(connections.enter());
        let asked = [slow, whole, idle].map(|it| it.close.clone());
        let asked = || asked.each_ref().map(CancellationToken::is_cancelled);
        assert!(futures::poll!(&mut more).is_pending());
        assert_eq!(asked(), [false, false, true]);
        // Who is slow to go is not waited for alone.
        tokio::time::advance(COURTESY).await;
        assert!(futures::poll!(&mut more).is_pending());
        assert_eq!(asked(), [true, false, true]);
        drop(coming);
        tokio::time::advance(COURTESY).await;
        assert!(futures::poll!(&mut more).is_pending());
        assert_eq!(asked(), [true, false, true]);
    }
}

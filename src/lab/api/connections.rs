//! The open connections, bounded. When there are as many as there may be, one
//! on which nothing happens makes room: whoever opens thousands and is silent
//! keeps nobody out.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
}

#[derive(Debug)]
struct Entry {
    /// Requests under way, and whatever else goes on.
    busy: usize,
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
            self.freed.notified().await;
        }
    }

    /// Takes a place, or asks the connection that can best be spared to go.
    fn try_enter(self: &Arc<Self>) -> Option<Arc<Line>> {
        let mut table = self.table();
        if table.open.len() >= self.limit {
            let leaving = table.open.values().any(|it| it.close.is_cancelled());
            let idle = table.open.values().filter(|it| it.busy == 0);
            let spare = idle.min_by_key(|it| (it.known, it.since));
            if let (Some(spare), false) = (spare, leaving) {
                spare.close.cancel();
            }
            return None;
        }
        let id = table.next;
        table.next += 1;
        let close = CancellationToken::new();
        let entry = Entry {
            busy: 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}

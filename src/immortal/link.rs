//! One link: what is owed to a peer, and how far both sides got.
//!
//! Calls made to the peer are kept in chunks until the peer says that they are
//! *durable* there. They are *sent* only as far as the peer has granted: a grant
//! grows as the peer executes, so the reader at the other end always finds room
//! for what arrives and never stops reading. That is what keeps two instances
//! that both send at full speed from waiting for each other.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::checkpoint::LinkSnapshot;

/// Bytes that a peer may send beyond what has been executed here.
pub const WINDOW: u64 = 8 << 20;
/// A grant is told again once it has grown by this much.
const GRANT_STEP: u64 = WINDOW / 8;
/// Dropped chunks that are kept for new ones: about as many as are ever owed.
const SPARE: usize = 128;
/// Capacity of a chunk that is worth keeping, in bytes.
const SPARE_BYTES: usize = 256 << 10;

/// A run of calls to one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Sequence number of the first call.
    pub first: u64,
    /// How many calls.
    pub count: u32,
    /// Bytes of their payloads, without lengths and methods.
    pub payload: u64,
    /// The calls, as the codec lays them out.
    pub run: Vec<u8>,
}

impl Chunk {
    /// Sequence number after the last call.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// What a peer says of itself when a connection begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its instance name.
    pub from: String,
    /// The instance it believes to talk to.
    pub to: String,
    /// Which execution it is.
    pub epoch: u64,
    /// The next call it wants.
    pub next_in: u64,
    /// The last call of ours that it has made durable.
    pub durable: u64,
    /// Bytes that may be sent to it on this connection for now.
    pub grant: u64,
}

/// What the sending side of a connection is to do next.
#[derive(Debug, Default)]
pub struct Work {
    /// Tell the peer (last durable call, grant).
    pub acknowledge: Option<(u64, u64)>,
    /// Send these.
    pub chunks: Vec<Arc<Chunk>>,
    /// Say that this instance is leaving.
    pub leave: bool,
    /// Confirm that the peer may leave.
    pub farewell: bool,
}

#[derive(Debug)]
struct Connection {
    id: u64,
    stream: TcpStream,
    next_send: u64,
    sent: u64,
    grant: u64,
    /// Bytes received on the link before this connection.
    base: u64,
    told_durable: u64,
    told_grant: u64,
    told_leaving: bool,
    farewell: bool,
}

#[derive(Debug, Default)]
struct State {
    peer: Option<String>,
    peer_epoch: u64,
    chunks: VecDeque<Arc<Chunk>>,
    next_out: u64,
    acknowledged: u64,
    durable_in: u64,
    leaving: bool,
    /// Chunks that nobody needs, the longest unused one in front: the sending side may
    /// still hold the last ones.
    spare: VecDeque<Arc<Chunk>>,
    connections: u64,
    connection: Option<Connection>,
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    state: Mutex<State>,
    /// Something to do for the sending side.
    wake: Condvar,
    retained: AtomicU64,
    received: AtomicU64,
    executed: AtomicU64,
}

impl Link {
    /// A link as a checkpoint remembers it.
    pub fn new(snapshot: &LinkSnapshot) -> Self {
        let retained = snapshot.retained.iter().map(|c| c.run.len() as u64).sum();
        Self {
            state: Mutex::new(State {
                peer: snapshot.peer.clone(),
                chunks: snapshot.retained.iter().cloned().collect(),
                next_out: snapshot.next_out,
                acknowledged: snapshot.acknowledged,
                durable_in: snapshot.next_in - 1,
                ..State::default()
            }),
            wake: Condvar::new(),
            retained: AtomicU64::new(retained),
            received: AtomicU64::new(0),
            executed: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer's instance name, once known.
    pub fn peer(&self) -> Option<String> {
        self.lock().peer.clone()
    }

    /// Gives the peer its name; `false` if it has another one already.
    pub fn attach(&self, name: &str) -> bool {
        let mut state = self.lock();
        state.peer.get_or_insert_with(|| name.to_owned()) == name
    }

    /// Bytes kept for the peer.
    pub fn retained(&self) -> u64 {
        self.retained.load(Ordering::SeqCst)
    }

    /// Sequence number of the next chunk's first call.
    pub fn next_out(&self) -> u64 {
        self.lock().next_out
    }

    /// Takes what was gathered in `chunk`, to be kept and sent, and leaves an empty one
    /// that continues it, in memory that was used before: fresh memory costs more than
    /// the bytes that go into it.
    pub fn push(&self, chunk: &mut Chunk) {
        let mut state = self.lock();
        state.next_out = chunk.end();
        self.retained
            .fetch_add(chunk.run.len() as u64, Ordering::SeqCst);
        let mut kept = state.spare.pop_front().unwrap_or_default();
        if Arc::get_mut(&mut kept).is_none() {
            kept = Arc::default();
        }
        if let Some(kept) = Arc::get_mut(&mut kept) {
            std::mem::swap(kept, chunk);
            let run = std::mem::take(&mut chunk.run);
            *chunk = Chunk {
                first: kept.end(),
                run,
                ..Chunk::default()
            };
            chunk.run.clear();
        }
        state.chunks.push_back(kept);
        self.wake.notify_all();
    }

    /// The peer has made everything up to `seq` durable: it is dropped here.
    pub fn acknowledged(&self, seq: u64) {
        let mut state = self.lock();
        if seq <= state.acknowledged {
            return;
        }
        state.acknowledged = seq;
        let mut dropped = 0;
        while state.chunks.front().is_some_and(|c| c.end() <= seq + 1) {
            let Some(chunk) = state.chunks.pop_front() else {
                break;
            };
            dropped += chunk.run.len() as u64;
            if state.spare.len() < SPARE && chunk.run.capacity() <= SPARE_BYTES {
                state.spare.push_back(chunk);
            }
        }
        drop(state);
        self.retained.fetch_sub(dropped, Ordering::SeqCst);
    }

    /// Last call that the peer has made durable.
    pub fn last_acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Everything from the peer up to `seq` is durable here, and may be said so.
    pub fn made_durable(&self, seq: u64) {
        let mut state = self.lock();
        if seq > state.durable_in {
            state.durable_in = seq;
            self.wake.notify_all();
        }
    }

    /// Counts bytes of calls that came in.
    pub fn count_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Counts bytes of calls that need no more room here: executed, or filtered as
    /// duplicates.
    pub fn count_executed(&self, bytes: u64) {
        let before = self.executed.fetch_add(bytes, Ordering::SeqCst);
        if before / GRANT_STEP != (before + bytes) / GRANT_STEP {
            drop(self.lock());
            self.wake.notify_all();
        }
    }

    /// What to say when a connection begins.
    pub fn hello(&self, from: &str, epoch: u64, next_in: u64) -> Hello {
        let state = self.lock();
        let pending = self.received.load(Ordering::SeqCst) - self.executed.load(Ordering::SeqCst);
        Hello {
            from: from.to_owned(),
            to: state.peer.clone().unwrap_or_default(),
            epoch,
            next_in,
            durable: state.durable_in,
            grant: WINDOW.saturating_sub(pending),
        }
    }

    /// Judges what a peer says against what is remembered here. An error is a
    /// history that cannot be continued, said in a sentence.
    pub fn judge(&self, hello: &Hello) -> Result<(), String> {
        let state = self.lock();
        if hello.durable < state.acknowledged {
            return Err(format!(
                "{} has lost its log: it had confirmed call {} and now remembers {}",
                hello.from, state.acknowledged, hello.durable
            ));
        }
        if hello.next_in > state.next_out {
            return Err(format!(
                "{} has lost its log: {} remembers call {} from it, its own log ends at {}",
                hello.to,
                hello.from,
                hello.next_in - 1,
                state.next_out - 1
            ));
        }
        Ok(())
    }

    /// Makes `stream` the link's connection, ending the one before; answers its id,
    /// or `None` if the peer is an older execution than one that was here already.
    pub fn connect(&self, stream: TcpStream, hello: &Hello, granted: u64) -> Option<u64> {
        let mut state = self.lock();
        if hello.epoch < state.peer_epoch {
            return None;
        }
        if let Some(old) = &state.connection {
            // It may be dead already; then there is nothing to shut.
            let _ = old.stream.shutdown(Shutdown::Both);
        }
        state.peer_epoch = hello.epoch;
        state.connections += 1;
        let id = state.connections;
        state.connection = Some(Connection {
            id,
            stream,
            next_send: hello.next_in,
            sent: 0,
            grant: hello.grant,
            base: self.received.load(Ordering::SeqCst),
            told_durable: 0,
            told_grant: granted,
            told_leaving: false,
            farewell: false,
        });
        self.wake.notify_all();
        Some(id)
    }

    /// Ends a connection, unless another has taken its place.
    pub fn disconnect(&self, id: u64) {
        let mut state = self.lock();
        if state.connection.as_ref().is_some_and(|c| c.id == id)
            && let Some(connection) = state.connection.take()
        {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        self.wake.notify_all();
    }

    /// The peer grants more on connection `id`.
    pub fn granted(&self, id: u64, grant: u64) {
        let mut state = self.lock();
        if let Some(connection) = state.connection.as_mut().filter(|c| c.id == id) {
            connection.grant = connection.grant.max(grant);
            self.wake.notify_all();
        }
    }

    /// From now on every connection says that this instance is leaving.
    pub fn leave(&self) {
        self.lock().leaving = true;
        self.wake.notify_all();
    }

    /// Whether this instance is leaving.
    pub fn is_leaving(&self) -> bool {
        self.lock().leaving
    }

    /// The peer is leaving: connection `id` is to confirm it.
    pub fn farewell(&self, id: u64) {
        let mut state = self.lock();
        if let Some(connection) = state.connection.as_mut().filter(|c| c.id == id) {
            connection.farewell = true;
            self.wake.notify_all();
        }
    }

    /// Waits until the sending side of connection `id` has something to do, which
    /// becomes `work`; answers `false` once that connection is over. Before
    /// `not_before` no chunk is handed out; chunks come in batches of about `batch`
    /// bytes.
    pub fn next_work(
        &self,
        id: u64,
        not_before: Option<Instant>,
        batch: u64,
        work: &mut Work,
    ) -> bool {
        let mut state = self.lock();
        loop {
            let pause = not_before.and_then(|at| at.checked_duration_since(Instant::now()));
            let batch = if pause.is_none() { batch } else { 0 };
            if !state.work(id, self.executed.load(Ordering::SeqCst), batch, work) {
                return false;
            }
            let idle = work.acknowledge.is_none() && work.chunks.is_empty();
            if !idle || work.leave || work.farewell {
                return true;
            }
            state = match pause {
                Some(pause) => {
                    let waited = self.wake.wait_timeout(state, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The link as a checkpoint is to remember it; `next_in` is the next call to be
    /// executed.
    pub fn snapshot(&self, next_in: u64) -> LinkSnapshot {
        let state = self.lock();
        LinkSnapshot {
            peer: state.peer.clone(),
            next_in,
            next_out: state.next_out,
            acknowledged: state.acknowledged,
            retained: state.chunks.iter().cloned().collect(),
        }
    }
}

impl State {
    /// Makes `work` what connection `id` is to do now; `false` if it is no longer the
    /// link's.
    fn work(&mut self, id: u64, executed: u64, limit: u64, work: &mut Work) -> bool {
        let (durable, leaving) = (self.durable_in, self.leaving);
        let Some(connection) = self.connection.as_mut().filter(|c| c.id == id) else {
            return false;
        };
        work.acknowledge = None;
        work.chunks.clear();
        work.leave = false;
        let grant = (executed + WINDOW).saturating_sub(connection.base);
        if durable > connection.told_durable || grant >= connection.told_grant + GRANT_STEP {
            connection.told_durable = durable;
            connection.told_grant = grant.max(connection.told_grant);
            work.acknowledge = Some((durable, connection.told_grant));
        }
        let mut batch = 0;
        let start = self
            .chunks
            .partition_point(|chunk| chunk.end() <= connection.next_send);
        for chunk in self.chunks.range(start..) {
            if batch >= limit || connection.sent >= connection.grant {
                break;
            }
            connection.next_send = chunk.end();
            connection.sent += chunk.run.len() as u64;
            batch += chunk.run.len() as u64;
            work.chunks.push(Arc::clone(chunk));
        }
        if leaving && !connection.told_leaving {
            connection.told_leaving = true;
            work.leave = true;
        }
        work.farewell = std::mem::take(&mut connection.farewell);
        true
    }
}

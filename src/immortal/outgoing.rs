//! Calls that handlers make, on their way to links and back to the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::codec::put_call;
use super::link::Chunk;
use super::shared::Shared;

/// Method of the instance's very first call to itself.
pub const BEGIN: u8 = 0;

/// The calls made since the last seal, and those to itself that are not executed
/// yet.
#[derive(Debug)]
pub struct Outgoing {
    shared: Arc<Shared>,
    gathering: Vec<Chunk>,
    own: VecDeque<(u64, Arc<[u8]>)>,
    /// Where a call to itself is laid out.
    scratch: Vec<u8>,
    next_own: u64,
    replaying: bool,
}

impl Outgoing {
    /// Starts from what a checkpoint remembers; replaying until told otherwise.
    pub fn new(shared: Arc<Shared>, own: Vec<(u64, Vec<u8>)>, next_own: u64) -> Self {
        let gathering = shared
            .links
            .iter()
            .map(|link| Chunk {
                first: link.next_out(),
                ..Chunk::default()
            })
            .collect();
        Self {
            shared,
            gathering,
            own: own
                .into_iter()
                .map(|(seq, call)| (seq, call.into()))
                .collect(),
            scratch: Vec::new(),
            next_own,
            replaying: true,
        }
    }

    /// Whether calls are being executed again.
    pub fn replaying(&self) -> bool {
        self.replaying
    }

    /// Replay is over: calls to itself that were made but never logged go to the
    /// log now.
    pub fn live(&mut self) {
        self.replaying = false;
        for (seq, call) in &self.own {
            self.shared.own(*seq, Arc::clone(call));
        }
    }

    /// See [`super::app::Context::call_peer`].
    pub fn call_peer(&mut self, peer: usize, method: u8, head: &[u8], tail: &[u8]) {
        let chunk = &mut self.gathering[peer];
        put_call(&mut chunk.run, method, head, tail);
        chunk.count += 1;
        chunk.payload += (head.len() + tail.len()) as u64;
        if chunk.run.len() >= self.shared.chunk_bytes {
            self.seal(peer);
        }
    }

    /// See [`super::app::Context::call_self`].
    pub fn call_self(&mut self, method: u8, payload: &[u8]) {
        self.scratch.clear();
        put_call(&mut self.scratch, method, payload, &[]);
        let call: Arc<[u8]> = self.scratch.as_slice().into();
        let seq = self.next_own;
        self.next_own += 1;
        self.own.push_back((seq, Arc::clone(&call)));
        if !self.replaying {
            self.shared.own(seq, call);
        }
    }

    /// The call to itself numbered `seq` is being executed; `false` if it was never
    /// made.
    pub fn own_executed(&mut self, seq: u64) -> bool {
        let made = self.own.front().is_some_and(|(front, _)| *front == seq);
        if made {
            self.own.pop_front();
        }
        made
    }

    /// Hands everything gathered to the links.
    pub fn seal_all(&mut self) {
        for peer in 0..self.gathering.len() {
            if self.gathering[peer].count > 0 {
                self.seal(peer);
            }
        }
    }

    fn seal(&mut self, peer: usize) {
        self.shared.links[peer].push(&mut self.gathering[peer]);
    }

    /// What a checkpoint keeps of this: the calls to itself, and the next number.
    pub fn own_snapshot(&self) -> (Vec<(u64, Vec<u8>)>, u64) {
        let own = self.own.iter().map(|(seq, call)| (*seq, call.to_vec()));
        (own.collect(), self.next_own)
    }
}

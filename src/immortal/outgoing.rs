//! Calls that handlers make, on their way to links and back to the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::codec::put_call;
use super::link::Chunk;
use super::shared::Shared;

/// Method of the instance's very first call to itself.
pub const BEGIN: u8 = 0;

#[derive(Debug, Default)]
struct Gathering {
    chunk: Chunk,
}

/// The calls made since the last seal, and those to itself that are not executed
/// yet.
#[derive(Debug)]
pub struct Outgoing {
    shared: Arc<Shared>,
    gathering: Vec<Gathering>,
    own: VecDeque<(u64, Vec<u8>)>,
    next_own: u64,
    replaying: bool,
}

impl Outgoing {
    /// Starts from what a checkpoint remembers; replaying until told otherwise.
    pub fn new(shared: Arc<Shared>, own: Vec<(u64, Vec<u8>)>, next_own: u64) -> Self {
        let gathering = shared
            .links
            .iter()
            .map(|link| Gathering {
                chunk: Chunk {
                    first: link.next_out(),
                    ..Chunk::default()
                },
            })
            .collect();
        Self {
            shared,
            gathering,
            own: own.into(),
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
            self.shared.own(*seq, call.clone());
        }
    }

    /// See [`super::app::Context::call_peer`].
    pub fn call_peer(&mut self, peer: usize, method: u8, parts: &[&[u8]]) {
        let chunk = &mut self.gathering[peer].chunk;
        put_call(&mut chunk.run, method, parts);
        chunk.count += 1;
        chunk.payload += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if chunk.run.len() >= self.shared.chunk_bytes {
            self.seal(peer);
        }
    }

    /// See [`super::app::Context::call_self`].
    pub fn call_self(&mut self, method: u8) {
        let mut call = Vec::new();
        put_call(&mut call, method, &[]);
        let seq = self.next_own;
        self.next_own += 1;
        self.own.push_back((seq, call.clone()));
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
            if self.gathering[peer].chunk.count > 0 {
                self.seal(peer);
            }
        }
    }

    fn seal(&mut self, peer: usize) {
        let gathering = &mut self.gathering[peer];
        let next = Chunk {
            first: gathering.chunk.end(),
            run: Vec::with_capacity(gathering.chunk.run.len()),
            ..Chunk::default()
        };
        let full = std::mem::replace(&mut gathering.chunk, next);
        self.shared.links[peer].push(full);
    }

    /// What a checkpoint keeps of this: the calls to itself, and the next number.
    pub fn own_snapshot(&self) -> (Vec<(u64, Vec<u8>)>, u64) {
        (self.own.iter().cloned().collect(), self.next_own)
    }
}

//! What an application must be to be made immortal.

use std::time::Duration;

use super::outgoing::Outgoing;

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A peer, by the index of its link.
    Peer(usize),
    /// The instance itself: [`Context::call_self`].
    Own,
    /// The world, through an impulse.
    World,
}

/// One call to execute.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who made it.
    pub caller: Caller,
    /// What to do.
    pub method: u8,
    /// With what.
    pub payload: &'a [u8],
}

/// How an execution came to be where it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    /// Counts the executions of the instance, from 1.
    pub epoch: u64,
    /// Generation of the checkpoint it started from; 0 if there was none.
    pub from_checkpoint: u64,
    /// Pages that were replayed.
    pub pages: u64,
    /// Calls that were replayed.
    pub calls: u64,
    /// Time since the process began.
    pub elapsed: Duration,
    /// The state it came to: equal to what any replay of the same pages prints.
    pub state: u64,
}

/// An application: a state that changes only by calls.
///
/// The same calls in the same order must lead to the same state and to the same
/// calls to others: after a kill they are executed again. Time comes from
/// [`Context::now`], chance from [`Context::random`], everything else that is not a
/// call from an [impulse](super::Impulses).
pub trait App: Send {
    /// Whether it makes calls to peers while it handles theirs. If so, it is not
    /// given more of theirs while too much is owed to them; the other kind, which
    /// only makes calls to peers while handling its own, is always given them. Two
    /// instances that wait for each other must not both be of the first kind.
    const ANSWERS: bool;

    /// An execution begins: the `epoch`th of the instance.
    fn awaken(&mut self, epoch: u64);

    /// Appends the whole state.
    fn save(&self, out: &mut Vec<u8>);

    /// Takes a state that was saved, instead of the one it began with. An error is
    /// a sentence.
    fn load(&mut self, state: &[u8]) -> Result<(), String>;

    /// The instance lives for the first time. Executed from the log as any call.
    fn begin(&mut self, context: &mut Context<'_>);

    /// Executes a call.
    fn call(&mut self, call: &Call<'_>, context: &mut Context<'_>);

    /// A run of calls has been executed: the moment to publish figures.
    fn settled(&mut self) {}

    /// A checkpoint is about to be taken.
    fn checkpointing(&mut self) {}

    /// It has finished, and this is the state that it finished with.
    fn finished(&mut self, _state: u64) {}

    /// Replay is over; from now on calls are fresh. Answers whether the application
    /// had finished already.
    fn recovered(&mut self, recovery: &Recovery) -> bool;
}

/// Chance that was logged: a sequence that a page's own random number begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of the page with these numbers in its header.
    pub(super) fn of_page(seq: u64, time: u64, seed: u32) -> Self {
        Self(time ^ seq.rotate_left(40) ^ u64::from(seed) << 32)
    }

    /// SplitMix64: every seed is a good one, and it is three lines.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// What a handler can do to the world.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) outgoing: &'a mut Outgoing,
    pub(super) now: u64,
    pub(super) chance: &'a mut Chance,
    pub(super) finished: &'a mut bool,
}

impl Context<'_> {
    /// The logged clock, in nanoseconds since 1970: the same in replay.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// A number that nobody can foresee, drawn from chance that was logged with the
    /// call: the same in replay.
    pub fn random(&mut self) -> u64 {
        self.chance.draw()
    }

    /// Whether this call was executed before, by an execution that died.
    pub fn replaying(&self) -> bool {
        self.outgoing.replaying()
    }

    /// Calls a peer; the payload is `head` followed by `tail`, at most
    /// [`MAX_PAYLOAD`](super::MAX_PAYLOAD) bytes together.
    pub fn call_peer(&mut self, peer: usize, method: u8, head: &[u8], tail: &[u8]) {
        self.outgoing.call_peer(peer, method, head, tail);
    }

    /// Calls the instance itself, later: after what is logged already, and when not
    /// too much is owed to peers.
    pub fn call_self(&mut self, method: u8, payload: &[u8]) {
        self.outgoing.call_self(method, payload);
    }

    /// The work is done. The process ends when peers have what they need of it.
    pub fn finish(&mut self) {
        *self.finished = true;
    }
}

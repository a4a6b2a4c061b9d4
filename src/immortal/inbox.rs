//! Inputs on their way to the log.
//!
//! Whatever arrives is put into the page that is being gathered; the committer
//! takes the page when it is done with the one before. Here duplicates are
//! filtered, by sequence number, and here calls of the instance to itself wait
//! while too much is owed to peers: they are where new work comes from.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::codec::{put_call, skip_calls};
use super::page::{Origin, Page, Piece, Record};

/// Pages kept for reuse.
const SPARE: usize = 32;
/// Pieces of pages kept for reuse: as many as a window holds.
const SPARE_PIECES: usize = 64;
/// A run shorter than this, in bytes, is copied behind the one before: a piece of
/// its own would waste more memory than that costs.
const PIECE: usize = 16 << 10;
/// While this many bytes of impulses are not executed, no more are taken.
const IMPULSES: usize = 1 << 20;

#[derive(Debug, Default)]
struct State {
    page: Page,
    /// Per link, the next call to be logged.
    next_in: Vec<u64>,
    /// Calls to itself that wait for room.
    own: VecDeque<(u64, Arc<[u8]>)>,
    spare: Vec<Page>,
    pieces: Vec<Piece>,
    /// Bytes of impulses that are not executed yet.
    impulses: usize,
    flush: bool,
    taken: u64,
    committed: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    filled: Condvar,
    committed: Condvar,
    fewer_impulses: Condvar,
}

/// A run did not continue where the one before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The call that should have come.
    pub expected: u64,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call expected from a link.
    pub fn next_in(&self, link: u16) -> u64 {
        self.lock().next_in[usize::from(link)]
    }

    /// Sets what is expected from the links, after replay.
    pub fn expect(&self, next_in: Vec<u64>) {
        self.lock().next_in = next_in;
    }

    /// Takes the run of calls in `piece` from a peer, which may leave another, empty
    /// piece there; answers how many bytes of it were new.
    pub fn receive(
        &self,
        link: u16,
        first: u64,
        count: u32,
        piece: &mut Piece,
    ) -> Result<usize, Gap> {
        let state = &mut *self.lock();
        let expected = state.next_in[usize::from(link)];
        let end = first + u64::from(count);
        if first > expected {
            return Err(Gap { expected });
        }
        if end <= expected {
            return Ok(0);
        }
        let run = skip_calls(piece.run(), expected - first).ok_or(Gap { expected })?;
        let (fresh, count) = (run.len(), (end - expected) as u32);
        if first == expected && fresh >= PIECE {
            let empty = state.pieces.pop().unwrap_or_default();
            let piece = std::mem::replace(piece, empty);
            state.page.put_piece(link, expected, count, piece);
        } else {
            state.page.put(Record::Calls {
                origin: Origin::Peer(link),
                first: expected,
                count,
                run,
            });
        }
        state.next_in[usize::from(link)] = end;
        self.filled.notify_one();
        Ok(fresh)
    }

    /// Takes an input from the world, once those before it are executed or nearly so.
    pub fn impulse(&self, method: u8, payload: &[u8]) {
        let mut run = Vec::new();
        put_call(&mut run, method, payload, &[]);
        let mut state = self.lock();
        while state.impulses >= IMPULSES {
            let waited = self.fewer_impulses.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.impulses += run.len();
        state.page.put(Record::Calls {
            origin: Origin::Impulse,
            first: 0,
            count: 1,
            run: &run,
        });
        self.filled.notify_one();
    }

    /// Impulses of so many bytes were executed.
    pub fn impulses_executed(&self, bytes: usize) {
        let mut state = self.lock();
        state.impulses = state.impulses.saturating_sub(bytes);
        self.fewer_impulses.notify_all();
    }

    /// Logs the name of a link's peer and waits until that is durable.
    pub fn attach(&self, link: u16, name: &str) {
        let mut state = self.lock();
        state.page.put(Record::Attached { link, name });
        drop(self.wait_committed(state));
    }

    /// Has a page written even if nothing came in, and waits until it is durable.
    pub fn flush(&self) {
        let mut state = self.lock();
        state.flush = true;
        drop(self.wait_committed(state));
    }

    /// Waits until the page that is being gathered is durable.
    fn wait_committed<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.filled.notify_one();
        let ticket = state.taken + 1;
        while state.committed < ticket {
            state = self
                .committed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Takes a call of the instance to itself; it is logged once `room` answers
    /// that there is some, now or at a later [`Inbox::admit`].
    pub fn own(&self, seq: u64, call: Arc<[u8]>, room: impl Fn() -> bool) {
        self.lock().own.push_back((seq, call));
        self.admit(room);
    }

    /// Lets calls of the instance to itself in, one after the other while there is
    /// room: to be called whenever some may have become free.
    pub fn admit(&self, room: impl Fn() -> bool) {
        let mut state = self.lock();
        while !state.own.is_empty() && room() {
            let Some((first, call)) = state.own.pop_front() else {
                break;
            };
            state.page.put(Record::Calls {
                origin: Origin::Own,
                first,
                count: 1,
                run: &call,
            });
            self.filled.notify_one();
        }
    }

    /// Waits for a page with something in it and takes it; `next_in` becomes, per link,
    /// the next call that is not in it.
    pub fn take(&self, next_in: &mut Vec<u64>) -> Page {
        let mut state = self.lock();
        while state.page.is_empty() && !state.flush {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.taken += 1;
        state.flush = false;
        let empty = state.spare.pop().unwrap_or_default();
        next_in.clone_from(&state.next_in);
        std::mem::replace(&mut state.page, empty)
    }

    /// The page that was taken last is durable.
    pub fn committed(&self) {
        let mut state = self.lock();
        state.committed = state.committed.max(state.taken);
        self.committed.notify_all();
    }

    /// Nothing will be committed any more: whoever waits for it goes on.
    pub fn close(&self) {
        self.lock().committed = u64::MAX;
        self.committed.notify_all();
    }

    /// Gives a page back once it has been executed.
    pub fn recycle(&self, mut page: Page) {
        let state = &mut *self.lock();
        page.clear(&mut state.pieces, SPARE_PIECES);
        if state.spare.len() < SPARE {
            state.spare.push(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::records;
    use super::*;

    fn run(calls: &[&[u8]]) -> Vec<u8> {
        let mut run = Vec::new();
        for call in calls {
            put_call(&mut run, 1, call, &[]);
        }
        run
    }

    /// The run as it is read from a socket.
    fn piece(run: &[u8]) -> Piece {
        let mut piece = Piece::default();
        piece.room_for_run(run.len()).copy_from_slice(run);
        piece
    }

    fn take(inbox: &Inbox) -> (Page, Vec<u64>) {
        let mut next_in = Vec::new();
        (inbox.take(&mut next_in), next_in)
    }

    #[test]
    fn duplicates_are_filtered_whole_and_in_part() {
        let inbox = Inbox::default();
        inbox.expect(vec![1]);
        let three = run(&[b"a", b"bb", b"ccc"]);
        assert_eq!(inbox.receive(0, 1, 3, &mut piece(&three)), Ok(three.len()));
        assert_eq!(inbox.receive(0, 1, 3, &mut piece(&three)), Ok(0));
        let overlap = run(&[b"ccc", b"dddd"]);
        assert_eq!(inbox.receive(0, 3, 2, &mut piece(&overlap)), Ok(6));
        assert_eq!(
            inbox.receive(0, 6, 1, &mut piece(b"\x00\x01")),
            Err(Gap { expected: 5 })
        );
        let (page, next_in) = take(&inbox);
        assert_eq!(next_in, [5]);
        let seen: Vec<_> = page.bodies().flat_map(records).collect();
        assert_eq!(
            seen[1],
            Record::Calls {
                origin: Origin::Peer(0),
                first: 4,
                count: 1,
                run: &run(&[b"dddd"])
            }
        );
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_long_run_is_not_copied_and_its_memory_comes_back() {
        let inbox = Inbox::default();
        inbox.expect(vec![1]);
        let long = run(&[&[7; PIECE]]);
        let mut read = piece(&long);
        let place = read.run().as_ptr();
        assert_eq!(inbox.receive(0, 1, 1, &mut read), Ok(long.len()));
        assert_eq!(read.run(), b"");
        // One that is new in part only, and a short one.
        let two = run(&[&[7; PIECE], b"new"]);
        assert_eq!(inbox.receive(0, 1, 2, &mut piece(&two)), Ok(5));
        let (page, _) = take(&inbox);
        let seen: Vec<_> = page.bodies().flat_map(records).collect();
        let Record::Calls { run: first, .. } = seen[0] else {
            panic!("{seen:?}");
        };
        assert_eq!((first.as_ptr(), seen.len()), (place, 2));
        inbox.recycle(page);
        let mut next = piece(&long);
        assert_eq!(inbox.receive(0, 3, 1, &mut next), Ok(long.len()));
        assert_eq!(next.room_for_run(1).as_ptr(), place);
    }

    #[test]
    fn too_many_impulses_wait_until_some_are_executed() {
        let inbox = Arc::new(Inbox::default());
        inbox.impulse(1, &vec![0; IMPULSES]);
        let this = Arc::clone(&inbox);
        let second = std::thread::spawn(move || this.impulse(2, b"later"));
        let first = take(&inbox).0.bodies().map(<[u8]>::len).sum::<usize>();
        assert!(!second.is_finished());
        inbox.impulses_executed(IMPULSES + 4);
        second.join().unwrap();
        assert!(first > IMPULSES && !take(&inbox).0.is_empty());
    }

    #[test]
    fn own_calls_wait_for_room() {
        let inbox = Inbox::default();
        inbox.own(1, run(&[b"x"]).into(), || false);
        inbox.impulse(9, b"");
        assert_eq!(take(&inbox).0.bodies().flat_map(records).count(), 1);
        inbox.admit(|| true);
        let (page, _) = take(&inbox);
        assert!(matches!(
            page.bodies().flat_map(records).next(),
            Some(Record::Calls {
                origin: Origin::Own,
                first: 1,
                ..
            })
        ));
    }
}

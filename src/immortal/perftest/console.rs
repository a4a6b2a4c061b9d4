//! The lines that both programs print.
//!
//! Those marked `*X*` depend on the moment; the others are the same in every run
//! that goes right, however often it was killed.

use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::super::{Durability, Error, Recovery, Replayed};

/// Prints one line, whole and at once, so that a reader of the log sees it when it
/// happens and a kill cannot cut it in two.
pub fn line(text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(&bytes).and_then(|()| out.flush()) {
        // Nobody can see what it does any more; a silent instance is worse than none.
        let _ = writeln!(
            io::stderr(),
            "aks-tui perftest: cannot write to standard output: {error}"
        );
        process::exit(1);
    }
}

/// Prints how recovery went.
pub fn recovered(recovery: &Recovery) {
    line(&format!(
        "*X* recovered epoch={} replayed={} pages={} from_checkpoint={} ms={}",
        recovery.epoch,
        recovery.calls,
        recovery.pages,
        recovery.from_checkpoint,
        recovery.elapsed.as_millis()
    ));
    state(recovery.state);
}

/// Prints the fingerprint of a state, to be compared with that of a replay.
pub fn state(state: u64) {
    line(&format!("*X* state hash={state:016x}"));
}

/// Prints what a replay came to.
pub fn replayed(replayed: &Replayed) {
    line(&format!(
        "*X* replayed from_checkpoint={} pages={} calls={} bytes={} checkpoints_met={} torn={}",
        replayed.from_checkpoint,
        replayed.pages,
        replayed.calls,
        replayed.bytes,
        replayed.met,
        replayed.torn
    ));
    state(replayed.state);
}

/// Prints which execution begins, and what its promises survive.
pub fn begun(epoch: u64, durability: Durability) {
    let durability = match durability {
        Durability::Fsync => "fsync",
        Durability::Os => "os",
    };
    line(&format!(
        "*X* execution epoch={epoch} durability={durability}"
    ));
}

/// Prints that a message is not the one that was sent.
pub fn damaged(call: u64, at: usize) {
    line(&format!(
        "Damaged message. Call {call} is wrong at byte {at}"
    ));
}

/// Prints that a message did not have the number that was its turn, as PTI does.
pub fn out_of_order(expected: u64, got: u64) {
    line(&format!(
        "Out of order message. Expected {expected}, got {got}"
    ));
}

/// Bytes of a GiB, the unit that totals are announced in.
pub const GIB: u64 = 1 << 30;

/// The announcement that is due when a count of bytes passes from `before` to
/// `after`: so many MB, at each whole GiB.
pub fn passed_gib(before: u64, after: u64) -> Option<u64> {
    (before / GIB != after / GIB).then_some(after / GIB * 1024)
}

#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    epoch: u64,
    call: u64,
    echoed: u64,
    replaying: bool,
}

/// How far an instance got, as it tells from time to time.
#[derive(Clone, Debug)]
pub struct Progress {
    figures: Arc<Mutex<Figures>>,
    /// The next fresh call is to be told at once: nothing moved for a while.
    due: Arc<AtomicBool>,
    wanted: bool,
}

impl Progress {
    /// Prints from a timer every `every`; never without it.
    pub fn start(every: Option<Duration>) -> Result<Self, Error> {
        let progress = Self {
            figures: Arc::new(Mutex::new(Figures {
                replaying: true,
                ..Figures::default()
            })),
            due: Arc::new(AtomicBool::new(true)),
            wanted: every.is_some(),
        };
        let Some(every) = every else {
            return Ok(progress);
        };
        let this = progress.clone();
        thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                let mut before = 0;
                loop {
                    thread::sleep(every);
                    this.with(|figures| {
                        if figures.epoch > 0 {
                            figures.print();
                        }
                        if figures.echoed == before {
                            this.due.store(true, Ordering::Relaxed);
                        }
                        before = figures.echoed;
                    });
                }
            })
            .map_err(|source| Error::System {
                what: "the progress thread",
                source,
            })?;
        Ok(progress)
    }

    /// An execution begins, with replay.
    pub fn begin(&self, epoch: u64) {
        self.with(|figures| figures.epoch = epoch);
    }

    /// Sets the figures: the last call and the bytes.
    pub fn publish(&self, call: u64, echoed: u64) {
        self.with(|figures| {
            figures.call = call;
            figures.echoed = echoed;
        });
    }

    /// Replay is over; the first fresh call is yet to come.
    pub fn live(&self) {
        self.with(|figures| figures.replaying = false);
    }

    /// Whether the next fresh call is to be told at once: the first of an
    /// execution, and the first after a standstill, when a peer came back.
    pub fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// A fresh call was executed while one was due.
    pub fn fresh(&self, call: u64, echoed: u64) {
        self.due.store(false, Ordering::Relaxed);
        self.with(|figures| {
            figures.call = call;
            figures.echoed = echoed;
            if self.wanted {
                figures.print();
            }
        });
    }

    /// A round is over: `index` counts from 1 over all executions, `bytes` is its
    /// payload in one direction.
    pub fn round(&self, index: u64, size: u64, bytes: u64) {
        if self.wanted {
            line(&format!(
                "*X* round index={index} size={size} bytes={bytes}"
            ));
        }
    }

    // Printed under the lock: a line never overtakes a newer one.
    fn with(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Figures {
    fn print(&self) {
        line(&format!(
            "*X* progress epoch={} call={} echoed={} replaying={}",
            self.epoch,
            self.call,
            self.echoed,
            u8::from(self.replaying)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_announced_at_each_whole_gib() {
        assert_eq!(passed_gib(0, GIB - 1), None);
        assert_eq!(passed_gib(GIB - 1, GIB), Some(1024));
        assert_eq!(passed_gib(GIB, GIB + 5), None);
        assert_eq!(passed_gib(GIB + 5, 2 * GIB + 1), Some(2048));
    }
}

//! Places where a test may have the process die, as if it had been killed there.
//!
//! `AKS_TUI_CRASH_AT=place` or `place:N` has a debug build kill itself with SIGKILL
//! the first or Nth time that it comes by. What a random kill hits once in a
//! million, between two system calls, is thus hit every time. Release builds know no
//! such places.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Half of a page is in the log.
pub const PAGE_HALF: &str = "page-half";
/// A page is in the log, but not synchronised.
pub const PAGE_WRITTEN: &str = "page-written";
/// A page is safe; nobody knows yet.
pub const PAGE_SAFE: &str = "page-safe";
/// A log was created; its name may not be durable.
pub const LOG_CREATED: &str = "log-created";
/// Half of a checkpoint is written.
pub const CHECKPOINT_HALF: &str = "checkpoint-half";
/// A checkpoint is written, but not synchronised.
pub const CHECKPOINT_WRITTEN: &str = "checkpoint-written";
/// A checkpoint is synchronised, but has not got its name.
pub const CHECKPOINT_SAFE: &str = "checkpoint-safe";
/// A checkpoint has its name, which may not be durable.
pub const CHECKPOINT_NAMED: &str = "checkpoint-named";
/// A checkpoint is published; the generations before it still lie there.
pub const CHECKPOINT_PUBLISHED: &str = "checkpoint-published";
/// One file of an old generation is removed, others are not.
pub const PRUNED: &str = "pruned";
/// The epoch of an execution is counted; nothing else has happened.
pub const EPOCH_COUNTED: &str = "epoch-counted";

/// All places, for tests that go through them.
pub const PLACES: [&str; 11] = [
    PAGE_HALF,
    PAGE_WRITTEN,
    PAGE_SAFE,
    LOG_CREATED,
    CHECKPOINT_HALF,
    CHECKPOINT_WRITTEN,
    CHECKPOINT_SAFE,
    CHECKPOINT_NAMED,
    CHECKPOINT_PUBLISHED,
    PRUNED,
    EPOCH_COUNTED,
];

/// The chosen place, and how often it is still passed unharmed.
static CHOSEN: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
    let chosen = std::env::var("AKS_TUI_CRASH_AT").ok()?;
    let (place, nth) = chosen.split_once(':').unwrap_or((&chosen, "1"));
    Some((place.to_owned(), AtomicU64::new(nth.parse().ok()?)))
});

/// Whether the process is to die here now.
pub fn due(place: &str) -> bool {
    cfg!(debug_assertions)
        && CHOSEN.as_ref().is_some_and(|(chosen, left)| {
            chosen == place && left.fetch_sub(1, Ordering::SeqCst) == 1
        })
}

/// Dies here if that was asked for.
pub fn point(place: &str) {
    if due(place) {
        die();
    }
}

/// Dies as a process that is killed does: at once, and without cleaning up.
pub fn die() -> ! {
    #[cfg(unix)]
    {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
    }
    std::process::abort()
}

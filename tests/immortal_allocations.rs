//! In the steady state a call allocates nothing: memory is used again, and what is
//! allocated belongs to batches of thousands of calls. Both instances of a pair run
//! in this process, whose allocator counts; so nothing else may run beside them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aks_tui::immortal::{
    self, App, Call, Caller, Config, Contest, Context, Durability, Error, Impulses, Link, Recovery,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls that the sender makes before it calls itself to continue.
const SLICE: u64 = 1 << 15;
/// Bytes of a call.
const SIZE: usize = 16;
/// Calls, each way, that are looked at together.
const WINDOW: u64 = 1_000_000;
/// The steady state is reached once all that is kept for later is there: when that has
/// been needed most. At the latest after so many windows.
const LATEST: u64 = 30;

/// Sends for ever, or sends back whatever comes.
struct Part<const ECHO: bool> {
    received: Arc<AtomicU64>,
}

impl<const ECHO: bool> App for Part<ECHO> {
    const ANSWERS: bool = ECHO;

    fn awaken(&mut self, _epoch: u64) {}

    fn save(&self, _out: &mut Vec<u8>) {}

    fn load(&mut self, _state: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        if !ECHO {
            context.call_self(1, &[]);
        }
    }

    fn call(&mut self, call: &Call<'_>, context: &mut Context<'_>) {
        match call.caller {
            Caller::Own => {
                for _ in 0..SLICE {
                    context.call_peer(0, 1, &[7; SIZE], &[]);
                }
                context.call_self(1, &[]);
            }
            _ if ECHO => context.call_peer(0, 1, call.payload, &[]),
            _ => {
                self.received.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn recovered(&mut self, _recovery: &Recovery) -> bool {
        false
    }
}

fn start<const ECHO: bool>(
    root: &Path,
    address: &str,
    received: &Arc<AtomicU64>,
) -> JoinHandle<Result<(), Error>> {
    let link = if ECHO {
        Link::Accept { peer: None }
    } else {
        Link::Dial {
            peer: address.to_owned(),
            port: 0,
        }
    };
    let config = Config {
        instance: if ECHO { "echo" } else { "sender" }.into(),
        root: root.to_owned(),
        durability: Durability::Os,
        log_trigger: 1 << 30,
        // A checkpoint allocates, by its number and not by that of the calls.
        replay_trigger: Duration::from_secs(3600),
        rate: None,
        contest: Contest::Wait,
        keep: false,
        listen: ECHO.then(|| address.to_owned()),
        links: vec![link],
        stay: true,
        started: Instant::now(),
        notice: Arc::new(|_: &str| {}),
        impulses: Impulses::default(),
    };
    let app = Part::<ECHO> {
        received: Arc::clone(received),
    };
    thread::spawn(move || immortal::run(&config, app))
}

#[test]
fn a_million_calls_allocate_a_hundred_times_at_most() {
    let logs = tempfile::tempdir().unwrap();
    let part = || fastrand::u8(1..=254);
    let address = format!("127.{}.{}.{}:50001", part(), part(), part());
    let received = Arc::default();
    let pair = [
        start::<true>(logs.path(), &address, &received),
        start::<false>(logs.path(), &address, &received),
    ];
    let wait_for = |calls: u64| {
        while received.load(Ordering::Relaxed) < calls {
            for instance in &pair {
                assert!(!instance.is_finished(), "an instance has stopped");
            }
            thread::sleep(Duration::from_millis(5));
        }
    };
    let mut seen = Vec::new();
    for window in 1..=LATEST {
        let region = Region::new(COUNTED);
        wait_for(window * WINDOW);
        let change = region.change();
        // Each call was executed twice, by either instance once.
        let executed = (2 * WINDOW) as f64 / 1e6;
        let per_million = (change.allocations + change.reallocations) as f64 / executed;
        if window > 1 && per_million <= 100.0 {
            return;
        }
        seen.push(per_million);
    }
    panic!("allocations for a million calls, one window after the other: {seen:?}");
}

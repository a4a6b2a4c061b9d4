//! What the pods use, measured again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::lab::node::Usage;
use crate::lab::runtime::{Container, Used, measure};

/// How often it is measured. A rate is an average over this time.
pub(super) const WINDOW: Duration = Duration::from_secs(5);

/// A running container: the pod's uid and its own name.
pub(super) type Running = (String, String, Container);

#[derive(Debug)]
struct Reading {
    execution: String,
    at: Instant,
    used: Used,
    usage: Usage,
}

/// The newest readings.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<HashMap<(String, String), Reading>>);

impl Meter {
    /// Measures these containers, and forgets all others.
    pub fn read(&self, running: Vec<Running>) {
        let containers: Vec<_> = running.iter().map(|(_, _, container)| container).collect();
        let used = measure(&containers);
        let (now, time) = (Instant::now(), Timestamp::now());
        let mut readings = self.lock();
        let mut before = std::mem::take(&mut *readings);
        for ((pod, name, container), used) in running.into_iter().zip(used) {
            let key = (pod.clone(), name.clone());
            let last = before.remove(&key);
            let last = last.filter(|last| last.execution == container.id());
            let (since, earlier) = match last {
                Some(last) => (now.duration_since(last.at), last.used.processor),
                // Its first reading: the average since it began.
                None => (since(container.started_at(), time), Duration::ZERO),
            };
            let usage = Usage {
                pod,
                container: name,
                at: time,
                window: since,
                nanocores: rate(used.processor.saturating_sub(earlier), since),
                memory: used.memory,
            };
            let reading = Reading {
                execution: container.id().to_owned(),
                at: now,
                used,
                usage,
            };
            readings.insert(key, reading);
        }
    }

    /// What was measured last.
    pub fn usage(&self) -> Vec<Usage> {
        self.lock().values().map(|it| it.usage.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since(start: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(start).try_into().unwrap_or_default()
}

/// Processor time over time, in thousand-millionths of a processor.
fn rate(processor: Duration, over: Duration) -> u64 {
    let nanos = over.as_nanos().max(1);
    (processor.as_nanos() * 1_000_000_000 / nanos) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_processor_time_over_time() {
        let seconds = Duration::from_secs;
        assert_eq!(rate(seconds(1), seconds(5)), 200_000_000);
        assert_eq!(rate(seconds(4), seconds(2)), 2_000_000_000);
        assert_eq!(rate(seconds(0), seconds(0)), 0);
    }
}

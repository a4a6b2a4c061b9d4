//! Where adapters put what they saw, stamped with the time of receipt.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::core::{
    event::{Event, Fact, Feed, FeedState},
    time::Time,
};

/// The run's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    offset: Time,
}

impl Clock {
    /// A clock that shows `now` at this moment and goes on from there.
    pub fn starting_at(now: Time) -> Self {
        Self {
            origin: Instant::now(),
            offset: now,
        }
    }

    /// The time in the run.
    pub fn now(&self) -> Time {
        self.offset + self.origin.elapsed()
    }
}

/// Nobody listens any more: the cockpit is leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cockpit is leaving")]
pub struct Closed;

/// The way of facts into the cockpit.
#[derive(Debug, Clone)]
pub struct Sink {
    clock: Clock,
    events: mpsc::Sender<Event>,
}

impl Sink {
    /// A sink that stamps by `clock` and feeds `events`.
    pub const fn new(clock: Clock, events: mpsc::Sender<Event>) -> Self {
        Self { clock, events }
    }

    /// The clock that stamps.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Hands over a fact, stamped now. Waits while the queue is full.
    pub async fn send(&self, fact: Fact) -> Result<(), Closed> {
        self.send_at(self.clock.now(), fact).await
    }

    /// Hands over a fact that was seen at `at`.
    pub async fn send_at(&self, at: Time, fact: Fact) -> Result<(), Closed> {
        self.events
            .send(Event { at, fact })
            .await
            .map_err(|_| Closed)
    }

    /// Says that a stream changed its state.
    pub async fn feed(&self, feed: Feed, state: FeedState) -> Result<(), Closed> {
        self.send(Fact::Feed { feed, state }).await
    }
}

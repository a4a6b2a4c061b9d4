//! What was printed before anybody looked.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::lines::RawLine;

/// Lines of the past that are read when the cockpit first sees a workload.
pub const HISTORY: usize = 500;

/// The past is over when nothing more of it comes for so long.
const HISTORY_ENDS: Duration = Duration::from_millis(50);

/// A workload that never pauses has a present, too.
const HISTORY_LASTS: Duration = Duration::from_millis(300);

/// Lines that were printed before anybody looked. They are kept until they stop
/// coming: only then it is known whether the beginning is among them.
pub struct Past {
    /// None once it is over.
    lines: Option<Vec<RawLine>>,
    ends: Instant,
    latest: Instant,
}

impl Past {
    /// A past that is to be read, if it is the first time that anybody looks.
    pub fn new(first: bool) -> Self {
        Self {
            lines: first.then(Vec::new),
            ends: Instant::now() + 2 * HISTORY_ENDS,
            latest: Instant::now() + HISTORY_LASTS,
        }
    }

    /// Keeps a line of the past; gives one of the present back.
    pub fn keep(&mut self, line: RawLine) -> Option<RawLine> {
        match &mut self.lines {
            Some(lines) => {
                lines.push(line);
                self.ends = self.latest.min(Instant::now() + HISTORY_ENDS);
                None
            }
            None => Some(line),
        }
    }

    /// As many lines came as were asked for.
    pub fn is_long(&self) -> bool {
        self.lines
            .as_ref()
            .is_some_and(|lines| lines.len() >= HISTORY)
    }

    /// Waits until no more of it is expected.
    pub async fn over(&self) {
        at(self.lines.is_some().then_some(self.ends)).await;
    }

    /// Its lines, once.
    pub const fn take(&mut self) -> Option<Vec<RawLine>> {
        self.lines.take()
    }
}

/// Waits until then; for ever if there is no such moment.
pub async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

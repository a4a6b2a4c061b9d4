//! Time inside a run: microseconds since the run began, by a monotonic clock.
//!
//! Kubernetes' own timestamps have a resolution of one second and are made by
//! other clocks; nothing is ever measured with them.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A moment of a run, in microseconds since the run began.
///
/// A run that outlives its cockpit keeps counting: the next cockpit goes on
/// from the last recorded moment plus the wall-clock time that passed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// The moment the run began.
    pub const ZERO: Self = Self(0);

    /// The moment `millis` milliseconds into the run.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Seconds since the run began.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whole milliseconds since the run began.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// The time that passed since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs.as_micros() as u64))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// The moment `rhs` earlier, or the beginning of the run if that is nearer.
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs.as_micros() as u64))
    }
}

impl fmt::Display for Time {
    /// `mm:ss.mmm`, or `h:mm:ss` past an hour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if h > 0 {
            write!(f, "{h}:{m:02}:{s:02}")
        } else {
            write!(f, "{m:02}:{s:02}.{:03}", self.millis() % 1_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_a_stopwatch_does() {
        assert_eq!(Time::from_millis(83_042).to_string(), "01:23.042");
        assert_eq!(Time::from_millis(3_723_000).to_string(), "1:02:03");
    }

    #[test]
    fn time_never_runs_backwards() {
        let (early, late) = (Time::from_millis(5), Time::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early - Duration::from_secs(1), Time::ZERO);
    }
}

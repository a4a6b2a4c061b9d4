//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// The first wait.
const SHORTEST: Duration = Duration::from_millis(500);

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double from half a second to half a minute. A random part of each
/// keeps many clients from knocking at a recovering server in step.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure.
    pub fn next(&mut self) -> Duration {
        let full = SHORTEST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let random = full.mul_f64(0.75 + 0.25 * fastrand::f64());
        random.max(SHORTEST)
    }

    /// It works again: the next failure starts from the shortest wait.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_bounds_and_start_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..100).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|w| (SHORTEST..=LONGEST).contains(w)));
        assert_eq!(waits[0], SHORTEST);
        assert!(waits[99] >= LONGEST.mul_f64(0.75));
        backoff.reset();
        assert_eq!(backoff.next(), SHORTEST);
    }
}

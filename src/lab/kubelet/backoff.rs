//! How long a container that ended waits for its next start.

use std::time::Duration;

/// The real kubelet's first delay after the restart that comes at once.
const FIRST: Duration = Duration::from_secs(10);

/// The real kubelet's longest delay.
const LONGEST: Duration = Duration::from_mins(5);

/// Having run this long, a container is forgiven its earlier ends.
const FORGIVEN: Duration = Duration::from_mins(10);

/// A container that ends sooner than this after its start did nothing useful.
const QUICK: Duration = Duration::from_millis(100);

/// So many quick ends in a row are restarted at once all the same.
const QUICK_ENDS: u32 = 3;

/// First and longest delay of a container that ends quickly again and again.
const LOOP: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Which schedule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackoffMode {
    /// The real kubelet's: at once, then 10, 20, 40 … 300 s.
    #[default]
    Kubernetes,
    /// At once, each time.
    None,
}

impl BackoffMode {
    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::None => "none",
        }
    }
}

/// The delays of one container, or of one image that cannot be had.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    mode: BackoffMode,
    next: Duration,
    quick_ends: u32,
}

impl Backoff {
    pub fn new(mode: BackoffMode) -> Self {
        Self {
            mode,
            next: Duration::ZERO,
            quick_ends: 0,
        }
    }

    /// The delay after an execution that `ran` so long.
    pub fn after(&mut self, ran: Duration) -> Duration {
        match self.mode {
            BackoffMode::Kubernetes => {
                if ran >= FORGIVEN {
                    self.next = Duration::ZERO;
                }
                let delay = self.next;
                self.next = (delay * 2).clamp(FIRST, LONGEST);
                delay
            }
            BackoffMode::None => {
                self.quick_ends = if ran < QUICK { self.quick_ends + 1 } else { 0 };
                match self.quick_ends.checked_sub(QUICK_ENDS + 1) {
                    None => Duration::ZERO,
                    Some(more) => (LOOP.0 * 2_u32.saturating_pow(more.min(16))).min(LOOP.1),
                }
            }
        }
    }
}

/// A duration as Kubernetes prints it: `10s`, `1m20s`, `5m0s`, `400ms`.
pub(super) fn print(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    let millis = duration.subsec_millis();
    if duration < Duration::from_secs(1) && !duration.is_zero() {
        return format!("{millis}ms");
    }
    let seconds = if millis == 0 {
        format!("{seconds}s")
    } else {
        let fraction = format!("{millis:03}");
        format!("{seconds}.{}s", fraction.trim_end_matches('0'))
    };
    if minutes == 0 {
        seconds
    } else {
        format!("{minutes}m{seconds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(mode: BackoffMode, runs: &[u64]) -> Vec<u64> {
        let mut backoff = Backoff::new(mode);
        runs.iter()
            .map(|millis| backoff.after(Duration::from_millis(*millis)).as_millis() as u64)
            .collect()
    }

    #[test]
    fn kubernetes_waits_as_the_real_kubelet_does() {
        let seconds: Vec<_> = schedule(BackoffMode::Kubernetes, &[5_000; 9])
            .iter()
            .map(|millis| millis / 1000)
            .collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_are_forgiven() {
        let runs = [1_000, 1_000, 1_000, 599_999, 600_000, 1_000];
        let delays = schedule(BackoffMode::Kubernetes, &runs);
        assert_eq!(delays, [0, 10_000, 20_000, 40_000, 0, 10_000]);
    }

    #[test]
    fn none_is_immediate_but_never_a_hot_loop() {
        assert_eq!(schedule(BackoffMode::None, &[100; 50]), [0; 50]);
        let delays = schedule(BackoffMode::None, &[5; 12]);
        assert_eq!(delays[..6], [0, 0, 0, 100, 200, 400]);
        assert_eq!(delays[11], 5_000);
        let delays = schedule(BackoffMode::None, &[5, 5, 5, 5, 500, 5, 5]);
        assert_eq!(delays, [0, 0, 0, 100, 0, 0, 0]);
    }

    #[test]
    fn durations_are_printed_as_kubernetes_does() {
        for (millis, expected) in [
            (10_000, "10s"),
            (80_000, "1m20s"),
            (300_000, "5m0s"),
            (400, "400ms"),
            (1_600, "1.6s"),
            (0, "0s"),
        ] {
            assert_eq!(print(Duration::from_millis(millis)), expected);
        }
    }
}

//! Axes with round numbers.

use std::time::Duration;

/// The smallest of 1, 2, 2.5, 5 × 10ⁿ that is at least `rough`.
pub(super) fn nice(rough: f64) -> f64 {
    if !rough.is_finite() || rough <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// An upright axis from zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Upright {
    /// Its upper end.
    pub top: f64,
    /// The distance of its ticks.
    pub step: f64,
}

impl Upright {
    /// An axis that reaches `peak` with about `ticks` ticks.
    pub(super) fn new(peak: f64, ticks: usize) -> Self {
        let peak = if peak > 0.0 { peak } else { 1.0 };
        let step = nice(peak / ticks.max(1) as f64);
        Self {
            top: (peak / step).ceil().max(1.0) * step,
            step,
        }
    }

    /// The ticks, from zero upwards, with their labels.
    pub(super) fn ticks(self) -> impl Iterator<Item = (f64, String)> {
        let count = (self.top / self.step).round() as u32;
        // 2.5 and 0.25 need one digit more than the power of ten says.
        let digits = (0..6)
            .find(|digits| {
                let scaled = self.step * 10f64.powi(*digits);
                (scaled - scaled.round()).abs() < 1e-6
            })
            .unwrap_or(6) as usize;
        (0..=count).map(move |n| {
            let value = f64::from(n) * self.step;
            (value, format!("{value:.digits$}"))
        })
    }
}

/// Distances of ticks on the time axis, seconds.
const TIMES: [u64; 16] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 86_400,
];

/// The distance of time ticks so that at most `labels` fit into `span`.
pub(super) fn time_step(span: Duration, labels: usize) -> Duration {
    let rough = span.as_secs_f64() / labels.max(1) as f64;
    let seconds = TIMES
        .into_iter()
        .find(|seconds| *seconds as f64 >= rough)
        .unwrap_or(86_400);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(peak: f64, ticks: usize) -> Vec<String> {
        Upright::new(peak, ticks)
            .ticks()
            .map(|tick| tick.1)
            .collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(0.43, 4), ["0.0", "0.2", "0.4", "0.6"]);
        assert_eq!(labels(0.9, 4), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(41.0, 4), ["0", "20", "40", "60"]);
        assert_eq!(labels(0.0, 2), ["0.0", "0.5", "1.0"]);
    }

    #[test]
    fn the_axis_reaches_the_peak() {
        for peak in [1e-9, 0.1, 0.3, 0.999, 1.0, 1.000_1, 7.7, 12_345.0] {
            for ticks in 1..9 {
                let axis = Upright::new(peak, ticks);
                assert!(axis.top >= peak * (1.0 - 1e-9), "{peak} {axis:?}");
                assert!(axis.ticks().count() <= ticks + 2, "{peak} {axis:?}");
            }
        }
    }

    #[test]
    fn time_is_divided_as_clocks_are() {
        let step = |seconds, labels| time_step(Duration::from_secs(seconds), labels).as_secs();
        assert_eq!(step(60, 6), 10);
        assert_eq!(step(60, 5), 15);
        assert_eq!(step(3_600, 8), 600);
    }
}

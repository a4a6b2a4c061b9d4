//! A curve with explicit gaps: what is unknown is never drawn through.

use std::{collections::VecDeque, time::Duration};

use crate::core::{
    time::Time,
    workload::{GIB, line::Progress},
};

/// Points kept: an hour at ten a second.
const POINTS_KEPT: usize = 36_000;

/// Two samples nearer than this say more of the scheduler than of throughput.
const NEAREST: Duration = Duration::from_millis(50);

/// Two samples further apart than this leave the time between them unknown.
const FURTHEST: Duration = Duration::from_secs(2);

/// A point of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When.
    pub at: Time,
    /// GiB/s since the point before; none where a gap begins.
    pub gib_s: Option<f64>,
}

/// A round that ended: an exact measurement, printed by the workload itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundMark {
    /// When its line came in.
    pub at: Time,
    /// Message size, bytes.
    pub size: u64,
    /// Throughput in one direction, GiB/s.
    pub gib_s: f64,
}

/// Throughput over time: the derivative of the client's echoed bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    points: VecDeque<Point>,
    last: Option<(Time, Progress)>,
    /// No point was made since the last gap.
    fresh: bool,
}

impl Series {
    /// The points, oldest first.
    pub const fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// The throughput now: that of the last point, unless a gap began since.
    pub fn now(&self) -> Option<f64> {
        self.points.back().and_then(|point| point.gib_s)
    }

    /// Whether what happens now is unknown.
    pub fn is_interrupted(&self) -> bool {
        self.last.is_none()
    }

    /// What happens from now on is unknown until samples come again.
    pub(super) fn interrupt(&mut self, at: Time) {
        self.last = None;
        if self
            .points
            .back()
            .is_some_and(|point| point.gib_s.is_some())
        {
            self.push(Point { at, gib_s: None });
        }
    }

    /// The client told its progress.
    pub(super) fn observe(&mut self, at: Time, progress: &Progress) {
        let Some((then, before)) = self.last else {
            self.last = Some((at, *progress));
            self.fresh = true;
            return;
        };
        let passed = at.since(then);
        if progress.epoch != before.epoch || progress.echoed < before.echoed || passed > FURTHEST {
            self.interrupt(then + NEAREST.min(passed));
            self.last = Some((at, *progress));
            self.fresh = true;
        } else if passed < NEAREST {
            // Lines that waited somewhere arrive together: the last of them is
            // where measuring begins.
            if self.fresh {
                self.last = Some((at, *progress));
            }
        } else {
            let gib_s = (progress.echoed - before.echoed) as f64 / GIB / passed.as_secs_f64();
            if self.fresh {
                self.push(Point {
                    at: then,
                    gib_s: Some(gib_s),
                });
            }
            self.push(Point {
                at,
                gib_s: Some(gib_s),
            });
            self.last = Some((at, *progress));
            self.fresh = false;
        }
    }

    fn push(&mut self, point: Point) {
        if self.points.len() == POINTS_KEPT {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[(u64, u64, u64)]) -> Series {
        let mut series = Series::default();
        for (ms, epoch, mib) in samples {
            let progress = Progress {
                epoch: *epoch,
                call: 0,
                echoed: mib << 20,
                replaying: false,
            };
            series.observe(Time::from_millis(*ms), &progress);
        }
        series
    }

    fn rates(series: &Series) -> Vec<Option<f64>> {
        series.points().iter().map(|point| point.gib_s).collect()
    }

    #[test]
    fn throughput_is_the_derivative_of_the_echoes() {
        let series = series(&[(0, 1, 0), (1000, 1, 512), (2000, 1, 1536)]);
        assert_eq!(rates(&series), [Some(0.5), Some(0.5), Some(1.0)]);
    }

    #[test]
    fn a_new_execution_leaves_a_gap() {
        let series = series(&[(0, 1, 0), (1000, 1, 1024), (1500, 2, 1024), (2500, 2, 2048)]);
        assert_eq!(
            rates(&series),
            [Some(1.0), Some(1.0), None, Some(1.0), Some(1.0)]
        );
    }

    #[test]
    fn lines_that_waited_together_make_no_spike() {
        let series = series(&[(0, 1, 0), (1, 1, 4096), (2, 1, 8192), (1002, 1, 9216)]);
        assert_eq!(rates(&series), [Some(1.0), Some(1.0)]);
    }

    #[test]
    fn a_silent_client_is_unknown_and_a_stalled_one_is_zero() {
        let silent = series(&[(0, 1, 0), (1000, 1, 1024), (9000, 1, 2048)]);
        assert_eq!(rates(&silent).last(), Some(&None));
        let stalled = series(&[(0, 1, 0), (1000, 1, 1024), (2000, 1, 1024)]);
        assert_eq!(stalled.now(), Some(0.0));
    }
}

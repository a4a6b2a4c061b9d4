//! From samples to columns: what is drawn costs what is seen, not what is kept.

use std::time::Duration;

use super::{current_size, size_index};
use crate::{
    core::{
        model::{Model, series::Point},
        time::Time,
    },
    ui::view::Scene,
};

/// What happened in one column of dots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    /// The lowest throughput, GiB/s.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// The last.
    pub last: f64,
    /// It is connected with the column before: nothing unknown lies between.
    pub joined: bool,
    /// The style index of the message size.
    pub size: usize,
}

/// The curve as the screen can show it.
#[derive(Debug)]
pub(super) struct Reduced {
    /// The time at the left edge.
    pub from: Time,
    /// The time that one column of dots takes.
    pub step: Duration,
    /// A column of dots each; none where nothing is known.
    pub columns: Vec<Option<Column>>,
    /// The highest throughput that is shown, GiB/s.
    pub peak: f64,
    /// The mean of the columns that are known.
    pub mean: Option<f64>,
}

/// Spans of time that are shown when all of the run is asked for, seconds: the
/// picture stands still while the curve grows into it.
const ALL: [u64; 15] = [
    30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 2_700, 3_600, 7_200, 14_400, 28_800, 86_400,
];

/// The time that is shown: from the beginning of the run while it fits into the
/// window, else the newest.
pub(super) fn span(model: &Model, window: Option<Duration>, now: Time) -> (Time, Time) {
    let begin = match model.throughput.points().front() {
        // Older samples were forgotten.
        Some(first) if first.at.since(Time::ZERO) > Duration::from_hours(1) => first.at,
        _ => Time::ZERO,
    };
    let shown = window.unwrap_or_else(|| {
        let whole = now.since(begin).as_secs();
        let fits = ALL.into_iter().find(|seconds| *seconds > whole);
        Duration::from_secs(fits.unwrap_or(whole + 1))
    });
    let from = (now - shown).max(begin);
    (from, from + shown)
}

impl Reduced {
    /// Reduces the samples of `span` to `count` columns.
    pub(super) fn new(scene: &Scene<'_>, span: (Time, Time), count: usize) -> Self {
        let count = count.max(1);
        let step = (span.1.since(span.0).as_micros() as u64)
            .div_ceil(count as u64)
            .max(1);
        // Columns begin at multiples of their length, so that samples do not
        // change columns while the curve moves on.
        let from = if span.0 == Time::ZERO {
            0
        } else {
            span.0.0.div_ceil(step) * step
        };
        let mut reduced = Self {
            from: Time(from),
            step: Duration::from_micros(step),
            columns: vec![None; count],
            peak: 0.0,
            mean: None,
        };
        reduced.fill(scene.model, from, step);
        reduced.colour(scene.model, from, step);
        reduced.measure(scene.model);
        reduced
    }

    fn fill(&mut self, model: &Model, from: u64, step: u64) {
        let points = model.throughput.points();
        // One sample before the edge tells where the curve comes from.
        let first = points
            .partition_point(|point| point.at.0 < from)
            .saturating_sub(1);
        let count = self.columns.len() as i64;
        let mut before: Option<(i64, f64)> = None;
        for Point { at, gib_s } in points.range(first..) {
            let Some(value) = *gib_s else {
                before = None;
                continue;
            };
            let column = (at.0 as i64 - from as i64).div_euclid(step as i64);
            if column >= count {
                break;
            }
            if let Some((then, old)) = before {
                for between in (then + 1).max(0)..column {
                    let share = (between - then) as f64 / (column - then) as f64;
                    self.add(between, old + (value - old) * share, true);
                }
            }
            if column >= 0 {
                self.add(column, value, before.is_some());
            }
            before = Some((column, value));
        }
    }

    fn add(&mut self, column: i64, value: f64, joined: bool) {
        match &mut self.columns[column as usize] {
            Some(known) => {
                known.low = known.low.min(value);
                known.high = known.high.max(value);
                known.last = value;
            }
            empty => {
                *empty = Some(Column {
                    low: value,
                    high: value,
                    last: value,
                    joined,
                    size: 0,
                });
            }
        }
    }

    /// A column has the size of the round that ended next after it.
    fn colour(&mut self, model: &Model, from: u64, step: u64) {
        let rounds = &model.rounds;
        let mut next = rounds.partition_point(|round| round.at.0 < from);
        let present = current_size(model).map_or(0, size_index);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let begin = from + step * index as u64;
            while rounds.get(next).is_some_and(|round| round.at.0 <= begin) {
                next += 1;
            }
            if let Some(column) = column {
                column.size = rounds
                    .get(next)
                    .map_or(present, |round| size_index(round.size));
            }
        }
    }

    fn measure(&mut self, model: &Model) {
        let known = || self.columns.iter().flatten();
        let middle = |column: &Column| f64::midpoint(column.low, column.high);
        let count = known().count();
        let mean = known().map(middle).sum::<f64>() / count as f64;
        let highest = known().map(|column| column.high).fold(0.0, f64::max);
        let end = self.from + self.step * self.columns.len() as u32;
        let rounds = model
            .rounds
            .iter()
            .rev()
            .take_while(|round| round.at >= self.from)
            .filter(|round| round.at < end)
            .map(|round| round.gib_s)
            .fold(0.0, f64::max);
        self.mean = (count > 0).then_some(mean);
        self.peak = highest.max(rounds);
    }

    /// The column of dots of a moment, if it is on the screen.
    pub(super) fn column(&self, at: Time) -> Option<usize> {
        if at < self.from {
            return None;
        }
        let column = (at.since(self.from).as_micros() / self.step.as_micros().max(1)) as usize;
        (column < self.columns.len()).then_some(column)
    }

    /// The moment at the left edge of a column of dots.
    pub(super) fn time(&self, column: usize) -> Time {
        self.from + self.step * column as u32
    }
}

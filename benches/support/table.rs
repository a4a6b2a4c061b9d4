//! Samples, targets, and the table they are printed in.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::time::Duration;

use serde::Serialize;

/// What is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Hundredths of one core.
    #[serde(rename = "% of a core")]
    Percent,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Lines in a second.
    #[serde(rename = "lines/s")]
    Lines,
    /// Events in a second.
    #[serde(rename = "events/s")]
    Events,
    /// Requests.
    #[serde(rename = "requests")]
    Requests,
    /// Requests in a minute.
    #[serde(rename = "requests/min")]
    PerMinute,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Percent => "%",
            Self::Mebibytes => "MiB",
            Self::Lines => "lines/s",
            Self::Events => "events/s",
            Self::Requests => "requests",
            Self::PerMinute => "requests/min",
        }
    }
}

/// How samples spread. All figures are samples that were seen, none is made up
/// between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    n: usize,
    min: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Spread {
    /// None without a sample.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let n = samples.len();
        let rank = |part: f64| {
            let rank = (part * n as f64).ceil() as usize;
            samples.get(rank.max(1) - 1).copied()
        };
        Some(Self {
            n,
            min: *samples.first()?,
            p50: rank(0.5)?,
            p95: rank(0.95)?,
            p99: rank(0.99)?,
            max: *samples.last()?,
        })
    }

    /// Of durations, in milliseconds.
    pub fn of_times(samples: impl IntoIterator<Item = Duration>) -> Option<Self> {
        Self::of(samples.into_iter().map(millis).collect())
    }
}

/// Milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Which figure a target is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Figure {
    /// The median.
    P50,
    /// 95 in 100 are at most this.
    P95,
    /// 99 in 100 are at most this.
    P99,
    /// None is more.
    Max,
}

impl Figure {
    const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
        }
    }

    const fn of(self, spread: &Spread) -> f64 {
        match self {
            Self::P50 => spread.p50,
            Self::P95 => spread.p95,
            Self::P99 => spread.p99,
            Self::Max => spread.max,
        }
    }
}

/// One line of the table: a promise, or what to hold it against.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    what: String,
    unit: Unit,
    #[serde(flatten)]
    spread: Option<Spread>,
    targets: Vec<(Figure, f64)>,
    is_reference: bool,
}

impl Row {
    /// A promise; without samples it is not kept.
    pub fn new(what: impl Into<String>, unit: Unit, spread: Option<Spread>) -> Self {
        Self {
            what: what.into(),
            unit,
            spread,
            targets: Vec::new(),
            is_reference: false,
        }
    }

    /// Holds a promise against a limit.
    pub fn at_most(mut self, figure: Figure, limit: f64) -> Self {
        self.targets.push((figure, limit));
        self
    }

    /// Something to hold the rows above against.
    pub fn reference(what: impl Into<String>, unit: Unit, spread: Option<Spread>) -> Self {
        Self {
            is_reference: true,
            ..Self::new(what, unit, spread)
        }
    }

    /// Whether every limit was kept.
    pub fn is_met(&self) -> bool {
        self.targets.iter().all(|target| self.keeps(target))
    }

    fn keeps(&self, (figure, limit): &(Figure, f64)) -> bool {
        self.spread
            .is_some_and(|spread| figure.of(&spread) <= *limit)
    }

    fn verdict(&self) -> String {
        let each = self.targets.iter().map(|target| {
            let verdict = if self.keeps(target) { "met" } else { "MISSED" };
            format!("{} ≤ {} {verdict}", target.0.name(), figure(target.1))
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Prints the table.
pub fn print(rows: &[Row]) {
    let name = |row: &Row| {
        let indent = if row.is_reference { "  ref: " } else { "" };
        format!("{indent}{} [{}]", row.what, row.unit.name())
    };
    let width = rows.iter().map(|row| name(row).chars().count()).max();
    let width = width.unwrap_or(0);
    println!(
        "\n{:width$} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9}  target",
        "", "n", "min", "p50", "p95", "p99", "max"
    );
    for row in rows {
        let Some(spread) = row.spread else {
            println!("{:width$} no sample  {}", name(row), row.verdict());
            continue;
        };
        let Spread {
            n,
            min,
            p50,
            p95,
            p99,
            max,
        } = spread;
        let [min, p50, p95, p99, max] = [min, p50, p95, p99, max].map(figure);
        let line = format!(
            "{:width$} {n:>6} {min:>9} {p50:>9} {p95:>9} {p99:>9} {max:>9}  {}",
            name(row),
            row.verdict()
        );
        println!("{}", line.trim_end());
    }
}

/// Three significant digits or all that stand before the point.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

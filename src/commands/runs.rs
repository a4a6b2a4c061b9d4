//! `aks-tui runs`: which runs were recorded, and what came of them.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

use color_eyre::Result;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::{
    adapters::journal::{RunInfo, StateDir, list},
    core::model::ledger::Spread,
};

/// List the recorded runs, newest first
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Args {
    /// Print one JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// Lists the runs of this user.
///
/// # Errors
/// The state directory is not known or cannot be read, or nobody can read the
/// output.
pub fn run(args: Args) -> Result<ExitCode> {
    let dir = StateDir::find()?.runs();
    let runs = list(&dir)?;
    let text = if args.json {
        let rows: Vec<_> = runs.iter().map(Row::from).collect();
        serde_json::to_string(&rows)? + "\n"
    } else if runs.is_empty() {
        format!(
            "No runs are recorded in {}; `aks-tui demo` records one.\n",
            dir.display()
        )
    } else {
        table(&runs, &TimeZone::system())
    };
    match io::stdout().write_all(text.as_bytes()) {
        // `aks-tui runs | head` has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A run as programs read it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    run: &'a str,
    journal: String,
    started: Option<String>,
    seconds: f64,
    context: Option<&'a str>,
    namespace: Option<&'a str>,
    kills: usize,
    survived: usize,
    lost: u64,
    duplicated: u64,
    rto_ms: Option<Millis>,
    rto_without_backoff_ms: Option<Millis>,
    state: &'static str,
    bytes: u64,
    trouble: Option<&'a str>,
}

/// A spread in milliseconds.
#[derive(Debug, Serialize)]
struct Millis {
    p50: f64,
    p95: f64,
    max: f64,
}

impl From<Spread> for Millis {
    fn from(spread: Spread) -> Self {
        let [p50, p95, max] =
            [spread.p50, spread.p95, spread.max].map(|time| time.as_micros() as f64 / 1e3);
        Self { p50, p95, max }
    }
}

impl<'a> From<&'a RunInfo> for Row<'a> {
    fn from(info: &'a RunInfo) -> Self {
        let cluster = info.cluster.as_ref();
        Self {
            run: &info.run,
            journal: info.path.display().to_string(),
            started: info
                .started_ms
                .and_then(|ms| Timestamp::from_millisecond(ms).ok())
                .map(|at| at.to_string()),
            seconds: info.length.as_secs_f64(),
            context: cluster.map(|cluster| cluster.context.as_str()),
            namespace: cluster.map(|cluster| cluster.namespace.as_str()),
            kills: info.summary.kills,
            survived: info.summary.survived,
            lost: info.summary.lost,
            duplicated: info.summary.duplicated,
            rto_ms: info.summary.rto.map(Millis::from),
            rto_without_backoff_ms: info.summary.rto_without_backoff.map(Millis::from),
            state: state(info),
            bytes: info.size,
            trouble: info.trouble.as_deref(),
        }
    }
}

/// How the run stands, in one word.
const fn state(info: &RunInfo) -> &'static str {
    if info.trouble.is_some() {
        "unreadable"
    } else if info.ended {
        "ended"
    } else if info.living {
        "running"
    } else {
        "unfinished"
    }
}

const TITLES: [&str; 8] = [
    "RUN", "STARTED", "LENGTH", "WHERE", "KILLS", "SURVIVED", "RTO P50", "STATE",
];

fn table(runs: &[RunInfo], zone: &TimeZone) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(runs.iter().map(|info| cells(info, zone)));
    let mut widths = [0; TITLES.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for (row, info) in rows
        .iter()
        .zip(std::iter::once(None).chain(runs.iter().map(Some)))
    {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
        if let Some(trouble) = info.and_then(|info| info.trouble.as_deref()) {
            text.push_str("  ");
            text.push_str(trouble);
            text.push('\n');
        }
    }
    text
}

fn cells(info: &RunInfo, zone: &TimeZone) -> [String; TITLES.len()] {
    let none = || "-".to_owned();
    let started = info
        .started_ms
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(none, |at| {
            let zoned = at.to_zoned(zone.clone());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        });
    let place = info.cluster.as_ref().map_or_else(none, |cluster| {
        format!("{}/{}", cluster.context, cluster.namespace)
    });
    let rto = info.summary.rto.map_or_else(none, |spread| {
        let bound = if info.summary.coarse { "≤ " } else { "" };
        format!("{bound}{:.3} s", spread.p50.as_secs_f64())
    });
    let (kills, survived) = if info.trouble.is_some() && info.summary.kills == 0 {
        (none(), none())
    } else {
        (
            info.summary.kills.to_string(),
            info.summary.survived.to_string(),
        )
    };
    [
        info.run.clone(),
        started,
        length(info.length),
        place,
        kills,
        survived,
        rto,
        state(info).to_owned(),
    ]
}

/// `12s`, `3m05s`, `2h07m`.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{event::ClusterInfo, model::ledger::Summary};

    fn info() -> RunInfo {
        RunInfo {
            run: "20261122-074512-k3f9".into(),
            path: "/state/runs/20261122-074512-k3f9.jsonl".into(),
            started_ms: Some(1_795_333_512_000),
            length: Duration::from_secs(185),
            cluster: Some(ClusterInfo {
                context: "lab".into(),
                namespace: "default".into(),
                ..ClusterInfo::default()
            }),
            summary: Summary {
                kills: 3,
                survived: 3,
                rto: Spread::of([300, 412, 900].map(Duration::from_millis)),
                ..Summary::default()
            },
            ended: true,
            living: false,
            size: 1_234,
            trouble: None,
        }
    }

    fn damaged() -> RunInfo {
        RunInfo {
            run: "20200101-000000-aaaa".into(),
            started_ms: None,
            length: Duration::ZERO,
            cluster: None,
            summary: Summary::default(),
            ended: false,
            trouble: Some("the journal is damaged at byte 7".into()),
            ..info()
        }
    }

    #[test]
    fn a_run_is_a_row_and_trouble_stands_under_its_own() {
        let shown = table(&[info(), damaged()], &TimeZone::UTC);
        assert_eq!(
            shown,
            "\
RUN                   STARTED              LENGTH  WHERE        KILLS  SURVIVED  RTO P50  STATE
20261122-074512-k3f9  2026-11-22 07:45:12  3m05s   lab/default  3      3         0.412 s  ended
20200101-000000-aaaa  -                    0s      -            -      -         -        unreadable
  the journal is damaged at byte 7
"
        );
    }

    #[test]
    fn programs_read_milliseconds() {
        let json = serde_json::to_value(Row::from(&info())).unwrap();
        assert_eq!(json["rto_ms"]["p50"], 412.0);
        assert_eq!(json["started"], "2026-11-22T07:45:12Z");
        assert_eq!(json["state"], "ended");
        assert_eq!(json["context"], "lab");
    }

    #[test]
    fn lengths_are_as_long_as_a_person_cares_for() {
        for (seconds, shown) in [(12, "12s"), (185, "3m05s"), (7_620, "2h07m")] {
            assert_eq!(length(Duration::from_secs(seconds)), shown);
        }
    }
}

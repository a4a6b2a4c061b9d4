//! How long one frame takes: `cargo bench --bench draw`.
//!
//! A run of 10,000 samples and 5,000 shown log lines, drawn at 240×60 as a
//! presenter sees it and in its most expensive other states. The reference, in
//! the same run on the same machine, is the same picture as ready-made text in
//! a bare `Paragraph`: what the terminal library alone costs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/support/screen.rs"]
mod screen;
#[path = "../tests/support/story/mod.rs"]
mod story;

use std::time::{Duration, Instant};

use aks_tui::core::{
    action::{Action, Pane},
    event::LineKind,
    workload::Role,
};
use ratatui::{Terminal, backend::TestBackend, text::Text, widgets::Paragraph};
use screen::Screen;
use story::Story;

const WIDTH: u16 = 240;
const HEIGHT: u16 = 60;
const FRAMES: usize = 300;

/// What the project promises for one frame.
const TARGET: Duration = Duration::from_millis(2);

fn main() {
    let states: [(&str, &[Action]); 6] = [
        ("cockpit", &[]),
        ("cockpit, all of the run", &[Action::ChartAuto]),
        (
            "curve alone, all of the run",
            &[Action::Zoom, Action::ChartAuto],
        ),
        (
            "log alone, wrapped, searched",
            &[
                Action::Focus(Pane::Log),
                Action::Zoom,
                Action::Wrap,
                Action::Timestamps,
                Action::Search,
                Action::Type('e'),
                Action::Accept,
            ],
        ),
        ("ledger alone", &[Action::Focus(Pane::Ledger), Action::Zoom]),
        ("help over the cockpit", &[Action::Help]),
    ];
    println!("{FRAMES} frames at {WIDTH}x{HEIGHT}, target {TARGET:?} a frame\n");
    println!(
        "{:<32} {:>10} {:>10} {:>10}",
        "state", "median", "p99", "reference"
    );
    for (name, actions) in states {
        let mut screen = Screen::new(run());
        screen.resize(WIDTH, HEIGHT);
        for action in actions {
            screen.act(*action);
        }
        let picture = screen.text();
        let (median, p99) = measure(|| {
            // A frame is drawn because something came in.
            screen.story.now.0 += 33_000;
            screen.layout();
        });
        let (reference, _) = bare(&picture);
        let verdict = if median <= TARGET {
            ""
        } else {
            "  over target"
        };
        println!("{name:<32} {median:>10.1?} {p99:>10.1?} {reference:>10.1?}{verdict}");
    }
}

/// The run that is drawn.
fn run() -> Story {
    let mut story = Story::started();
    for trial in 0..40 {
        story.works(25_000);
        story.process_trial(Role::ALL[trial % 2], 300 + trial as u64);
    }
    for line in 0..5_000 {
        let text = format!("line {line}: what a workload says when it has a lot to say");
        story.line(Role::Server, &text, LineKind::Plain, false);
    }
    assert!(story.model.throughput.points().len() >= 10_000);
    story
}

/// The same picture as text that is ready to be drawn.
fn bare(picture: &str) -> (Duration, Duration) {
    let mut terminal = Terminal::new(TestBackend::new(WIDTH, HEIGHT)).unwrap();
    measure(|| {
        terminal
            .draw(|frame| frame.render_widget(Paragraph::new(Text::raw(picture)), frame.area()))
            .unwrap();
    })
}

/// Median and 99th percentile of many frames.
fn measure(mut frame: impl FnMut()) -> (Duration, Duration) {
    for _ in 0..20 {
        frame();
    }
    let mut times: Vec<_> = (0..FRAMES)
        .map(|_| {
            let began = Instant::now();
            frame();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[FRAMES / 2], times[FRAMES * 99 / 100])
}

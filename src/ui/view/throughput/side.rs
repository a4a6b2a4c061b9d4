//! Beside the curve: the figure of now, large enough for the last row of a hall.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{digits::large, messages, reduce::Reduced, size_index};
use crate::{
    core::workload::Role,
    ui::{
        format::{self, Unit},
        view::Scene,
    },
};

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect, reduced: &Reduced) {
    let theme = scene.theme;
    let muted = theme.muted;
    let unit = Unit::of(reduced.peak);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let done = scene.model.side(Role::Client).done;
    let now = scene.model.throughput.now().filter(|_| !done);
    let figure = now.map_or_else(|| "-.--".into(), |gib_s| unit.figure(gib_s));
    let style = match now {
        Some(_) => theme.strong,
        None if done => theme.good,
        None => theme.bad,
    };
    lines.extend(
        large(&figure, scene.glyphs.ascii)
            .into_iter()
            .map(|row| Line::styled(row, style)),
    );
    lines.push(match state(scene) {
        Some(said) => said,
        None => Line::from(vec![
            Span::styled(unit.name(), theme.strong),
            Span::styled(format!(" in {}", messages(scene.model)), muted),
        ]),
    });
    lines.push(Line::default());
    let mean = reduced
        .mean
        .map_or_else(|| "-".into(), |mean| unit.figure(mean));
    lines.push(Line::from(vec![
        Span::styled("mean ", muted),
        Span::raw(mean),
        Span::styled("   peak ", muted),
        Span::raw(unit.figure(reduced.peak)),
    ]));
    lines.push(Line::default());
    lines.extend(rounds(
        scene,
        unit,
        usize::from(area.height).saturating_sub(lines.len()),
    ));
    for (y, line) in (area.y..area.bottom()).zip(&lines) {
        buf.set_line(area.x, y, line, area.width);
    }
}

/// What is to be said instead of the unit while there is no figure.
fn state<'a>(scene: &Scene<'a>) -> Option<Line<'a>> {
    let theme = scene.theme;
    let model = scene.model;
    if model.side(Role::Client).done {
        return Some(Line::styled("the run is done", theme.good));
    }
    if model.throughput.now().is_some() {
        return None;
    }
    let since = model.throughput.points().back().map_or(model.now, |p| p.at);
    let silent = format::running(scene.now.since(since));
    Some(match model.ledger.open() {
        Some(trial) => Line::styled(format!("trial {}, {silent} so far", trial.id), theme.bad),
        None => Line::styled(format!("unknown for {silent}"), theme.bad),
    })
}

/// The last round of each message size: the legend of the colours.
fn rounds(scene: &Scene<'_>, unit: Unit, room: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let mut latest: Vec<(u64, f64, u32)> = Vec::new();
    for round in &scene.model.rounds {
        match latest.iter_mut().find(|(size, ..)| *size == round.size) {
            Some((_, gib_s, count)) => {
                *gib_s = round.gib_s;
                *count += 1;
            }
            None => latest.push((round.size, round.gib_s, 1)),
        }
    }
    if latest.is_empty() || room < 2 {
        return Vec::new();
    }
    latest.sort_unstable_by_key(|(size, ..)| std::cmp::Reverse(*size));
    let mut lines = vec![Line::styled(
        format!("  {:>7}  {:>6} {:>6}", "MESSAGE", unit.name(), "ROUNDS"),
        theme.muted,
    )];
    lines.extend(latest.iter().take(room - 1).map(|(size, gib_s, count)| {
        Line::from(vec![
            Span::styled(scene.glyphs.swatch, theme.size(size_index(*size))),
            Span::raw(format!(
                " {:>7}  {:>6} {count:>6}",
                format::bytes(*size),
                unit.figure(*gib_s)
            )),
        ])
    }));
    lines
}

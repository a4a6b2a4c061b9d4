//! The log of the workload, across the lives of its containers.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    Scene, chrome, header,
    pack::{Part, cut_line},
    pods::{broken, role_style},
};
use crate::{
    core::{
        action::Pane,
        event::{Feed, FeedState, LineKind, LogLine},
        model::log::Entry,
        workload::Role,
    },
    ui::format,
};

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Rect {
    let mut inner = chrome::frame(scene, buf, area, Pane::Log, told(scene));
    if inner.is_empty() {
        return inner;
    }
    if scene.ui.log.passing().is_empty() {
        empty(scene, buf, inner);
        return inner;
    }
    let trouble = Role::ALL
        .iter()
        .find_map(|role| broken(scene, Feed::Log(*role)));
    if let Some((why, retry_in)) = trouble
        && inner.height > 1
    {
        inner.height -= 1;
        let line = header::trouble_line(scene, why, retry_in);
        let line = cut_line(scene, line.spans, inner.width.into());
        buf.set_line(inner.x, inner.bottom(), &line, inner.width);
    }
    if scene.ui.log.wrap {
        wrapped(scene, buf, inner);
    } else {
        unwrapped(scene, buf, inner);
    }
    inner
}

/// What the title tells: whose lines, what they must match, where one stands.
fn told<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let log = &scene.ui.log;
    let whose = log.source.map_or("client and server", Role::name);
    let mut told = vec![Part::text(1, 30, whose, theme.muted)];
    if !log.filter.is_empty() {
        let text = format!("filter /{}/", log.filter.typed());
        told.push(Part::text(2, 60, text, theme.warn));
    }
    if !log.search.is_empty() {
        let text = format!("search /{}/", log.search.typed());
        told.push(Part::text(2, 55, text, theme.warn));
    }
    let below = log.passing().len() - log.bottom_row();
    told.push(if log.follows() {
        Part::text(3, 50, "following", theme.good)
    } else if below == 0 {
        Part::text(3, 70, "paused", theme.warn)
    } else {
        let text = format!("paused, {} new", format::thousands(below as u64));
        Part::text(3, 70, text, theme.warn)
    });
    if log.column > 0 {
        let text = format!("from column {}", log.column + 1);
        told.push(Part::text(3, 20, text, theme.muted));
    }
    let forgotten = scene.model.log.first();
    if forgotten > 0 {
        let end = scene.model.log.end();
        let text = format!(
            "newest {} of {} kept",
            format::thousands(end - forgotten),
            format::thousands(end)
        );
        told.push(Part::text(4, 40, text, theme.muted));
    }
    told
}

fn empty(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) {
    let theme = scene.theme;
    let log = &scene.ui.log;
    let total = scene.model.log.end() - scene.model.log.first();
    if total > 0 {
        let rows = format::count(total, "row");
        let text = if log.filter.is_empty() {
            format!("Nothing to show yet: {rows} of progress or of the other side are hidden.")
        } else {
            format!("No line matches /{}/ ({rows} hidden).", log.filter.typed())
        };
        chrome::sentence(scene, buf, area, &[Line::styled(text, theme.warn)]);
        return;
    }
    if scene.model.nowhere.is_some() {
        chrome::sentence(scene, buf, area, &[Line::raw("No cluster, no log.")]);
        return;
    }
    let lines: Vec<Line<'_>> = Role::ALL
        .iter()
        .filter(|role| log.source.is_none_or(|source| source == **role))
        .map(|role| {
            if let Some((why, retry_in)) = broken(scene, Feed::Log(*role)) {
                return header::trouble_line(scene, &format!("{role}: {why}"), retry_in);
            }
            let what = match scene.model.feed(Feed::Log(*role)).map(|feed| &feed.state) {
                Some(FeedState::Waiting { what }) => what.clone(),
                Some(FeedState::Live) => "no line yet".to_owned(),
                Some(FeedState::Connecting) => "connecting".to_owned(),
                _ => "waiting for a pod".to_owned(),
            };
            Line::raw(format!("{role}: {what}{}", scene.glyphs.ellipsis))
        })
        .collect();
    chrome::sentence(scene, buf, area, &lines);
}

/// What stands before a line's text.
struct Gutter {
    spans: Vec<Span<'static>>,
    width: usize,
}

fn gutter(scene: &Scene<'_>, role: Role, line: &LogLine, room: usize) -> Gutter {
    let theme = scene.theme;
    let mut spans = Vec::new();
    if scene.ui.log.timestamps {
        let time = line
            .stamp_ms
            .map_or_else(|| "            ".into(), format::time_of_day);
        spans.push(Span::styled(format!("{time} "), theme.log_time));
    }
    let tag = match (role, room >= 60) {
        (Role::Client, true) => "client ",
        (Role::Server, true) => "server ",
        (Role::Client, false) => "C ",
        (Role::Server, false) => "S ",
    };
    spans.push(Span::styled(tag, role_style(scene, role)));
    let mark = if line.replayed {
        Span::styled(format!("{} ", scene.glyphs.replayed), theme.log_replayed)
    } else if line.kind == LineKind::Alarm {
        Span::styled("! ", theme.bad)
    } else {
        Span::raw("  ")
    };
    spans.push(mark);
    let width = spans.iter().map(Span::width).sum();
    Gutter { spans, width }
}

fn line_style(scene: &Scene<'_>, line: &LogLine) -> Style {
    let theme = scene.theme;
    match line.kind {
        LineKind::Alarm => theme.log_alarm,
        _ if line.replayed => theme.log_replayed,
        LineKind::Round => theme.log_round,
        LineKind::Milestone => theme.log_milestone,
        LineKind::Progress => theme.muted,
        LineKind::Plain => theme.screen,
    }
}

/// The row of a seam: who begins to speak here.
fn seam(scene: &Scene<'_>, entry: &Entry, width: usize) -> Option<Line<'static>> {
    let Entry::Seam {
        role,
        pod,
        restart,
        first,
        ..
    } = entry
    else {
        return None;
    };
    let style = scene.theme.log_seam;
    let what = match (*first, *restart) {
        (true, 0) => "started".to_owned(),
        (true, n) => format!("joined after {}", format::count(n.into(), "restart")),
        (false, 0) => "replaced".to_owned(),
        (false, n) => format!("restarted ({n})"),
    };
    let rule = scene.glyphs.rules[0];
    let dot = scene.glyphs.dot;
    let text = format!(" {role} {what} {dot} {pod} ");
    let text = format::cut(&text, width.saturating_sub(2), scene.glyphs.ellipsis);
    let rest = width.saturating_sub(2 + format::width(&text));
    Some(Line::styled(
        format!("{rule}{rule}{text}{}", rule.repeat(rest)),
        style,
    ))
}

fn unwrapped(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) {
    let log = &scene.ui.log;
    let height = usize::from(area.height);
    let end = log.bottom_row().max(height.min(log.passing().len()));
    let begin = end.saturating_sub(height);
    let width = usize::from(area.width);
    for (y, number) in (area.y..).zip(log.passing().range(begin..end)) {
        let Some(entry) = scene.model.log.get(*number) else {
            continue;
        };
        match &**entry {
            Entry::Line { role, line } => {
                let gutter = gutter(scene, *role, line, width);
                let room = width.saturating_sub(gutter.width);
                let shown = text_spans(scene, line, room);
                let (x, _) = buf.set_line(area.x, y, &Line::from(gutter.spans), area.width);
                let left = area.right().saturating_sub(x);
                buf.set_line(x, y, &Line::from(shown), left);
            }
            seam_entry @ Entry::Seam { .. } => {
                if let Some(line) = seam(scene, seam_entry, width) {
                    buf.set_line(area.x, y, &line, area.width);
                }
            }
        }
    }
}

/// The part of a line's text that is scrolled to, with what was found in it
/// highlighted and a sign where there is more.
fn text_spans<'a>(scene: &Scene<'_>, line: &'a LogLine, room: usize) -> Vec<Span<'a>> {
    let style = line_style(scene, line);
    let column = scene.ui.log.column;
    let hidden = format::head(&line.text, column).len();
    let rest = &line.text[hidden..];
    let cut = rest.len() > room && format::width(rest) > room;
    let before = column > 0 && hidden > 0;
    let room = room.saturating_sub(usize::from(cut));
    let shown = format::head(rest, room);
    let mut spans = highlighted(scene, &line.text, hidden, hidden + shown.len(), style);
    if before && !shown.is_empty() {
        // The first column gives way to the sign.
        let first = spans[0].content.clone();
        let kept = format::skip(&first, 1).to_owned();
        spans[0] = Span::styled(kept, spans[0].style);
        spans.insert(0, Span::styled(scene.glyphs.more[0], scene.theme.warn));
    }
    if cut {
        spans.push(Span::styled(scene.glyphs.more[1], scene.theme.warn));
    }
    spans
}

/// The bytes `from..to` of a text, what the search found in it standing out.
fn highlighted<'a>(
    scene: &Scene<'_>,
    text: &'a str,
    from: usize,
    to: usize,
    style: Style,
) -> Vec<Span<'a>> {
    let mut spans = Vec::new();
    let mut at = from;
    for range in scene.ui.log.search.ranges(text) {
        let (start, end) = (range.start.max(at), range.end.min(to));
        if start >= end {
            continue;
        }
        if at < start {
            spans.push(Span::styled(&text[at..start], style));
        }
        spans.push(Span::styled(&text[start..end], scene.theme.found));
        at = end;
    }
    if at < to || spans.is_empty() {
        spans.push(Span::styled(&text[at..to], style));
    }
    spans
}

/// Long lines broken: filled from the bottom upwards, the last row first.
fn wrapped(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) {
    let log = &scene.ui.log;
    let width = usize::from(area.width);
    let mut rows: Vec<Line<'_>> = Vec::new();
    let height = usize::from(area.height);
    for number in log.passing().range(..log.bottom_row()).rev() {
        if rows.len() >= height {
            break;
        }
        let Some(entry) = scene.model.log.get(*number) else {
            continue;
        };
        match &**entry {
            Entry::Line { role, line } => {
                let mut broken = broken_line(scene, *role, line, width);
                broken.reverse();
                rows.extend(broken);
            }
            seam_entry @ Entry::Seam { .. } => rows.extend(seam(scene, seam_entry, width)),
        }
    }
    rows.truncate(height);
    for (y, line) in (area.y..).zip(rows.iter().rev()) {
        buf.set_line(area.x, y, line, area.width);
    }
}

fn broken_line<'a>(
    scene: &Scene<'_>,
    role: Role,
    line: &'a LogLine,
    width: usize,
) -> Vec<Line<'a>> {
    let style = line_style(scene, line);
    let gutter = gutter(scene, role, line, width);
    let room = width.saturating_sub(gutter.width).max(1);
    let indent = gutter.width;
    let mut first = Some(gutter.spans);
    let mut from = 0;
    let mut rows = Vec::new();
    while from < line.text.len() || first.is_some() {
        let rest = &line.text[from..];
        let shown = match format::head(rest, room) {
            "" => rest.chars().next().map_or(0, char::len_utf8),
            shown => shown.len(),
        };
        let mut spans = first
            .take()
            .unwrap_or_else(|| vec![Span::raw(" ".repeat(indent))]);
        spans.extend(highlighted(scene, &line.text, from, from + shown, style));
        rows.push(Line::from(spans));
        from += shown;
    }
    rows
}

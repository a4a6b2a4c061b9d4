//! One line that is always there: where am I, how is it, how did it survive,
//! is it live. Without room it loses what matters least.

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    Scene,
    pack::{Part, Row, pack},
};
use crate::{
    core::{event::FeedState, workload::Role},
    ui::format,
};

/// Silence longer than this is said.
const QUIET: Duration = Duration::from_secs(5);

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) {
    if area.is_empty() {
        return;
    }
    buf.set_style(area, scene.theme.header);
    let mut parts = place(scene);
    parts.extend(health(scene));
    parts.extend(survival(scene));
    parts.extend(liveness(scene));
    let indent = u16::from(area.width > 20);
    let room = area.width.saturating_sub(indent * 2);
    let row = Row {
        width: room.into(),
        between: &format!(" {} ", scene.glyphs.bar),
        right: 3,
    };
    let line = pack(scene, parts, row);
    buf.set_line(area.x + indent, area.y, &line, room);
}

/// Where am I.
fn place<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let cluster = &scene.live.cluster;
    let mut parts = Vec::new();
    if cluster.context.is_empty() {
        let name = format!("aks-tui {}", scene.status.version);
        parts.push(Part::text(0, 30, name.trim_end().to_owned(), theme.strong));
    } else {
        let context = format::cut_middle(&cluster.context, 16, scene.glyphs.ellipsis);
        parts.push(
            Part::new(
                0,
                45,
                vec![
                    Span::styled(cluster.context.as_str(), theme.strong),
                    Span::styled("/", theme.muted),
                    Span::styled(cluster.namespace.as_str(), theme.strong),
                ],
            )
            .or(66, vec![Span::styled(context, theme.strong)]),
        );
    }
    if let Some(why) = scene.ui.locked {
        let badge = format!(" {} ", why.to_uppercase());
        parts.push(Part::text(0, 85, badge, theme.badge));
    }
    if let Some(backoff) = &cluster.backoff {
        let text = match backoff.as_str() {
            "none" => "no back-off".to_owned(),
            kind => format!("{kind} back-off"),
        };
        parts.push(Part::text(0, 12, text, theme.muted));
    }
    if let Some(isolation) = &cluster.isolation {
        let text = match isolation.as_str() {
            "group" => "pods as process groups".to_owned(),
            other => format!("pods in {other}"),
        };
        parts.push(Part::text(0, 8, text, theme.muted));
    }
    if let Some(version) = &cluster.version {
        parts.push(Part::text(0, 5, version.as_str(), theme.muted));
    }
    parts
}

/// How is it.
fn health<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let mut parts = Vec::new();
    if scene.model.pods.listed() {
        let (ready, total) = scene.model.pods.ready();
        let style = match (ready, total) {
            (_, 0) => theme.warn,
            (ready, total) if ready < total => theme.bad,
            _ => theme.good,
        };
        let figure = format!("{ready}/{total}");
        parts.push(if total == 0 {
            Part::text(1, 80, "no pods", style)
        } else {
            Part::text(1, 55, format!("{figure} ready"), style)
                .or(80, vec![Span::styled(figure, style)])
        });
    }
    let (text, style) = match scene.model.throughput.now() {
        _ if scene.model.side(Role::Client).done => ("run done".to_owned(), theme.good),
        Some(gib_s) => (format::throughput(gib_s), theme.strong),
        None if scene.model.throughput.points().is_empty() => return parts,
        None => ("no throughput".to_owned(), theme.bad),
    };
    parts.push(Part::text(1, 90, text, style));
    parts
}

/// How did it survive.
fn survival<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let summary = &scene.summary;
    if summary.kills == 0 {
        return Vec::new();
    }
    let good = |fine| if fine { theme.good } else { theme.bad };
    let (kills, survived) = (summary.kills, summary.survived);
    let style = if summary.failed > 0 {
        theme.bad
    } else if survived == kills {
        theme.good
    } else {
        theme.warn
    };
    let all = Part::new(
        2,
        40,
        vec![
            Span::raw(format!("{}, ", format::count(kills as u64, "kill"))),
            Span::styled(format!("{survived} survived"), style),
        ],
    )
    .or(
        62,
        vec![Span::styled(format!("{survived}/{kills} survived"), style)],
    )
    .or(88, vec![Span::styled(format!("{survived}/{kills}"), style)]);
    let lost = format!("{} lost", summary.lost);
    let duplicated = format!("{} duplicated", summary.duplicated);
    let mut parts = vec![
        all,
        Part::text(2, 70, lost, good(summary.lost == 0)),
        Part::text(
            2,
            if summary.duplicated == 0 { 20 } else { 69 },
            duplicated,
            good(summary.duplicated == 0),
        ),
    ];
    if let Some(spread) = summary.rto {
        let at_most = if summary.coarse {
            format!("{} ", scene.glyphs.at_most)
        } else {
            String::new()
        };
        let figure = format!("{at_most}{}", format::duration(spread.p50));
        let figure = Span::styled(figure, theme.strong);
        parts.push(
            Part::new(
                2,
                35,
                vec![Span::styled("RTO p50 ", theme.muted), figure.clone()],
            )
            .or(65, vec![Span::styled("p50 ", theme.muted), figure]),
        );
    }
    parts
}

/// Is it live.
fn liveness<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let badge = scene.theme.badge;
    let mut parts = Vec::new();
    if let Some(why) = scene.status.journal {
        parts.push(
            Part::text(3, 50, format!(" NOT RECORDED: {why} "), badge)
                .or(75, vec![Span::styled(" NOT RECORDED ", badge)]),
        );
    }
    if let Some(frozen) = &scene.ui.frozen {
        let ago = format::rough(scene.clock.since(frozen.now));
        parts.push(
            Part::text(3, 50, format!(" FROZEN {ago} ago "), badge)
                .or(95, vec![Span::styled(" FROZEN ", badge)]),
        );
    }
    parts.push(feeds(scene));
    parts
}

/// What a reason says first. An address has colons too, but no space behind them.
fn first_clause(why: &str) -> &str {
    why.split_once(": ").map_or(why, |(first, _)| first)
}

/// How fresh what is shown is, or what is broken and when it is tried again.
fn feeds<'a>(scene: &Scene<'a>) -> Part<'a> {
    let theme = scene.theme;
    let lamp = |on: bool| scene.glyphs.lamps[usize::from(!on)];
    if scene.live.ended {
        return Part::text(3, 100, "run ended", theme.muted);
    }
    if scene.live.nowhere.is_some() {
        return Part::text(3, 100, "no cluster", theme.warn);
    }
    if let Some((feed, why, retry_at)) = scene.live.broken() {
        let again = again(retry_at.since(scene.clock));
        let name = feed.name();
        let first = first_clause(why);
        let badge = |text: String| vec![Span::styled(text, theme.badge)];
        return Part::new(3, 25, badge(format!(" STALE {name}: {first}, {again} ")))
            .or(48, badge(format!(" STALE {name}, {again} ")))
            .or(67, badge(format!(" STALE, {again} ")))
            .or(100, badge(" STALE ".into()));
    }
    match scene.live.age(scene.clock) {
        Some(age) if age >= QUIET => {
            let (lamp, age) = (lamp(false), format::rough(age));
            Part::text(3, 34, format!("{lamp} quiet {age}"), theme.warn)
                .or(100, vec![Span::styled(format!("{lamp} {age}"), theme.warn)])
        }
        Some(age) => {
            let short = format!("{} {}", lamp(true), format::running(age));
            let text = format!("{} live {}", lamp(true), format::running(age));
            Part::text(3, 34, text, theme.good).or(100, vec![Span::styled(short, theme.good)])
        }
        None => {
            let connecting = scene
                .live
                .feeds
                .values()
                .any(|feed| feed.state == FeedState::Connecting);
            let text = if connecting { "connecting" } else { "waiting" };
            let spinner = scene.glyphs.spinner(scene.clock);
            Part::text(3, 100, format!("{spinner} {text}"), theme.warn)
        }
    }
}

/// When something is tried again, rounded up: a countdown ends at one.
pub(super) fn again(left: Duration) -> String {
    if left.is_zero() {
        return "retrying now".into();
    }
    format!(
        "retry in {}",
        format::rough(left + Duration::from_millis(999))
    )
}

/// A row that says why a feed is broken and when it is tried again, for the
/// bottom of its pane.
pub(super) fn trouble_line(scene: &Scene<'_>, why: &str, retry_in: Duration) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("{} {why}", scene.glyphs.bad), scene.theme.bad),
        Span::styled(format!("  {}", again(retry_in)), scene.theme.muted),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_reason_is_not_its_end() {
        let why = "https://127.0.0.1:6443 cannot be reached: connection refused";
        assert_eq!(
            first_clause(why),
            "https://127.0.0.1:6443 cannot be reached"
        );
        assert_eq!(first_clause("timed out"), "timed out");
    }
}

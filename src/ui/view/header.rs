//! One line that is always there: where am I, how is it, how did it survive,
//! is it live. Without room it loses what matters least.

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    Scene,
    pack::{Part, pack},
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
    let line = pack(scene, parts, room.into());
    buf.set_line(area.x + indent, area.y, &line, room);
}

/// Where am I.
fn place<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let cluster = &scene.live.cluster;
    let mut parts = Vec::new();
    if cluster.context.is_empty() {
        let name = format!("aks-tui {}", scene.status.version);
        parts.push(Part::new(
            0,
            30,
            vec![Span::styled(name.trim_end().to_owned(), theme.strong)],
        ));
    } else {
        let namespace = Span::styled(cluster.namespace.as_str(), theme.strong);
        parts.push(
            Part::new(
                0,
                60,
                vec![
                    Span::styled(cluster.context.as_str(), theme.strong),
                    Span::styled("/", theme.muted),
                    namespace.clone(),
                ],
            )
            .or(vec![Span::styled(
                format::cut_middle(&cluster.context, 12, scene.glyphs.ellipsis),
                theme.strong,
            )]),
        );
    }
    if let Some(why) = scene.ui.locked {
        parts.push(Part::new(
            0,
            85,
            vec![Span::styled(
                format!(" {} ", why.to_uppercase()),
                theme.badge,
            )],
        ));
    }
    if let Some(backoff) = &cluster.backoff {
        let text = match backoff.as_str() {
            "none" => "no back-off".to_owned(),
            kind => format!("{kind} back-off"),
        };
        parts.push(Part::new(0, 12, vec![Span::styled(text, theme.muted)]));
    }
    if let Some(isolation) = &cluster.isolation {
        let text = match isolation.as_str() {
            "group" => "process groups",
            other => other,
        };
        parts.push(Part::new(0, 8, vec![Span::styled(text, theme.muted)]));
    }
    if let Some(version) = &cluster.version {
        parts.push(Part::new(
            0,
            5,
            vec![Span::styled(version.as_str(), theme.muted)],
        ));
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
        let figure = Span::styled(format!("{ready}/{total}"), style);
        parts.push(
            Part::new(1, 80, vec![figure.clone(), Span::styled(" ready", style)]).or(vec![figure]),
        );
    }
    let (text, style) = match scene.model.throughput.now() {
        Some(gib_s) => (format::throughput(gib_s), theme.strong),
        None if scene.model.side(Role::Client).done => ("done".to_owned(), theme.good),
        None if scene.model.throughput.points().is_empty() => return parts,
        None => ("no throughput".to_owned(), theme.bad),
    };
    parts.push(Part::new(1, 90, vec![Span::styled(text, style)]));
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
    let mut parts = vec![
        Part::new(
            2,
            88,
            vec![
                Span::raw(format!("{}, ", format::count(kills as u64, "kill"))),
                Span::styled(format!("{survived} survived"), style),
            ],
        )
        .or(vec![Span::styled(
            format!("{survived}/{kills} survived"),
            style,
        )])
        .or(vec![Span::styled(format!("{survived}/{kills}"), style)]),
        Part::new(
            2,
            70,
            vec![Span::styled(
                format!("{} lost", summary.lost),
                good(summary.lost == 0),
            )],
        ),
        Part::new(
            2,
            if summary.duplicated == 0 { 20 } else { 69 },
            vec![Span::styled(
                format!("{} duplicated", summary.duplicated),
                good(summary.duplicated == 0),
            )],
        ),
    ];
    if let Some(spread) = summary.rto {
        let at_most = if summary.coarse {
            format!("{} ", scene.glyphs.at_most)
        } else {
            String::new()
        };
        let figure = Span::styled(
            format!("{at_most}{}", format::duration(spread.p50)),
            theme.strong,
        );
        parts.push(
            Part::new(
                2,
                65,
                vec![Span::styled("RTO p50 ", theme.muted), figure.clone()],
            )
            .or(vec![Span::styled("p50 ", theme.muted), figure]),
        );
    }
    parts
}

/// Is it live.
fn liveness<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let mut parts = Vec::new();
    if let Some(why) = scene.status.journal {
        parts.push(
            Part::new(
                3,
                75,
                vec![Span::styled(format!(" NOT RECORDED: {why} "), theme.badge)],
            )
            .or(vec![Span::styled(" NOT RECORDED ", theme.badge)]),
        );
    }
    if let Some(frozen) = &scene.ui.frozen {
        let ago = format::rough(scene.clock.since(frozen.now));
        parts.push(
            Part::new(
                3,
                95,
                vec![Span::styled(format!(" FROZEN {ago} ago "), theme.badge)],
            )
            .or(vec![Span::styled(" FROZEN ", theme.badge)]),
        );
    }
    parts.push(feeds(scene));
    parts
}

/// How fresh what is shown is, or what is broken and when it is tried again.
fn feeds<'a>(scene: &Scene<'a>) -> Part<'a> {
    let theme = scene.theme;
    let lamp = |on: bool| scene.glyphs.lamps[usize::from(!on)];
    let part = |text: String, style: Style| Part::new(3, 100, vec![Span::styled(text, style)]);
    if scene.live.ended {
        return part("run ended".into(), theme.muted);
    }
    if let Some((feed, why, retry_at)) = scene.live.broken() {
        let left = retry_at.since(scene.clock);
        let retry = if left.is_zero() {
            "trying again".to_owned()
        } else {
            format!(
                "again in {}",
                format::rough(left + Duration::from_millis(999))
            )
        };
        let first = why.split(':').next().unwrap_or(why);
        return part(
            format!(" STALE {}: {first}, {retry} ", feed.name()),
            theme.badge,
        )
        .or(vec![Span::styled(
            format!(" STALE {}, {retry} ", feed.name()),
            theme.badge,
        )])
        .or(vec![Span::styled(format!(" STALE, {retry} "), theme.badge)])
        .or(vec![Span::styled(" STALE ", theme.badge)]);
    }
    match scene.live.age(scene.clock) {
        Some(age) if age >= QUIET => {
            let text = format!("{} quiet {}", lamp(false), format::rough(age));
            part(text, theme.warn)
        }
        Some(age) => {
            let text = format!("{} live {}", lamp(true), format::running(age));
            part(text, theme.good).or(vec![Span::styled(
                format!("{} {}", lamp(true), format::running(age)),
                theme.good,
            )])
        }
        None => {
            let connecting = scene
                .live
                .feeds
                .values()
                .any(|feed| feed.state == FeedState::Connecting);
            let text = if connecting { "connecting" } else { "waiting" };
            part(
                format!("{} {text}", scene.glyphs.spinner(scene.clock)),
                theme.warn,
            )
        }
    }
}

/// A row that says why a feed is broken and when it is tried again, for the
/// bottom of its pane.
pub(super) fn trouble_line(scene: &Scene<'_>, why: &str, retry_in: Duration) -> Line<'static> {
    let again = if retry_in.is_zero() {
        "trying again now".to_owned()
    } else {
        format!(
            "trying again in {}",
            format::rough(retry_in + Duration::from_millis(999))
        )
    };
    Line::from(vec![
        Span::styled(format!("{} {why}", scene.glyphs.bad), scene.theme.bad),
        Span::styled(format!("  {again}"), scene.theme.muted),
    ])
}

//! Azure as a view: who is signed in, what is there and what it costs, what is being
//! done, and what was done.

mod activity;
mod things;
pub(super) mod work;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{Scene, chrome, header, pack::Part};
use crate::{
    core::{
        azure::{
            bed::{Cluster, Sight},
            spent::Spent,
        },
        time::Time,
        update::bed::BedUi,
    },
    ui::format,
};

/// Where the lists of the view are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lists {
    /// The rows of what is there.
    pub things: Rect,
    /// The rows of what was done.
    pub activity: Rect,
}

/// Draws the view, and says where its lists are.
pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, body: Rect) -> Lists {
    if body.is_empty() {
        return Lists::default();
    }
    let about = about(scene, usize::from(body.width.saturating_sub(4)).max(8));
    let rim = if scene.boxed { 2 } else { 1 };
    let work = work::lines(scene);
    let rows = scene.model.bed.sight.as_ref().map_or(1, |s| s.things.len());
    let clamp = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX);
    let heading = u16::from(scene.boxed);
    let mut parts = [
        (clamp(about.len()) + rim, 2),
        (clamp(rows) + rim + heading, rim + heading + 1),
        (
            if work.is_empty() {
                0
            } else {
                clamp(work.len()).min(body.height / 4) + rim
            },
            0,
        ),
        (body.height, rim + 2),
    ];
    share(body.height, &mut parts);
    let mut y = body.y;
    let [first, second, third, fourth] = parts.map(|(height, _)| {
        let area = Rect { y, height, ..body };
        y += height;
        area
    });
    if !first.is_empty() {
        let inner = chrome::titled(scene, buf, first, "Azure", false, freshness(scene));
        paint(buf, inner, &about);
    }
    let things = things::draw(scene, buf, second);
    if !third.is_empty() {
        let inner = chrome::titled(scene, buf, third, "Operations", false, work::told(scene));
        // The newest matters.
        let from = work.len().saturating_sub(usize::from(inner.height));
        paint(buf, inner, &work[from..]);
    }
    let activity = activity::draw(scene, buf, fourth);
    Lists { things, activity }
}

/// Gives each part what it would like, of which the last is all that is left, and
/// takes from the later ones what is not there.
fn share(height: u16, parts: &mut [(u16, u16); 4]) {
    let least: u16 = parts
        .iter()
        .map(|(wants, least)| (*wants).min(*least))
        .sum();
    let mut left = height.saturating_sub(least);
    let mut all = height;
    for (wants, least) in parts.iter_mut() {
        let base = (*wants).min(*least);
        let more = (*wants - base).min(left);
        left -= more;
        *wants = (base + more).min(all);
        all -= *wants;
    }
}

fn paint(buf: &mut Buffer, area: Rect, lines: &[Line<'_>]) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        buf.set_line(area.x + 1, y, line, area.width.saturating_sub(1));
    }
}

/// How old the picture is, or why there is none.
fn freshness<'a>(scene: &Scene<'a>) -> Vec<Part<'a>> {
    let theme = scene.theme;
    let bed = &scene.live.bed;
    if let Some((_, again)) = &bed.blind {
        let text = header::again(again.since(scene.clock));
        return vec![Part::text(1, 90, format!("not seen, {text}"), theme.bad)];
    }
    let Some(seen) = bed.seen else {
        return vec![Part::text(1, 90, "looking", theme.warn)];
    };
    let age = scene.clock.since(seen);
    let text = format!("seen {} ago", format::rough(age));
    vec![Part::text(1, 90, text, theme.muted)]
}

/// Who is signed in, where, what is there, what it costs.
fn about(scene: &Scene<'_>, room: usize) -> Vec<Line<'static>> {
    let theme = scene.theme;
    let bed = &scene.model.bed;
    let mut lines = Vec::new();
    let mut add = |text: String, style: Style| {
        let wrapped = format::wrap(&text, room).into_iter();
        lines.extend(wrapped.map(|part| Line::styled(part.trim_end().to_owned(), style)));
    };
    if let Some((why, _)) = &scene.live.bed.blind {
        add(why.clone(), theme.bad);
    }
    let Some(sight) = &bed.sight else {
        if bed.blind.is_none() {
            add("Asking Azure what there is.".to_owned(), theme.muted);
        }
        return lines;
    };
    let account = &sight.account;
    add(
        format!(
            "{} ({}), tenant {}, signed in by {}",
            account.name, account.subscription, account.tenant, account.how
        ),
        theme.screen,
    );
    add(place(sight), theme.strong);
    if let Some(text) = money(scene, sight) {
        add(text, theme.screen);
    }
    for what in &sight.unseen {
        add(format!("not seen: {what}"), theme.warn);
    }
    lines
}

fn place(sight: &Sight) -> String {
    let account = &sight.account;
    let cluster = match &sight.cluster {
        None if sight.things.is_empty() => "nothing is made yet".to_owned(),
        None => "no cluster".to_owned(),
        Some(Cluster {
            name,
            power,
            version,
            ..
        }) => format!("cluster {name} {power}, Kubernetes {version}"),
    };
    format!("{} in {}: {cluster}", account.group, account.location)
}

/// What it costs, and has cost.
fn money(scene: &Scene<'_>, sight: &Sight) -> Option<String> {
    let per_hour = sight.per_hour?;
    let currency = sight.spent.as_ref().map_or("", |s| s.currency.as_str());
    let so_far = sight.spent.as_ref().map_or_else(String::new, so_far);
    let without = if scene.boxed && !sight.leaves_out.is_empty() {
        format!("; without {}", sight.leaves_out.join(", "))
    } else {
        String::new()
    };
    Some(format!(
        "{per_hour:.3} {currency} an hour as it is now{so_far}{without}"
    ))
}

/// `, 1.23 so far: it ran 2h of 3h`.
fn so_far(spent: &Spent) -> String {
    let length = |ms: i64| {
        let time = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        format::rough(time)
    };
    let ran = if spent.there_ms > 0 {
        format!(
            ": the cluster ran {} of {}",
            length(spent.ran_ms),
            length(spent.there_ms)
        )
    } else {
        String::new()
    };
    format!(", about {:.2} {} so far{ran}", spent.total, spent.currency)
}

/// How long ago something was, by the wall clock of the run.
fn age(scene: &Scene<'_>, ms: i64) -> Option<std::time::Duration> {
    let started = scene.model.run.as_ref()?.wall_ms;
    let now = started + i64::try_from(scene.now.since(Time::ZERO).as_millis()).ok()?;
    Some(std::time::Duration::from_millis(
        u64::try_from(now - ms).unwrap_or(0),
    ))
}

/// Whether a list has the focus.
fn focused(scene: &Scene<'_>, activity: bool) -> bool {
    let BedUi { on_activity, .. } = scene.ui.bed;
    on_activity == activity && scene.ui.dialog.is_none()
}

/// Pads or cuts a text to `width` columns, the last of which parts it from the next.
fn cell(scene: &Scene<'_>, text: &str, width: usize) -> String {
    let cut = format::cut(text, width.saturating_sub(1), scene.glyphs.ellipsis);
    let pad = width.saturating_sub(format::width(&cut));
    format!("{cut}{:pad$}", "")
}

/// A row of a list, marked if it is selected.
fn row<'a>(scene: &Scene<'_>, spans: Vec<Span<'a>>, selected: bool) -> Line<'a> {
    let pointer = if selected { scene.glyphs.pointer } else { " " };
    let mut line = Line::from(vec![Span::styled(
        format!("{pointer} "),
        scene.theme.strong,
    )]);
    line.extend(spans);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(height: u16, wants: [(u16, u16); 4]) -> [u16; 4] {
        let mut parts = wants;
        share(height, &mut parts);
        parts.map(|(height, _)| height)
    }

    #[test]
    fn the_parts_of_the_view_share_its_height() {
        let wants = [(4, 2), (9, 2), (5, 0), (22, 3)];
        assert_eq!(heights(22, wants), [4, 9, 5, 4]);
        assert_eq!(heights(12, wants), [4, 5, 0, 3], "the work gives way first");
        assert_eq!(heights(60, wants).iter().sum::<u16>(), 40);
        for height in 0..30 {
            assert!(heights(height, wants).iter().sum::<u16>() <= height);
        }
    }
}

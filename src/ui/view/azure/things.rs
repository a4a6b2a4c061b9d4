//! What is there, a row each.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{Scene, age, cell, focused, row};
use crate::{
    core::azure::bed::Thing,
    ui::{
        format,
        view::{chrome, pack::Part},
    },
};

/// Columns of the state, of the age, of the price, with what parts them.
const STATE: usize = 13;
const AGE: usize = 7;
const PRICE: usize = 9;
const KIND: usize = 20;

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Rect {
    if area.is_empty() {
        return area;
    }
    let theme = scene.theme;
    let things = scene
        .model
        .bed
        .sight
        .as_ref()
        .map_or(&[][..], |sight| &sight.things);
    let told = vec![Part::text(
        1,
        50,
        format::count(things.len() as u64, "thing"),
        theme.muted,
    )];
    let mut inner = chrome::titled(scene, buf, area, "Resources", focused(scene, false), told);
    if things.is_empty() {
        let text = match &scene.model.bed.sight {
            Some(_) => "Nothing is there yet.",
            None => "",
        };
        buf.set_stringn(inner.x + 1, inner.y, text, inner.width.into(), theme.muted);
        return Rect { height: 0, ..inner };
    }
    let widths = Widths::of(scene, things, inner.width.into());
    if scene.boxed && inner.height > 1 {
        let heading = widths.line(scene, ["name", "kind", "state", "age", "an hour"]);
        let heading = Line::styled(format!("  {heading}"), theme.muted);
        buf.set_line(inner.x, inner.y, &heading, inner.width);
        inner.y += 1;
        inner.height -= 1;
    }
    let (window, cursor) = scene
        .ui
        .bed
        .things
        .window(things.len(), inner.height.into());
    for (y, index) in (inner.y..inner.bottom()).zip(window) {
        let selected = index == cursor;
        let spans = spans(scene, &things[index], &widths);
        let mut line = row(scene, spans, selected);
        if selected && focused(scene, false) {
            line = line.patch_style(theme.selected);
        }
        buf.set_line(inner.x, y, &line, inner.width);
    }
    inner
}

struct Widths {
    name: usize,
    kind: usize,
}

impl Widths {
    fn of(scene: &Scene<'_>, things: &[Thing], room: usize) -> Self {
        let rest = room.saturating_sub(2 + STATE + AGE + PRICE);
        let longest = things
            .iter()
            .map(|it| shown_name(scene, it).chars().count());
        let longest = longest.max().unwrap_or(0) + 2;
        let kind = if rest >= longest.min(30) + KIND {
            KIND
        } else {
            rest.saturating_sub(24).min(KIND)
        };
        Self {
            name: rest.saturating_sub(kind).min(longest.max(8)),
            kind,
        }
    }

    fn line(&self, scene: &Scene<'_>, [name, kind, state, made, price]: [&str; 5]) -> String {
        format!(
            "{}{}{}{:>age$}{:>price$}",
            cell(scene, name, self.name),
            cell(scene, kind, self.kind),
            cell(scene, state, STATE),
            made,
            price,
            age = AGE,
            price = PRICE,
        )
    }
}

/// A part stands below what it is a part of.
fn shown_name(scene: &Scene<'_>, thing: &Thing) -> String {
    if thing.inside {
        format!("  {}", thing.name)
    } else if thing.ours {
        thing.name.clone()
    } else {
        format!("{} {}", thing.name, scene.glyphs.none)
    }
}

fn spans(scene: &Scene<'_>, thing: &Thing, widths: &Widths) -> Vec<Span<'static>> {
    let theme = scene.theme;
    let made = thing
        .made_ms
        .and_then(|ms| age(scene, ms))
        .map_or_else(String::new, format::rough);
    let price = thing
        .per_hour
        .map_or_else(String::new, |price| format!("{price:.3}"));
    let name = shown_name(scene, thing);
    // The end of a long name tells one node from another.
    let name = format::cut_middle(&name, widths.name.saturating_sub(1), scene.glyphs.ellipsis);
    vec![
        Span::styled(cell(scene, &name, widths.name), theme.screen),
        Span::styled(cell(scene, &thing.kind, widths.kind), theme.muted),
        Span::styled(cell(scene, &thing.state, STATE), style(scene, thing)),
        Span::styled(format!("{made:>AGE$}"), theme.muted),
        Span::raw(format!("{price:>PRICE$}")),
    ]
}

fn style(scene: &Scene<'_>, thing: &Thing) -> Style {
    let theme = scene.theme;
    if thing.moves {
        return theme.warn;
    }
    match thing.state.as_str() {
        "Succeeded" | "Running" | "running" => theme.good,
        "Failed" => theme.bad,
        _ => theme.warn,
    }
}

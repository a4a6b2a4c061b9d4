//! What was done in the group, the newest first: Azure's own activity log.

use ratatui::{buffer::Buffer, layout::Rect, text::Span};

use super::{Scene, age, cell, focused, row};
use crate::{
    core::azure::bed::Deed,
    ui::{
        format,
        view::{chrome, pack::Part},
    },
};

const AGE: usize = 6;
const WHAT: usize = 16;
const STATUS: usize = 11;

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, area: Rect) -> Rect {
    if area.is_empty() {
        return area;
    }
    let theme = scene.theme;
    let deeds = scene
        .model
        .bed
        .sight
        .as_ref()
        .map_or(&[][..], |sight| &sight.activity);
    let told = vec![Part::text(1, 50, "as Azure tells it", theme.muted)];
    let inner = chrome::titled(scene, buf, area, "Activity", focused(scene, true), told);
    if deeds.is_empty() {
        let text = if scene.model.bed.sight.is_some() {
            "Nothing was done, as far as is told yet: Azure tells it minutes later."
        } else {
            ""
        };
        buf.set_stringn(inner.x + 1, inner.y, text, inner.width.into(), theme.muted);
        return Rect { height: 0, ..inner };
    }
    let list = &scene.ui.bed.activity;
    let (window, cursor) = list.window(deeds.len(), inner.height.into());
    for (y, index) in (inner.y..inner.bottom()).zip(window) {
        let selected = index == cursor;
        let spans = spans(scene, &deeds[index], inner.width.into());
        let mut line = row(scene, spans, selected && focused(scene, true));
        if selected && focused(scene, true) {
            line = line.patch_style(theme.selected);
        }
        buf.set_line(inner.x, y, &line, inner.width);
    }
    inner
}

fn spans(scene: &Scene<'_>, deed: &Deed, room: usize) -> Vec<Span<'static>> {
    let theme = scene.theme;
    let ago = age(scene, deed.at_ms).map_or_else(String::new, format::rough);
    let style = match deed.status.as_str() {
        "Succeeded" => theme.good,
        "Failed" => theme.bad,
        _ => theme.warn,
    };
    let rest = room.saturating_sub(2 + AGE + 2 + WHAT + STATUS);
    let whom = if deed.why.is_empty() {
        format!("{}  by {}", deed.whom, deed.by)
    } else {
        format!("{}: {}", deed.whom, deed.why)
    };
    vec![
        Span::styled(format!("{ago:>AGE$}  "), theme.muted),
        Span::styled(cell(scene, &deed.what, WHAT), theme.strong),
        Span::styled(cell(scene, &deed.status, STATUS), style),
        Span::raw(cell(scene, &whom, rest)),
    ]
}

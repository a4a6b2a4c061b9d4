//! Anything by name.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::popup;
use crate::{
    core::{
        action::{Bindable, CATALOGUE, Scope},
        update::{palette, ui::Room},
    },
    ui::{format, view::Scene},
};

/// Rows of matches at most.
const ROWS: u16 = 16;

/// Columns of the list, where there is room.
const WIDTH: u16 = 86;

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    typed: &str,
    selected: usize,
) -> (Rect, Room) {
    let matches = palette::matches(typed);
    let rows = (CATALOGUE.len() as u16).min(ROWS);
    let all = CATALOGUE.iter().filter(|entry| entry.palette).count();
    let title = format!("Do anything: {} of {all}", matches.len());
    let (area, inner) = popup(scene, buf, body, (WIDTH, rows + 2), &title);
    if inner.is_empty() {
        return (area, Room::default());
    }
    prompt(scene, buf, inner, typed);
    let list = Rect {
        y: inner.y + 2.min(inner.height),
        height: inner.height.saturating_sub(2),
        ..inner
    };
    let height = usize::from(list.height);
    let selected = selected.min(matches.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(height);
    for (y, (index, entry)) in (list.y..list.bottom()).zip(matches.iter().enumerate().skip(first)) {
        let line = row(scene, entry, index == selected, list.width.into());
        buf.set_line(list.x, y, &line, list.width);
        if index == selected {
            buf.set_style(Rect::new(list.x, y, list.width, 1), scene.theme.selected);
        }
    }
    if matches.is_empty() && list.height > 0 {
        let text = format!("nothing is called {typed:?}");
        buf.set_stringn(list.x, list.y, text, list.width.into(), scene.theme.warn);
    }
    let room = Room {
        rows: list.height,
        furthest: 0,
    };
    (area, room)
}

fn prompt(scene: &Scene<'_>, buf: &mut Buffer, area: Rect, typed: &str) {
    let room = usize::from(area.width).saturating_sub(3);
    let over = format::width(typed).saturating_sub(room);
    let line = Line::from(vec![
        Span::styled(": ", scene.theme.key),
        Span::styled(format::skip(typed, over).to_owned(), scene.theme.strong),
        Span::styled(" ", scene.theme.selected),
    ]);
    buf.set_line(area.x, area.y, &line, area.width);
}

fn row(scene: &Scene<'_>, entry: &Bindable, selected: bool, width: usize) -> Line<'static> {
    let focus = scene.ui.focus;
    let here = [Scope::Pane(focus), Scope::Cockpit, Scope::Global];
    let key = scene
        .keymap
        .hint(&here, entry.action)
        .or_else(|| {
            // What has its key in the menu is two keys away.
            let key = scene.keymap.hint(&[Scope::Fault], entry.action)?;
            let menu = scene
                .keymap
                .hint(&here, crate::core::action::Action::FaultMenu)?;
            Some(format!("{menu} {key}"))
        })
        .unwrap_or_default();
    let pointer = if selected { scene.glyphs.pointer } else { " " };
    let name = format!("{pointer} {:<16} ", entry.name.replace('_', " "));
    let room = width.saturating_sub(format::width(&name) + format::width(&key) + 1);
    let help = format::cut(entry.help, room, scene.glyphs.ellipsis);
    let pad = room.saturating_sub(format::width(&help)) + 1;
    Line::from(vec![
        Span::styled(name, scene.theme.strong),
        Span::styled(format!("{help}{:pad$}", ""), scene.theme.muted),
        Span::styled(key, scene.theme.key),
    ])
}

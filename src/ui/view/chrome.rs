//! What stands around a pane: a frame where there is room, else one rule.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Widget},
};

use super::{
    Scene,
    pack::{Part, Row, pack},
};
use crate::core::action::{Action, Pane, Scope};

/// Draws the surroundings of `pane` with its title and what the title tells,
/// and returns what is left for its content.
pub(super) fn frame(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    area: Rect,
    pane: Pane,
    told: Vec<Part<'_>>,
) -> Rect {
    let focused = scene.ui.focus == pane && scene.ui.dialog.is_none();
    titled(scene, buf, area, pane.title(), focused, told)
}

/// The same for what is no pane of the cockpit.
pub(super) fn titled(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    area: Rect,
    name: &'static str,
    focused: bool,
    told: Vec<Part<'_>>,
) -> Rect {
    let (edge, title) = if focused {
        (scene.theme.focus, scene.theme.title_focus)
    } else {
        (scene.theme.faint, scene.theme.title)
    };
    let boxed = scene.boxed && area.height > 2 && area.width > 4;
    let rule = scene.glyphs.rules[usize::from(focused)];
    let inner = if boxed {
        let block = Block::bordered()
            .border_set(scene.glyphs.frame(focused))
            .border_style(edge);
        let inner = block.inner(area);
        block.render(area, buf);
        inner
    } else {
        for x in area.left()..area.right() {
            buf[(x, area.y)].set_symbol(rule).set_style(edge);
        }
        Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        }
    };

    // The title stands in the rule; the rule shows before it where it can.
    let indent = if area.width > 8 { 2 } else { 0 };
    let room = usize::from(area.width).saturating_sub(usize::from(indent) * 2 + 2);
    let mut parts = vec![Part::text(0, u8::MAX, name, title)];
    parts.extend(told);
    let row = Row {
        width: room,
        between: &format!(" {} ", scene.glyphs.dot),
        right: u8::MAX,
    };
    let line = pack(scene, parts, row);
    let mut shown = Line::from(Span::raw(if focused && area.width > 12 {
        scene.glyphs.pointer
    } else {
        " "
    }))
    .style(title);
    shown.extend(line.spans);
    shown.push_span(Span::raw(" "));
    buf.set_line(
        area.x + indent,
        area.y,
        &shown,
        area.width.saturating_sub(indent),
    );
    inner
}

/// The beginning of a sentence about what an action does: `W deploys`, or
/// `Deploy` where it has no key in the cockpit.
pub(super) fn by_key(scene: &Scene<'_>, action: Action, alone: &str, does: &str) -> String {
    match scene.keymap.hint(&[Scope::Cockpit, Scope::Global], action) {
        Some(key) => format!("{key} {does}"),
        None => alone.to_owned(),
    }
}

/// Writes a sentence into the middle of an empty pane, broken into lines.
pub(super) fn sentence(scene: &Scene<'_>, buf: &mut Buffer, area: Rect, paragraphs: &[Line<'_>]) {
    if area.is_empty() {
        return;
    }
    let room = usize::from(area.width.saturating_sub(2).clamp(1, 72));
    let lines: Vec<(String, ratatui::style::Style)> = paragraphs
        .iter()
        .flat_map(|paragraph| {
            let text = paragraph.to_string();
            crate::ui::format::wrap(&text, room)
                .into_iter()
                .map(|line| (line.to_owned(), paragraph.style))
                .collect::<Vec<_>>()
        })
        .collect();
    let shown = lines.len().min(usize::from(area.height));
    let top = area.y + (area.height - shown as u16) / 2;
    for (y, (text, style)) in (top..).zip(lines.iter().take(shown)) {
        let line = Line::styled(text.as_str(), scene.theme.muted.patch(*style));
        let indent = (usize::from(area.width).saturating_sub(line.width())) / 2;
        buf.set_line(area.x + indent as u16, y, &line, area.width - indent as u16);
    }
}

//! What lies over the panes: one dialog at a time, in the middle, as large as
//! it must be. What is longer than the screen scrolls.

mod azure;
mod deploy;
mod facts;
mod fault;
mod help;
mod own_log;
mod palette;
mod pod;
mod power;
mod trial;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Clear, Widget},
};

use super::{Layout, Scene};
use crate::{
    core::update::ui::{Dialog, Room},
    ui::format,
};

/// Draws the open dialog over `body`, and says where it is.
pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    dialog: &Dialog,
    layout: &mut Layout,
) {
    if body.is_empty() {
        return;
    }
    let (area, room) = match dialog {
        Dialog::Help { scroll, from } => help::draw(scene, buf, body, *scroll, *from),
        Dialog::Palette { typed, selected } => palette::draw(scene, buf, body, typed, *selected),
        Dialog::Fault(menu) => fault::draw(scene, buf, body, menu),
        Dialog::Pod { uid, scroll } => pod::draw(scene, buf, body, uid, *scroll),
        Dialog::Trial { id, scroll } => trial::draw(scene, buf, body, *id, *scroll),
        Dialog::Azure(azure) => azure::draw(scene, buf, body, azure),
        Dialog::Power(power) => power::draw(scene, buf, body, power),
        Dialog::Facts {
            title,
            facts,
            scroll,
        } => facts::draw(scene, buf, body, title, facts, *scroll),
        Dialog::Deploy(asked) => deploy::draw(scene, buf, body, asked),
        Dialog::OwnLog => own_log::draw(scene, buf, body),
        // It is typed in the footer, so that the rows it filters can be seen.
        Dialog::Prompt { .. } => return,
    };
    layout.dialog = Some(area);
    layout.room = room;
}

/// Opens a frame of at most `size` (its inside) in the middle of `body`, and
/// returns the frame and what is inside. Where there is no room for a frame
/// the dialog has all of the body.
fn popup(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    (width, height): (u16, u16),
    title: &str,
) -> (Rect, Rect) {
    let framed = body.width > 6 && body.height > 4;
    let (width, height) = if framed {
        (width.saturating_add(4), height.saturating_add(2))
    } else {
        (body.width, body.height)
    };
    let (width, height) = (width.min(body.width), height.min(body.height));
    let area = Rect {
        x: body.x + (body.width - width) / 2,
        y: body.y + (body.height - height) / 3,
        width,
        height,
    };
    Clear.render(area, buf);
    buf.set_style(area, scene.theme.screen.patch(scene.theme.dialog));
    if !framed {
        return (area, area);
    }
    let title = format::cut(
        title,
        usize::from(width).saturating_sub(6),
        scene.glyphs.ellipsis,
    );
    let block = Block::bordered()
        .border_set(scene.glyphs.frame(true))
        .border_style(scene.theme.dialog_frame)
        .title(Line::styled(format!(" {title} "), scene.theme.title_focus));
    let inner = block.inner(area);
    block.render(area, buf);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    (area, inner)
}

/// Opens a dialog with these lines, scrolled so far, and draws them.
fn scrolling(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    title: &str,
    lines: &[Line<'_>],
    scroll: u16,
) -> (Rect, Room) {
    let width = lines.iter().map(Line::width).max().unwrap_or(0);
    let clamp = |cells: usize| u16::try_from(cells).unwrap_or(u16::MAX);
    let (area, inner) = popup(
        scene,
        buf,
        body,
        (clamp(width.max(24)), clamp(lines.len())),
        title,
    );
    let furthest = clamp(lines.len()).saturating_sub(inner.height);
    let first = scroll.min(furthest);
    for (y, line) in (inner.y..inner.bottom()).zip(&lines[usize::from(first)..]) {
        buf.set_line(inner.x, y, line, inner.width);
    }
    if furthest > 0 && inner != area {
        let below = furthest - first;
        let text = if below > 0 {
            format!(" {below} more below ")
        } else {
            " end ".into()
        };
        let x = area
            .right()
            .saturating_sub(text.len() as u16 + 2)
            .max(area.x);
        buf.set_stringn(
            x,
            area.bottom() - 1,
            &text,
            area.width.into(),
            scene.theme.warn,
        );
    }
    let room = Room {
        rows: inner.height,
        furthest,
    };
    (area, room)
}

/// A line as the lines that it takes: a reason is of no use if its end cannot be
/// read.
fn folded(line: Line<'_>, room: usize) -> Vec<Line<'_>> {
    if line.width() <= room {
        return vec![line];
    }
    let text: String = line
        .spans
        .iter()
        .map(|span| span.content.as_ref())
        .collect();
    let first = line.spans.first();
    let style = first.map_or(line.style, |span| line.style.patch(span.style));
    format::wrap(&text, room)
        .into_iter()
        .map(|part| Line::styled(part.trim_end().to_owned(), style))
        .collect()
}

/// Columns of the names in a dialog of fields.
const FIELD: usize = 15;

/// A line of a dialog: a name and what it is. What is long goes on below.
fn field(
    scene: &Scene<'_>,
    body: Rect,
    name: &str,
    value: impl AsRef<str>,
    style: Style,
) -> Vec<Line<'static>> {
    let room = usize::from(body.width).saturating_sub(FIELD + 6).max(8);
    format::wrap(value.as_ref(), room)
        .into_iter()
        .enumerate()
        .map(|(row, text)| {
            let name = if row == 0 { name } else { "" };
            Line::from(vec![
                Span::styled(format!("{name:<FIELD$}"), scene.theme.muted),
                Span::styled(text.to_owned(), style),
            ])
        })
        .collect()
}

/// A heading inside a dialog.
fn heading(scene: &Scene<'_>, text: impl Into<String>) -> Line<'static> {
    Line::styled(text.into(), scene.theme.title_focus)
}

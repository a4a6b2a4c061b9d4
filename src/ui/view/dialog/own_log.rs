//! The cockpit's own log.

use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};
use tui_logger::{TuiLoggerLevelOutput, TuiLoggerWidget};

use super::popup;
use crate::{core::update::ui::Room, ui::view::Scene};

pub(super) fn draw(scene: &Scene<'_>, buf: &mut Buffer, body: Rect) -> (Rect, Room) {
    let theme = scene.theme;
    let size = (
        body.width.saturating_sub(8).max(1),
        body.height.saturating_sub(4).max(1),
    );
    let (area, inner) = popup(scene, buf, body, size, "Own log of the cockpit");
    TuiLoggerWidget::default()
        .output_separator(' ')
        .output_level(Some(TuiLoggerLevelOutput::Long))
        .output_timestamp(Some("%H:%M:%S".into()))
        .output_file(false)
        .output_line(false)
        .style_error(theme.bad)
        .style_warn(theme.warn)
        .style_info(theme.strong)
        .style_debug(theme.muted)
        .style_trace(theme.faint)
        .state(scene.own_log)
        .render(inner, buf);
    let room = Room {
        rows: inner.height,
        furthest: 0,
    };
    (area, room)
}

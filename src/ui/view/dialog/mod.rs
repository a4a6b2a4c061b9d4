//! What lies over the panes.
use super::{Layout, Scene, is_prompt};
use crate::core::update::ui::Dialog;
use ratatui::{buffer::Buffer, layout::Rect};

pub(super) fn draw(
    _scene: &Scene<'_>,
    _buf: &mut Buffer,
    _body: Rect,
    dialog: &Dialog,
    _layout: &mut Layout,
) {
    if is_prompt(dialog) {}
}

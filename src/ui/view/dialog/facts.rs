//! Something in full: names and values.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{field, scrolling};
use crate::{core::update::ui::Room, ui::view::Scene};

pub(super) fn draw(
    scene: &Scene<'_>,
    buf: &mut Buffer,
    body: Rect,
    title: &str,
    facts: &[(String, String)],
    scroll: u16,
) -> (Rect, Room) {
    let lines: Vec<_> = facts
        .iter()
        .flat_map(|(name, value)| {
            // A name that is longer than its column stands for itself.
            let short = name.len() <= 14;
            let (name, value) = if short {
                (name.as_str(), value.clone())
            } else {
                ("", format!("{name}: {value}"))
            };
            field(scene, body, name, value, scene.theme.screen)
        })
        .collect();
    scrolling(scene, buf, body, title, &lines, scroll)
}

//! The picture: header, panes, footer, and a dialog over them.
//!
//! Drawing reads and never changes: the same model, screen state and time give
//! the same cells. What the next action needs to know of the picture (how many
//! rows a list had, what lies under the mouse) comes back as a [`Layout`].

mod azure;
mod chrome;
mod dialog;
mod footer;
mod header;
mod layout;
mod ledger;
mod log;
mod pack;
mod pods;
mod throughput;

use ratatui::{Frame, buffer::Buffer, layout::Rect};
use tui_logger::{TuiWidgetEvent, TuiWidgetState};

pub use self::layout::{Layout, PaneArea};
use super::{glyphs::Glyphs, keymap::Keymap, theme::Theme};
use crate::core::{
    action::Pane,
    effect::OwnLogMove,
    model::{Model, ledger::Summary},
    time::Time,
    update::ui::{Place, Ui},
};

/// What the loop knows and the model does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Status<'a> {
    /// Why the journal does not record, if it does not: `disk full`.
    pub journal: Option<&'a str>,
    /// The program's version.
    pub version: &'a str,
}

/// Draws the cockpit.
pub struct View {
    theme: Theme,
    keymap: Keymap,
    glyphs: Glyphs,
    own_log: TuiWidgetState,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("theme", &self.theme.name)
            .field("keymap", &self.keymap.name)
            .finish_non_exhaustive()
    }
}

/// Everything that a pane may look at.
struct Scene<'a> {
    theme: &'a Theme,
    keymap: &'a Keymap,
    glyphs: &'a Glyphs,
    own_log: &'a TuiWidgetState,
    ui: &'a Ui,
    /// What is happening, even while the picture is frozen.
    live: &'a Model,
    /// What is shown.
    model: &'a Model,
    summary: Summary,
    /// The time of the picture: it stands still while frozen.
    now: Time,
    /// The time, frozen or not.
    clock: Time,
    status: &'a Status<'a>,
    /// Panes have frames.
    boxed: bool,
}

impl View {
    /// A view in this theme, whose hints and help come from this keymap. With
    /// `ascii` it draws nothing but ASCII characters.
    pub fn new(theme: Theme, keymap: &Keymap, ascii: bool) -> Self {
        Self {
            theme,
            keymap: keymap.clone(),
            glyphs: Glyphs::new(ascii),
            own_log: TuiWidgetState::new(),
        }
    }

    /// Draws one frame. [`Ui::sync`] must have seen `live` before, and
    /// [`Layout::store`] is to be called with what comes back.
    pub fn draw(
        &self,
        frame: &mut Frame<'_>,
        live: &Model,
        ui: &Ui,
        now: Time,
        status: &Status<'_>,
    ) -> Layout {
        let area = frame.area();
        let layout = self.draw_in(frame.buffer_mut(), area, live, ui, now, status);
        if self.glyphs.ascii {
            only_ascii(frame.buffer_mut());
        }
        layout
    }

    /// Moves in the cockpit's own log.
    pub fn own_log(&self, by: OwnLogMove) {
        self.own_log.transition(match by {
            OwnLogMove::Older => TuiWidgetEvent::PrevPageKey,
            OwnLogMove::Newer => TuiWidgetEvent::NextPageKey,
            OwnLogMove::Follow => TuiWidgetEvent::EscapeKey,
        });
    }

    fn draw_in(
        &self,
        buf: &mut Buffer,
        area: Rect,
        live: &Model,
        ui: &Ui,
        now: Time,
        status: &Status<'_>,
    ) -> Layout {
        buf.set_style(area, self.theme.screen);
        let mut layout = Layout::default();
        if area.is_empty() {
            return layout;
        }
        let model = ui.shown(live);
        let [top, body, bottom] = bars(area, ui.is_typing());
        let trials = model.ledger.trials().len();
        // A broken feed says so in a row of its own.
        let pods = model.pods.rows().len() + usize::from(live.broken().is_some());
        let arrangement = layout::arrange(body, ui, pods, trials);
        let scene = Scene {
            theme: &self.theme,
            keymap: &self.keymap,
            glyphs: &self.glyphs,
            own_log: &self.own_log,
            ui,
            live,
            model,
            summary: model.ledger.summary(),
            now: ui.frozen.as_ref().map_or(now, |frozen| frozen.now),
            clock: now,
            status,
            boxed: arrangement.boxed,
        };
        header::draw(&scene, buf, top);
        let panes = if ui.place == Place::Azure {
            layout.azure = Some(azure::draw(&scene, buf, body));
            Vec::new()
        } else {
            arrangement.panes
        };
        for (pane, area) in panes {
            if area.is_empty() {
                continue;
            }
            let rows = match pane {
                Pane::Pods => pods::draw(&scene, buf, area),
                Pane::Throughput => throughput::draw(&scene, buf, area),
                Pane::Log => log::draw(&scene, buf, area),
                Pane::Ledger => ledger::draw(&scene, buf, area),
            };
            layout.panes.push(PaneArea { pane, area, rows });
        }
        if let Some(dialog) = &ui.dialog {
            dialog::draw(&scene, buf, body, dialog, &mut layout);
        }
        layout.buttons.extend(footer::draw(&scene, buf, bottom));
        layout
    }
}

/// Header, body and footer. On one row there is only what is typed, else the
/// header.
fn bars(area: Rect, typing: bool) -> [Rect; 3] {
    let row = |y, height| Rect { y, height, ..area };
    let (top, bottom) = match area.height {
        1 if typing => (0, 1),
        1 | 2 if !typing => (1, 0),
        _ => (1, 1),
    };
    let body = area.height - top - bottom;
    [
        row(area.y, top),
        row(area.y + top, body),
        row(area.y + top + body, bottom),
    ]
}

/// Replaces what came in from outside and is not ASCII, such as log lines.
fn only_ascii(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if !cell.symbol().is_ascii() {
            cell.set_symbol("?");
        }
    }
}

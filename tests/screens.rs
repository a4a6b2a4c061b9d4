//! Pictures of the screen, made from lists of facts.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use aks_tui::{
    core::{model::Model, time::Time, update::ui::Ui},
    ui::{
        keymap::Keymap,
        theme::{ColorDepth, Theme},
        view::{Status, View},
    },
};
use ratatui::{Terminal, backend::TestBackend};
use support::story::Story;

fn picture(model: &Model, ui: &mut Ui, now: Time, (w, h): (u16, u16), ascii: bool) -> String {
    let keymap = Keymap::load(None, None).unwrap();
    let theme = Theme::load(None, None, ColorDepth::True).unwrap();
    let view = View::new(theme, &keymap, ascii);
    let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
    let status = Status {
        journal: None,
        version: "0.1.0",
    };
    // The second frame knows how many rows the first one had.
    for _ in 0..2 {
        ui.sync(model);
        terminal
            .draw(|frame| {
                let layout = view.draw(frame, model, ui, now, &status);
                layout.store(ui);
            })
            .unwrap();
    }
    terminal.backend().to_string()
}

#[test]
fn look() {
    for story in [Story::in_the_middle_of_a_trial(), Story::connecting()] {
        for size in [(80, 24), (120, 36), (240, 60)] {
            println!(
                "{}",
                picture(&story.model, &mut Ui::new(1), story.now, size, false)
            );
        }
    }
}

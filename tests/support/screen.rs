//! The cockpit on a screen of cells.

#![allow(dead_code)]

use aks_tui::{
    core::{
        action::Action,
        effect::Effect,
        update::{ui::Ui, update},
    },
    ui::{
        keymap::{Key, Keymap},
        theme::{ColorDepth, Theme},
        view::{Layout, Status, View},
    },
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

use crate::story::Story;

/// The sizes that pictures are made for.
pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 36), (240, 60)];

/// Hands over the story's screen at each size, after these actions, with the name of
/// the size. Pictures are named after the module that asserts them, so that is there.
pub fn at_sizes(
    sizes: &[(u16, u16)],
    story: Story,
    actions: &[Action],
    mut seen: impl FnMut(&str, String),
) {
    let mut screen = Screen::new(story);
    for &(width, height) in sizes {
        screen.resize(width, height);
        screen.start_anew();
        for action in actions {
            screen.act(*action);
        }
        seen(&format!("{width}x{height}"), screen.text());
    }
}

/// A story, and the cockpit that shows it.
pub struct Screen {
    pub story: Story,
    pub ui: Ui,
    pub view: View,
    pub journal: Option<&'static str>,
    keymap: Keymap,
    terminal: Terminal<TestBackend>,
}

impl Screen {
    pub fn new(story: Story) -> Self {
        let keymap = Keymap::load(None, None).unwrap();
        let theme = Theme::load(None, None, ColorDepth::True).unwrap();
        Self {
            story,
            ui: Ui::new(1),
            view: View::new(theme, &keymap, false),
            journal: None,
            keymap,
            terminal: Terminal::new(TestBackend::new(120, 36)).unwrap(),
        }
    }

    /// The screen as it is at start; the story goes on.
    pub fn start_anew(&mut self) {
        self.ui = Ui::new(1);
    }

    pub fn resize(&mut self, width: u16, height: u16) {
        self.terminal.backend_mut().resize(width, height);
        self.layout();
    }

    /// Does what a person asks for, and draws.
    pub fn act(&mut self, action: Action) -> Vec<Effect> {
        self.ui.sync(&self.story.model);
        let effects = update(&mut self.ui, &self.story.model, self.story.now, action);
        self.layout();
        effects
    }

    /// Presses a key that types a character.
    pub fn press(&mut self, key: &str) -> Vec<Effect> {
        let typed = key.parse::<Key>().unwrap().typed().unwrap();
        let event = KeyEvent::new(KeyCode::Char(typed), KeyModifiers::NONE);
        let action = self
            .keymap
            .action(&self.ui.scopes(), event, self.ui.is_typing());
        action.map(|action| self.act(action)).unwrap_or_default()
    }

    /// Draws, and says where things are.
    pub fn layout(&mut self) -> Layout {
        self.ui.sync(&self.story.model);
        let status = Status {
            journal: self.journal,
            version: "0.1.0",
        };
        let Self {
            story,
            ui,
            view,
            terminal,
            ..
        } = self;
        let mut layout = Layout::default();
        terminal
            .draw(|frame| layout = view.draw(frame, &story.model, ui, story.now, &status))
            .unwrap();
        layout.store(ui);
        layout
    }

    /// The cells.
    pub fn draw(&mut self) -> &Buffer {
        // The second frame knows how many rows the first one had.
        self.layout();
        self.layout();
        self.terminal.backend().buffer()
    }

    /// The picture as text, without what is blank at the ends of lines.
    pub fn text(&mut self) -> String {
        let buffer = self.draw();
        let width = usize::from(buffer.area.width);
        buffer
            .content
            .chunks(width)
            .map(|row| {
                let mut line = String::new();
                let mut skip = 0;
                for cell in row {
                    if skip == 0 {
                        line.push_str(cell.symbol());
                        skip = unicode_width::UnicodeWidthStr::width(cell.symbol());
                    }
                    skip = skip.saturating_sub(1);
                }
                line.trim_end().to_owned() + "\n"
            })
            .collect()
    }
}

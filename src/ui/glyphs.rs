//! The characters that are not letters, in Unicode and in plain ASCII.

use std::time::Duration;

use ratatui::symbols::border;

use crate::core::{time::Time, trial::Phase};

/// Signs for the screen. Each says the same in both sets.
#[derive(Debug, Clone, Copy)]
pub struct Glyphs {
    /// Only ASCII may be drawn.
    pub ascii: bool,
    /// Something was cut off here.
    pub ellipsis: &'static str,
    /// Between parts of one group.
    pub dot: &'static str,
    /// Between groups.
    pub bar: &'static str,
    /// A horizontal rule, and the one of the pane that has the focus.
    pub rules: [&'static str; 2],
    /// Survived, or live.
    pub good: &'static str,
    /// Not survived.
    pub bad: &'static str,
    /// Nothing was done.
    pub none: &'static str,
    /// The row under the cursor, the pane with the focus.
    pub pointer: &'static str,
    /// A line that repeats what was printed before.
    pub replayed: &'static str,
    /// More text to the left, more to the right.
    pub more: [&'static str; 2],
    /// A sample of a colour.
    pub swatch: &'static str,
    /// A round on the curve.
    pub round: &'static str,
    /// The moment of a fault, and of a recovery, on the curve.
    pub moments: [&'static str; 2],
    /// Axis: upright, upright with a tick, corner.
    pub upright: [&'static str; 3],
    /// Axis: flat, a round's end on it, unknown time, a tick of time.
    pub flat: [&'static str; 4],
    /// Live, and not.
    pub lamps: [&'static str; 2],
    /// At most.
    pub at_most: &'static str,
    /// From here to there.
    pub arrow: &'static str,
    phases: [&'static str; 9],
    spinner: &'static [&'static str],
    frames: [border::Set<'static>; 2],
}

/// A frame of ASCII characters.
const fn ascii_frame(flat: &'static str) -> border::Set<'static> {
    border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: flat,
        horizontal_bottom: flat,
    }
}

const UNICODE: Glyphs = Glyphs {
    ascii: false,
    ellipsis: "…",
    dot: "·",
    bar: "│",
    rules: ["─", "━"],
    good: "✓",
    bad: "✗",
    none: "–",
    pointer: "▸",
    replayed: "↺",
    more: ["‹", "›"],
    swatch: "■",
    round: "◆",
    moments: ["┃", "┊"],
    upright: ["│", "┤", "└"],
    flat: ["─", "┴", "╌", "┬"],
    lamps: ["●", "○"],
    at_most: "≤",
    arrow: "→",
    phases: ["▁", "░", "═", "┅", "≡", "╌", "▒", "▓", "█"],
    spinner: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
    frames: [border::ROUNDED, border::THICK],
};

const ASCII: Glyphs = Glyphs {
    ascii: true,
    ellipsis: "~",
    dot: "-",
    bar: "|",
    rules: ["-", "="],
    good: "+",
    bad: "x",
    none: "-",
    pointer: ">",
    replayed: "@",
    more: ["<", ">"],
    swatch: "#",
    round: "o",
    moments: ["!", ":"],
    upright: ["|", "+", "+"],
    flat: ["-", "+", ".", "+"],
    lamps: ["*", "o"],
    at_most: "<=",
    arrow: "->",
    phases: ["_", ":", "%", "^", "~", ".", "-", "+", "="],
    spinner: &["|", "/", "-", "\\"],
    frames: [ascii_frame("-"), ascii_frame("=")],
};

impl Glyphs {
    /// The set to draw with.
    pub const fn new(ascii: bool) -> Self {
        if ascii { ASCII } else { UNICODE }
    }

    /// The texture of a phase in a bar: colour alone would not do.
    pub const fn phase(&self, phase: Phase) -> &'static str {
        self.phases[phase as usize]
    }

    /// The frame of a pane, with the focus or without.
    pub const fn frame(&self, focused: bool) -> border::Set<'static> {
        self.frames[focused as usize]
    }

    /// A sign that turns while something is going on.
    pub fn spinner(&self, now: Time) -> &'static str {
        let frame = now.since(Time::ZERO).as_millis() / Duration::from_millis(100).as_millis();
        self.spinner[frame as usize % self.spinner.len()]
    }
}

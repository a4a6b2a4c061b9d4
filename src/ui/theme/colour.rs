//! Styles as theme files write them, and what a terminal makes of them.

use ratatui::style::{Color, Modifier, Style};

use crate::ui::config::unknown;

/// How many colours a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColorDepth {
    /// None: bold, dim, underlined and reversed must do.
    None,
    /// The sixteen that the user chose for the terminal.
    Ansi16,
    /// Those and a fixed cube of 240.
    Ansi256,
    /// All of them.
    True,
}

/// Terminals that show all colours and say so in `TERM` only.
const TRUE_COLOUR_TERMS: [&str; 8] = [
    "direct",
    "kitty",
    "alacritty",
    "wezterm",
    "foot",
    "ghostty",
    "contour",
    "iterm",
];

impl ColorDepth {
    /// What the environment says of the terminal: `NO_COLOR` (set and not
    /// empty: none, see no-color.org), `COLORTERM`, `TERM`, and on Windows that
    /// its terminal shows all.
    pub fn detect(env: impl Fn(&str) -> Option<String>) -> Self {
        let env = |name| env(name).unwrap_or_default().to_lowercase();
        let term = env("TERM");
        let colorterm = env("COLORTERM");
        if !env("NO_COLOR").is_empty() || term == "dumb" {
            Self::None
        } else if ["truecolor", "24bit"].contains(&colorterm.as_str())
            || TRUE_COLOUR_TERMS.iter().any(|known| term.contains(known))
            || !env("WT_SESSION").is_empty()
        {
            Self::True
        } else if term.contains("256color") {
            Self::Ansi256
        } else {
            Self::Ansi16
        }
    }
}

/// The sixteen colours by name, with the values that most terminals give them
/// (xterm's).
const NAMED: [(&str, Color, [u8; 3]); 16] = [
    ("black", Color::Black, [0, 0, 0]),
    ("red", Color::Red, [205, 0, 0]),
    ("green", Color::Green, [0, 205, 0]),
    ("yellow", Color::Yellow, [205, 205, 0]),
    ("blue", Color::Blue, [0, 0, 238]),
    ("magenta", Color::Magenta, [205, 0, 205]),
    ("cyan", Color::Cyan, [0, 205, 205]),
    ("gray", Color::Gray, [229, 229, 229]),
    ("dark_gray", Color::DarkGray, [127, 127, 127]),
    ("light_red", Color::LightRed, [255, 0, 0]),
    ("light_green", Color::LightGreen, [0, 255, 0]),
    ("light_yellow", Color::LightYellow, [255, 255, 0]),
    ("light_blue", Color::LightBlue, [92, 92, 255]),
    ("light_magenta", Color::LightMagenta, [255, 0, 255]),
    ("light_cyan", Color::LightCyan, [0, 255, 255]),
    ("white", Color::White, [255, 255, 255]),
];

const MODIFIERS: [(&str, Modifier); 6] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underlined", Modifier::UNDERLINED),
    ("reversed", Modifier::REVERSED),
    ("crossed", Modifier::CROSSED_OUT),
];

/// Reads `[modifiers] [colour] [on colour]`, in any order.
pub(super) fn parse(text: &str) -> Result<Style, String> {
    let mut style = Style::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if let Some((_, modifier)) = MODIFIERS.iter().find(|(name, _)| *name == word) {
            style = style.add_modifier(*modifier);
        } else if word == "on" {
            let Some(word) = words.next() else {
                return Err("`on` must be followed by a colour".into());
            };
            style = style.bg(colour(word)?);
        } else {
            style = style.fg(colour(word)?);
        }
    }
    Ok(style)
}

/// A style as [`parse`] reads it.
pub(super) fn write(style: Style) -> String {
    let mut words: Vec<String> = MODIFIERS
        .iter()
        .filter(|(_, modifier)| style.add_modifier.contains(*modifier))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    words.extend(style.fg.map(name));
    words.extend(style.bg.map(|ground| format!("on {}", name(ground))));
    words.join(" ")
}

fn name(colour: Color) -> String {
    match colour {
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        Color::Indexed(index) => index.to_string(),
        colour => NAMED
            .iter()
            .find(|(_, known, _)| *known == colour)
            .map_or("default", |(name, ..)| name)
            .to_owned(),
    }
}

fn colour(word: &str) -> Result<Color, String> {
    if let Some(hex) = word.strip_prefix('#') {
        let value = u32::from_str_radix(hex, 16)
            .ok()
            .filter(|_| hex.len() == 6)
            .ok_or_else(|| format!("`{word}` is no colour: write # and six hexadecimal digits"))?;
        let [_, r, g, b] = value.to_be_bytes();
        return Ok(Color::Rgb(r, g, b));
    }
    if word == "default" {
        return Ok(Color::Reset);
    }
    if let Some((_, colour, _)) = NAMED.iter().find(|(name, ..)| *name == word) {
        return Ok(*colour);
    }
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return word
            .parse()
            .map(Color::Indexed)
            .map_err(|_| format!("`{word}` is no colour: they are numbered 0 to 255"));
    }
    let names = NAMED
        .iter()
        .map(|(name, ..)| *name)
        .chain(MODIFIERS.iter().map(|(name, _)| *name))
        .chain(["default", "on"]);
    Err(unknown("colour or modifier", word, names))
}

/// The style that a terminal of this depth can show.
pub(super) fn convert(style: Style, depth: ColorDepth) -> Style {
    if depth == ColorDepth::None {
        let on_ground = style.bg.is_some_and(|ground| ground != Color::Reset);
        let plain = Style {
            fg: None,
            bg: None,
            underline_color: None,
            ..style
        };
        return if on_ground {
            plain.add_modifier(Modifier::REVERSED)
        } else {
            plain
        };
    }
    Style {
        fg: style.fg.map(|colour| reduce(colour, depth)),
        bg: style.bg.map(|colour| reduce(colour, depth)),
        ..style
    }
}

fn reduce(colour: Color, depth: ColorDepth) -> Color {
    match (colour, depth) {
        (Color::Rgb(r, g, b), ColorDepth::Ansi256) => Color::Indexed(nearest_256([r, g, b])),
        (Color::Rgb(r, g, b), ColorDepth::Ansi16) => nearest_16([r, g, b]),
        (Color::Indexed(index), ColorDepth::Ansi16) => match NAMED.get(usize::from(index)) {
            // The first sixteen are the named ones, in the order of the table.
            Some((_, colour, _)) => *colour,
            None => nearest_16(value_256(index)),
        },
        (colour, _) => colour,
    }
}

/// Levels of each channel in the 6×6×6 cube.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The value of colour 16 to 255 of xterm's table.
fn value_256(index: u8) -> [u8; 3] {
    if index >= 232 {
        return [8 + (index - 232) * 10; 3];
    }
    let cube = index.saturating_sub(16);
    [cube / 36, cube / 6 % 6, cube % 6].map(|level| CUBE[usize::from(level)])
}

fn nearest_256(rgb: [u8; 3]) -> u8 {
    (16..=255u8)
        .min_by_key(|index| distance(rgb, value_256(*index)))
        .unwrap_or(16)
}

/// The nearest of the sixteen: a colour for a colour, a grey for a grey. By
/// distance alone a pale red would be nearest to a grey, and lose its meaning.
fn nearest_16(rgb: [u8; 3]) -> Color {
    let is_grey = |[r, g, b]: [u8; 3]| r.max(g).max(b) - r.min(g).min(b) < 48;
    NAMED
        .iter()
        .filter(|(_, _, value)| is_grey(*value) == is_grey(rgb))
        .min_by_key(|(_, _, value)| distance(rgb, *value))
        .map_or(Color::Reset, |(_, colour, _)| *colour)
}

/// Squared distance, weighted as the eye weighs the channels ("redmean").
fn distance(a: [u8; 3], b: [u8; 3]) -> i64 {
    let [r, g, b_] = [0, 1, 2].map(|i| i64::from(a[i]) - i64::from(b[i]));
    let mean = i64::midpoint(i64::from(a[0]), i64::from(b[0]));
    (512 + mean) * r * r + 1024 * g * g + (767 - mean) * b_ * b_
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(pairs: &[(&str, &str)]) -> ColorDepth {
        ColorDepth::detect(|name| {
            pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_the_terminal_shows() {
        assert_eq!(depth(&[("TERM", "xterm")]), ColorDepth::Ansi16);
        assert_eq!(depth(&[("TERM", "xterm-256color")]), ColorDepth::Ansi256);
        assert_eq!(depth(&[("TERM", "xterm-kitty")]), ColorDepth::True);
        assert_eq!(depth(&[("TERM", "dumb")]), ColorDepth::None);
        let both = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
        assert_eq!(depth(&both), ColorDepth::True);
        assert_eq!(
            depth(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]),
            ColorDepth::None
        );
        // Set and empty is not set, says no-color.org.
        assert_eq!(
            depth(&[("TERM", "xterm-direct"), ("NO_COLOR", "")]),
            ColorDepth::True
        );
    }

    #[test]
    fn a_style_reads_in_any_order() {
        assert_eq!(parse("red bold on black"), parse("on black bold red"));
        assert_eq!(parse(""), Ok(Style::new()));
        assert_eq!(parse("default"), Ok(Style::new().fg(Color::Reset)));
        assert!(parse("red on").is_err());
        assert!(parse("256").is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["", "bold dim red on #010203", "17", "default on light_cyan"] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn colours_go_to_their_nearest() {
        assert_eq!(
            reduce(Color::Rgb(255, 0, 0), ColorDepth::Ansi256),
            Color::Indexed(196)
        );
        assert_eq!(
            reduce(Color::Rgb(250, 5, 5), ColorDepth::Ansi16),
            Color::LightRed
        );
        let pale_red = Color::Rgb(255, 95, 95);
        assert_eq!(reduce(pale_red, ColorDepth::Ansi16), Color::LightRed);
        assert_eq!(reduce(Color::Indexed(1), ColorDepth::Ansi16), Color::Red);
        assert_eq!(reduce(Color::Green, ColorDepth::Ansi16), Color::Green);
        let ground = parse("on #333355").unwrap();
        assert!(
            convert(ground, ColorDepth::None)
                .add_modifier
                .contains(Modifier::REVERSED)
        );
    }
}

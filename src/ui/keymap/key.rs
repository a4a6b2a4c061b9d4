//! One key, as keymap files and hints write it: `j`, `G`, `ctrl-d`, `shift-tab`.

use std::{fmt, str::FromStr};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::ui::config::unknown;

/// A key with its modifiers, in the one form that all terminals agree on.
///
/// Shift is part of a character (`G`, not `shift-g`), control makes a letter
/// small, and back-tab is `shift-tab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// Keys that have a name. Where a key has two, the first is shown.
const NAMED: [(&str, KeyCode); 22] = [
    ("enter", KeyCode::Enter),
    ("return", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("escape", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pageup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("pagedown", KeyCode::PageDown),
    ("plus", KeyCode::Char('+')),
    ("minus", KeyCode::Char('-')),
    ("comma", KeyCode::Char(',')),
];

/// Modifiers, in the order in which they are written.
const MODIFIERS: [(&str, KeyModifiers); 3] = [
    ("ctrl", KeyModifiers::CONTROL),
    ("alt", KeyModifiers::ALT),
    ("shift", KeyModifiers::SHIFT),
];

impl Key {
    /// The character that this key types into a text, if it types one.
    pub const fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => Some(c),
            _ => None,
        }
    }

    fn normal(code: KeyCode, modifiers: KeyModifiers) -> Self {
        let mut modifiers =
            modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => {
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(c.to_ascii_lowercase())
            }
            KeyCode::Char(c) => {
                let shifted = modifiers.contains(KeyModifiers::SHIFT);
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(if shifted { c.to_ascii_uppercase() } else { c })
            }
            code => code,
        };
        Self { code, modifiers }
    }
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        Self::normal(event.code, event.modifiers)
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let mut modifiers = KeyModifiers::empty();
        // A lone `-` is a key; `ctrl--` is control and `-`.
        while let Some((first, after)) = rest.split_once('-')
            && !after.is_empty()
            && let Some((_, modifier)) = MODIFIERS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(first))
        {
            modifiers |= *modifier;
            rest = after;
        }
        let mut chars = rest.chars();
        if let (Some(c), None) = (chars.next(), chars.next())
            && !c.is_control()
        {
            return Ok(Self::normal(KeyCode::Char(c), modifiers));
        }
        let lower = rest.to_lowercase();
        if let Some((_, code)) = NAMED.iter().find(|(name, _)| *name == lower) {
            return Ok(Self::normal(*code, modifiers));
        }
        if let Some(n) = lower.strip_prefix('f').and_then(|n| n.parse::<u8>().ok())
            && (1..=24).contains(&n)
        {
            return Ok(Self::normal(KeyCode::F(n), modifiers));
        }
        let names = NAMED
            .iter()
            .map(|(name, _)| *name)
            .chain(MODIFIERS.iter().map(|(name, _)| *name));
        Err(unknown("key", rest, names))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, modifier) in MODIFIERS {
            if self.modifiers.contains(modifier) {
                write!(f, "{name}-")?;
            }
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "f{n}"),
            code => match NAMED.iter().find(|(_, named)| *named == code) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{code:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> String {
        Key::from(KeyEvent::new(code, modifiers)).to_string()
    }

    #[test]
    fn terminals_that_report_a_key_differently_mean_the_same_one() {
        assert_eq!(pressed(KeyCode::Char('G'), KeyModifiers::SHIFT), "G");
        assert_eq!(pressed(KeyCode::Char('g'), KeyModifiers::SHIFT), "G");
        assert_eq!(pressed(KeyCode::Char('D'), KeyModifiers::CONTROL), "ctrl-d");
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::SHIFT), "shift-tab");
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::NONE), "shift-tab");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "j",
            "G",
            "?",
            "-",
            "+",
            "ctrl--",
            "ctrl-d",
            "alt-x",
            "space",
            "f12",
            "pgdn",
            "shift-tab",
            "ctrl-alt-delete",
            ":",
            "0",
        ] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert_eq!("plus".parse::<Key>(), "+".parse());
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = "ctrl-entr".parse::<Key>().unwrap_err();
        assert_eq!(error, "no key is called `entr`; the nearest is `enter`");
    }
}

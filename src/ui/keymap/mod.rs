//! Which key means what, where.
//!
//! A keymap file is `scope: {action: [keys]}`. Any file but the built-in
//! default says only what it changes: an action that it names has the keys that
//! it gives and no others (none with `[]`), everything else stays. Hints, help
//! and the `keys` command are made from the live keymap, so they cannot drift.

mod file;
mod key;

use std::path::Path;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::file::Table;
pub use self::key::Key;
use super::config::{ConfigError, Kind};
use crate::core::action::{Action, CATALOGUE, Scope};

/// The keymaps that are built in, and where users keep their own.
pub const KIND: Kind = Kind {
    what: "keymap",
    folder: "keymaps",
    embedded: &[
        ("default", include_str!("../../../keymaps/default.yaml")),
        ("k9s", include_str!("../../../keymaps/k9s.yaml")),
    ],
};

/// The name of the keymap that all others build on.
pub const DEFAULT: &str = "default";

/// The keys of every scope.
#[derive(Debug, Clone)]
pub struct Keymap {
    /// Its name, as `--keymap` takes it.
    pub name: String,
    table: Table,
}

impl Keymap {
    /// The keymap called `name`, or the one in the file at that path; without a
    /// name the default, with what the user's own `default.yaml` changes.
    ///
    /// # Errors
    /// Names the file, the line and what is wrong there: an unknown scope,
    /// action or key (with the nearest valid one), or a key that two actions
    /// of one scope claim.
    pub fn load(name: Option<&str>, config: Option<&Path>) -> Result<Self, ConfigError> {
        let source = KIND.find(name.unwrap_or(DEFAULT), config)?;
        let base = KIND.embedded(DEFAULT).ok_or_else(|| {
            ConfigError::whole(DEFAULT, "the default keymap is missing from the program")
        })?;
        let mut table = file::read(&base, &Table::default())?;
        if source != base {
            table = file::read(&source, &table)?;
        }
        table.check(&source.file)?;
        Ok(Self {
            name: source.name,
            table,
        })
    }

    /// What a key means in `scopes`, innermost first. While text is typed, a
    /// printable key without a meaning of its own types itself.
    pub fn action(&self, scopes: &[Scope], key: KeyEvent, typing: bool) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let key = Key::from(key);
        self.meaning(scopes, key)
            .or_else(|| key.typed().filter(|_| typing).map(Action::Type))
    }

    /// The keys that an event stands for. On the wire *alt and a key* is escape
    /// followed by the key, so escape pressed just before another key, or over a
    /// slow line, arrives as one: where alt and the key mean nothing, the two
    /// were meant.
    pub fn keys_of(&self, scopes: &[Scope], event: KeyEvent) -> Vec<KeyEvent> {
        let key = Key::from(event);
        let alt = event.modifiers.contains(KeyModifiers::ALT);
        if !alt || self.meaning(scopes, key).is_some() {
            return vec![event];
        }
        let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        let bare = KeyEvent {
            modifiers: event.modifiers - KeyModifiers::ALT,
            ..event
        };
        vec![escape, bare]
    }

    /// The keys that mean `action` in `scopes`, in the order of the file; a key
    /// that an inner scope gives another meaning is not among them.
    pub fn keys_for(&self, scopes: &[Scope], action: Action) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for scope in scopes {
            for key in self.table.keys(*scope, action) {
                if !keys.contains(key) && self.meaning(scopes, *key) == Some(action) {
                    keys.push(*key);
                }
            }
        }
        keys
    }

    /// The first key that means `action` in `scopes`, as text for a hint.
    pub fn hint(&self, scopes: &[Scope], action: Action) -> Option<String> {
        self.keys_for(scopes, action).first().map(Key::to_string)
    }

    /// What is bound in one scope: actions in the order of the catalogue, each
    /// with its keys.
    pub fn bindings(&self, scope: Scope) -> impl Iterator<Item = (Action, &[Key])> {
        CATALOGUE.iter().filter_map(move |entry| {
            let keys = self.table.keys(scope, entry.action);
            (!keys.is_empty()).then_some((entry.action, keys))
        })
    }

    /// The keymap as a file that [`Keymap::load`] reads: what every action does,
    /// and in the end what has no key.
    pub fn to_yaml(&self) -> String {
        use std::fmt::Write as _;
        let default = Self::load(Some(DEFAULT), None);
        let mut text = String::new();
        for scope in Scope::ALL {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}:", scope.name());
            for entry in CATALOGUE {
                let keys = self.table.keys(scope, entry.action);
                // What the default has and this one has not is said too.
                let taken = default
                    .as_ref()
                    .is_ok_and(|default| !default.table.keys(scope, entry.action).is_empty());
                if keys.is_empty() && !taken {
                    continue;
                }
                let keys: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                let bound = format!("  {}: [{}]", entry.name, keys.join(", "));
                let _ = writeln!(text, "{bound:<44} # {}", entry.help);
            }
            text.push('\n');
        }
        let bound: Vec<_> = Scope::ALL
            .into_iter()
            .flat_map(|scope| self.bindings(scope).map(|(action, _)| action))
            .collect();
        text.push_str("# Without a key, for the palette or for a key of yours:\n");
        for entry in CATALOGUE.iter().filter(|e| !bound.contains(&e.action)) {
            let _ = writeln!(text, "#   {:<40} # {}", entry.name, entry.help);
        }
        text
    }

    fn meaning(&self, scopes: &[Scope], key: Key) -> Option<Action> {
        scopes
            .iter()
            .find_map(|scope| self.table.action(*scope, key))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;
    use crate::core::{action::Pane, trial::Fault};

    fn user(text: &str) -> Result<Keymap, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.yaml");
        fs::write(&file, text).unwrap();
        Keymap::load(file.to_str(), None).map_err(|error| {
            let shown = error.to_string();
            shown.split_once("mine.yaml").unwrap().1.to_owned()
        })
    }

    fn press(text: &str) -> KeyEvent {
        let key: Key = text.parse().unwrap();
        let (code, modifiers) = match text.strip_prefix("ctrl-") {
            Some(c) => (
                KeyCode::Char(c.chars().next().unwrap()),
                KeyModifiers::CONTROL,
            ),
            None => match key.typed() {
                Some(c) => (KeyCode::Char(c), KeyModifiers::NONE),
                None => (KeyCode::Esc, KeyModifiers::NONE),
            },
        };
        KeyEvent::new(code, modifiers)
    }

    const LOG: [Scope; 3] = [Scope::Pane(Pane::Log), Scope::Cockpit, Scope::Global];

    #[test]
    fn every_embedded_keymap_loads() {
        for (name, _) in KIND.embedded {
            Keymap::load(Some(name), None).unwrap();
        }
    }

    #[test]
    fn a_keymap_that_is_written_is_read_back() {
        for (name, _) in KIND.embedded {
            let keymap = Keymap::load(Some(name), None).unwrap();
            let read = user(&keymap.to_yaml()).unwrap();
            for scope in Scope::ALL {
                let keys: Vec<_> = keymap.bindings(scope).collect();
                assert_eq!(read.bindings(scope).collect::<Vec<_>>(), keys, "{name}");
            }
        }
    }

    #[test]
    fn the_default_follows_the_hands() {
        let keymap = Keymap::load(None, None).unwrap();
        let means = |text: &str| keymap.action(&LOG, press(text), false);
        assert_eq!(means("j"), Some(Action::Down));
        assert_eq!(means("ctrl-d"), Some(Action::HalfPageDown));
        assert_eq!(means("x"), Some(Action::FaultMenu));
        assert_eq!(means("esc"), Some(Action::Back));
        assert_eq!(means("ctrl-z"), Some(Action::Suspend));
        let fault = [Scope::Fault, Scope::Dialog];
        assert_eq!(
            keymap.action(&fault, press("p"), false),
            Some(Action::Inject(Fault::ProcessKill))
        );
    }

    #[test]
    fn while_text_is_typed_keys_type_themselves() {
        let keymap = Keymap::load(None, None).unwrap();
        let typed = |text| keymap.action(&[Scope::Text], press(text), true);
        assert_eq!(typed("q"), Some(Action::Type('q')));
        assert_eq!(typed("esc"), Some(Action::Back));
        assert_eq!(keymap.action(&[Scope::Text], press("q"), false), None);
    }

    #[test]
    fn alt_that_means_nothing_is_escape_before_the_key() {
        let bound = user("cockpit: {fault_menu: [alt-x]}\n").unwrap();
        let alt = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::ALT);
        assert_eq!(bound.keys_of(&LOG, alt('x')), [alt('x')]);
        let both = [press("esc"), press("q")];
        assert_eq!(bound.keys_of(&LOG, alt('q')), both);
        assert_eq!(bound.keys_of(&LOG, press("x")), [press("x")]);
    }

    #[test]
    fn the_release_of_a_key_means_nothing() {
        let keymap = Keymap::load(None, None).unwrap();
        let mut event = press("q");
        event.kind = KeyEventKind::Release;
        assert_eq!(keymap.action(&LOG, event, true), None);
    }

    #[test]
    fn a_users_file_changes_what_it_names_and_nothing_else() {
        let keymap = user("global:\n  freeze: []\n  help: [f, f1]\n").unwrap();
        assert_eq!(keymap.action(&LOG, press("f"), false), Some(Action::Help));
        assert_eq!(keymap.action(&LOG, press("?"), false), None);
        assert_eq!(keymap.action(&LOG, press("j"), false), Some(Action::Down));
        assert!(keymap.keys_for(&LOG, Action::Freeze).is_empty());
    }

    #[test]
    fn a_hint_never_shows_a_key_that_means_something_else_here() {
        let keymap = user("log:\n  wrap: [f]\n").unwrap();
        assert!(keymap.keys_for(&LOG, Action::Freeze).is_empty());
        assert_eq!(keymap.hint(&LOG, Action::Wrap).as_deref(), Some("f"));
        assert_eq!(
            keymap.hint(&[Scope::Global], Action::Freeze).as_deref(),
            Some("f")
        );
    }

    #[test]
    fn mistakes_are_answered_with_the_place_and_the_nearest_name() {
        let error = |text| user(text).unwrap_err();
        assert_eq!(
            error("global:\n  quit: [q]\n  freze: [F]\n"),
            ":3:3: global: no action is called `freze`; the nearest is `freeze`"
        );
        assert_eq!(
            error("globl:\n  quit: [q]\n"),
            ":1:1: no scope is called `globl`; the nearest is `global`"
        );
        assert_eq!(
            error("log:\n  wrap:\n    - w\n    - ctrl-entr\n"),
            ":4:7: log.wrap[1]: no key is called `entr`; the nearest is `enter`"
        );
    }

    #[test]
    fn two_actions_on_one_key_in_one_scope_are_refused_naming_both() {
        let error = |text| user(text).unwrap_err();
        assert_eq!(
            error("log:\n  wrap: [b]\n  timestamps: [a, b]\n"),
            ":3:19: log.timestamps[1]: `b` in `log` means `wrap` already and cannot mean `timestamps` too"
        );
        assert_eq!(
            error("global:\n  help: [q]\n"),
            ":2:10: global.help[0]: `q` in `global` means `quit` already and cannot mean `help` too \
             (unbind it with `quit: []` or give it other keys)"
        );
        // Another scope is another meaning; giving the key away is no clash.
        assert!(user("log:\n  wrap: [q]\n").is_ok());
        assert!(user("global:\n  help: [q]\n  quit: [Q]\n").is_ok());
    }

    #[test]
    fn a_name_twice_in_one_file_is_refused() {
        assert_eq!(
            user("log:\n  wrap: [a]\n  wrap: [b]\n").unwrap_err(),
            ":3:3: log: `wrap` is listed twice in `log`"
        );
    }

    #[test]
    fn a_keymap_that_cannot_be_left_is_refused() {
        assert_eq!(
            user("global:\n  quit: []\n").unwrap_err(),
            ": no key means `quit` in `global`: there would be no way out"
        );
    }

    #[test]
    fn digits_need_no_quotes_and_one_key_needs_no_list() {
        let keymap = user("throughput:\n  chart_auto: [9]\nlog:\n  wrap: b\n").unwrap();
        assert_eq!(keymap.hint(&LOG, Action::Wrap).as_deref(), Some("b"));
        let chart = [Scope::Pane(Pane::Throughput)];
        assert_eq!(keymap.hint(&chart, Action::ChartAuto).as_deref(), Some("9"));
    }

    #[test]
    fn the_users_default_is_found_under_the_configuration_directory() {
        let config = tempfile::tempdir().unwrap();
        fs::create_dir(config.path().join("keymaps")).unwrap();
        let file = config.path().join("keymaps/default.yaml");
        fs::write(file, "global:\n  quit: [Q, ctrl-c]\n").unwrap();
        let keymap = Keymap::load(None, Some(config.path())).unwrap();
        assert_eq!(keymap.action(&LOG, press("q"), false), None);
        let error = Keymap::load(Some("defualt"), Some(config.path())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "keymaps: no keymap is called `defualt`; the nearest is `default`"
        );
    }
}

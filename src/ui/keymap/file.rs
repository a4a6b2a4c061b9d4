//! Reading a keymap file, so that every mistake is found where it stands.
//!
//! The YAML reader knows its place only while it reads. So names and clashes
//! are checked by the deserialisers themselves, and what they refuse carries
//! the line and column of the very word.

use std::{collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Key;
use crate::{
    core::action::{Action, CATALOGUE, Scope},
    ui::config::{ConfigError, Source, unknown},
};

/// Keys by scope and action, and back.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    keys: HashMap<(Scope, Action), Vec<Key>>,
    actions: HashMap<(Scope, Key), Action>,
}

impl Table {
    pub(super) fn keys(&self, scope: Scope, action: Action) -> &[Key] {
        self.keys.get(&(scope, action)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn action(&self, scope: Scope, key: Key) -> Option<Action> {
        self.actions.get(&(scope, key)).copied()
    }

    /// Refuses a keymap that locks a person in.
    pub(super) fn check(&self, file: &str) -> Result<(), ConfigError> {
        for (scope, action) in [
            (Scope::Global, Action::Quit),
            (Scope::Dialog, Action::Back),
            (Scope::Text, Action::Back),
        ] {
            if self.keys(scope, action).is_empty() {
                let what = format!(
                    "no key means `{}` in `{}`: there would be no way out",
                    name_of(action),
                    scope.name()
                );
                return Err(ConfigError::whole(file, what));
            }
        }
        Ok(())
    }

    /// Everything but what `other` says anew.
    fn without(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for ((scope, action), keys) in &self.keys {
            if !other.keys.contains_key(&(*scope, *action)) {
                rest.keys.insert((*scope, *action), keys.clone());
                rest.actions
                    .extend(keys.iter().map(|key| ((*scope, *key), *action)));
            }
        }
        rest
    }
}

/// Reads `source` as changes to `base`.
pub(super) fn read(source: &Source, base: &Table) -> Result<Table, ConfigError> {
    let parse = |base: &Table| {
        let mut table = Table::default();
        let file = FileSeed {
            base,
            table: &mut table,
        };
        file.deserialize(serde_yaml::Deserializer::from_str(&source.text))
            .map_err(|error| ConfigError::in_yaml(&source.file, &error))?;
        Ok(table)
    };
    // What the file leaves alone is known only once it was read to its end;
    // the second reading finds the keys that it takes from there.
    let changed = parse(&Table::default())?;
    let mut table = base.without(&changed);
    let changed = parse(&table)?;
    table.keys.extend(changed.keys);
    table.actions.extend(changed.actions);
    Ok(table)
}

fn name_of(action: Action) -> &'static str {
    action.entry().map_or("?", |entry| entry.name)
}

/// The whole file: scopes.
struct FileSeed<'a> {
    base: &'a Table,
    table: &'a mut Table,
}

impl<'de> DeserializeSeed<'de> for FileSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FileSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scopes, each with its actions: `scope: {action: [keys]}`")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(scope) = map.next_key_seed(Name(|name: &str| {
            let scope = Scope::ALL
                .into_iter()
                .find(|scope| scope.name() == name)
                .ok_or_else(|| unknown("scope", name, Scope::ALL.map(Scope::name)))?;
            if seen.contains(&scope) {
                return Err(format!("`{name}` is listed twice"));
            }
            Ok(scope)
        }))? {
            seen.push(scope);
            map.next_value_seed(ScopeSeed {
                scope,
                base: self.base,
                table: &mut *self.table,
            })?;
        }
        Ok(())
    }
}

/// One scope: actions.
struct ScopeSeed<'a> {
    scope: Scope,
    base: &'a Table,
    table: &'a mut Table,
}

impl<'de> DeserializeSeed<'de> for ScopeSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScopeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("actions, each with its keys: `action: [keys]`")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { scope, base, table } = self;
        loop {
            let seen = &table.keys;
            let Some(action) = map.next_key_seed(Name(|name: &str| {
                let action = Action::by_name(name).ok_or_else(|| {
                    unknown("action", name, CATALOGUE.iter().map(|entry| entry.name))
                })?;
                if seen.contains_key(&(scope, action)) {
                    return Err(format!("`{name}` is listed twice in `{}`", scope.name()));
                }
                Ok(action)
            }))?
            else {
                return Ok(());
            };
            table.keys.insert((scope, action), Vec::new());
            map.next_value_seed(KeysSeed {
                scope,
                action,
                base,
                table: &mut *table,
            })?;
        }
    }
}

/// The keys of one action: a list, or one key alone.
struct KeysSeed<'a> {
    scope: Scope,
    action: Action,
    base: &'a Table,
    table: &'a mut Table,
}

impl KeysSeed<'_> {
    fn bind(&mut self, text: &str) -> Result<(), String> {
        let Self { scope, action, .. } = *self;
        let key: Key = text.parse()?;
        let clash = |other: Action, hint: String| {
            Err(format!(
                "`{key}` in `{}` means `{}` already and cannot mean `{}` too{hint}",
                scope.name(),
                name_of(other),
                name_of(action)
            ))
        };
        match (self.table.action(scope, key), self.base.action(scope, key)) {
            (Some(other), _) if other == action => {
                return Err(format!("`{key}` is listed twice for `{}`", name_of(action)));
            }
            (Some(other), _) => return clash(other, String::new()),
            (None, Some(other)) => {
                let other_name = name_of(other);
                return clash(
                    other,
                    format!(" (unbind it with `{other_name}: []` or give it other keys)"),
                );
            }
            (None, None) => {}
        }
        self.table.actions.insert((scope, key), action);
        self.table
            .keys
            .entry((scope, action))
            .or_default()
            .push(key);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for KeysSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeysSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys, `[]` for none")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.bind(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(mut self, digit: u64) -> Result<(), E> {
        self.bind(&digit.to_string()).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut keys: A) -> Result<(), A::Error> {
        while keys
            .next_element_seed(Name(|text: &str| self.bind(text)))?
            .is_some()
        {}
        Ok(())
    }
}

/// A word that a function reads or refuses.
struct Name<F>(F);

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for Name<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Name<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, digit: u64) -> Result<T, E> {
        (self.0)(&digit.to_string()).map_err(E::custom)
    }
}

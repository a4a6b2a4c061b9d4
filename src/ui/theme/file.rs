//! Reading a theme file, so that every mistake is found where it stands.

use std::{fmt, path::Path};

use ratatui::style::Style;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{DEFAULT, KIND, SIZES, SLOTS, Theme, colour};
use crate::ui::config::{ConfigError, Source, unknown};

/// Reads `source`; what it leaves out comes from the theme that it extends.
pub(super) fn read(source: &Source, config: Option<&Path>) -> Result<Theme, ConfigError> {
    quoted(source)?;
    let mut spelt = Spelt::default();
    let seed = FileSeed {
        spelt: &mut spelt,
        names: &KIND.names(config),
    };
    seed.deserialize(serde_yaml::Deserializer::from_str(&source.text))
        .map_err(|error| ConfigError::in_yaml(&source.file, &error))?;

    // The embedded default stands on nothing; a user's file of that name too
    // stands on the embedded one. Only built-in themes are extended, so a
    // chain of themes cannot bite its tail.
    let base = spelt.extends.as_deref().unwrap_or(DEFAULT);
    let base = KIND.embedded(base).filter(|base| base != source);
    let mut theme = match base {
        Some(base) => read(&base, config)?,
        None => Theme::blank(&source.name),
    };
    theme.name.clone_from(&source.name);
    if let Some(about) = spelt.about {
        theme.about = about;
    }
    for (name, style) in spelt.slots {
        if let Some(slot) = theme.slot(name) {
            *slot = style;
        }
    }
    if let Some(sizes) = spelt.sizes {
        theme.sizes = sizes;
    }
    Ok(theme)
}

/// Refuses `good: bold #00ff00`: to YAML the colour is a comment, and the style
/// would silently be another one.
fn quoted(source: &Source) -> Result<(), ConfigError> {
    for (number, line) in source.text.lines().enumerate() {
        let Some((before, after)) = line.split_once(" #") else {
            continue;
        };
        let hex = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        let is_value = !before.trim().is_empty() && !before.contains(['#', '"', '\'']);
        if hex == 6 && is_value {
            return Err(ConfigError {
                file: source.file.clone(),
                place: Some((number + 1, before.chars().count() + 2)),
                what: format!("put the style in quotes: YAML reads `#{after}` as a comment"),
            });
        }
    }
    Ok(())
}

/// What a file spells out.
#[derive(Default)]
struct Spelt {
    about: Option<String>,
    extends: Option<String>,
    slots: Vec<(&'static str, Style)>,
    sizes: Option<[Style; SIZES]>,
}

/// Keys of a theme file that are no slots.
const OTHERS: [&str; 2] = ["about", "extends"];

struct FileSeed<'a> {
    spelt: &'a mut Spelt,
    names: &'a [String],
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
        f.write_str("slots, each with its style: `good: bold green`")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<&str> = Vec::new();
        while let Some(name) = map.next_key_seed(Text(|name: &str| {
            let known = || SLOTS.iter().map(|(slot, _)| *slot).chain(OTHERS);
            let name = known()
                .find(|slot| *slot == name)
                .ok_or_else(|| unknown("slot", name, known()))?;
            if seen.contains(&name) {
                return Err(format!("`{name}` is listed twice"));
            }
            Ok(name)
        }))? {
            seen.push(name);
            match name {
                "about" => {
                    let about = map.next_value_seed(Text(|text: &str| Ok(text.to_owned())))?;
                    self.spelt.about = Some(about);
                }
                "extends" => {
                    let extends = map.next_value_seed(Text(|text: &str| {
                        let names = self.names.iter().map(String::as_str);
                        match KIND.embedded(text) {
                            Some(_) => Ok(text.to_owned()),
                            None if self.names.iter().any(|name| name == text) => Err(format!(
                                "`{text}` is a theme of your own: only built-in ones can be extended"
                            )),
                            None => Err(unknown("theme", text, names)),
                        }
                    }))?;
                    self.spelt.extends = Some(extends);
                }
                "sizes" => self.spelt.sizes = Some(map.next_value_seed(Sizes)?),
                slot => {
                    let style = map.next_value_seed(Text(colour::parse))?;
                    self.spelt.slots.push((slot, style));
                }
            }
        }
        Ok(())
    }
}

/// The list of styles of the message sizes.
struct Sizes;

impl<'de> DeserializeSeed<'de> for Sizes {
    type Value = [Style; SIZES];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Sizes {
    type Value = [Style; SIZES];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {SIZES} styles")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut styles: A) -> Result<Self::Value, A::Error> {
        let mut sizes = Vec::new();
        while let Some(style) = styles.next_element_seed(Text(colour::parse))? {
            sizes.push(style);
        }
        sizes.try_into().map_err(|sizes: Vec<_>| {
            A::Error::custom(format!(
                "`sizes` needs {SIZES} styles, one a message size; these are {}",
                sizes.len()
            ))
        })
    }
}

/// A scalar that a function reads or refuses.
struct Text<F>(F);

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        (self.0)(&number.to_string()).map_err(E::custom)
    }
}

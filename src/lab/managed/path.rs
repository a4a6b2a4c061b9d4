//! One step from a value into it.

use std::fmt;

use serde_json::Value;

/// A field, or an item of a list.
///
/// The order is the one in which the real server writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field of a structure or an entry of a map.
    Field(String),
    /// An item of a list by the fields that tell it apart, as JSON.
    Key(String),
    /// An item of a set by itself, as JSON.
    Value(String),
    /// An item by its place.
    Index(usize),
}

impl Step {
    /// The item of a set.
    pub fn value(item: &Value) -> Self {
        Self::Value(item.to_string())
    }

    /// As it is written in `fieldsV1`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads what is written in `fieldsV1`; none for what is no step.
    pub fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let json = || serde_json::from_str::<Value>(rest).ok();
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            // Spaces and the order of keys are whoever's who wrote it.
            "k" => json()
                .filter(Value::is_object)
                .map(|it| Self::Key(it.to_string())),
            "v" => json().map(|it| Self::Value(it.to_string())),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(f, "[{}]", pairs.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

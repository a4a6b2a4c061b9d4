//! A YAML file as a tree that knows where each of its parts stands, for errors
//! that point.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// Line and column, both from 1.
pub type Place = (usize, usize);

/// A value and where it stands.
pub type Located = Spanned<Node>;

/// A part of the file.
#[derive(Debug, Clone)]
pub enum Node {
    /// Keys and values in the order of the file.
    Map(Vec<(Spanned<String>, Located)>),
    /// Elements.
    List(Vec<Located>),
    /// Anything else; what it is, is the settings' business.
    Leaf,
}

/// Where something stands.
pub fn place<T>(at: &Spanned<T>) -> Place {
    (
        at.referenced.line() as usize,
        at.referenced.column() as usize,
    )
}

impl Node {
    /// Where `path` stands, or as much of it as there is.
    pub fn find(root: &Located, path: &str) -> Place {
        let mut found = place(root);
        let mut at = root;
        for key in path.split('.') {
            let next = match &at.value {
                Self::Map(entries) => {
                    entries
                        .iter()
                        .find(|(name, _)| name.value == key)
                        .map(|(name, value)| {
                            // A section is where its name is; a value is where it stands itself.
                            let leaf = matches!(value.value, Self::Leaf);
                            (if leaf { place(value) } else { place(name) }, value)
                        })
                }
                Self::List(elements) => key
                    .parse()
                    .ok()
                    .and_then(|index: usize| elements.get(index))
                    .map(|value| (place(value), value)),
                Self::Leaf => None,
            };
            let Some((stands, value)) = next else {
                return found;
            };
            found = stands;
            at = value;
        }
        found
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

//! YAML from clients. An alias can stand for a large part of its document any
//! number of times, so what comes out is counted while it is made.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a document into at most `limit` bytes and nodes.
///
/// # Errors
/// What is wrong, for a person.
pub fn read(text: &[u8], limit: usize) -> Result<Value, String> {
    let left = Cell::new(limit);
    let document = serde_yaml::Deserializer::from_slice(text);
    Counted(&left)
        .deserialize(document)
        .map_err(|error| error.to_string())
}

/// A value that is paid for while it is read.
#[derive(Clone, Copy)]
struct Counted<'a>(&'a Cell<usize>);

impl Counted<'_> {
    fn pay<E: Error>(self, amount: usize) -> Result<(), E> {
        match self.0.get().checked_sub(amount + 1) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(E::custom("the document is too large with its aliases")),
        }
    }

    fn number<E: Error>(self, number: impl Into<Number>) -> Result<Value, E> {
        self.pay(0)?;
        Ok(Value::Number(number.into()))
    }
}

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.pay(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.pay(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.number(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.number(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.pay(0)?;
        let number = Number::from_f64(value);
        let number = number.ok_or_else(|| E::custom("JSON has no such number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.pay(text.len())?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.pay(0)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.pay(0)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let key = match key {
                Value::String(key) => key,
                Value::Number(key) => key.to_string(),
                Value::Bool(key) => key.to_string(),
                _ => return Err(A::Error::custom("a key must be a text")),
            };
            let value = entries.next_value_seed(self)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("key {key:?} already set in map")));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_are_read_alike() {
        let text = b"a: [1, -2, 0.5, true, null, x, '1']\n2: {b: c}\n";
        let expected = json!({"a": [1, -2, 0.5, true, null, "x", "1"], "2": {"b": "c"}});
        assert_eq!(read(text, 1000), Ok(expected.clone()));
        assert_eq!(read(expected.to_string().as_bytes(), 1000), Ok(expected));
        assert!(
            read(b"a: 1\na: 2\n", 1000)
                .unwrap_err()
                .contains("already set")
        );
        assert!(read(b"a: [", 1000).is_err());
        assert!(read(b"a: .nan", 1000).is_err());
    }

    #[test]
    fn aliases_cannot_make_more_than_the_limit() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let name = format!("*a{}, ", level - 1);
            let names = name.repeat(10);
            let names = names.trim_end_matches(", ");
            writeln!(bomb, "a{level}: &a{level} [{names}]").unwrap();
        }
        assert!(read(bomb.as_bytes(), 1 << 20).is_err());
        let long = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(10_000),
            "*a, ".repeat(10_000)
        );
        let why = read(long.as_bytes(), 1 << 20).unwrap_err();
        assert!(why.contains("too large with its aliases"), "{why}");
        let deep = "[".repeat(5_000);
        assert!(read(deep.as_bytes(), 1 << 20).is_err());
    }
}

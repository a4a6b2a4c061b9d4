//! What a pod takes from other objects of its namespace: config maps and
//! secrets, by the names that its spec gives.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store};

/// Names and contents; text and bytes alike.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// A kind of object that holds data for pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn resource(self) -> Resource {
        match self {
            Self::ConfigMap => Resource::ConfigMaps,
            Self::Secret => Resource::Secrets,
        }
    }

    /// Its name in messages.
    fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// The objects that a pod can take from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    pub store: &'a Store,
    pub namespace: &'a str,
}

impl Sources<'_> {
    /// What an object holds; none when it is not there and need not be.
    ///
    /// # Errors
    /// That it is missing, in the real kubelet's words.
    pub fn data(
        &self,
        kind: Kind,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<Data>, String> {
        let key = Key::new(kind.resource(), self.namespace, name);
        match self.store.get(&key) {
            Some(object) => Ok(Some(read(kind, &object))),
            None if optional == Some(true) => Ok(None),
            None => {
                let word = kind.word().to_lowercase();
                Err(format!("{word} {name:?} not found"))
            }
        }
    }

    /// One value of an object, as text; none when it is not there and need not
    /// be.
    ///
    /// # Errors
    /// That object or key is missing, in the real kubelet's words.
    pub fn value(
        &self,
        kind: Kind,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, String> {
        let Some(mut data) = self.data(kind, name, optional)? else {
            return Ok(None);
        };
        match data.remove(key) {
            Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            None if optional == Some(true) => Ok(None),
            None => Err(format!(
                "couldn't find key {key} in {} {}/{name}",
                kind.word(),
                self.namespace
            )),
        }
    }
}

fn read(kind: Kind, object: &Value) -> Data {
    let field = |name: &str| object[name].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // What is no base 64 was refused when the object was written.
    let bytes = |value: &Value| BASE64_STANDARD.decode(text(value)).unwrap_or_default();
    match kind {
        Kind::ConfigMap => {
            let plain = field("data").map(|(name, value)| (name.clone(), text(value).into_bytes()));
            let binary = field("binaryData").map(|(name, value)| (name.clone(), bytes(value)));
            plain.chain(binary).collect()
        }
        Kind::Secret => field("data")
            .map(|(name, value)| (name.clone(), bytes(value)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_told_as_a_node_tells_it() {
        let store = Store::new(0);
        let secret = json!({"metadata": {"namespace": "n", "name": "s"}, "data": {"k": "eA=="}});
        store.create(Resource::Secrets, secret).unwrap();
        let map = json!({
            "metadata": {"namespace": "n", "name": "m"},
            "data": {"a": "1"}, "binaryData": {"b": "AAE="}});
        store.create(Resource::ConfigMaps, map).unwrap();
        let sources = Sources {
            store: &store,
            namespace: "n",
        };
        let value = |kind, name, key| sources.value(kind, name, key, None);
        assert_eq!(value(Kind::Secret, "s", "k"), Ok(Some("x".into())));
        assert_eq!(value(Kind::ConfigMap, "m", "a"), Ok(Some("1".into())));
        let data = sources.data(Kind::ConfigMap, "m", None).unwrap().unwrap();
        assert_eq!(data["b"], [0, 1]);
        for (said, expected) in [
            (value(Kind::Secret, "t", "k"), "secret \"t\" not found"),
            (
                value(Kind::ConfigMap, "t", "k"),
                "configmap \"t\" not found",
            ),
            (
                value(Kind::ConfigMap, "m", "z"),
                "couldn't find key z in ConfigMap n/m",
            ),
            (
                value(Kind::Secret, "s", "z"),
                "couldn't find key z in Secret n/s",
            ),
        ] {
            assert_eq!(said.unwrap_err(), expected);
        }
        let optional = sources.value(Kind::Secret, "t", "k", Some(true));
        assert_eq!(optional, Ok(None));
    }
}

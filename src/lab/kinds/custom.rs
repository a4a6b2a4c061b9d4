//! Kinds that are defined while the lab runs: custom resources.
//!
//! A kind of that sort is named by a handle that is copied like any other
//! [`Resource`]. What the handle names is kept as long as the process lives:
//! a few hundred bytes for every different definition that a lab ever had.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::{EVERYTHING, Kept, Kind, Names, Replicas, Resource};

/// A kind that a definition has made. Two handles are the same when group and
/// plural are: what else a definition says may change.
#[derive(Debug, Clone, Copy)]
pub struct Custom(&'static Kind);

impl Custom {
    /// All that is said of the kind.
    pub const fn about(self) -> &'static Kind {
        self.0
    }

    fn identity(&self) -> (&'static str, &'static str) {
        (self.0.names.group, self.0.names.plural)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) || self.identity() == other.identity()
    }
}

impl Eq for Custom {}

impl PartialOrd for Custom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Custom {
    fn cmp(&self, other: &Self) -> Ordering {
        if std::ptr::eq(self.0, other.0) {
            return Ordering::Equal;
        }
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// Whether a definition is in force: its names were accepted.
pub fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    let established = |it: &Value| it["type"] == "Established" && it["status"] == "True";
    conditions.is_some_and(|conditions| conditions.iter().any(established))
}

/// The kind that a definition makes; none before it is in force.
pub fn kind_of(definition: &Value) -> Option<Resource> {
    is_established(definition)
        .then(|| described_by(definition))
        .flatten()
}

/// The kind that a definition describes, in force or not.
pub fn described_by(definition: &Value) -> Option<Resource> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let version = &spec["versions"][0];
    let subresources = &version["subresources"];
    let scale = &subresources["scale"];
    let path = |field: &str| -> Option<&'static str> {
        Some(leak(scale[field].as_str()?.trim_start_matches('.')))
    };
    let replicas = || -> Option<Replicas> {
        Some(Replicas {
            wanted: path("specReplicasPath")?,
            counted: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    };
    let selectable = version["selectableFields"].as_array();
    let selectable: Vec<Value> = selectable
        .into_iter()
        .flatten()
        .filter_map(|it| Some(it["jsonPath"].as_str()?.trim_start_matches('.').into()))
        .collect();
    let selectable = Value::from(selectable);
    let kind = Kind {
        names: Names {
            group: leak(spec["group"].as_str()?),
            version: leak(version["name"].as_str()?),
            plural: leak(names["plural"].as_str()?),
            singular: leak(names["singular"].as_str()?),
            kind: leak(names["kind"].as_str()?),
            list_kind: leak(names["listKind"].as_str()?),
            namespaced: spec["scope"] == "Namespaced",
            short: leak_all(&names["shortNames"]),
            categories: leak_all(&names["categories"]),
        },
        verbs: EVERYTHING,
        status: subresources["status"].is_object(),
        scale: replicas(),
        parts: &[],
        generation: true,
        fields: leak_all(&selectable),
        kept: Kept::Whole,
        read: |object| Ok(object.clone()),
    };
    Some(Resource::Custom(Custom(intern(kind))))
}

/// The kind of that type, if one was ever defined; the newest, if several were.
pub fn of_type(api_version: &str, kind: &str) -> Option<Resource> {
    let kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut made = kinds.iter().rev().map(|it| Resource::Custom(Custom(it)));
    made.find(|it| it.names().kind == kind && it.api_version() == api_version)
}

/// All kinds that were ever defined.
static KINDS: Mutex<Vec<&'static Kind>> = Mutex::new(Vec::new());

/// One place in memory for all kinds that are described alike.
fn intern(kind: Kind) -> &'static Kind {
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    let alike = |it: &&&Kind| {
        it.names == kind.names
            && it.status == kind.status
            && it.scale == kind.scale
            && it.fields == kind.fields
    };
    if let Some(known) = kinds.iter().find(alike) {
        return known;
    }
    let kind: &'static Kind = Box::leak(Box::new(kind));
    kinds.push(kind);
    kind
}

/// One place in memory for all texts that are the same.
fn leak(text: &str) -> &'static str {
    static TEXTS: Mutex<std::collections::BTreeSet<&'static str>> =
        Mutex::new(std::collections::BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    texts.insert(text);
    text
}

fn leak_all(list: &Value) -> &'static [&'static str] {
    static LISTS: Mutex<Vec<&'static [&'static str]>> = Mutex::new(Vec::new());
    let items = list.as_array().into_iter().flatten();
    let items: Vec<&'static str> = items.filter_map(Value::as_str).map(leak).collect();
    if items.is_empty() {
        return &[];
    }
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.iter().find(|it| ***it == *items) {
        return known;
    }
    let items: &'static [&'static str] = Box::leak(items.into_boxed_slice());
    lists.push(items);
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition(plural: &str, short: &[&str]) -> Value {
        json!({
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": plural, "singular": "x", "kind": "X", "listKind": "XList",
                          "shortNames": short},
                "versions": [{"name": "v1", "subresources": {"status": {}}}],
            },
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        })
    }

    #[test]
    fn a_definition_makes_a_kind_once_it_is_in_force() {
        let mut crontabs = definition("crontabs", &["ct"]);
        let kind = kind_of(&crontabs).unwrap();
        assert_eq!(kind.qualified(), "crontabs.example.com");
        assert!(kind.about().status && kind.about().scale.is_none());
        crontabs["status"] = json!({});
        assert_eq!(kind_of(&crontabs), None);
        assert_eq!(described_by(&json!({})), None);
    }

    #[test]
    fn a_kind_stays_the_same_when_its_definition_changes() {
        let before = kind_of(&definition("foos", &[])).unwrap();
        let after = kind_of(&definition("foos", &["f"])).unwrap();
        assert_eq!(before, after);
        assert_eq!(after.names().short, ["f"]);
        assert_ne!(before, kind_of(&definition("bars", &[])).unwrap());
    }
}

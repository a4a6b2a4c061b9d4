//! Sets of fields: who manages what.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::path::Step;
use crate::lab::schema::Place;

/// Some of the fields of an object, as a tree of steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeMap<Step, Branch>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Branch {
    /// Whether the field itself is in the set, not only some of what is in it.
    member: bool,
    below: FieldSet,
}

impl Branch {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// Whether no field is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a field.
    pub fn insert(&mut self, path: &[Step]) {
        let Some((last, above)) = path.split_last() else {
            return;
        };
        let mut set = self;
        for step in above {
            set = &mut set.0.entry(step.clone()).or_default().below;
        }
        set.0.entry(last.clone()).or_default().member = true;
    }

    /// Whether the field of one step is in the set itself.
    pub fn has(&self, step: &Step) -> bool {
        self.0.get(step).is_some_and(|branch| branch.member)
    }

    /// What is in the set below one step.
    pub fn below(&self, step: &Step) -> Option<&Self> {
        let branch = self.0.get(step)?;
        (!branch.below.is_empty()).then_some(&branch.below)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (step, theirs) in &other.0 {
            let ours = all.0.entry(step.clone()).or_default();
            ours.member |= theirs.member;
            ours.below = ours.below.union(&theirs.below);
        }
        all
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(
            other,
            |ours, theirs| Branch {
                member: ours.member && theirs.member,
                below: ours.below.intersection(&theirs.below),
            },
            false,
        )
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(
            other,
            |ours, theirs| Branch {
                member: ours.member && !theirs.member,
                below: ours.below.difference(&theirs.below),
            },
            true,
        )
    }

    /// What is in this one and neither in the other nor below what is.
    #[must_use]
    pub fn difference_below(&self, other: &Self) -> Self {
        self.combine(
            other,
            |ours, theirs| {
                if theirs.member {
                    return Branch::default();
                }
                Branch {
                    member: ours.member,
                    below: ours.below.difference_below(&theirs.below),
                }
            },
            true,
        )
    }

    /// Goes through the branches that both have; `keep` says what becomes of
    /// those that the other has not.
    fn combine(&self, other: &Self, both: impl Fn(&Branch, &Branch) -> Branch, keep: bool) -> Self {
        let branches = self.0.iter().filter_map(|(step, ours)| {
            let branch = match other.0.get(step) {
                Some(theirs) => both(ours, theirs),
                None if keep => ours.clone(),
                None => return None,
            };
            (!branch.is_empty()).then(|| (step.clone(), branch))
        });
        Self(branches.collect())
    }

    /// The same, with every declared field above a field in the set too.
    #[must_use]
    pub fn with_parents(&self, place: Place<'_>) -> Self {
        let branches = self.0.iter().map(|(step, branch)| {
            let (declared, inner) = match step {
                Step::Field(name) => (place.declares(name), place.field(name)),
                _ => (false, place.item()),
            };
            let branch = Branch {
                member: branch.member || declared && !branch.below.is_empty(),
                below: branch.below.with_parents(inner),
            };
            (step.clone(), branch)
        });
        Self(branches.collect())
    }

    /// Every field in the set as a person reads it: `.spec.replicas`; those of
    /// one level before those below it, as the real server lists them.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, above: &str, paths: &mut Vec<String>) {
        let members = self.0.iter().filter(|(_, branch)| branch.member);
        paths.extend(members.map(|(step, _)| format!("{above}{step}")));
        for (step, branch) in &self.0 {
            branch.below.collect(&format!("{above}{step}"), paths);
        }
    }

    /// As `fieldsV1`.
    pub fn encode(&self) -> Value {
        let mut fields = Map::new();
        for (step, branch) in &self.0 {
            let mut below = branch.below.encode();
            if branch.member && !branch.below.is_empty() {
                below["."] = Value::Object(Map::new());
            }
            fields.insert(step.encode(), below);
        }
        Value::Object(fields)
    }

    /// Reads `fieldsV1`; none for what is no set of fields.
    pub fn decode(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (name, below) in fields.as_object()?.iter().filter(|(name, _)| *name != ".") {
            let inner = below.as_object()?;
            let branch = Branch {
                member: inner.is_empty() || inner.contains_key("."),
                below: Self::decode(below)?,
            };
            set.0.insert(Step::decode(name)?, branch);
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(fields: &Value) -> FieldSet {
        FieldSet::decode(fields).unwrap()
    }

    #[test]
    fn a_set_is_read_and_written_as_the_real_server_writes_it() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}},
                       "f:finalizers": {"v:\"x\"": {}}}});
        let read = set(&fields);
        assert_eq!(read.encode(), fields);
        assert_eq!(
            read.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.app",
                ".spec.containers[name=\"c\"]",
                ".spec.containers[name=\"c\"].image",
                ".spec.finalizers[=\"x\"]",
            ]
        );
        assert!(FieldSet::decode(&json!({"x:odd": {}})).is_none());
        assert!(FieldSet::decode(&json!({"f:a": 3})).is_none());
    }

    #[test]
    fn members_and_what_is_below_them_are_told_apart() {
        let both = set(&json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let only = set(&json!({"f:a": {"f:b": {}}}));
        assert_eq!(
            both.difference(&only).encode(),
            json!({"f:a": {}, "f:c": {}})
        );
        assert_eq!(both.intersection(&only), only);
        assert_eq!(only.union(&both), both);
        let whole = set(&json!({"f:a": {}}));
        assert_eq!(both.difference_below(&whole).encode(), json!({"f:c": {}}));
    }
}

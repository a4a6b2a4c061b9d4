//! The managers of an object and the set of fields of each.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::path::Step;
use super::set::FieldSet;
use super::walk::Comparison;
use crate::lab::store::timestamp;

/// More updating managers than this are summed up.
const MOST_UPDATERS: usize = 10;
/// Under whom the oldest are summed up.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It says all that it wants.
    Apply,
    /// It says what shall be different, or replaces.
    Update,
}

/// Who wrote, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// What it calls itself.
    pub name: String,
    /// How it writes.
    pub operation: Operation,
    /// In which version of the API.
    pub api_version: String,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
}

impl Manager {
    /// A manager that updates.
    pub fn update(name: impl Into<String>, api_version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            operation: Operation::Update,
            api_version: api_version.into(),
            subresource: String::new(),
        }
    }

    /// A manager that applies.
    pub fn apply(name: impl Into<String>, api_version: impl Into<String>) -> Self {
        Self {
            operation: Operation::Apply,
            ..Self::update(name, api_version)
        }
    }

    /// The same, writing through a subresource.
    #[must_use]
    pub fn through(mut self, subresource: &str) -> Self {
        subresource.clone_into(&mut self.subresource);
        self
    }

    /// Whether both are one manager: who applies is the same in every version.
    fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// As it stands in conflicts.
impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        if self.operation == Operation::Update {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    manager: Manager,
    fields: FieldSet,
    time: Option<String>,
}

/// The managers of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    list: Vec<Entry>,
    reset: bool,
}

impl Entries {
    /// Reads `metadata.managedFields`; none when it is absent or broken.
    pub fn decode(list: &Value) -> Option<Self> {
        let list = list.as_array()?;
        // One empty entry is how a client says: forget them all.
        let empty = |it: &Value| it.as_object().is_some_and(serde_json::Map::is_empty);
        if list.len() == 1 && list.iter().all(empty) {
            return Some(Self {
                list: Vec::new(),
                reset: true,
            });
        }
        let entries: Option<Vec<Entry>> = list.iter().map(Self::entry).collect();
        Some(Self {
            list: entries?,
            reset: false,
        })
    }

    fn entry(entry: &Value) -> Option<Entry> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let operation = match entry["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Entry {
            manager: Manager {
                name: text("manager"),
                operation,
                api_version: text("apiVersion"),
                subresource: text("subresource"),
            },
            fields: match &entry["fieldsV1"] {
                Value::Null => FieldSet::default(),
                fields => FieldSet::decode(fields)?,
            },
            time: entry["time"].as_str().map(str::to_owned),
        })
    }

    /// Whether nobody is recorded.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a client asked to forget all managers.
    pub fn is_reset(&self) -> bool {
        self.reset
    }

    /// The fields of one manager.
    pub fn fields(&self, manager: &Manager) -> FieldSet {
        let found = self.list.iter().find(|it| it.manager.is(manager));
        found.map(|it| it.fields.clone()).unwrap_or_default()
    }

    /// Gives a manager these fields and no others.
    pub fn set(&mut self, manager: &Manager, fields: FieldSet) {
        let time = self.list.iter().find(|it| it.manager.is(manager));
        let time = time.and_then(|it| it.time.clone());
        self.list.retain(|it| !it.manager.is(manager));
        if !fields.is_empty() {
            self.list.push(Entry {
                manager: manager.clone(),
                fields,
                time,
            });
        }
    }

    /// All fields that anybody has.
    pub fn all(&self) -> FieldSet {
        let sets = self.list.iter().map(|it| &it.fields);
        sets.fold(FieldSet::default(), |all, set| all.union(set))
    }

    /// Which of these fields others have.
    pub fn conflicts(&self, changed: &FieldSet, manager: &Manager) -> Vec<(Manager, FieldSet)> {
        let others = self.list.iter().filter(|it| !it.manager.is(manager));
        let found = others.map(|it| (it.manager.clone(), it.fields.intersection(changed)));
        let mut found: Vec<_> = found.filter(|(_, fields)| !fields.is_empty()).collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// What `manager` changed is no longer the others'; what is gone is nobody's.
    pub fn yield_to(&mut self, compared: &Comparison, manager: &Manager) {
        let taken = compared.added.union(&compared.modified);
        for entry in &mut self.list {
            if !entry.manager.is(manager) {
                entry.fields = entry.fields.difference(&taken);
            }
            entry.fields = entry.fields.difference(&compared.removed);
        }
        self.list.retain(|it| !it.fields.is_empty());
    }

    /// Drops what is the server's and never anybody's.
    pub fn strip(&mut self) {
        let mut ours = FieldSet::default();
        let field = |name: &str| Step::Field(name.to_owned());
        for name in ["apiVersion", "kind", "metadata"] {
            ours.insert(&[field(name)]);
        }
        for name in [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        ] {
            ours.insert(&[field("metadata"), field(name)]);
        }
        for entry in &mut self.list {
            entry.fields = entry.fields.difference(&ours);
        }
        self.list.retain(|it| !it.fields.is_empty());
    }

    /// Sums up the oldest updating managers when there are too many.
    pub fn cap(&mut self) {
        let updates = |it: &Entry| it.manager.operation == Operation::Update;
        self.list.sort_by(|a, b| {
            a.time
                .is_none()
                .cmp(&b.time.is_none())
                .then(a.time.cmp(&b.time))
        });
        while self.list.iter().filter(|it| updates(it)).count() > MOST_UPDATERS {
            let mut oldest = self
                .list
                .iter()
                .filter(|it| updates(it) && it.manager.name != ANCIENT);
            let Some(oldest) = oldest.next().cloned() else {
                return;
            };
            self.list.retain(|it| it.manager != oldest.manager);
            let bucket = Manager::update(ANCIENT, oldest.manager.api_version.clone());
            let sum = self.fields(&bucket).union(&oldest.fields);
            self.set(&bucket, sum);
            if let Some(entry) = self.list.iter_mut().find(|it| it.manager.is(&bucket)) {
                entry.time = oldest.time;
            }
        }
    }

    /// As `metadata.managedFields`, in the real server's order. Who has other
    /// fields than before has them since now. None when nobody is left.
    pub fn encode(mut self, before: &Self, now: Timestamp) -> Option<Value> {
        for entry in &mut self.list {
            if entry.time.is_none() || before.fields(&entry.manager) != entry.fields {
                let summed = entry.manager.name == ANCIENT && entry.time.is_some();
                if !summed {
                    entry.time = Some(timestamp(now));
                }
            }
        }
        self.list.sort_by(|a, b| {
            let key = |it: &Entry| (it.manager.operation, it.time.clone());
            key(a).cmp(&key(b)).then_with(|| a.manager.cmp(&b.manager))
        });
        let encoded: Vec<Value> = self.list.iter().map(encode).collect();
        (!encoded.is_empty()).then(|| json!(encoded))
    }
}

fn encode(entry: &Entry) -> Value {
    let mut encoded = json!({
        "manager": entry.manager.name,
        "operation": match entry.manager.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        },
        "apiVersion": entry.manager.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.encode(),
    });
    if !entry.manager.subresource.is_empty() {
        encoded["subresource"] = json!(entry.manager.subresource);
    }
    encoded
}

//! Who manages which field of an object: `metadata.managedFields`.
//!
//! Every write through the API leaves behind which fields its manager set, in
//! the form of the real server. Server-side apply lives on it: an applied
//! object says all that its manager wants, so that a field which is left out
//! is taken away, and a field that another manager has set to something else
//! is a conflict.
//!
//! Pure: objects, a schema and the time in, an object out.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::schema::Place;

mod entries;
mod path;
mod set;
mod walk;

use entries::Entries;
pub use entries::{Manager, Operation};
use set::FieldSet;
use walk::{Comparison, Mismatch};

/// The annotation in which client-side apply remembers what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager of what was there before anybody was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// A field that another manager has set to something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who has it.
    pub manager: Manager,
    /// Which field.
    pub path: String,
}

/// Why an applied object is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It does not fit its type.
    Mismatch(Mismatch),
    /// Fields belong to others.
    Conflicts(Vec<Conflict>),
}

/// The part of an object that a write can be about; the rest is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All there is.
    Whole,
    /// All but the status.
    Main,
    /// The status only.
    Status,
}

impl Scope {
    /// What in a set a write of this scope cannot have meant.
    fn leaves_out(self, object: &Value) -> FieldSet {
        let mut out = FieldSet::default();
        let mut leave = |name: &str| out.insert(&[path::Step::Field(name.to_owned())]);
        match self {
            Self::Whole => {}
            Self::Main => leave("status"),
            Self::Status => {
                let fields = object.as_object().into_iter().flatten();
                fields
                    .filter(|(name, _)| *name != "status")
                    .for_each(|(name, _)| leave(name));
            }
        }
        out
    }
}

/// Records that `manager` turned `live` into `new`; a new object has no `live`.
/// An object that nobody was recorded for stays so: the lab's own controllers
/// write such.
pub fn record(
    live: Option<&Value>,
    new: &mut Value,
    manager: &Manager,
    scope: Scope,
    place: Place<'_>,
    now: Timestamp,
) {
    let nothing = json!({});
    let old = live.unwrap_or(&nothing);
    let mut entries = entries_of(live, new, manager);
    if live.is_some() && entries.is_empty() && !entries.is_reset() {
        drop_entries(new);
        return;
    }
    let compared = compare(old, new, place);
    let before = entries.clone();
    entries.yield_to(&compared, manager);
    let own = entries.fields(manager).difference(&compared.removed);
    let own = own.union(&compared.added).union(&compared.modified);
    entries.set(manager, own.difference_below(&scope.leaves_out(new)));
    write_entries(new, entries, &before, now);
}

/// The managers to go on from: those that the writer sends, if it sends any.
fn entries_of(live: Option<&Value>, new: &Value, manager: &Manager) -> Entries {
    let of = |object: &Value| Entries::decode(&object["metadata"]["managedFields"]);
    let live = live.and_then(of).unwrap_or_default();
    if !manager.subresource.is_empty() {
        return live;
    }
    match of(new) {
        Some(sent) if !sent.is_empty() || sent.is_reset() => sent,
        _ => live,
    }
}

fn compare(old: &Value, new: &Value, place: Place<'_>) -> Comparison {
    walk::compare(&bare(old), &bare(new), place)
}

/// Without the managers themselves.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    drop_entries(&mut object);
    object
}

fn drop_entries(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

fn write_entries(object: &mut Value, mut entries: Entries, before: &Entries, now: Timestamp) {
    entries.strip();
    entries.cap();
    match entries.encode(before, now) {
        Some(list) => object["metadata"]["managedFields"] = list,
        None => drop_entries(object),
    }
}

/// Applies `config` for `manager`: what it says, less what it said before and
/// says no more. The answer carries the managers.
///
/// # Errors
/// [`Refusal`]; conflicts only without `force`.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    manager: &Manager,
    scope: Scope,
    place: Place<'_>,
    force: bool,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let mut work = Apply::new(live, config, manager, scope, place)?;
    let allowed = (!force && manager.name == "kubectl").then(|| last_applied(&work.live, place));
    work.settle(force, allowed.flatten().as_ref())?;
    let mut object = work.object;
    if manager.name == "kubectl" {
        keep_last_applied(&mut object, config);
    }
    write_entries(&mut object, work.entries, &work.before, now);
    Ok(object)
}

/// One application under way.
struct Apply<'a> {
    live: Value,
    object: Value,
    manager: &'a Manager,
    place: Place<'a>,
    entries: Entries,
    before: Entries,
}

impl<'a> Apply<'a> {
    fn new(
        live: Option<&Value>,
        config: &Value,
        manager: &'a Manager,
        scope: Scope,
        place: Place<'a>,
    ) -> Result<Self, Refusal> {
        let nothing = json!({});
        let entries = live.and_then(|it| Entries::decode(&it["metadata"]["managedFields"]));
        let mut entries = entries.unwrap_or_default();
        let bare_live = bare(live.unwrap_or(&nothing));
        if live.is_some() && entries.is_empty() {
            let all = walk::compare(&nothing, &bare_live, place);
            let version = manager.api_version.clone();
            let first = Manager::update(BEFORE_FIRST_APPLY, version);
            entries.set(&first, all.added.union(&all.modified));
            entries.strip();
        }
        let before = entries.clone();
        let wanted = walk::fields_of(config, place).map_err(Refusal::Mismatch)?;
        let wanted = wanted.difference_below(&scope.leaves_out(config));
        let merged = walk::merge(&bare_live, config, place).map_err(Refusal::Mismatch)?;
        let last = entries.fields(manager);
        entries.set(manager, wanted);
        let mut object = merged;
        // What was applied before and is nobody's now goes, with all that is in it.
        let kept = entries.all().with_parents(place);
        let gone = last.with_parents(place).difference(&kept);
        walk::remove(&mut object, &gone, place);
        Ok(Self {
            live: bare_live,
            object,
            manager,
            place,
            entries,
            before,
        })
    }

    /// Finds conflicts and takes over what is won.
    fn settle(&mut self, force: bool, allowed: Option<&FieldSet>) -> Result<(), Refusal> {
        let compared = walk::compare(&self.live, &self.object, self.place);
        let changed = compared.added.union(&compared.modified);
        let mut conflicts = self.entries.conflicts(&changed, self.manager);
        if let Some(allowed) = allowed {
            conflicts = conflicts
                .into_iter()
                .map(|(manager, fields)| (manager, fields.difference(allowed)))
                .collect();
        }
        let conflicts: Vec<Conflict> = conflicts
            .iter()
            .flat_map(|(manager, fields)| {
                fields.paths().into_iter().map(|path| Conflict {
                    manager: manager.clone(),
                    path,
                })
            })
            .collect();
        if !force && !conflicts.is_empty() {
            return Err(Refusal::Conflicts(conflicts));
        }
        self.entries.yield_to(&compared, self.manager);
        Ok(())
    }
}

/// What client-side apply applied last: kubectl may take that over from itself.
fn last_applied(live: &Value, place: Place<'_>) -> Option<FieldSet> {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    let applied: Value = serde_json::from_str(text).ok()?;
    walk::fields_of(&applied, place).ok()
}

/// Keeps the annotation of client-side apply, where there is one, true.
fn keep_last_applied(object: &mut Value, config: &Value) {
    let annotation = &mut object["metadata"]["annotations"];
    if annotation.get(LAST_APPLIED).is_some() {
        let mut config = bare(config);
        if let Some(all) = config["metadata"]["annotations"].as_object_mut() {
            all.remove(LAST_APPLIED);
        }
        annotation[LAST_APPLIED] = json!(format!("{config}\n"));
    }
}

#[cfg(test)]
mod tests;

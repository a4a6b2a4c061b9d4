//! The lab's memory: every object, and the order in which objects changed.
//!
//! It is a small etcd. One counter, the *resource version*, orders all writes
//! of all kinds. The last few thousand changes are kept, each with the object
//! as it was before, which gives three things for little:
//!
//! - a [`Watch`] is a cursor into that history, not a queue: a slow reader
//!   costs no memory, and one that falls too far behind is told so
//!   ([`StoreError::Expired`], the API's *410 Gone*) and lists again;
//! - the state at an earlier version is the present one with the later changes
//!   undone, so that a list read in pages is one consistent picture;
//! - a filtered watch can tell an object that left the filter from one that
//!   never was in it.
//!
//! Everything is synchronous and short: the lock is never held across an
//! await. Objects are shared (`Arc`), never copied to be read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch as latest;

use super::kinds::Resource;

mod deletion;
mod kinds;
mod stamp;
#[cfg(test)]
mod tests;
mod watch;

pub use deletion::{CLEANUP, Deleted, Deletion, FOREGROUND, ORPHAN};
pub use stamp::{micro_timestamp, new_uid, timestamp};
pub use watch::{Change, Watch, WatchEvent};

/// How many changes are remembered. A reader further behind must list again.
pub const HISTORY: usize = 8192;

/// Where an object is: its kind, its namespace (empty for kinds that live
/// outside namespaces) and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind of the object.
    pub resource: Resource,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, unique in kind and namespace.
    pub name: String,
}

impl Key {
    /// The key of `name` in `namespace`.
    pub fn new(resource: Resource, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            resource,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object, read from its metadata.
    pub fn of(resource: Resource, object: &Value) -> Self {
        let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        Self::new(resource, meta("namespace"), meta("name"))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} \"{}\"", self.resource.qualified(), self.name)
    }
}

/// Why the store refused. The texts are the ones the real API server uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such object.
    #[error("{0} not found")]
    NotFound(Key),
    /// An object of that name is already there.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// Somebody else changed the object since the caller read it.
    #[error(
        "Operation cannot be fulfilled on {0}: the object has been modified; please apply your changes to the latest version and try again"
    )]
    Modified(Key),
    /// A precondition on uid or resource version did not hold.
    #[error("Operation cannot be fulfilled on {0}: Precondition failed: {1}")]
    Precondition(Key, String),
    /// The version asked for is older than what is remembered.
    #[error("too old resource version: {asked} ({oldest})")]
    Expired {
        /// The version asked for.
        asked: u64,
        /// The oldest version that can still be answered.
        oldest: u64,
    },
    /// The version asked for has not happened yet.
    #[error("Too large resource version: {asked}, current: {current}")]
    TooLarge {
        /// The version asked for.
        asked: u64,
        /// The newest version.
        current: u64,
    },
}

/// All objects at one version.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The objects, ordered by namespace and name.
    pub items: Vec<Arc<Value>>,
    /// The version this is the state of. A watch from here misses nothing.
    pub rv: u64,
}

/// All objects as they are while something is being written.
pub struct View<'a>(&'a BTreeMap<Key, Arc<Value>>);

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("View").field(&self.0.len()).finish()
    }
}

impl View<'_> {
    /// The object at `key`.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.0.get(key).cloned()
    }

    /// Every object of a kind, in one namespace or in all.
    pub fn list(&self, resource: Resource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        select(self.0, resource, namespace)
    }
}

struct Inner {
    rv: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Arc<WatchEvent>>,
    /// Changes up to this version are forgotten.
    compacted: u64,
    capacity: usize,
}

/// The store. Cloning it gives another handle to the same objects.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    newest: Arc<latest::Sender<u64>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("rv", &self.rv())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store whose first write has a version above `rv`. A lab that
    /// starts again passes a value above all it used before, so that clients
    /// of its former life are told to list again.
    pub fn new(rv: u64) -> Self {
        Self::with_history(rv, HISTORY)
    }

    /// As [`Store::new`], remembering at most `capacity` changes.
    pub fn with_history(rv: u64, capacity: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                rv,
                objects: BTreeMap::new(),
                history: VecDeque::new(),
                compacted: rv,
                capacity: capacity.max(1),
            })),
            newest: Arc::new(latest::Sender::new(rv)),
        }
    }

    /// The version of the newest write.
    pub fn rv(&self) -> u64 {
        self.lock().rv
    }

    /// The object at `key`.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// Every object of a kind, in one namespace or in all.
    pub fn list(&self, resource: Resource, namespace: Option<&str>) -> Listing {
        let inner = self.lock();
        Listing {
            items: select(&inner.objects, resource, namespace),
            rv: inner.rv,
        }
    }

    /// Every object of a kind as it was at version `rv`.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when that version is forgotten,
    /// [`StoreError::TooLarge`] when it has not happened yet.
    pub fn list_at(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        rv: u64,
    ) -> Result<Listing, StoreError> {
        let inner = self.lock();
        inner.check(rv)?;
        let mut objects: BTreeMap<Key, Arc<Value>> = inner
            .objects
            .iter()
            .filter(|(key, _)| key.resource == resource)
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        let later = inner.history.iter().rev().take_while(|event| event.rv > rv);
        for event in later.filter(|event| event.key.resource == resource) {
            match &event.previous {
                Some(previous) => objects.insert(event.key.clone(), Arc::clone(previous)),
                None => objects.remove(&event.key),
            };
        }
        Ok(Listing {
            items: select(&objects, resource, namespace),
            rv,
        })
    }

    /// Stores a new object, completing `apiVersion`, `kind`, `uid` (unless it
    /// has one), `creationTimestamp`, `resourceVersion` and `generation`.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`].
    pub fn create(&self, resource: Resource, object: Value) -> Result<Arc<Value>, StoreError> {
        self.create_with(resource, object, |_, _| Ok(()))
    }

    /// As [`Store::create`], after `complete` has seen what else there is and
    /// has changed or refused the object; no other write comes in between.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], or whatever `complete` returns.
    pub fn create_with<E: From<StoreError>>(
        &self,
        resource: Resource,
        mut object: Value,
        complete: impl FnOnce(&mut Value, &View<'_>) -> Result<(), E>,
    ) -> Result<Arc<Value>, E> {
        let key = Key::of(resource, &object);
        let mut inner = self.lock();
        if inner.objects.contains_key(&key) {
            return Err(StoreError::AlreadyExists(key).into());
        }
        complete(&mut object, &View(&inner.objects))?;
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.names().kind);
        let metadata = &mut object["metadata"];
        if !metadata["uid"].is_string() {
            metadata["uid"] = json!(new_uid());
        }
        metadata["creationTimestamp"] = json!(timestamp(Timestamp::now()));
        if resource.has_generation() {
            metadata["generation"] = json!(1);
        }
        Ok(self.commit(&mut inner, Change::Added, key, object))
    }

    /// Puts back an object that an earlier life of the lab had stored, with
    /// its uid, creation time and generation; only its version is new.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`].
    pub fn restore(&self, resource: Resource, object: Value) -> Result<Arc<Value>, StoreError> {
        let key = Key::of(resource, &object);
        let mut inner = self.lock();
        if inner.objects.contains_key(&key) {
            return Err(StoreError::AlreadyExists(key));
        }
        Ok(self.commit(&mut inner, Change::Added, key, object))
    }

    /// Replaces an object. When the given one names a version or a uid it must
    /// be the stored one's. A replacement that changes nothing is no write.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Modified`],
    /// [`StoreError::Precondition`].
    pub fn update(&self, resource: Resource, object: Value) -> Result<Arc<Value>, StoreError> {
        let key = Key::of(resource, &object);
        let mut inner = self.lock();
        let current = inner.find(&key)?;
        let given = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        if !given("uid").is_empty() && current["metadata"]["uid"] != given("uid") {
            return Err(uid_mismatch(&key, given("uid"), &current));
        }
        let rv = given("resourceVersion");
        if !rv.is_empty() && current["metadata"]["resourceVersion"] != rv {
            return Err(StoreError::Modified(key));
        }
        Ok(self.replace(&mut inner, key, &current, object))
    }

    /// Changes an object in place, atomically: no other write comes between
    /// reading and writing. A change that changes nothing is no write.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or whatever `change` returns; nothing is
    /// written then.
    pub fn update_with<E: From<StoreError>>(
        &self,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), E>,
    ) -> Result<Arc<Value>, E> {
        self.update_seeing(key, |object, _| change(object))
    }

    /// As [`Store::update_with`]; `change` also sees what else there is.
    ///
    /// # Errors
    /// As [`Store::update_with`].
    pub fn update_seeing<E: From<StoreError>>(
        &self,
        key: &Key,
        change: impl FnOnce(&mut Value, &View<'_>) -> Result<(), E>,
    ) -> Result<Arc<Value>, E> {
        let mut inner = self.lock();
        let current = inner.find(key)?;
        let mut object = Value::clone(&current);
        change(&mut object, &View(&inner.objects))?;
        Ok(self.replace(&mut inner, key.clone(), &current, object))
    }

    /// Removes an object for good, whatever its state; none when it is not
    /// there. With `uid`, only when the object is still that one: a name may
    /// have been taken by a successor.
    pub fn remove(&self, key: &Key, uid: Option<&str>) -> Option<Arc<Value>> {
        let mut inner = self.lock();
        let current = inner.objects.get(key).cloned()?;
        if uid.is_some_and(|uid| current["metadata"]["uid"] != uid) {
            return None;
        }
        Some(self.take(&mut inner, key, &current))
    }

    /// Follows the changes of some kinds made after version `from`.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when changes after `from` are already
    /// forgotten, [`StoreError::TooLarge`] when it has not happened yet.
    pub fn watch(&self, resources: &[Resource], from: u64) -> Result<Watch, StoreError> {
        self.lock().check(from)?;
        Ok(Watch::new(self, Some(resources), from))
    }

    /// Everything of some kinds now, and a watch that continues from there.
    pub fn list_and_watch(&self, resources: &[Resource]) -> (Vec<Arc<Value>>, Watch) {
        let inner = self.lock();
        let items = resources
            .iter()
            .flat_map(|resource| select(&inner.objects, *resource, None))
            .collect();
        (items, Watch::new(self, Some(resources), inner.rv))
    }

    /// Everything of every kind, also of kinds that are yet to be defined, and
    /// a watch that continues from there.
    pub fn list_and_watch_all(&self) -> (Vec<Arc<Value>>, Watch) {
        let inner = self.lock();
        let watch = Watch::new(self, None, inner.rv);
        (inner.objects.values().cloned().collect(), watch)
    }

    /// Another store with the same objects, to try out a write that shall not
    /// happen.
    pub fn fork(&self) -> Self {
        let inner = self.lock();
        let fork = Self::with_history(inner.rv, 1);
        fork.lock().objects.clone_from(&inner.objects);
        fork
    }

    /// Forgets all changes up to now, as etcd's compaction does: who has not
    /// read them yet must list again.
    pub fn compact(&self) {
        let mut inner = self.lock();
        inner.history.clear();
        inner.compacted = inner.rv;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs between two writes of one change, so the
        // state behind a poisoned lock is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(
        &self,
        inner: &mut Inner,
        key: Key,
        current: &Arc<Value>,
        mut object: Value,
    ) -> Arc<Value> {
        object["apiVersion"] = current["apiVersion"].clone();
        object["kind"] = current["kind"].clone();
        for field in ["uid", "creationTimestamp", "resourceVersion", "generation"] {
            match current["metadata"].get(field) {
                Some(kept) => object["metadata"][field] = kept.clone(),
                None => {
                    if let Some(metadata) = object["metadata"].as_object_mut() {
                        metadata.remove(field);
                    }
                }
            }
        }
        if object == **current {
            return Arc::clone(current);
        }
        if key.resource.has_generation() && object["spec"] != current["spec"] {
            let generation = current["metadata"]["generation"].as_u64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        if deletion::is_due(key.resource, &object) {
            return self.commit(inner, Change::Deleted, key, object);
        }
        self.commit(inner, Change::Modified, key, object)
    }

    fn take(&self, inner: &mut Inner, key: &Key, current: &Arc<Value>) -> Arc<Value> {
        self.commit(inner, Change::Deleted, key.clone(), Value::clone(current))
    }

    fn commit(&self, inner: &mut Inner, change: Change, key: Key, mut object: Value) -> Arc<Value> {
        inner.rv += 1;
        object["metadata"]["resourceVersion"] = json!(inner.rv.to_string());
        let object = Arc::new(object);
        let previous = match change {
            Change::Deleted => inner.objects.remove(&key),
            Change::Added | Change::Modified => {
                inner.objects.insert(key.clone(), Arc::clone(&object))
            }
        };
        inner.history.push_back(Arc::new(WatchEvent {
            change,
            key,
            object: Arc::clone(&object),
            previous,
            rv: inner.rv,
            json: OnceLock::new(),
        }));
        while inner.history.len() > inner.capacity {
            if let Some(forgotten) = inner.history.pop_front() {
                inner.compacted = forgotten.rv;
            }
        }
        self.newest.send_replace(inner.rv);
        object
    }
}

impl Inner {
    fn find(&self, key: &Key) -> Result<Arc<Value>, StoreError> {
        let found = self.objects.get(key).cloned();
        found.ok_or_else(|| StoreError::NotFound(key.clone()))
    }

    fn check(&self, rv: u64) -> Result<(), StoreError> {
        if rv < self.compacted {
            return Err(StoreError::Expired {
                asked: rv,
                oldest: self.compacted,
            });
        }
        if rv > self.rv {
            return Err(StoreError::TooLarge {
                asked: rv,
                current: self.rv,
            });
        }
        Ok(())
    }
}

fn select(
    objects: &BTreeMap<Key, Arc<Value>>,
    resource: Resource,
    namespace: Option<&str>,
) -> Vec<Arc<Value>> {
    let from = Key::new(resource, namespace.unwrap_or_default(), "");
    objects
        .range(from..)
        .take_while(|(key, _)| {
            key.resource == resource && namespace.is_none_or(|wanted| key.namespace == wanted)
        })
        .map(|(_, object)| Arc::clone(object))
        .collect()
}

fn uid_mismatch(key: &Key, given: &str, current: &Value) -> StoreError {
    let stored = current["metadata"]["uid"].as_str().unwrap_or_default();
    StoreError::Precondition(
        key.clone(),
        format!("UID in precondition: {given}, UID in object meta: {stored}"),
    )
}

//! Controllers: what makes the objects that are the objects that were asked for.
//!
//! One task follows the store and keeps a set of objects that need a look. A
//! look compares what is with what should be and writes at most the next step;
//! the write comes back as a change and causes the next look. Nothing is
//! polled; the only timer is for what time itself changes (a pod that counts
//! as available after `minReadySeconds`, a rollout that is too slow, an event
//! that is old).
//!
//! - [`deployments`]: a deployment → replica sets, one for each template
//! - [`replicasets`]: a replica set → pods
//! - [`scheduler`]: a pod → a node
//! - [`garbage`]: what belonged to something that is gone → gone
//! - [`namespaces`]: a namespace that ends → empty, then gone

pub mod deployments;
pub mod garbage;
pub mod namespaces;
pub(crate) mod owned;
pub mod replicasets;
pub mod scheduler;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::kinds::Resource;
use super::recorder;
use super::store::{Key, Store, WatchEvent};

/// The kinds whose changes concern a controller.
const FOLLOWED: [Resource; 6] = [
    Resource::Namespaces,
    Resource::Nodes,
    Resource::Deployments,
    Resource::ReplicaSets,
    Resource::Pods,
    Resource::Events,
];

/// Runs the controllers until they are stopped.
pub async fn run(store: Store, stop: CancellationToken) {
    let mut work = Work {
        store,
        dirty: BTreeSet::new(),
        later: BTreeMap::new(),
    };
    while !stop.is_cancelled() {
        let (objects, mut watch) = work.store.list_and_watch(&FOLLOWED);
        work.all(&objects);
        loop {
            work.settle();
            let event = tokio::select! {
                event = watch.next() => event,
                () = work.timer() => continue,
                () = stop.cancelled() => return,
            };
            // An error means that too much happened at once: look at everything.
            let Ok(event) = event else { break };
            work.note(&event);
            while let Ok(Some(event)) = watch.try_next() {
                work.note(&event);
            }
        }
    }
}

struct Work {
    store: Store,
    dirty: BTreeSet<Key>,
    /// What needs a look when time has passed.
    later: BTreeMap<Key, Instant>,
}

impl Work {
    fn all(&mut self, objects: &[std::sync::Arc<Value>]) {
        for object in objects {
            let kind = object["kind"].as_str().unwrap_or_default();
            let resource = FOLLOWED.into_iter().find(|it| it.names().kind == kind);
            if let Some(resource) = resource {
                self.dirty.insert(Key::of(resource, object));
            }
        }
    }

    /// Marks what a change concerns.
    fn note(&mut self, event: &WatchEvent) {
        self.dirty.insert(event.key.clone());
        for object in std::iter::once(&event.object).chain(&event.previous) {
            self.mark_owners(object, &event.key.namespace);
        }
        match event.key.resource {
            // An orphan may be what a replica set lacks.
            Resource::Pods => self.mark_all(Resource::ReplicaSets, &event.key.namespace),
            // It may take what waits for a node.
            Resource::Nodes => {
                for pod in self.store.list(Resource::Pods, None).items {
                    self.dirty.insert(Key::of(Resource::Pods, &pod));
                }
            }
            _ => {}
        }
        let namespace = Key::new(Resource::Namespaces, "", &event.key.namespace);
        let ending = self.store.get(&namespace);
        if ending.is_some_and(|it| it["metadata"]["deletionTimestamp"].is_string()) {
            self.dirty.insert(namespace);
        }
    }

    /// Marks the owners of an object, and theirs: a deployment waits for pods
    /// to end that its replica sets no longer count.
    fn mark_owners(&mut self, object: &Value, namespace: &str) {
        for owner in owned::owners(object) {
            let key = Key::new(owner.resource, namespace, owner.name);
            if let Some(owner) = self.store.get(&key) {
                self.mark_owners(&owner, namespace);
            }
            self.dirty.insert(key);
        }
    }

    fn mark_all(&mut self, resource: Resource, namespace: &str) {
        for object in self.store.list(resource, Some(namespace)).items {
            self.dirty.insert(Key::of(resource, &object));
        }
    }

    /// Looks at everything that is marked.
    fn settle(&mut self) {
        let now = Instant::now();
        let due: Vec<Key> = self
            .later
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        self.dirty.extend(due);
        for key in std::mem::take(&mut self.dirty) {
            self.later.remove(&key);
            if let Some(wait) = self.look(&key) {
                self.later.insert(key, now + wait);
            }
        }
    }

    /// Looks at one object; says how long to wait when time must pass.
    fn look(&self, key: &Key) -> Option<Duration> {
        let Some(object) = self.store.get(key) else {
            garbage::owner_gone(&self.store, key);
            return None;
        };
        if garbage::collect(&self.store, key, &object) {
            return None;
        }
        match key.resource {
            Resource::Deployments => deployments::reconcile(&self.store, key, &object),
            Resource::ReplicaSets => replicasets::reconcile(&self.store, key, &object),
            Resource::Pods => {
                scheduler::schedule(&self.store, key, &object);
                None
            }
            Resource::Namespaces => {
                namespaces::reconcile(&self.store, key, &object);
                None
            }
            Resource::Events => self.expire(key, &object),
            _ => None,
        }
    }

    fn expire(&self, key: &Key, event: &Value) -> Option<Duration> {
        let last = ["lastTimestamp", "eventTime"]
            .into_iter()
            .find_map(|field| event[field].as_str()?.parse::<Timestamp>().ok())
            .or_else(|| {
                event["metadata"]["creationTimestamp"]
                    .as_str()?
                    .parse()
                    .ok()
            })?;
        let left = recorder::KEPT - Timestamp::now().duration_since(last);
        if left.is_positive() {
            return Duration::try_from(left).ok();
        }
        self.store.remove(key, None);
        None
    }

    /// Waits until the first of what time changes is due.
    async fn timer(&self) {
        match self.later.values().min() {
            Some(at) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }
}

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
//! - [`statefulsets`]: a stateful set → pods and claims with names of their own
//! - [`jobs`]: a job → pods, until enough of them have succeeded
//! - [`scheduler`]: a pod → a node
//! - [`endpoints`]: a service → where its pods are
//! - [`disruption`]: a disruption budget → how many pods may be evicted now
//! - [`volumes`]: a claim → a volume; a released volume → gone
//! - [`nodes`]: a silent node → not ready, and its pods → elsewhere
//! - [`garbage`]: what belonged to something that is gone → gone
//! - [`namespaces`]: a namespace → its account and authority; one that ends →
//!   empty, then gone

pub mod conditions;
pub mod customs;
pub mod deployments;
pub mod disruption;
pub mod endpoints;
pub mod garbage;
pub mod jobs;
pub mod namespaces;
pub mod nodes;
pub(crate) mod owned;
pub mod replicasets;
pub mod scheduler;
pub mod statefulsets;
pub mod taints;
pub mod volumes;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::kinds::Resource;
use super::recorder;
use super::runtime::Bounded;
use super::store::{Change, Key, Store, WatchEvent};

/// What the controllers work with besides the store.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where shares and disks are, to be removed with their volumes.
    pub shares: Option<PathBuf>,
    /// Where disks are instead that have an end.
    pub bounded: Option<Bounded>,
    /// The certificate by which pods know the server.
    pub authority: Option<String>,
    /// A node that is silent for so long counts as dead.
    pub node_monitor_grace: Duration,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            shares: None,
            bounded: None,
            authority: None,
            node_monitor_grace: nodes::GRACE,
        }
    }
}

/// Runs the controllers until they are stopped, with nothing but the store.
pub async fn run(store: Store, stop: CancellationToken) {
    run_in(store, Surroundings::default(), stop).await;
}

/// Runs the controllers until they are stopped.
pub async fn run_in(store: Store, surroundings: Surroundings, stop: CancellationToken) {
    let mut work = Work {
        store,
        nodes: nodes::Monitor::new(surroundings.node_monitor_grace),
        surroundings,
        index: garbage::Index::default(),
        waiting: BTreeSet::new(),
        dirty: BTreeSet::new(),
        later: BTreeMap::new(),
    };
    while !stop.is_cancelled() {
        let (objects, mut watch) = work.store.list_and_watch_all();
        // What was learned before is gone, but for how long the nodes are silent.
        work.index = garbage::Index::default();
        work.waiting.clear();
        work.dirty.clear();
        work.later.clear();
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
    surroundings: Surroundings,
    index: garbage::Index,
    nodes: nodes::Monitor,
    /// Pods for which there is no node.
    waiting: BTreeSet<Key>,
    dirty: BTreeSet<Key>,
    /// What needs a look when time has passed.
    later: BTreeMap<Key, Instant>,
}

impl Work {
    fn all(&mut self, objects: &[Arc<Value>]) {
        for object in objects {
            let text = |field: &str| object[field].as_str().unwrap_or_default();
            let resource = self.store.kind_of(text("apiVersion"), text("kind"));
            if let Some(resource) = resource {
                let key = Key::of(resource, object);
                self.index.note(&key, None, Some(object));
                self.dirty.insert(key);
            }
        }
    }

    /// Marks what a change concerns.
    fn note(&mut self, event: &WatchEvent) {
        let gone = event.change == Change::Deleted;
        let now = (!gone).then_some(event.object.as_ref());
        self.index.note(&event.key, event.previous.as_deref(), now);
        self.dirty.insert(event.key.clone());
        if gone {
            self.dirty.extend(self.index.of(&event.object).cloned());
        }
        for object in std::iter::once(&event.object).chain(&event.previous) {
            self.mark_owners(object, &event.key.namespace);
            self.mark_concerned(&event.key, object);
        }
        match event.key.resource {
            Resource::Nodes => self.mark_of_node(event),
            Resource::Pods if scheduler::matters(event) => {
                self.dirty.extend(self.waiting.iter().cloned());
            }
            _ => {}
        }
        let namespace = Key::new(Resource::Namespaces, "", &event.key.namespace);
        let furniture = matches!(
            event.key.resource,
            Resource::ServiceAccounts | Resource::ConfigMaps
        );
        if furniture || self.is_ending(&namespace) {
            self.dirty.insert(namespace);
        }
    }

    fn is_ending(&self, namespace: &Key) -> bool {
        let found = self.store.get(namespace);
        found.is_some_and(|it| it["metadata"]["deletionTimestamp"].is_string())
    }

    /// Marks what a change of an object concerns besides it and its owners.
    fn mark_concerned(&mut self, key: &Key, object: &Value) {
        let namespace = &key.namespace;
        match key.resource {
            Resource::Pods => self.mark_of_pod(namespace, object),
            // An orphan may be what one of them lacks.
            Resource::ReplicaSets if owned::manager(object).is_none() => {
                self.mark_all(Resource::Deployments, namespace);
            }
            Resource::ControllerRevisions if owned::manager(object).is_none() => {
                self.mark_all(Resource::StatefulSets, namespace);
            }
            // Pods may have been refused for want of it.
            Resource::ServiceAccounts => {
                for resource in [
                    Resource::ReplicaSets,
                    Resource::StatefulSets,
                    Resource::Jobs,
                ] {
                    self.mark_all(resource, namespace);
                }
            }
            // Its definition may wait for its end, or another for its names.
            Resource::Custom(_) | Resource::CustomResourceDefinitions => {
                let kind = Resource::CustomResourceDefinitions;
                for definition in self.store.list(kind, None).items {
                    self.dirty.insert(Key::of(kind, &definition));
                }
            }
            Resource::Leases => self.dirty.extend(nodes::of_lease(key)),
            // Its budget may be a share of the pods it asks for.
            resource if resource.about().scale.is_some() => {
                self.mark_all(Resource::PodDisruptionBudgets, namespace);
            }
            Resource::EndpointSlices => {
                if let Some(service) = object["metadata"]["labels"][endpoints::SERVICE].as_str() {
                    let key = Key::new(Resource::Services, namespace, service);
                    self.dirty.insert(key);
                }
            }
            Resource::PersistentVolumeClaims => {
                let waiting = self.waiting.iter().filter(|it| it.namespace == *namespace);
                self.dirty.extend(waiting.cloned());
                if let Some(volume) = object["spec"]["volumeName"].as_str() {
                    let key = Key::new(Resource::PersistentVolumes, "", volume);
                    self.dirty.insert(key);
                }
            }
            // A claim may wait for it.
            Resource::PersistentVolumes | Resource::StorageClasses => {
                for claim in self
                    .store
                    .list(Resource::PersistentVolumeClaims, None)
                    .items
                {
                    let key = Key::of(Resource::PersistentVolumeClaims, &claim);
                    self.dirty.insert(key);
                }
            }
            _ => {}
        }
    }

    fn mark_of_pod(&mut self, namespace: &str, pod: &Value) {
        if owned::manager(pod).is_none() {
            for resource in [
                Resource::ReplicaSets,
                Resource::StatefulSets,
                Resource::Jobs,
            ] {
                self.mark_all(resource, namespace);
            }
        }
        let labels = &pod["metadata"]["labels"];
        for service in self.store.list(Resource::Services, Some(namespace)).items {
            if endpoints::selects(&service, labels) {
                self.dirty.insert(Key::of(Resource::Services, &service));
            }
        }
        for budget in disruption::of_pod(&self.store, pod) {
            let key = Key::of(Resource::PodDisruptionBudgets, &budget);
            self.dirty.insert(key);
        }
        for claim in volumes::claims_of(pod) {
            let key = Key::new(Resource::PersistentVolumeClaims, namespace, claim);
            self.dirty.insert(key);
        }
    }

    /// Marks what a change of a node concerns: the other nodes, the pods that are
    /// on it and those for which there was no place.
    fn mark_of_node(&mut self, event: &WatchEvent) {
        if event.change != Change::Deleted
            && !nodes::matters(event.previous.as_deref(), &event.object)
        {
            return;
        }
        self.dirty.extend(self.waiting.iter().cloned());
        for node in self.store.list(Resource::Nodes, None).items {
            self.dirty.insert(Key::of(Resource::Nodes, &node));
        }
        for pod in self.store.list(Resource::Pods, None).items {
            if pod["spec"]["nodeName"] == event.key.name.as_str() {
                self.dirty.insert(Key::of(Resource::Pods, &pod));
            }
        }
    }

    /// Marks the owners of an object, and theirs: a deployment waits for pods
    /// to end that its replica sets no longer count.
    fn mark_owners(&mut self, object: &Value, namespace: &str) {
        for owner in owned::owners(object) {
            let key = owner.key(namespace);
            if let Some(owner) = self.store.get(&key) {
                // No further: owners may be written down in a circle.
                self.dirty
                    .extend(owned::owners(&owner).map(|it| it.key(namespace)));
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
    fn look(&mut self, key: &Key) -> Option<Duration> {
        let Some(object) = self.store.get(key) else {
            self.waiting.remove(key);
            if key.resource == Resource::Nodes {
                self.nodes.node_gone(&self.store, key);
            }
            return None;
        };
        if key.resource == Resource::Pods {
            jobs::release_forgotten(&self.store, key, &object);
        }
        if garbage::collect(&self.store, &self.index, key, &object) {
            return None;
        }
        // Collecting may have changed it.
        let object = self.store.get(key)?;
        let store = &self.store;
        match key.resource {
            Resource::Deployments => return deployments::reconcile(store, key, &object),
            Resource::ReplicaSets => return replicasets::reconcile(store, key, &object),
            Resource::StatefulSets => return statefulsets::reconcile(store, key, &object),
            Resource::Jobs => return jobs::reconcile(store, key, &object),
            Resource::PodDisruptionBudgets => return disruption::reconcile(store, key, &object),
            Resource::Events => return self.expire(key, &object),
            Resource::Pods => return self.look_at_pod(key, &object),
            Resource::Nodes => return self.nodes.reconcile(store, key, &object),
            Resource::Services => endpoints::reconcile(store, key, &object),
            Resource::PersistentVolumeClaims => {
                return volumes::reconcile_claim(store, key, &object, &self.surroundings);
            }
            Resource::PersistentVolumes => {
                volumes::reconcile_volume(store, key, &object, &self.surroundings);
            }
            Resource::Namespaces => {
                let authority = self.surroundings.authority.as_deref();
                namespaces::reconcile(store, key, &object, authority);
            }
            Resource::CustomResourceDefinitions => customs::reconcile(store, key, &object),
            _ => {}
        }
        None
    }

    fn look_at_pod(&mut self, key: &Key, pod: &Value) -> Option<Duration> {
        if scheduler::schedule(&self.store, key, pod) {
            self.waiting.insert(key.clone());
        } else {
            self.waiting.remove(key);
        }
        let leaves = self.nodes.evict(&self.store, key, pod);
        let given_up = self.nodes.collect(&self.store, key, pod);
        leaves.into_iter().chain(given_up).min()
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

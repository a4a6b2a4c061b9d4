//! Deployments: one replica set for each template, and the way from one to the
//! next.

mod progress;
mod rollout;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::owned::{self, count};
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// Label that tells a deployment's replica sets apart.
const HASH: &str = "pod-template-hash";
/// Annotation that counts a deployment's templates.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A deployment and its replica sets, at one look.
struct Look<'a> {
    store: &'a Store,
    key: &'a Key,
    deployment: &'a Value,
    /// The set of the present template.
    new: Option<Arc<Value>>,
    /// The sets of earlier templates, oldest first.
    old: Vec<Arc<Value>>,
    recorder: Recorder,
}

/// Makes the next step towards the present template and writes the status.
/// Says how long to wait until a rollout counts as stuck.
pub fn reconcile(store: &Store, key: &Key, deployment: &Value) -> Option<Duration> {
    let sets = owned::claimed(store, deployment, Resource::ReplicaSets);
    let template = without_hash(&deployment["spec"]["template"]);
    let (mut new, mut old): (Vec<_>, Vec<_>) = sets
        .into_iter()
        .partition(|set| without_hash(&set["spec"]["template"]) == template);
    new.sort_by_key(|set| (revision(set), owned::created(set)));
    old.sort_by_key(|set| (revision(set), owned::created(set)));
    let mut look = Look {
        store,
        key,
        deployment,
        new: (!new.is_empty()).then(|| new.remove(0)),
        old,
        recorder: Recorder::new(store.clone(), "deployment-controller", None),
    };
    look.old.extend(new);
    let ending = deployment["metadata"]["deletionTimestamp"].is_string();
    if !ending {
        if deployment["spec"]["paused"] == true {
            look.keep_size();
        } else {
            look.name_new_set();
            look.roll_out();
            look.forget_oldest();
        }
    }
    look.write_status()
}

impl Look<'_> {
    /// Makes the replica set of the present template if there is none, and
    /// gives it the highest revision.
    fn name_new_set(&mut self) {
        let highest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        match &self.new {
            None => self.new = self.create_set(highest + 1),
            Some(set) if revision(set) <= highest => {
                let key = Key::of(Resource::ReplicaSets, set);
                let counted = self.store.update_with(&key, |set| {
                    set["metadata"]["annotations"][REVISION] = json!((highest + 1).to_string());
                    Ok::<(), StoreError>(())
                });
                self.new = counted.ok().or_else(|| self.new.take());
            }
            Some(_) => {}
        }
        let Some(new) = &self.new else { return };
        let number = json!(revision(new).to_string());
        if self.deployment["metadata"]["annotations"][REVISION] != number {
            // Gone in the meantime: its number is of no use.
            let _ = self.store.update_with(self.key, |deployment| {
                deployment["metadata"]["annotations"][REVISION] = number;
                Ok::<(), StoreError>(())
            });
        }
    }

    fn create_set(&self, revision: u64) -> Option<Arc<Value>> {
        let (metadata, spec) = (&self.deployment["metadata"], &self.deployment["spec"]);
        let collisions = count(&self.deployment["status"]["collisionCount"], 0);
        let hash = owned::short_hash(&spec["template"], collisions);
        let name = format!("{}-{hash}", self.key.name);
        let mut template = spec["template"].clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = spec["selector"].clone();
        selector["matchLabels"][HASH] = json!(hash);
        let mut annotations = metadata["annotations"].clone();
        annotations[REVISION] = json!(revision.to_string());
        let set = json!({
            "metadata": {
                "name": name,
                "namespace": self.key.namespace,
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [owned::reference(self.deployment)],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": count(&spec["minReadySeconds"], 0),
                "selector": selector,
                "template": template,
            },
        });
        match self.store.create(Resource::ReplicaSets, set) {
            Ok(set) => Some(set),
            Err(_) => {
                // The name belongs to a set of another template: another hash
                // next time.
                let _ = self.store.update_with(self.key, |deployment| {
                    deployment["status"]["collisionCount"] = json!(collisions + 1);
                    Ok::<(), StoreError>(())
                });
                None
            }
        }
    }

    /// Sets the size of a replica set and says so.
    fn scale(&self, set: &Value, size: u64) {
        let before = count(&set["spec"]["replicas"], 0);
        if before == size {
            return;
        }
        let key = Key::of(Resource::ReplicaSets, set);
        let scaled = self.store.update_with(&key, |set| {
            set["spec"]["replicas"] = json!(size);
            Ok::<(), StoreError>(())
        });
        if scaled.is_ok() {
            let direction = if size > before { "up" } else { "down" };
            let name = &key.name;
            let message = format!("Scaled {direction} replica set {name} from {before} to {size}");
            self.recorder
                .normal(self.deployment, "ScalingReplicaSet", &message);
        }
    }

    fn wanted(&self) -> u64 {
        count(&self.deployment["spec"]["replicas"], 1)
    }

    fn sets(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    /// A paused deployment keeps its templates but follows its size, in the
    /// newest set that has pods.
    fn keep_size(&self) {
        let active = |set: &&Arc<Value>| count(&set["spec"]["replicas"], 0) > 0;
        let total: u64 = self
            .sets()
            .map(|set| count(&set["spec"]["replicas"], 0))
            .sum();
        let newest = self.new.iter().find(active);
        let newest = newest.or_else(|| self.old.iter().rev().find(active));
        if let Some(set) = newest.or(self.new.as_ref()) {
            let own = count(&set["spec"]["replicas"], 0);
            self.scale(set, (self.wanted() + own).saturating_sub(total));
        }
    }

    /// Deletes the empty sets beyond the history that is to be kept.
    fn forget_oldest(&self) {
        let kept = count(&self.deployment["spec"]["revisionHistoryLimit"], 10) as usize;
        let empty: Vec<&Arc<Value>> = self
            .old
            .iter()
            .filter(|set| count(&set["spec"]["replicas"], 0) == 0)
            .filter(|set| count(&set["status"]["replicas"], 0) == 0)
            .collect();
        let surplus = empty.len().saturating_sub(kept);
        for set in empty.into_iter().take(surplus) {
            // Somebody else may have deleted it: just as well.
            let _ = self
                .store
                .delete(&Key::of(Resource::ReplicaSets, set), &Deletion::default());
        }
    }
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}

fn revision(set: &Value) -> u64 {
    let text = set["metadata"]["annotations"][REVISION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;

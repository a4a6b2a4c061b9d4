//! Deployments: one replica set for each template, and the way from one to the
//! next.

mod progress;
mod rollout;
mod scaling;

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
/// Annotation of a set with the numbers that it had before.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotation of a set with the size of its deployment when the set was sized.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation of a set with how many pods there might be at most then.
const MOST: &str = "deployment.kubernetes.io/max-replicas";
/// What a deployment's annotations are that are not its sets'.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
];

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
        let paused = deployment["spec"]["paused"] == true;
        if paused || look.is_scaling() {
            look.follow_new_set();
            look.resize();
        } else {
            look.roll_out();
        }
        if paused || look.is_complete() {
            look.forget_oldest();
        }
    }
    look.write_status()
}

impl Look<'_> {
    /// Makes the replica set of the present template if there is none, and
    /// gives it the highest revision.
    fn name_new_set(&mut self) {
        if self.new.is_none() {
            let highest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
            self.new = self.create_set(highest + 1);
        }
        self.follow_new_set();
    }

    /// Gives the set of the present template the highest revision, and what it
    /// takes over from its deployment.
    fn follow_new_set(&mut self) {
        let Some(new) = &self.new else { return };
        let highest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        let own = revision(new);
        let number = if own > highest { own } else { highest + 1 };
        let deployment = self.deployment;
        let key = Key::of(Resource::ReplicaSets, new);
        let followed = self.store.update_with(&key, |set| {
            let annotations = &mut set["metadata"]["annotations"];
            for (name, value) in inherited(deployment) {
                annotations[name] = value.clone();
            }
            if number != own {
                annotations[REVISION] = json!(number.to_string());
                let before = annotations[HISTORY].as_str().unwrap_or_default();
                let comma = if before.is_empty() { "" } else { "," };
                annotations[HISTORY] = json!(format!("{before}{comma}{own}"));
            }
            let seconds = count(&deployment["spec"]["minReadySeconds"], 0);
            if count(&set["spec"]["minReadySeconds"], 0) != seconds {
                set["spec"]["minReadySeconds"] = json!(seconds);
            }
            Ok::<(), StoreError>(())
        });
        self.new = followed.ok().or_else(|| self.new.take());
        // Gone in the meantime: its number is of no use.
        let _ = self.store.update_with(self.key, |deployment| {
            deployment["metadata"]["annotations"][REVISION] = json!(number.to_string());
            progress::found(&mut deployment["status"], &key.name);
            Ok::<(), StoreError>(())
        });
    }

    fn create_set(&self, revision: u64) -> Option<Arc<Value>> {
        let spec = &self.deployment["spec"];
        let collisions = count(&self.deployment["status"]["collisionCount"], 0);
        let hash = owned::short_hash(&spec["template"], collisions);
        let name = format!("{}-{hash}", self.key.name);
        let mut template = spec["template"].clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = spec["selector"].clone();
        selector["matchLabels"][HASH] = json!(hash);
        let mut annotations = json!({REVISION: revision.to_string()});
        for (name, value) in inherited(self.deployment) {
            annotations[name] = value.clone();
        }
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
            Ok(set) => {
                // Gone in the meantime: nobody asks how it goes.
                let _ = self.store.update_with(self.key, |deployment| {
                    progress::created(&mut deployment["status"], &name);
                    Ok::<(), StoreError>(())
                });
                Some(set)
            }
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

    /// Sets the size of a replica set, notes for which size of the deployment,
    /// and says so.
    fn scale(&self, set: &Value, size: u64) {
        let before = count(&set["spec"]["replicas"], 0);
        let key = Key::of(Resource::ReplicaSets, set);
        let (wanted, most) = (self.wanted(), self.wanted() + self.surge());
        let scaled = self.store.update_with(&key, |set| {
            set["spec"]["replicas"] = json!(size);
            let annotations = &mut set["metadata"]["annotations"];
            annotations[DESIRED] = json!(wanted.to_string());
            annotations[MOST] = json!(most.to_string());
            Ok::<(), StoreError>(())
        });
        if scaled.is_ok() && before != size {
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

/// What a set takes over of its deployment's annotations.
fn inherited(deployment: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let annotations = deployment["metadata"]["annotations"].as_object();
    annotations
        .into_iter()
        .flatten()
        .filter(|(name, _)| !OWN.contains(&name.as_str()))
}

/// A number in a set's annotations.
fn annotated(set: &Value, name: &str) -> Option<u64> {
    set["metadata"]["annotations"][name].as_str()?.parse().ok()
}

/// How many pods a set is to have.
fn size(set: &Value) -> u64 {
    count(&set["spec"]["replicas"], 0)
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

//! Stateful sets: pods with names and disks of their own, in order.

mod claims;
mod plan;
mod revisions;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::plan::{Replica, Step, Wanted};
use self::revisions::Revisions;
use super::owned::{self, count};
use crate::lab::kinds::Resource;
use crate::lab::recorder::Recorder;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// Label of a pod with its own name, so that a service can mean just one.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Label of a pod with its ordinal.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Makes the next steps and writes the status. Says how long to wait when a
/// pod will count as available by time.
pub fn reconcile(store: &Store, key: &Key, set: &Value) -> Option<Duration> {
    let parent = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        plan::ordinal(&key.name, name).is_some()
    };
    let pods = owned::claimed_where(store, set, Resource::Pods, parent);
    let revisions = revisions::of(store, set)?;
    let minimum = SignedDuration::from_secs(count(&set["spec"]["minReadySeconds"], 0) as i64);
    let now = Timestamp::now();
    let replicas: Vec<Replica> = pods
        .iter()
        .filter_map(|pod| Replica::of(&key.name, minimum, pod, now))
        .collect();
    let look = Look {
        store,
        key,
        set,
        revisions,
        recorder: Recorder::new(store.clone(), "statefulset-controller", None),
    };
    let wanted = Wanted::of(set, name(&look.revisions.update));
    for pod in &replicas {
        claims::hold(store, set, &pod.name, look.given_up(&wanted, pod, &pods));
    }
    if !set["metadata"]["deletionTimestamp"].is_string() {
        for step in plan::plan(&wanted, &replicas) {
            look.take(step);
        }
    }
    look.write_status(&wanted, &replicas);
    let used: Vec<String> = replicas.iter().map(|it| it.revision.clone()).collect();
    revisions::forget_oldest(store, set, &look.revisions, &used);
    replicas.iter().filter_map(|it| it.available_in).min()
}

/// A stateful set at one look.
struct Look<'a> {
    store: &'a Store,
    key: &'a Key,
    set: &'a Value,
    revisions: Revisions,
    recorder: Recorder,
}

impl Look<'_> {
    /// The pod object, when its place is given up.
    fn given_up<'p>(
        &self,
        wanted: &Wanted,
        pod: &Replica,
        pods: &'p [Arc<Value>],
    ) -> Option<&'p Value> {
        let stays = (wanted.start..wanted.start + wanted.replicas).contains(&pod.ordinal);
        let ending = self.set["metadata"]["deletionTimestamp"].is_string();
        let found = pods.iter().find(|it| name(it) == pod.name);
        found.map(Arc::as_ref).filter(|_| !stays && !ending)
    }

    fn take(&self, step: Step) {
        let set = &self.key.name;
        match step {
            Step::Create { ordinal, newest } => self.create(ordinal, newest),
            Step::Replace { name, ended } => {
                if ended {
                    let message = format!(
                        "StatefulSet {}/{set} is recreating failed Pod {name}",
                        self.key.namespace
                    );
                    self.recorder
                        .normal(self.set, "RecreatingFailedPod", &message);
                }
                self.delete(&name);
            }
            Step::GiveUp { name, .. } => self.delete(&name),
        }
    }

    fn create(&self, ordinal: u64, newest: bool) {
        let revision = if newest {
            &self.revisions.update
        } else {
            &self.revisions.current
        };
        let set = &self.key.name;
        let pod_name = format!("{set}-{ordinal}");
        if !claims::ensure(self.store, self.set, &pod_name, &self.recorder) {
            return;
        }
        let mut pod = owned::pod(self.set, &revisions::template(revision), &pod_name);
        let labels = &mut pod["metadata"]["labels"];
        labels[plan::REVISION] = json!(name(revision));
        labels[POD_NAME] = json!(pod_name);
        labels[POD_INDEX] = json!(ordinal.to_string());
        pod["spec"]["hostname"] = json!(pod_name);
        let service = &self.set["spec"]["serviceName"];
        if service.as_str().is_some_and(|it| !it.is_empty()) {
            pod["spec"]["subdomain"] = service.clone();
        }
        claims::mount(self.set, &pod_name, &mut pod);
        if owned::create_pod(self.store, &self.recorder, self.set, pod).is_ok() {
            let message = format!("create Pod {pod_name} in StatefulSet {set} successful");
            self.recorder.normal(self.set, "SuccessfulCreate", &message);
        }
    }

    fn delete(&self, pod: &str) {
        let key = Key::new(Resource::Pods, &self.key.namespace, pod);
        if self.store.delete(&key, &Deletion::default()).is_ok() {
            let message = format!(
                "delete Pod {pod} in StatefulSet {} successful",
                self.key.name
            );
            self.recorder.normal(self.set, "SuccessfulDelete", &message);
        }
    }

    fn write_status(&self, wanted: &Wanted, pods: &[Replica]) {
        let update = name(&self.revisions.update);
        let mut current = name(&self.revisions.current);
        let of = |revision: &str| {
            let alive = pods.iter().filter(|it| !it.terminating);
            alive.filter(|it| it.revision == revision).count() as u64
        };
        let ready = pods.iter().filter(|it| it.ready).count() as u64;
        let total = pods.len() as u64;
        let updated = of(update);
        let complete = [updated, ready, total]
            .into_iter()
            .all(|number| number == wanted.replicas);
        if wanted.partition.is_some() && complete {
            current = update;
        }
        let mut status = json!({
            "observedGeneration": self.set["metadata"]["generation"],
            "replicas": total,
            "availableReplicas": pods.iter().filter(|it| it.is_available()).count(),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": self.revisions.collisions,
        });
        for (field, number) in [
            ("readyReplicas", ready),
            ("currentReplicas", of(current)),
            ("updatedReplicas", updated),
        ] {
            // Zero is left out, as the API does.
            if number > 0 {
                status[field] = json!(number);
            }
        }
        // Gone in the meantime: nobody asks for its status.
        let _ = self.store.update_with(self.key, |set| {
            set["status"] = status;
            Ok::<(), StoreError>(())
        });
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! Which pods the nodes run: one worker for each, from what the store says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::Machine;
use super::pod::{Desired, Worker};
use super::{Post, Posts, Shared, lock, power, uid};
use crate::lab::kinds::Resource;
use crate::lab::store::{Change, Key, Watch};

/// What nodes act on: themselves, their pods, what those take from, and what
/// those may name.
const FOLLOWED: [Resource; 6] = [
    Resource::Nodes,
    Resource::Pods,
    Resource::Deployments,
    Resource::ConfigMaps,
    Resource::Secrets,
    Resource::Services,
];

/// Follows the store and keeps one worker a pod.
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) posts: Arc<Posts>,
    /// Rings when a node has booted.
    pub(super) booted: Arc<Notify>,
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
}

impl Follower {
    pub(super) async fn follow(self) {
        loop {
            let mut watch = self.begin();
            loop {
                let event = tokio::select! {
                    event = watch.next() => event,
                    () = self.booted.notified() => break,
                };
                let Ok(event) = event else { break };
                match (event.key.resource, event.change) {
                    (Resource::Nodes, Change::Added | Change::Modified) => {
                        self.node(&event.object);
                    }
                    (Resource::Pods, Change::Deleted) => self.gone(&event.object),
                    (Resource::Pods, _) => self.pod(&event.object),
                    (Resource::Deployments | Resource::Services, Change::Modified)
                    | (Resource::Nodes, Change::Deleted) => {}
                    (Resource::ConfigMaps | Resource::Secrets, _) => {
                        self.renew_volumes(&event.key.namespace);
                    }
                    _ => {
                        for post in lock(&self.posts).values() {
                            post.worker.write_hosts();
                        }
                    }
                }
            }
            // It fell behind what the store remembers, or a node has booted and
            // runs what it did not: it begins anew.
        }
    }

    /// Brings changed objects of a namespace into the volumes of its pods.
    fn renew_volumes(&self, namespace: &str) {
        for post in lock(&self.posts).values() {
            if post.worker.subject.namespace == namespace {
                post.worker.renew_volumes();
            }
        }
    }

    /// Looks at every pod, and watches from there.
    fn begin(&self) -> Watch {
        let kinds = FOLLOWED;
        let (objects, watch) = self.shared.store.list_and_watch(&kinds);
        let pods: Vec<_> = objects
            .iter()
            .filter(|object| object["kind"] == "Pod")
            .collect();
        let present: HashSet<_> = pods.iter().map(|pod| uid(pod)).collect();
        let gone: Vec<_> = {
            let posts = lock(&self.posts);
            posts
                .keys()
                .filter(|uid| !present.contains(uid.as_str()))
                .cloned()
                .collect()
        };
        for uid in gone {
            self.leave(&uid);
        }
        for node in objects.iter().filter(|it| it["kind"] == "Node") {
            self.node(node);
        }
        for pod in pods {
            self.pod(pod);
        }
        watch
    }

    fn gone(&self, pod: &Value) {
        self.leave(uid(pod));
    }

    fn leave(&self, uid: &str) {
        self.shared.addresses.leave(uid);
        if let Some(post) = lock(&self.posts).get(uid) {
            post.desired.send_replace(Desired::Gone);
        }
    }

    fn node(&self, node: &Value) {
        if let Some(machine) = self.shared.machine(&node["metadata"]["name"]) {
            machine.power.want(power::wanted(node));
        }
    }

    fn pod(&self, pod: &Arc<Value>) {
        // Whatever is not bound here is the scheduler's, or a node's that
        // somebody else has made; one without power does not hear of it.
        let machine = self.shared.machine(&pod["spec"]["nodeName"]);
        if let Some(machine) = machine.filter(|it| it.power.is_on()) {
            self.run(&machine, pod);
        }
    }

    fn run(&self, machine: &Arc<Machine>, pod: &Value) {
        let desired = if pod["metadata"]["deletionTimestamp"].is_null() {
            Desired::Run
        } else {
            let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
            Desired::End {
                grace: Duration::from_secs(grace.unwrap_or(30)),
            }
        };
        let uid = uid(pod);
        if let Some(post) = lock(&self.posts).get(uid) {
            post.desired.send_if_modified(|now| {
                let changed = now.may_become(desired);
                if changed {
                    *now = desired;
                }
                changed
            });
            if post.worker.shows_itself() {
                post.worker.renew_volumes();
            }
            return;
        }
        let parsed = match serde_json::from_value::<Pod>(pod.clone()) {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::warn!("{} is no pod: {error}", Key::of(Resource::Pods, pod));
                return;
            }
        };
        let group = self.shared.group(&parsed);
        let address = pod["status"]["podIP"].as_str();
        let place = self.shared.addresses.settle(uid, &group, address);
        let desired = watch::Sender::new(desired);
        let shared = Arc::clone(&self.shared);
        let here = Arc::clone(machine);
        let worker = Arc::new(Worker::new(shared, here, parsed, place, desired.clone()));
        let ended = CancellationToken::new();
        let post = Post {
            worker: Arc::clone(&worker),
            desired,
            ended: ended.clone(),
        };
        {
            let mut posts = lock(&self.posts);
            // Looked at under the lock: whoever stops tells all posts after this.
            if self.stopping.is_cancelled() || !machine.power.is_on() {
                return;
            }
            posts.insert(uid.to_owned(), post);
        }
        let (posts, uid) = (Arc::clone(&self.posts), uid.to_owned());
        self.tasks.spawn(async move {
            worker.run().await;
            lock(&posts).remove(&uid);
            ended.cancel();
        });
    }
}

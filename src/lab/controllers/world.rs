//! A store with a namespace and a node, and the controllers at work in it: what
//! the tests of the controllers play in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::owned;
use crate::lab::defaults;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError, timestamp};

/// The world; the controllers stop with it.
pub(super) struct World {
    pub store: Store,
    stop: CancellationToken,
}

impl World {
    pub fn start() -> Self {
        Self::start_in(super::Surroundings::default())
    }

    pub fn start_in(surroundings: super::Surroundings) -> Self {
        let store = Store::new(0);
        let namespace = json!({"metadata": {"name": "default"}});
        store.create(Resource::Namespaces, namespace).unwrap();
        let node = json!({
            "metadata": {"name": "n"},
            "status": {
                "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        store.create(Resource::Nodes, node).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(super::run_in(store.clone(), surroundings, stop.clone()));
        Self { store, stop }
    }

    /// Stores an object as the server would, with its uid and defaults.
    pub fn create(&self, resource: Resource, mut object: Value) -> Arc<Value> {
        object["metadata"]["uid"] = json!(crate::lab::store::new_uid());
        if resource.names().namespaced {
            object["metadata"]["namespace"] = json!("default");
        }
        defaults::fill(resource, &mut object);
        crate::lab::admission::admit(&self.store, resource, &mut object).unwrap();
        self.store.create(resource, object).unwrap()
    }

    pub fn change(&self, key: &Key, change: impl FnOnce(&mut Value)) {
        self.store
            .update_with(key, |object| {
                change(object);
                Ok::<(), StoreError>(())
            })
            .unwrap();
    }

    pub fn list(&self, resource: Resource) -> Vec<Arc<Value>> {
        let namespace = resource.names().namespaced.then_some("default");
        self.store.list(resource, namespace).items
    }

    pub fn get(&self, resource: Resource, name: &str) -> Arc<Value> {
        let namespace = if resource.names().namespaced {
            "default"
        } else {
            ""
        };
        let found = self.store.get(&Key::new(resource, namespace, name));
        found.unwrap_or_default()
    }

    pub fn pods(&self) -> Vec<Arc<Value>> {
        self.list(Resource::Pods)
    }

    /// The pods' names, sorted.
    pub fn names(&self) -> Vec<String> {
        let name = |pod: &Arc<Value>| pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.pods().iter().map(name).collect()
    }

    /// Waits until something holds; it is asked again after each change.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut watch = self.store.watch(&Resource::ALL, self.store.rv()).unwrap();
        let waiting = async {
            while !holds(self) {
                watch.next().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// What a node does: pods that are placed run, pods that are deleted end.
    pub fn play_node(&self) {
        let store = self.store.clone();
        let (_, mut watch) = store.list_and_watch(&[Resource::Pods]);
        tokio::spawn(async move {
            while let Ok(event) = watch.next().await {
                let Some(pod) = store.get(&event.key) else {
                    continue;
                };
                if pod["metadata"]["deletionTimestamp"].is_string() {
                    store.ended(&event.key, None);
                } else if pod["spec"]["nodeName"].is_string() && pod["status"]["phase"] == "Pending"
                {
                    let _ = store.update_with(&event.key, |pod| {
                        pod["status"]["phase"] = json!("Running");
                        set_ready(pod);
                        Ok::<(), StoreError>(())
                    });
                }
            }
        });
    }

    /// Ends a pod as its containers would.
    pub fn finish(&self, pod: &str, phase: &str) {
        self.change(&Key::new(Resource::Pods, "default", pod), |pod| {
            pod["status"]["phase"] = json!(phase);
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        });
    }
}

fn set_ready(pod: &mut Value) {
    if owned::ready_since(pod).is_none() {
        let since = timestamp(jiff::Timestamp::now());
        pod["status"]["conditions"] =
            json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

//! Events: what the lab's components tell about the objects they work on.
//!
//! A thing that happens again and again is one event with a count, as in a
//! real cluster. Old events go by themselves after an hour.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kinds::Resource;
use super::store::{Key, Store, StoreError, timestamp};

/// How long an event is kept after it last happened.
pub const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// How many events are kept at most.
const MOST: usize = 1000;

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

/// Records events in the name of one component.
#[derive(Debug, Clone)]
pub struct Recorder {
    store: Store,
    component: &'static str,
    host: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// Whether it is as it should be.
    pub severity: Severity,
    /// The machine's word: `Started`, `BackOff`, …
    pub reason: &'a str,
    /// The person's sentence.
    pub message: &'a str,
    /// The part of the object: `spec.containers{name}`, or empty.
    pub part: &'a str,
}

impl Recorder {
    /// A recorder for `component`, which runs on `host` if it is a node's.
    pub fn new(store: Store, component: &'static str, host: Option<String>) -> Self {
        Self {
            store,
            component,
            host,
        }
    }

    /// Records that something normal happened to an object.
    pub fn normal(&self, about: &Value, reason: &str, message: &str) {
        self.record(
            about,
            Note {
                severity: Severity::Normal,
                reason,
                message,
                part: "",
            },
        );
    }

    /// Records what happened to an object. The same thing within the life of
    /// an event raises its count.
    pub fn record(&self, about: &Value, note: Note<'_>) {
        let reference = reference(about, note.part);
        let now = timestamp(Timestamp::now());
        let namespace = match about["metadata"]["namespace"].as_str() {
            Some(namespace) => namespace.to_owned(),
            None => "default".to_owned(),
        };
        if !self.is_home(&namespace) {
            return;
        }
        let known = self
            .store
            .list(Resource::Events, Some(&namespace))
            .items
            .into_iter()
            .find(|event| {
                event["involvedObject"]["uid"] == reference["uid"]
                    && event["involvedObject"]["fieldPath"] == reference["fieldPath"]
                    && event["reason"] == note.reason
                    && event["message"] == note.message
                    && event["source"]["component"] == self.component
            });
        if let Some(known) = known {
            let key = Key::of(Resource::Events, &known);
            let counted = self.store.update_with(&key, |event| {
                event["count"] = json!(event["count"].as_u64().unwrap_or(1) + 1);
                event["lastTimestamp"] = json!(now);
                Ok::<(), StoreError>(())
            });
            if counted.is_ok() {
                return;
            }
        }
        let name = about["metadata"]["name"].as_str().unwrap_or("event");
        let mut event = json!({
            "metadata": {
                "namespace": namespace,
                "name": format!("{name}.{:016x}", fastrand::u64(..)),
            },
            "involvedObject": reference,
            "reason": note.reason,
            "message": note.message,
            "type": match note.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            },
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "eventTime": null,
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "reportingInstance": self.host.as_deref().unwrap_or_default(),
        });
        if let Some(host) = &self.host {
            event["source"]["host"] = json!(host);
        }
        // The name is random; should it ever clash, one event is not worth more.
        let _ = self.store.create(Resource::Events, event);
        self.forget_oldest();
    }

    /// Whether a namespace takes new objects. One that ends would never be empty
    /// if what ends in it were still told.
    fn is_home(&self, namespace: &str) -> bool {
        let found = self
            .store
            .get(&Key::new(Resource::Namespaces, "", namespace));
        found.is_some_and(|it| !it["metadata"]["deletionTimestamp"].is_string())
    }

    /// Keeps the events bounded, however much happens within an hour.
    fn forget_oldest(&self) {
        let mut events = self.store.list(Resource::Events, None).items;
        let surplus = events.len().saturating_sub(MOST);
        if surplus > 0 {
            // Written alike, so they sort as times do.
            events.sort_by_cached_key(|it| it["lastTimestamp"].as_str().map(str::to_owned));
            for event in events.iter().take(surplus) {
                self.store.remove(&Key::of(Resource::Events, event), None);
            }
        }
    }
}

fn reference(about: &Value, part: &str) -> Value {
    let metadata = &about["metadata"];
    let mut reference = json!({
        "kind": about["kind"],
        "apiVersion": about["apiVersion"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    });
    if metadata["namespace"].is_string() {
        reference["namespace"] = metadata["namespace"].clone();
    }
    if !part.is_empty() {
        reference["fieldPath"] = json!(part);
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Store {
        let store = Store::new(0);
        let namespace = json!({"metadata": {"name": "default"}});
        store.create(Resource::Namespaces, namespace).unwrap();
        store
    }

    #[test]
    fn the_same_thing_again_is_one_event_with_a_count() {
        let store = world();
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {
            "name": "p", "namespace": "default", "uid": "u"}});
        let recorder = Recorder::new(store.clone(), "kubelet", Some("n".to_owned()));
        recorder.normal(&pod, "Pulled", "image is there");
        recorder.normal(&pod, "Pulled", "image is there");
        recorder.normal(&pod, "Started", "it runs");
        let events = store.list(Resource::Events, Some("default")).items;
        let mut counts: Vec<(&str, u64)> = events
            .iter()
            .map(|event| {
                let count = event["count"].as_u64().unwrap();
                (event["reason"].as_str().unwrap(), count)
            })
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [("Pulled", 2), ("Started", 1)]);
        assert_eq!(events[0]["source"]["host"], "n");
    }

    #[test]
    fn nothing_is_told_in_a_namespace_that_ends() {
        let store = world();
        let home = Key::new(Resource::Namespaces, "", "default");
        let recorder = Recorder::new(store.clone(), "kubelet", None);
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "default"}});
        store
            .delete(&home, &crate::lab::store::Deletion::default())
            .unwrap();
        recorder.normal(&pod, "Killing", "Stopping container c");
        assert!(store.list(Resource::Events, None).items.is_empty());
    }

    #[test]
    fn events_are_bounded() {
        let store = world();
        let recorder = Recorder::new(store.clone(), "kubelet", None);
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "default"}});
        for index in 0..MOST + 20 {
            recorder.normal(&pod, "Noted", &index.to_string());
        }
        assert_eq!(store.list(Resource::Events, None).items.len(), MOST);
    }
}

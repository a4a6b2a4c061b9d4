//! Kubernetes events: what the node did, in the real components' words, with
//! repetitions counted instead of repeated.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::NODE;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store, StoreError, timestamp};

/// Events kept; the oldest go first, as a real server drops them after an hour.
const KEPT: usize = 1000;

/// What an event is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// How good or bad the news is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Normal,
    Warning,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) struct Happening<'a> {
    pub component: &'static str,
    pub subject: &'a Subject,
    /// The container concerned, if it is about one.
    pub container: Option<&'a str>,
    pub kind: Kind,
    pub reason: &'static str,
    pub message: String,
}

#[derive(Debug, Default)]
struct Inner {
    /// Where the event for a repetition is.
    known: HashMap<Identity, Key>,
    order: VecDeque<Identity>,
}

type Identity = (String, Option<String>, Kind, &'static str, String);

/// Writes events to the store.
#[derive(Debug)]
pub(super) struct Recorder {
    store: Store,
    inner: Mutex<Inner>,
}

impl Recorder {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            inner: Mutex::default(),
        }
    }

    /// Records what happened.
    pub fn record(&self, happening: &Happening<'_>) {
        let now = timestamp(Timestamp::now());
        let identity = (
            happening.subject.uid.clone(),
            happening.container.map(str::to_owned),
            happening.kind,
            happening.reason,
            happening.message.clone(),
        );
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = inner.known.get(&identity) {
            let counted = self.store.update_with::<StoreError>(key, |event| {
                event["count"] = json!(event["count"].as_u64().unwrap_or(1) + 1);
                event["lastTimestamp"] = json!(now);
                Ok(())
            });
            if counted.is_ok() {
                return;
            }
        } else {
            inner.order.push_back(identity.clone());
        }
        let event = new(happening, &now);
        let key = Key::of(Resource::Events, &event);
        // A namespace that is being emptied may refuse it.
        if self.store.create(Resource::Events, event).is_ok() {
            inner.known.insert(identity, key);
        }
        while inner.order.len() > KEPT {
            let oldest = inner.order.pop_front();
            if let Some(key) = oldest.and_then(|identity| inner.known.remove(&identity)) {
                self.store.remove(&key, None);
            }
        }
    }
}

fn new(happening: &Happening<'_>, now: &str) -> Value {
    let subject = happening.subject;
    let mut event = json!({
        "metadata": {
            "name": format!("{}.{:016x}", subject.name, fastrand::u64(..)),
            "namespace": subject.namespace,
        },
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
        "reason": happening.reason,
        "message": happening.message,
        "source": {"component": happening.component},
        "type": happening.kind.as_str(),
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "eventTime": null,
        "reportingComponent": happening.component,
        "reportingInstance": "",
    });
    if happening.component == "kubelet" {
        event["source"]["host"] = json!(NODE);
        event["reportingInstance"] = json!(NODE);
    }
    if let Some(container) = happening.container {
        event["involvedObject"]["fieldPath"] = json!(format!("spec.containers{{{container}}}"));
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            namespace: "default".into(),
            name: "pod".into(),
            uid: "uid".into(),
        }
    }

    fn record(recorder: &Recorder, reason: &'static str, message: &str) {
        recorder.record(&Happening {
            component: "kubelet",
            subject: &subject(),
            container: Some("main"),
            kind: Kind::Normal,
            reason,
            message: message.into(),
        });
    }

    #[test]
    fn repetitions_are_counted() {
        let store = Store::new(0);
        let recorder = Recorder::new(store.clone());
        record(&recorder, "Started", "Started container main");
        record(&recorder, "Started", "Started container main");
        record(&recorder, "Killing", "Stopping container main");
        let events = store.list(Resource::Events, Some("default")).items;
        let mut counts: Vec<_> = events
            .iter()
            .map(|event| {
                (
                    event["reason"].as_str().unwrap(),
                    event["count"].as_u64().unwrap(),
                )
            })
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [("Killing", 1), ("Started", 2)]);
        assert_eq!(
            events[0]["involvedObject"]["fieldPath"],
            "spec.containers{main}"
        );
    }

    #[test]
    fn an_event_that_was_deleted_comes_anew() {
        let store = Store::new(0);
        let recorder = Recorder::new(store.clone());
        record(&recorder, "Started", "again");
        let event = store.list(Resource::Events, None).items.remove(0);
        store.remove(&Key::of(Resource::Events, &event), None);
        record(&recorder, "Started", "again");
        let events = store.list(Resource::Events, None).items;
        assert_eq!(events[0]["count"], 1);
    }

    #[test]
    fn they_are_bounded() {
        let store = Store::new(0);
        let recorder = Recorder::new(store.clone());
        for index in 0..KEPT + 50 {
            record(&recorder, "Started", &index.to_string());
        }
        let events = store.list(Resource::Events, None).items;
        assert_eq!(events.len(), KEPT);
        assert!(events.iter().all(|event| event["message"] != "0"));
    }
}

//! Deleting: what goes at once, and what is only marked.
//!
//! Three kinds of object linger after their deletion: a pod until its
//! processes have ended, a namespace until it is empty, and whatever carries a
//! finalizer until somebody removes it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Inner, Key, Store, StoreError, timestamp, uid_mismatch};
use crate::lab::kinds::Resource;

/// The finalizer of an owner that waits for what it owns to go first.
pub const FOREGROUND: &str = "foregroundDeletion";

/// The finalizer of an owner that goes when what it owns has been let go.
pub const ORPHAN: &str = "orphan";

/// The finalizer of a definition whose objects go first.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How an object is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Seconds a pod's processes get to end by themselves; none means what the
    /// pod's spec says.
    pub grace: Option<u64>,
    /// Refuse when the object has another uid.
    pub uid: Option<String>,
    /// Refuse when the object has another version.
    pub resource_version: Option<String>,
    /// Keep the object, marked, until what it owns is gone.
    pub foreground: bool,
    /// Keep the object, marked, until what it owns has been let go.
    pub orphan: bool,
}

/// What a deletion did.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object is gone; this is how it was last.
    Gone(Arc<Value>),
    /// The object is marked and goes when its processes have ended, its
    /// namespace is empty or its finalizers are removed.
    Terminating(Arc<Value>),
}

impl Store {
    /// Deletes an object as the API does. A pod that runs on a node is only
    /// marked (`deletionTimestamp`, `deletionGracePeriodSeconds`); the node
    /// calls [`Store::remove`] when its processes have ended. Grace 0 and a
    /// pod that no node has go at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Precondition`].
    pub fn delete(&self, key: &Key, how: &Deletion) -> Result<Deleted, StoreError> {
        let mut inner = self.lock();
        let current = inner.find(key)?;
        check_preconditions(key, &current, how)?;
        let mut object = Value::clone(&current);
        match key.resource {
            Resource::Pods => match pod_grace(&current, how.grace) {
                0 if finalizers(&object).is_empty() => {
                    return Ok(self.gone(&mut inner, key, &current));
                }
                grace => {
                    mark(&mut object, grace);
                    if is_nowhere(&object) {
                        // No node will ever say so.
                        fail(&mut object);
                    }
                }
            },
            Resource::Namespaces => {
                mark(&mut object, 0);
                object["status"]["phase"] = json!("Terminating");
            }
            _ => {
                if key.resource == Resource::CustomResourceDefinitions {
                    add_finalizer(&mut object, CLEANUP);
                }
                if how.foreground {
                    add_finalizer(&mut object, FOREGROUND);
                }
                if how.orphan {
                    add_finalizer(&mut object, ORPHAN);
                }
                if finalizers(&object).is_empty() {
                    return Ok(self.gone(&mut inner, key, &current));
                }
                mark(&mut object, 0);
            }
        }
        let object = self.replace(&mut inner, key.clone(), &current, object);
        Ok(Deleted::Terminating(object))
    }

    /// The processes of a deleted pod have ended: it goes, unless a finalizer
    /// keeps what is left of it. With `uid`, only when it is still that pod.
    pub fn ended(&self, key: &Key, uid: Option<&str>) {
        let mut inner = self.lock();
        let Ok(current) = inner.find(key) else { return };
        if uid.is_some_and(|uid| current["metadata"]["uid"] != uid) {
            return;
        }
        if finalizers(&current).is_empty() {
            self.gone(&mut inner, key, &current);
            return;
        }
        let mut object = Value::clone(&current);
        mark(&mut object, 0);
        fail(&mut object);
        self.replace(&mut inner, key.clone(), &current, object);
    }

    fn gone(&self, inner: &mut Inner, key: &Key, current: &Arc<Value>) -> Deleted {
        Deleted::Gone(self.take(inner, key, current))
    }
}

/// Whether a marked object has lost its last finalizer and must go now.
pub(super) fn is_due(resource: Resource, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let lingers = match resource {
        Resource::Namespaces => true,
        Resource::Pods => metadata["deletionGracePeriodSeconds"] != 0,
        _ => false,
    };
    metadata["deletionTimestamp"].is_string() && !lingers && finalizers(object).is_empty()
}

/// Marks an object as deleted. Deleting twice may shorten the wait, never
/// lengthen it.
fn mark(object: &mut Value, grace: u64) {
    let metadata = &mut object["metadata"];
    let pending = metadata["deletionGracePeriodSeconds"].as_u64();
    if pending.is_none_or(|pending| grace < pending) {
        let end = Timestamp::now() + SignedDuration::from_secs(grace as i64);
        metadata["deletionTimestamp"] = json!(timestamp(end));
        metadata["deletionGracePeriodSeconds"] = json!(grace);
    }
}

fn finalizers(object: &Value) -> &[Value] {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.map_or(&[], Vec::as_slice)
}

fn add_finalizer(object: &mut Value, name: &str) {
    if !finalizers(object).iter().any(|it| it == name) {
        let mut all = finalizers(object).to_vec();
        all.push(json!(name));
        object["metadata"]["finalizers"] = json!(all);
    }
}

/// The grace the API gives a pod: none when no node has it or when it has
/// ended already, else what was asked for, else what its spec says.
fn pod_grace(pod: &Value, asked: Option<u64>) -> u64 {
    if is_nowhere(pod) || has_ended(pod) {
        return 0;
    }
    let spec = pod["spec"]["terminationGracePeriodSeconds"].as_u64();
    // A century is as good as for ever, and fits every clock.
    asked.or(spec).unwrap_or(30).min(100 * 365 * 24 * 3600)
}

/// Whether no node has the pod.
fn is_nowhere(pod: &Value) -> bool {
    let node = pod["spec"]["nodeName"].as_str();
    node.unwrap_or_default().is_empty()
}

fn has_ended(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str();
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// A pod that has gone without an end of its own has failed.
fn fail(pod: &mut Value) {
    if !has_ended(pod) {
        pod["status"]["phase"] = json!("Failed");
    }
}

fn check_preconditions(key: &Key, current: &Value, how: &Deletion) -> Result<(), StoreError> {
    if let Some(uid) = &how.uid
        && current["metadata"]["uid"] != uid.as_str()
    {
        return Err(uid_mismatch(key, uid, current));
    }
    if let Some(rv) = &how.resource_version
        && current["metadata"]["resourceVersion"] != rv.as_str()
    {
        let stored = current["metadata"]["resourceVersion"].as_str();
        return Err(StoreError::Precondition(
            key.clone(),
            format!(
                "ResourceVersion in precondition: {rv}, ResourceVersion in object meta: {}",
                stored.unwrap_or_default()
            ),
        ));
    }
    Ok(())
}

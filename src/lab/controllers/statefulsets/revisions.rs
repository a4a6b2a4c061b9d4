//! The templates a stateful set has had, each kept as a controller revision:
//! what `kubectl rollout history` lists and `kubectl rollout undo` takes back.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::lab::controllers::owned::{self, count};
use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, Key, Store, StoreError};

/// The revisions of a set at one look.
#[derive(Debug)]
pub(super) struct Revisions {
    /// All of them, oldest first.
    pub all: Vec<Arc<Value>>,
    /// The one that the set had when it last was all of one revision.
    pub current: Arc<Value>,
    /// The one of the present template.
    pub update: Arc<Value>,
    /// How many names of revisions were taken by others.
    pub collisions: u64,
}

/// Finds or makes the revisions of a set. None when the store refuses.
pub(super) fn of(store: &Store, set: &Value) -> Option<Revisions> {
    let mut all = owned::claimed(store, set, Resource::ControllerRevisions);
    all.sort_by_key(|it| (number(it), owned::created(it)));
    let mut collisions = count(&set["status"]["collisionCount"], 0);
    let data = data(set);
    let next = all.last().map_or(0, |last| number(last)) + 1;
    let place = all.iter().rposition(|it| it["data"] == data);
    let update = match place {
        Some(place) if place + 1 == all.len() => Arc::clone(&all[place]),
        Some(place) => {
            // The template of an earlier revision again: that one, as the newest.
            let known = all.remove(place);
            let key = Key::of(Resource::ControllerRevisions, &known);
            let renewed = store.update_with(&key, |it| {
                it["revision"] = json!(next);
                Ok::<(), StoreError>(())
            });
            let renewed = renewed.ok()?;
            all.push(Arc::clone(&renewed));
            renewed
        }
        None => {
            let made = create(store, set, &data, next, &mut collisions)?;
            all.push(Arc::clone(&made));
            made
        }
    };
    let name = &set["status"]["currentRevision"];
    let current = all.iter().find(|it| it["metadata"]["name"] == *name);
    let current = Arc::clone(current.unwrap_or(&update));
    Some(Revisions {
        all,
        current,
        update,
        collisions,
    })
}

/// The template that a revision holds.
pub(super) fn template(revision: &Value) -> Value {
    let mut template = revision["data"]["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template
}

/// Deletes the oldest revisions that nothing uses, beyond the number kept.
pub(super) fn forget_oldest(store: &Store, set: &Value, revisions: &Revisions, used: &[String]) {
    let kept = count(&set["spec"]["revisionHistoryLimit"], 10) as usize;
    let name = |it: &Value| it["metadata"]["name"].as_str().map(str::to_owned);
    let live = [name(&revisions.current), name(&revisions.update)];
    let history: Vec<&Arc<Value>> = revisions
        .all
        .iter()
        .filter(|it| {
            let name = name(it);
            !live.contains(&name) && !used.iter().any(|used| Some(used) == name.as_ref())
        })
        .collect();
    let surplus = history.len().saturating_sub(kept);
    for revision in history.into_iter().take(surplus) {
        // Somebody else may have deleted it: just as well.
        let key = Key::of(Resource::ControllerRevisions, revision);
        let _ = store.delete(&key, &Deletion::default());
    }
}

fn number(revision: &Value) -> u64 {
    count(&revision["revision"], 0)
}

/// What a revision keeps: a patch that brings its template back.
fn data(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

fn create(
    store: &Store,
    set: &Value,
    data: &Value,
    number: u64,
    collisions: &mut u64,
) -> Option<Arc<Value>> {
    let metadata = &set["metadata"];
    let set_name = metadata["name"].as_str().unwrap_or_default();
    loop {
        let hash = owned::short_hash(data, *collisions);
        let mut labels = set["spec"]["template"]["metadata"]["labels"].clone();
        labels["controller.kubernetes.io/hash"] = json!(hash);
        let mut revision = json!({
            "metadata": {
                "name": format!("{set_name}-{hash}"),
                "namespace": metadata["namespace"],
                "labels": labels,
                "ownerReferences": [owned::reference(set)],
            },
            "data": data,
            "revision": number,
        });
        if metadata["annotations"].is_object() {
            revision["metadata"]["annotations"] = metadata["annotations"].clone();
        }
        match store.create(Resource::ControllerRevisions, revision) {
            Err(StoreError::AlreadyExists(_)) => *collisions += 1,
            made => return made.ok(),
        }
    }
}

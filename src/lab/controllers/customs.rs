//! Definitions of custom resources: which names they get, and what becomes of
//! their objects when they end.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::lab::kinds::{Resource, custom};
use crate::lab::store::{CLEANUP, Deletion, Key, Store, StoreError, timestamp};

/// Looks at a definition: accepts its names, or deletes its objects if it ends.
pub fn reconcile(store: &Store, key: &Key, definition: &Value) {
    if definition["metadata"]["deletionTimestamp"].is_string() {
        finish(store, key, definition);
    } else {
        let others = store.list(Resource::CustomResourceDefinitions, None).items;
        let others: Vec<Arc<Value>> = others
            .into_iter()
            .filter(|it| it["metadata"]["name"] != definition["metadata"]["name"])
            .collect();
        let status = named(definition, &others, &timestamp(jiff::Timestamp::now()));
        // Gone in the meantime: nothing left to name.
        let _ = store.update_with(key, |it| {
            it["status"] = status;
            Ok::<(), StoreError>(())
        });
    }
}

/// The status of a definition among others: a name that another one of its
/// group has already is not accepted.
fn named(definition: &Value, others: &[Arc<Value>], now: &str) -> Value {
    let spec = &definition["spec"];
    let taken = |name: &Value| {
        others.iter().any(|other| {
            let accepted = &other["status"]["acceptedNames"];
            let short = accepted["shortNames"].as_array();
            other["spec"]["group"] == spec["group"]
                && (["plural", "singular"]
                    .iter()
                    .any(|it| accepted[*it] == *name)
                    || short.is_some_and(|it| it.contains(name)))
        })
    };
    let kind_taken = |kind: &Value| {
        others.iter().any(|other| {
            let accepted = &other["status"]["acceptedNames"];
            other["spec"]["group"] == spec["group"]
                && (accepted["kind"] == *kind || accepted["listKind"] == *kind)
        })
    };
    let names = &spec["names"];
    let short = names["shortNames"].as_array().into_iter().flatten();
    let conflict = [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
    ]
    .into_iter()
    .map(|(field, reason)| (&names[field], reason, taken(&names[field])))
    .chain(short.map(|it| (it, "ShortNamesConflict", taken(it))))
    .chain(
        [("kind", "KindConflict"), ("listKind", "ListKindConflict")]
            .map(|(field, reason)| (&names[field], reason, kind_taken(&names[field]))),
    )
    .find(|(_, _, taken)| *taken);
    let mut status = definition["status"].clone();
    let was = custom::is_established(definition);
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let held = if holds { "True" } else { "False" };
        let before = definition["status"]["conditions"].as_array();
        let before = before.and_then(|all| all.iter().find(|it| it["type"] == kind));
        let since = before.filter(|it| it["status"] == held);
        json!({
            "type": kind, "status": held, "reason": reason, "message": message,
            "lastTransitionTime": since.map_or(json!(now), |it| it["lastTransitionTime"].clone()),
        })
    };
    let (accepted, refused) = (
        (
            "InitialNamesAccepted",
            "the initial names have been accepted",
        ),
        ("NotAccepted", "not all names are accepted"),
    );
    let established = |holds| {
        let (reason, message) = if holds { accepted } else { refused };
        condition("Established", holds, reason, message)
    };
    status["conditions"] = match conflict {
        None => {
            status["acceptedNames"] = names.clone();
            let fine = condition("NamesAccepted", true, "NoConflicts", "no conflicts found");
            json!([fine, established(true)])
        }
        Some((name, reason, _)) => {
            let message = format!("{name} is already in use");
            // Once in force it stays so, under the names it had.
            json!([
                condition("NamesAccepted", false, reason, &message),
                established(was)
            ])
        }
    };
    status["storedVersions"] = json!([spec["versions"][0]["name"]]);
    if status["acceptedNames"].is_null() {
        status["acceptedNames"] = json!({"plural": "", "kind": ""});
    }
    status
}

/// Deletes the objects of a definition that ends; when none is left the
/// definition may go.
fn finish(store: &Store, key: &Key, definition: &Value) {
    let kind = custom::kind_of(definition);
    let left = kind.map_or_else(Vec::new, |kind| store.list(kind, None).items);
    for object in &left {
        if let Some(kind) = kind
            && !object["metadata"]["deletionTimestamp"].is_string()
        {
            // Gone in the meantime: just as well.
            let _ = store.delete(&Key::of(kind, object), &Deletion::default());
        }
    }
    let empty = kind.is_none_or(|kind| store.list(kind, None).items.is_empty());
    let now = timestamp(jiff::Timestamp::now());
    // Gone already: nothing to finish.
    let _ = store.update_with(key, |it| {
        if empty {
            if let Some(finalizers) = it["metadata"]["finalizers"].as_array_mut() {
                finalizers.retain(|it| it != CLEANUP);
            }
            return Ok(());
        }
        if let Some(conditions) = it["status"]["conditions"].as_array_mut()
            && !conditions.iter().any(|it| it["type"] == "Terminating")
        {
            conditions.push(json!({
                "type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress",
                "message": "CustomResource deletion is in progress", "lastTransitionTime": now,
            }));
        }
        Ok::<(), StoreError>(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str, short: &str) -> Value {
        json!({
            "metadata": {"name": format!("{plural}.example.com")},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                          "listKind": format!("{kind}List"), "shortNames": [short]},
                "versions": [{"name": "v1"}],
            },
        })
    }

    fn create(store: &Store, definition: &Value) -> (Key, Arc<Value>) {
        let kind = Resource::CustomResourceDefinitions;
        let made = store.create(kind, definition.clone()).unwrap();
        let key = Key::of(kind, &made);
        reconcile(store, &key, &made);
        (key.clone(), store.get(&key).unwrap())
    }

    #[test]
    fn names_that_are_taken_keep_a_definition_out_of_force() {
        let store = Store::new(0);
        let (first, made) = create(&store, &definition("foos", "Foo", "f"));
        assert!(custom::is_established(&made));
        assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
        let (second, made) = create(&store, &definition("bars", "Bar", "f"));
        assert!(!custom::is_established(&made));
        let conditions = &made["status"]["conditions"];
        assert_eq!(conditions[0]["reason"], "ShortNamesConflict");
        assert_eq!(conditions[0]["message"], "\"f\" is already in use");
        assert_eq!(store.find_kind("example.com", "bars"), None);
        store.remove(&first, None);
        reconcile(&store, &second, &made);
        assert!(store.find_kind("example.com", "bars").is_some());
    }

    #[test]
    fn a_definition_takes_its_objects_along() {
        let store = Store::new(0);
        let (key, _) = create(&store, &definition("foos", "Foo", "f"));
        let kind = store.find_kind("example.com", "foos").unwrap();
        let object = json!({"metadata": {"name": "a", "namespace": "d", "finalizers": ["x/y"]}});
        store.create(kind, object).unwrap();
        store.delete(&key, &Deletion::default()).unwrap();
        reconcile(&store, &key, &store.get(&key).unwrap());
        let ending = store.get(&key).unwrap();
        assert_eq!(ending["status"]["conditions"][2]["type"], "Terminating");
        store.remove(&Key::new(kind, "d", "a"), None);
        reconcile(&store, &key, &ending);
        assert!(store.get(&key).is_none());
    }
}

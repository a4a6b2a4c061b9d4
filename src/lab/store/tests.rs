use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn pod(name: &str) -> Value {
    json!({"metadata": {"namespace": "default", "name": name}, "spec": {"nodeName": "n"}})
}

fn key(name: &str) -> Key {
    Key::new(Resource::Pods, "default", name)
}

fn rv_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn drain(watch: &mut Watch) -> Vec<(Change, String)> {
    let mut seen = Vec::new();
    while let Some(event) = watch.try_next().unwrap() {
        seen.push((event.change, event.key.name.clone()));
    }
    seen
}

#[test]
fn a_created_object_is_completed_and_a_second_one_refused() {
    let store = Store::new(100);
    let made = store.create(Resource::Pods, pod("a")).unwrap();
    assert_eq!(made["kind"], "Pod");
    assert_eq!(made["apiVersion"], "v1");
    assert_eq!(rv_of(&made), 101);
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    let again = store.create(Resource::Pods, pod("a"));
    assert_eq!(again.unwrap_err().to_string(), "pods \"a\" already exists");
}

#[test]
fn a_writer_with_an_old_version_is_refused_and_the_object_kept() {
    let store = Store::new(0);
    let first = store.create(Resource::Pods, pod("a")).unwrap();
    let mut mine = Value::clone(&first);
    mine["spec"]["x"] = json!(1);
    let mut theirs = Value::clone(&first);
    theirs["spec"]["x"] = json!(2);
    store.update(Resource::Pods, theirs).unwrap();
    let refused = store.update(Resource::Pods, mine).unwrap_err();
    assert_eq!(refused, StoreError::Modified(key("a")));
    assert_eq!(store.get(&key("a")).unwrap()["spec"]["x"], 2);
}

#[test]
fn an_update_that_changes_nothing_is_no_write() {
    let store = Store::new(0);
    let first = store.create(Resource::Pods, pod("a")).unwrap();
    let before = store.rv();
    store.update(Resource::Pods, Value::clone(&first)).unwrap();
    store
        .update_with(&key("a"), |_| Ok::<(), StoreError>(()))
        .unwrap();
    assert_eq!(store.rv(), before);
}

#[test]
fn generation_counts_changes_of_the_spec_only() {
    let store = Store::new(0);
    let object =
        json!({"metadata": {"namespace": "default", "name": "d"}, "spec": {"replicas": 1}});
    store.create(Resource::Deployments, object).unwrap();
    let key = Key::new(Resource::Deployments, "default", "d");
    let set = |path: &'static str, value: u64| {
        store
            .update_with(&key, |d| {
                d[path]["replicas"] = json!(value);
                Ok::<(), StoreError>(())
            })
            .unwrap()["metadata"]["generation"]
            .clone()
    };
    assert_eq!(set("status", 1), 1);
    assert_eq!(set("spec", 2), 2);
    assert_eq!(set("spec", 2), 2);
}

#[test]
fn a_watch_sees_every_change_of_its_kinds_in_order() {
    let store = Store::new(0);
    let mut watch = store.watch(&[Resource::Pods], 0).unwrap();
    store.create(Resource::Pods, pod("a")).unwrap();
    store.create(Resource::Events, pod("e")).unwrap();
    store.create(Resource::Pods, pod("b")).unwrap();
    store.remove(&key("a"), None);
    assert_eq!(
        drain(&mut watch),
        [
            (Change::Added, "a".to_owned()),
            (Change::Added, "b".to_owned()),
            (Change::Deleted, "a".to_owned()),
        ]
    );
    store.create(Resource::Events, pod("f")).unwrap();
    assert_eq!(drain(&mut watch), []);
    assert_eq!(watch.position(), store.rv());
}

#[tokio::test]
async fn a_waiting_watch_wakes_for_a_change() {
    let store = Store::new(0);
    let mut watch = store.watch(&[Resource::Pods], 0).unwrap();
    let waiting = tokio::spawn(async move { watch.next().await.unwrap().key.name.clone() });
    tokio::task::yield_now().await;
    store.create(Resource::Pods, pod("a")).unwrap();
    assert_eq!(waiting.await.unwrap(), "a");
}

#[test]
fn a_reader_that_fell_behind_is_told_so() {
    let store = Store::with_history(0, 3);
    let mut watch = store.watch(&[Resource::Pods], 0).unwrap();
    for name in ["a", "b", "c", "d"] {
        store.create(Resource::Pods, pod(name)).unwrap();
    }
    let gone = StoreError::Expired {
        asked: 0,
        oldest: 1,
    };
    assert_eq!(watch.try_next().unwrap_err(), gone);
    assert_eq!(store.watch(&[Resource::Pods], 0).unwrap_err(), gone);
    assert!(store.watch(&[Resource::Pods], 1).is_ok());
    store.compact();
    assert!(store.watch(&[Resource::Pods], 3).is_err());
    assert!(store.watch(&[Resource::Pods], 4).is_ok());
    assert!(matches!(
        store.watch(&[Resource::Pods], 5),
        Err(StoreError::TooLarge {
            asked: 5,
            current: 4
        })
    ));
}

#[test]
fn deleting_a_running_pod_marks_it_and_a_shorter_grace_wins() {
    let store = Store::new(0);
    store.create(Resource::Pods, pod("a")).unwrap();
    let with = |grace| Deletion {
        grace,
        ..Deletion::default()
    };
    let seconds = |deleted| match deleted {
        Deleted::Terminating(pod) => pod["metadata"]["deletionGracePeriodSeconds"].as_u64(),
        Deleted::Gone(_) => None,
    };
    assert_eq!(
        seconds(store.delete(&key("a"), &with(None)).unwrap()),
        Some(30)
    );
    assert_eq!(
        seconds(store.delete(&key("a"), &with(Some(5))).unwrap()),
        Some(5)
    );
    assert_eq!(
        seconds(store.delete(&key("a"), &with(Some(9))).unwrap()),
        Some(5)
    );
    assert_eq!(
        seconds(store.delete(&key("a"), &with(Some(0))).unwrap()),
        None
    );
    assert!(store.get(&key("a")).is_none());
}

#[test]
fn preconditions_protect_a_successor_of_the_same_name() {
    let store = Store::new(0);
    store.create(Resource::Pods, pod("a")).unwrap();
    let how = Deletion {
        grace: Some(0),
        uid: Some("other".to_owned()),
        ..Deletion::default()
    };
    assert!(matches!(
        store.delete(&key("a"), &how),
        Err(StoreError::Precondition(..))
    ));
    assert!(store.remove(&key("a"), Some("other")).is_none());
    assert!(store.get(&key("a")).is_some());
}

#[test]
fn an_object_with_a_finalizer_goes_when_the_last_one_is_removed() {
    let store = Store::new(0);
    let object = json!({"metadata": {"namespace": "default", "name": "d"}});
    store.create(Resource::Deployments, object).unwrap();
    let key = Key::new(Resource::Deployments, "default", "d");
    let foreground = Deletion {
        foreground: true,
        ..Deletion::default()
    };
    let marked = store.delete(&key, &foreground).unwrap();
    assert!(matches!(marked, Deleted::Terminating(_)));
    let mut watch = store.watch(&[Resource::Deployments], store.rv()).unwrap();
    store
        .update_with(&key, |d| {
            d["metadata"]["finalizers"] = json!([]);
            Ok::<(), StoreError>(())
        })
        .unwrap();
    assert!(store.get(&key).is_none());
    assert_eq!(drain(&mut watch), [(Change::Deleted, "d".to_owned())]);
}

#[test]
fn a_fork_tries_a_write_that_never_happens() {
    let store = Store::new(0);
    store.create(Resource::Pods, pod("a")).unwrap();
    let fork = store.fork();
    fork.create(Resource::Pods, pod("b")).unwrap();
    fork.remove(&key("a"), None);
    assert!(store.get(&key("a")).is_some());
    assert!(store.get(&key("b")).is_none());
}

#[test]
fn uids_are_version_4_and_differ() {
    let (a, b) = (new_uid(), new_uid());
    assert_ne!(a, b);
    assert_eq!(a.as_bytes()[14], b'4');
    assert!(matches!(a.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Touch(u8),
    Remove(u8),
    /// The follower reads this many changes.
    Read(u8),
    /// The follower loses its connection and watches again from where it was.
    Disconnect,
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u8).prop_map(Step::Create),
        4 => (0..6u8).prop_map(Step::Touch),
        3 => (0..6u8).prop_map(Step::Remove),
        4 => (0..5u8).prop_map(Step::Read),
        2 => Just(Step::Disconnect),
        1 => Just(Step::Compact),
    ]
}

/// A client that does what informers do: list, watch, and list again on 410.
struct Follower {
    known: BTreeMap<String, u64>,
    watch: Watch,
}

impl Follower {
    fn start(store: &Store) -> Self {
        let listing = store.list(Resource::Pods, None);
        let known = listing.items.iter().map(|item| (name(item), rv_of(item)));
        Self {
            known: known.collect(),
            watch: store.watch(&[Resource::Pods], listing.rv).unwrap(),
        }
    }

    fn read(&mut self, store: &Store, most: usize) {
        for _ in 0..most {
            match self.watch.try_next() {
                Ok(Some(event)) => self.apply(&event),
                Ok(None) => break,
                Err(StoreError::Expired { .. }) => *self = Self::start(store),
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn apply(&mut self, event: &WatchEvent) {
        let name = event.key.name.clone();
        let before = match event.change {
            Change::Added => self.known.insert(name, event.rv).is_none(),
            Change::Modified => self.known.insert(name, event.rv).is_some(),
            Change::Deleted => self.known.remove(&name).is_some(),
        };
        assert!(before, "{event:?} does not follow from what was known");
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

fn snapshot(items: &[Arc<Value>]) -> BTreeMap<String, u64> {
    items.iter().map(|item| (name(item), rv_of(item))).collect()
}

proptest! {
    #[test]
    fn a_follower_always_ends_with_the_state_of_the_store(
        steps in proptest::collection::vec(step(), 1..200),
        history in 1..40usize,
    ) {
        let store = Store::with_history(0, history);
        let mut follower = Follower::start(&store);
        let mut states = BTreeMap::from([(0, BTreeMap::new())]);
        for (count, step) in steps.iter().enumerate() {
            match step {
                Step::Create(n) => { let _ = store.create(Resource::Pods, pod(&n.to_string())); }
                Step::Touch(n) => { let _ = store.update_with(&key(&n.to_string()), |pod| {
                    pod["spec"]["touched"] = json!(count);
                    Ok::<(), StoreError>(())
                }); }
                Step::Remove(n) => { store.remove(&key(&n.to_string()), None); }
                Step::Read(n) => follower.read(&store, usize::from(*n)),
                Step::Disconnect => match store.watch(&[Resource::Pods], follower.watch.position()) {
                    Ok(watch) => follower.watch = watch,
                    Err(_) => follower = Follower::start(&store),
                },
                Step::Compact => store.compact(),
            }
            states.insert(store.rv(), snapshot(&store.list(Resource::Pods, None).items));
        }
        follower.read(&store, usize::MAX);
        prop_assert_eq!(&follower.known, &states[&store.rv()]);
        // What is remembered can be listed as it was; the rest is refused.
        for (rv, state) in &states {
            match store.list_at(Resource::Pods, None, *rv) {
                Ok(listing) => prop_assert_eq!(&snapshot(&listing.items), state),
                Err(error) => prop_assert!(matches!(error, StoreError::Expired { .. }), "{}", error),
            }
        }
    }
}

#[test]
fn a_pod_with_a_finalizer_stays_after_its_end_until_it_is_released() {
    let store = Store::new(0);
    for node in [json!("n"), Value::Null] {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "d", "finalizers": ["a.b/c"]},
            "spec": {"nodeName": node},
            "status": {"phase": "Pending"},
        });
        let pod = store.create(Resource::Pods, pod).unwrap();
        let key = Key::of(Resource::Pods, &pod);
        store.delete(&key, &Deletion::default()).unwrap();
        if node.is_string() {
            assert_eq!(store.get(&key).unwrap()["status"]["phase"], "Pending");
            store.ended(&key, Some("another"));
            store.ended(&key, pod["metadata"]["uid"].as_str());
        }
        let left = store.get(&key).unwrap();
        assert_eq!(left["status"]["phase"], "Failed");
        assert_eq!(left["metadata"]["deletionGracePeriodSeconds"], 0);
        let released = store.update_with(&key, |pod| {
            pod["metadata"]["finalizers"] = json!([]);
            Ok::<(), StoreError>(())
        });
        released.unwrap();
        assert!(store.get(&key).is_none());
    }
}

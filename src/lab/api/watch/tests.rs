//! A follower of a filtered watch, cut off at any time, knows what it should.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::lab::store::Key;

const RESOURCE: Resource = Resource::ConfigMaps;

#[derive(Debug, Clone)]
enum Step {
    /// Makes an object of a colour, or gives it that one.
    Paint {
        namespace: u8,
        name: u8,
        colour: u8,
    },
    Remove {
        namespace: u8,
        name: u8,
    },
    /// The follower reads so many lines.
    Read(u8),
    /// Half a minute passes: time for a mark.
    Wait,
    /// The follower is cut off and goes on where it was.
    Disconnect,
    /// What has happened is forgotten.
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..2_u8, 0..4_u8);
    prop_oneof![
        6 => (place(), 0..3_u8).prop_map(|((namespace, name), colour)| {
            Step::Paint { namespace, name, colour }
        }),
        2 => place().prop_map(|(namespace, name)| Step::Remove { namespace, name }),
        3 => (0..6_u8).prop_map(Step::Read),
        1 => Just(Step::Wait),
        2 => Just(Step::Disconnect),
        1 => Just(Step::Compact),
    ]
}

struct Follower {
    filter: Filter,
    /// Whether it begins with a list or with a stream that brings one.
    lists: bool,
    known: BTreeMap<String, u64>,
    version: u64,
    /// It has all that there was when it began.
    complete: bool,
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

fn full_name(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str().unwrap();
    version.parse().unwrap()
}

fn state(store: &Store, filter: &Filter) -> (BTreeMap<String, u64>, u64) {
    let listing = store.list(RESOURCE, None);
    let items = listing.items.iter().filter(|it| filter.matches(it));
    let known = items.map(|it| (full_name(it), version_of(it))).collect();
    (known, listing.rv)
}

impl Follower {
    fn new(store: &Store, filter: Filter, lists: bool) -> Self {
        let mut follower = Self {
            filter,
            lists,
            known: BTreeMap::new(),
            version: 0,
            complete: false,
            stream: futures::stream::empty().boxed(),
        };
        follower.begin(store);
        follower
    }

    /// Begins anew, knowing nothing.
    fn begin(&mut self, store: &Store) {
        self.known.clear();
        self.complete = self.lists;
        if self.lists {
            (self.known, self.version) = state(store, &self.filter);
            return self.go_on(store);
        }
        self.version = 0;
        self.open(
            store,
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        );
    }

    /// Goes on where it was.
    fn go_on(&mut self, store: &Store) {
        if !self.complete {
            return self.begin(store);
        }
        self.open(store, &format!("resourceVersion={}", self.version));
    }

    fn open(&mut self, store: &Store, query: &str) {
        let query = format!("watch=true&allowWatchBookmarks=true&{query}");
        let query = Query::parse(Some(&query));
        let presenter = Presenter::new(store, RESOURCE, &HeaderMap::new(), &query).unwrap();
        let stop = CancellationToken::new();
        let stream = start(
            store,
            RESOURCE,
            self.filter.clone(),
            &query,
            presenter,
            stop,
        );
        self.stream = stream
            .unwrap_or_else(|error| panic!("{}", error.message))
            .boxed();
    }

    /// Reads what there is, but not more lines than this.
    fn read(&mut self, store: &Store, most: usize) {
        for _ in 0..most {
            let Some(line) = self.stream.next().now_or_never() else {
                return;
            };
            let line: Value = serde_json::from_slice(&line.unwrap().unwrap()).unwrap();
            let (kind, object) = (line["type"].as_str().unwrap(), &line["object"]);
            if kind == "ERROR" {
                assert_eq!(object["code"], 410, "{object}");
                self.begin(store);
                continue;
            }
            let version = version_of(object);
            if self.complete {
                assert!(version > self.version || kind == "BOOKMARK" && version == self.version);
                self.version = version;
            }
            let name = (kind != "BOOKMARK").then(|| full_name(object));
            let fits = match (kind, name) {
                ("ADDED", Some(name)) => self.known.insert(name, version).is_none(),
                ("MODIFIED", Some(name)) => self.known.insert(name, version).is_some(),
                ("DELETED", Some(name)) => self.known.remove(&name).is_some(),
                _ => {
                    let end = &object["metadata"]["annotations"]["k8s.io/initial-events-end"];
                    assert_eq!(end == "true", !self.complete, "{object}");
                    self.complete = true;
                    self.version = version;
                    true
                }
            };
            assert!(fits, "{line} does not follow from {:?}", self.known);
        }
    }
}

async fn play(steps: &[Step], store: &Store, followers: &mut [Follower]) {
    for step in steps {
        match step {
            Step::Paint {
                namespace,
                name,
                colour,
            } => {
                let colour = ["red", "blue", "green"][usize::from(*colour)];
                let (namespace, name) = (format!("n{namespace}"), format!("m{name}"));
                let key = Key::new(RESOURCE, &namespace, &name);
                let painted = store.update_with(&key, |map| {
                    map["metadata"]["labels"]["colour"] = json!(colour);
                    map["data"]["rv"] = json!(store_count());
                    Ok::<(), StoreError>(())
                });
                if painted.is_err() {
                    let map = json!({"metadata": {
                        "namespace": namespace, "name": name, "labels": {"colour": colour}}});
                    store.create(RESOURCE, map).unwrap();
                }
            }
            Step::Remove { namespace, name } => {
                let key = Key::new(RESOURCE, format!("n{namespace}"), format!("m{name}"));
                store.remove(&key, None);
            }
            Step::Read(lines) => {
                for follower in &mut *followers {
                    follower.read(store, usize::from(*lines));
                }
            }
            Step::Wait => tokio::time::advance(BOOKMARK_EVERY).await,
            Step::Disconnect => {
                for follower in &mut *followers {
                    follower.go_on(store);
                }
            }
            Step::Compact => store.compact(),
        }
    }
    for follower in followers {
        follower.read(store, usize::MAX);
    }
}

/// Something that is never the same twice: a change that changes nothing is none.
fn store_count() -> u64 {
    fastrand::u64(..)
}

proptest! {
    #[test]
    fn whatever_it_selects_and_however_it_begins(
        steps in proptest::collection::vec(step(), 1..120),
        history in 1..40_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            // At version 0 a list could not be followed: it asks for any state.
            let store = Store::with_history(1, history);
            let mut followers = Vec::new();
            for namespace in [None, Some("n0")] {
                for select in ["", "labelSelector=colour%3Dred", "labelSelector=colour!%3Dred", "fieldSelector=metadata.name%3Dm1"] {
                    let query = Query::parse(Some(select));
                    for lists in [true, false] {
                        let namespace = namespace.map(str::to_owned);
                        let filter = Filter::parse(RESOURCE, namespace, &query).unwrap();
                        followers.push(Follower::new(&store, filter, lists));
                    }
                }
            }
            play(&steps, &store, &mut followers).await;
            for follower in followers {
                let (truth, _) = state(&store, &follower.filter);
                assert_eq!(follower.known, truth, "{:?}", follower.filter);
            }
        });
    }
}

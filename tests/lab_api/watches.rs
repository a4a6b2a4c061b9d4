//! Watches, as kube's watcher reads them and as they are on the wire.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::client::{connect, get, within};
use crate::support::Lab;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

fn lease(name: &str, holder: &str) -> Lease {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"holder": holder}},
        "spec": {"holderIdentity": holder},
    }))
    .unwrap()
}

/// The lines of a watch, from its begin to its end.
async fn lines(client: &Client, query: &str) -> Vec<Value> {
    let request = http::Request::get(format!("{LEASES}?watch=true&{query}"))
        .body(Vec::new())
        .unwrap();
    let stream = client.request_stream(request).await.unwrap();
    let read = stream.lines().try_collect::<Vec<String>>();
    let lines = within("the watch ends", read).await.unwrap();
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn both_ways_of_following_see_the_same() {
    let lab = Lab::start(&["--empty"]);
    let leases: Api<Lease> = Api::default_namespaced(connect(&lab).await);
    leases
        .create(&PostParams::default(), &lease("a", "x"))
        .await
        .unwrap();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut events = pin!(watcher(leases.clone(), config));
        let mut next = async || within("an event", events.next()).await.unwrap().unwrap();
        assert!(matches!(next().await, Event::Init));
        assert!(matches!(next().await, Event::InitApply(it) if it.name_any() == "a"));
        assert!(matches!(next().await, Event::InitDone));
        leases
            .create(&PostParams::default(), &lease("b", "x"))
            .await
            .unwrap();
        assert!(matches!(next().await, Event::Apply(it) if it.name_any() == "b"));
        leases.delete("b", &DeleteParams::default()).await.unwrap();
        assert!(matches!(next().await, Event::Delete(it) if it.name_any() == "b"));
    }
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    leases
        .create(&PostParams::default(), &lease("a", "x"))
        .await
        .unwrap();
    for version in ["", "0"] {
        let seen = lines(
            &client,
            &format!("resourceVersion={version}&timeoutSeconds=1"),
        )
        .await;
        assert_eq!(kinds(&seen), ["ADDED"], "{version}");
    }
    let (_, list) = get(&client, LEASES).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    leases
        .create(&PostParams::default(), &lease("b", "x"))
        .await
        .unwrap();
    let seen = lines(
        &client,
        &format!("resourceVersion={version}&timeoutSeconds=1"),
    )
    .await;
    assert_eq!(kinds(&seen), ["ADDED"]);
    assert_eq!(seen[0]["object"]["metadata"]["name"], "b");
}

#[tokio::test]
async fn bookmarks_say_how_far_a_watch_is() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    leases
        .create(&PostParams::default(), &lease("a", "x"))
        .await
        .unwrap();
    let streaming =
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let seen = lines(&client, &format!("{streaming}&timeoutSeconds=1")).await;
    assert_eq!(kinds(&seen)[..2], ["ADDED", "BOOKMARK"]);
    let mark = &seen[1]["object"];
    assert_eq!(
        mark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(mark["kind"], "Lease");

    // A change of what is not watched moves a watch on, too.
    let version = mark["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let other: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    other
        .create(&PostParams::default(), &lease("far", "x"))
        .await
        .unwrap();
    let query = format!("resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=1");
    let seen = lines(&client, &query).await;
    assert_eq!(kinds(&seen), ["BOOKMARK"]);
    let later = seen[0]["object"]["metadata"]["resourceVersion"]
        .as_str()
        .unwrap();
    assert!(later.parse::<u64>().unwrap() > version.parse::<u64>().unwrap());

    let query = "sendInitialEvents=true";
    let (code, _) = get(&client, &format!("{LEASES}?watch=true&{query}")).await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn a_filtered_watch_tells_who_comes_and_goes() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let (_, list) = get(&client, LEASES).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut object = leases
        .create(&PostParams::default(), &lease("a", "x"))
        .await
        .unwrap();
    for holder in ["mine", "mine too", "y"] {
        let label = holder.split(' ').next().unwrap();
        object
            .labels_mut()
            .insert("holder".to_owned(), label.to_owned());
        object.spec.as_mut().unwrap().holder_identity = Some(holder.to_owned());
        object = leases
            .replace("a", &PostParams::default(), &object)
            .await
            .unwrap();
    }
    let query = format!("resourceVersion={version}&labelSelector=holder%3Dmine&timeoutSeconds=1");
    let seen = lines(&client, &query).await;
    assert_eq!(kinds(&seen), ["ADDED", "MODIFIED", "DELETED"]);
    assert_eq!(seen[2]["object"]["metadata"]["labels"]["holder"], "mine");
    let gone = seen[2]["object"]["metadata"]["resourceVersion"].as_str();
    assert_eq!(gone, object.metadata.resource_version.as_deref());
}

#[tokio::test]
async fn a_table_in_a_watch_describes_its_columns_once() {
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    for name in ["a", "b"] {
        leases
            .create(&PostParams::default(), &lease(name, "x"))
            .await
            .unwrap();
    }
    let request = http::Request::get(format!("{LEASES}?watch=true&timeoutSeconds=1"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let stream = client.request_stream(request).await.unwrap();
    let lines: Vec<String> = stream.lines().try_collect().await.unwrap();
    let lines: Vec<Value> = lines
        .iter()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let columns: Vec<usize> = lines
        .iter()
        .map(|line| {
            line["object"]["columnDefinitions"]
                .as_array()
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(columns, [3, 0]);
    assert_eq!(lines[1]["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test]
async fn a_follower_of_a_former_life_is_told_to_list_again() {
    let mut lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    leases
        .create(&PostParams::default(), &lease("a", "x"))
        .await
        .unwrap();
    let (_, list) = get(&client, &format!("{LEASES}?limit=1")).await;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    leases
        .create(&PostParams::default(), &lease("b", "x"))
        .await
        .unwrap();
    let (_, page) = get(&client, &format!("{LEASES}?limit=1")).await;
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    lab.kill();

    let again = Lab::start_on(&lab.state, &["--empty"]).unwrap();
    let client = connect(&again).await;
    let seen = lines(&client, &format!("resourceVersion={version}")).await;
    assert_eq!(kinds(&seen), ["ERROR"]);
    assert_eq!(seen[0]["object"]["code"], 410);
    assert_eq!(seen[0]["object"]["reason"], "Expired");
    let (code, status) = get(&client, &format!("{LEASES}?limit=1&continue={token}")).await;
    assert_eq!(
        (code.as_u16(), status["reason"].as_str()),
        (410, Some("Expired"))
    );
}

/// What a client knows that follows by raw watches, disconnected at random.
struct Follower {
    client: Client,
    known: BTreeMap<String, String>,
    version: String,
}

impl Follower {
    async fn list(&mut self) {
        let (_, list) = get(&self.client, LEASES).await;
        list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.version);
        self.known.clear();
        for item in list["items"].as_array().unwrap() {
            self.keep("ADDED", item);
        }
    }

    /// Reads some events, then hangs up.
    async fn follow(&mut self, events: usize) {
        let path = format!(
            "{LEASES}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={}",
            self.version
        );
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let stream = self.client.request_stream(request).await.unwrap();
        let mut lines = stream.lines().take(events);
        while let Some(line) = lines.try_next().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap();
            let (kind, object) = (line["type"].as_str().unwrap(), &line["object"]);
            assert_ne!(kind, "ERROR", "{object}");
            let version = object["metadata"]["resourceVersion"].as_str().unwrap();
            let (now, before): (u64, u64) =
                (version.parse().unwrap(), self.version.parse().unwrap());
            assert!(now > before || kind == "BOOKMARK", "{now} after {before}");
            version.clone_into(&mut self.version);
            if kind != "BOOKMARK" {
                self.keep(kind, object);
            }
        }
    }

    fn keep(&mut self, kind: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let holder = object["spec"]["holderIdentity"]
            .as_str()
            .unwrap()
            .to_owned();
        let fits = match kind {
            "ADDED" => self.known.insert(name, holder).is_none(),
            "MODIFIED" => self.known.insert(name, holder).is_some(),
            _ => self.known.remove(&name).is_some(),
        };
        assert!(
            fits,
            "{kind} of {object} does not follow from what was known"
        );
    }
}

#[tokio::test]
async fn a_follower_that_is_cut_off_at_random_ends_with_the_truth() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let lab = Lab::start(&["--empty"]);
    let client = connect(&lab).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let mut follower = Follower {
        client: client.clone(),
        known: BTreeMap::new(),
        version: String::new(),
    };
    follower.list().await;
    let writing = tokio::spawn({
        let mut random = random.fork();
        async move {
            for step in 0..300 {
                let name = format!("l{}", random.u8(..8));
                let known = leases.get_opt(&name).await.unwrap();
                match (known, random.u8(..4)) {
                    (None, _) => {
                        let new = lease(&name, &step.to_string());
                        leases.create(&PostParams::default(), &new).await.unwrap();
                    }
                    (Some(_), 0) => {
                        leases
                            .delete(&name, &DeleteParams::default())
                            .await
                            .unwrap();
                    }
                    (Some(old), _) => {
                        let new = Lease {
                            metadata: ObjectMeta {
                                resource_version: old.metadata.resource_version,
                                ..lease(&name, "x").metadata
                            },
                            ..lease(&name, &step.to_string())
                        };
                        leases
                            .replace(&name, &PostParams::default(), &new)
                            .await
                            .unwrap();
                    }
                }
            }
        }
    });
    while !writing.is_finished() {
        follower.follow(random.usize(1..40)).await;
    }
    writing.await.unwrap();
    follower.follow(usize::MAX).await;
    let seen = follower.known.clone();
    follower.list().await;
    assert_eq!(seen, follower.known);
}

use super::*;
use crate::lab::controllers::world::World;

impl World {
    fn deploy(&self, spec: &Value) {
        let mut object = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "v1"}]},
                },
            },
        });
        json_patch::merge(&mut object["spec"], spec);
        self.create(Resource::Deployments, object);
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.change(&key(), change);
    }

    fn deployment(&self) -> Arc<Value> {
        self.store.get(&key()).unwrap()
    }

    fn sets(&self) -> Vec<Arc<Value>> {
        self.list(Resource::ReplicaSets)
    }

    fn available(&self) -> u64 {
        count(&self.deployment()["status"]["availableReplicas"], 0)
    }
}

fn key() -> Key {
    Key::new(Resource::Deployments, "default", "web")
}

fn condition(deployment: &Value, kind: &str) -> String {
    let conditions = deployment["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind).unwrap();
    found["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_deployment_becomes_pods_with_its_name_and_owner() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({"replicas": 2}));
    world.until("two available", |it| it.available() == 2).await;
    let set = world.sets()[0].clone();
    for pod in world.pods() {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let parts: Vec<&str> = name.split('-').collect();
        assert_eq!(parts[0], "web");
        assert_eq!((parts[1].len(), parts[2].len()), (10, 5), "{name}");
        let owner = owned::owners(&pod).next().unwrap();
        assert_eq!(set["metadata"]["uid"], owner.uid.as_str());
        assert_eq!(pod["metadata"]["labels"][HASH], parts[1]);
    }
    world
        .until("complete", |it| {
            condition(&it.deployment(), "Progressing") == "NewReplicaSetAvailable"
        })
        .await;
    let deployment = world.deployment();
    assert_eq!(
        condition(&deployment, "Available"),
        "MinimumReplicasAvailable"
    );
    assert_eq!(deployment["status"]["observedGeneration"], 1);
}

#[tokio::test]
async fn a_pod_that_is_deleted_is_replaced() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({}));
    world.until("available", |it| it.available() == 1).await;
    let victim = world.pods()[0]["metadata"]["uid"].clone();
    let key = Key::of(Resource::Pods, &world.pods()[0]);
    world.store.delete(&key, &Deletion::default()).unwrap();
    world
        .until("replaced", |it| {
            let pods = it.pods();
            pods.len() == 1 && pods[0]["metadata"]["uid"] != victim && it.available() == 1
        })
        .await;
}

#[tokio::test]
async fn scaling_follows_both_ways() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({"replicas": 3}));
    world.until("three", |it| it.available() == 3).await;
    world.edit(|it| it["spec"]["replicas"] = json!(1));
    world
        .until("one", |it| it.pods().len() == 1 && it.available() == 1)
        .await;
    world.edit(|it| it["spec"]["replicas"] = json!(0));
    world
        .until("none", |it| it.pods().is_empty() && it.available() == 0)
        .await;
}

#[tokio::test]
async fn recreate_never_runs_two_templates_at_once() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({"replicas": 2, "strategy": {"type": "Recreate", "rollingUpdate": null}}));
    world.until("v1", |it| it.available() == 2).await;
    let mut watch = world
        .store
        .watch(&[Resource::Pods], world.store.rv())
        .unwrap();
    world.edit(|it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v2"));
    world
        .until("v2", |it| {
            let pods = it.pods();
            let new = |pod: &Arc<Value>| pod["spec"]["containers"][0]["image"] == "v2";
            pods.len() == 2 && pods.iter().all(new) && it.available() == 2
        })
        .await;
    let (mut old, mut new) = (2, 0);
    while let Some(event) = watch.try_next().unwrap() {
        let first = event.object["spec"]["containers"][0]["image"] == "v1";
        match event.change {
            crate::lab::store::Change::Added => new += 1,
            crate::lab::store::Change::Deleted if first => old -= 1,
            _ => {}
        }
        assert!(old == 0 || new == 0, "{old} old and {new} new");
    }
    assert_eq!(world.deployment()["metadata"]["annotations"][REVISION], "2");
}

#[tokio::test]
async fn a_rolling_update_keeps_enough_pods_available() {
    let world = World::start();
    world.play_node();
    let rolling = json!({"maxSurge": 1, "maxUnavailable": 1});
    world.deploy(&json!({"replicas": 4, "strategy": {"rollingUpdate": rolling}}));
    world.until("v1", |it| it.available() == 4).await;
    world.edit(|it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v2"));
    world
        .until("v2", |it| {
            let sizes: u64 = it
                .sets()
                .iter()
                .map(|set| count(&set["spec"]["replicas"], 0))
                .sum();
            assert!(sizes <= 5, "{sizes} pods asked for");
            let new = |pod: &Arc<Value>| pod["spec"]["containers"][0]["image"] == "v2";
            it.pods().len() == 4 && it.pods().iter().all(new) && it.available() == 4
        })
        .await;
    // Back again: the first set is used again under a new number.
    world.edit(|it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v1"));
    world
        .until("v1 again", |it| {
            it.deployment()["metadata"]["annotations"][REVISION] == "3" && it.available() == 4
        })
        .await;
    assert_eq!(world.sets().len(), 2);
}

#[tokio::test]
async fn a_deleted_deployment_takes_its_sets_and_pods_along() {
    for foreground in [false, true] {
        let world = World::start();
        world.play_node();
        world.deploy(&json!({"replicas": 2}));
        world.until("available", |it| it.available() == 2).await;
        let how = Deletion {
            foreground,
            ..Deletion::default()
        };
        world.store.delete(&key(), &how).unwrap();
        world
            .until("nothing left", |it| {
                it.store.get(&key()).is_none() && it.sets().is_empty() && it.pods().is_empty()
            })
            .await;
    }
}

#[tokio::test]
async fn orphans_survive_and_are_found_again() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({}));
    world.until("available", |it| it.available() == 1).await;
    let pod = world.pods()[0]["metadata"]["uid"].clone();
    let how = Deletion {
        orphan: true,
        ..Deletion::default()
    };
    world.store.delete(&key(), &how).unwrap();
    world
        .until("gone", |it| it.store.get(&key()).is_none())
        .await;
    assert_eq!(world.sets().len(), 1);
    world.deploy(&json!({}));
    world.until("available", |it| it.available() == 1).await;
    assert_eq!(world.sets().len(), 1);
    assert_eq!(world.pods()[0]["metadata"]["uid"], pod);
}

#[tokio::test]
async fn a_namespace_that_ends_takes_all_with_it() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({}));
    world.until("available", |it| it.available() == 1).await;
    let home = Key::new(Resource::Namespaces, "", "default");
    world.store.delete(&home, &Deletion::default()).unwrap();
    world
        .until("gone", |it| {
            it.store.get(&home).is_none() && it.pods().is_empty()
        })
        .await;
    assert!(world.sets().is_empty());
}

#[tokio::test]
async fn a_pod_without_a_node_waits_and_says_why() {
    let world = World::start();
    let node = Key::new(Resource::Nodes, "", "n");
    let cordon = |on: bool| {
        world
            .store
            .update_with(&node, |node| {
                node["spec"]["unschedulable"] = json!(on);
                Ok::<(), StoreError>(())
            })
            .unwrap();
    };
    cordon(true);
    world.deploy(&json!({}));
    world
        .until("said", |it| {
            let events = it.store.list(Resource::Events, None).items;
            events
                .iter()
                .any(|event| event["reason"] == "FailedScheduling")
        })
        .await;
    assert_eq!(
        world.pods()[0]["status"]["conditions"][0]["reason"],
        "Unschedulable"
    );
    cordon(false);
    world
        .until("placed", |it| it.pods()[0]["spec"]["nodeName"] == "n")
        .await;
}

#[tokio::test]
async fn a_pod_counts_as_available_after_its_time() {
    let world = World::start();
    world.play_node();
    world.deploy(&json!({"minReadySeconds": 1}));
    world
        .until("ready", |it| {
            count(&it.deployment()["status"]["readyReplicas"], 0) == 1
        })
        .await;
    world.until("available", |it| it.available() == 1).await;
}

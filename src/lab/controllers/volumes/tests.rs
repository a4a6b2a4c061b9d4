use super::*;
use crate::lab::controllers::Surroundings;
use crate::lab::controllers::world::World;
use crate::lab::runtime::Bounded;
use crate::lab::shares;
use crate::lab::store::Deletion;

fn claim(name: &str, class: Option<&str>, mode: &str) -> Value {
    let mut claim = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}},
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = json!(class);
    }
    claim
}

fn pod_with(claim: &str) -> Value {
    json!({
        "metadata": {"name": "user"},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}

fn claim_key(name: &str) -> Key {
    Key::new(Resource::PersistentVolumeClaims, "default", name)
}

impl World {
    fn claim(&self, name: &str) -> std::sync::Arc<Value> {
        self.get(Resource::PersistentVolumeClaims, name)
    }

    fn is_bound(&self, name: &str) -> bool {
        self.claim(name)["status"]["phase"] == "Bound"
    }

    fn said(&self, reason: &str) -> bool {
        let events = self.list(Resource::Events);
        events.iter().any(|event| event["reason"] == reason)
    }
}

#[tokio::test]
async fn a_share_is_made_at_once_and_removed_with_its_claim() {
    let disks = tempfile::tempdir().unwrap();
    let world = World::start_in(Surroundings {
        shares: Some(disks.path().to_owned()),
        ..Surroundings::default()
    });
    create_classes(&world.store);
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", Some("azurefile"), "ReadWriteMany"),
    );
    world.until("bound", |it| it.is_bound("c")).await;
    let bound = world.claim("c");
    let volume = world.get(
        Resource::PersistentVolumes,
        bound["spec"]["volumeName"].as_str().unwrap(),
    );
    assert_eq!(volume["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    let directory = disks
        .path()
        .join(shares::directory(&volume["spec"]).unwrap());
    std::fs::create_dir_all(directory.join("full")).unwrap();
    world
        .store
        .delete(&claim_key("c"), &Deletion::default())
        .unwrap();
    world
        .until("gone", |it| it.list(Resource::PersistentVolumes).is_empty())
        .await;
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_disk_waits_for_its_first_consumer_and_a_used_claim_stays() {
    let world = World::start();
    world.play_node();
    create_classes(&world.store);
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", None, "ReadWriteOnce"),
    );
    assert_eq!(world.claim("c")["spec"]["storageClassName"], "default");
    world
        .until("waits", |it| it.said("WaitForFirstConsumer"))
        .await;
    assert!(world.list(Resource::PersistentVolumes).is_empty());
    world.create(Resource::Pods, pod_with("c"));
    world.until("bound", |it| it.is_bound("c")).await;
    world
        .store
        .delete(&claim_key("c"), &Deletion::default())
        .unwrap();
    assert!(world.claim("c")["metadata"]["deletionTimestamp"].is_string());
    let pod = Key::new(Resource::Pods, "default", "user");
    world.store.delete(&pod, &Deletion::default()).unwrap();
    world
        .until("both gone", |it| {
            it.store.get(&claim_key("c")).is_none()
                && it.list(Resource::PersistentVolumes).is_empty()
        })
        .await;
}

#[tokio::test]
async fn a_disk_that_the_machine_has_no_memory_for_is_not_promised() {
    let state = tempfile::tempdir().unwrap();
    let bounded = Bounded::open(state.path(), "/none".into(), "run".into(), None).unwrap();
    let world = World::start_in(Surroundings {
        bounded: Some(bounded),
        ..Surroundings::default()
    });
    world.play_node();
    create_classes(&world.store);
    let mut huge = claim("c", None, "ReadWriteOnce");
    huge["spec"]["resources"]["requests"]["storage"] = json!("4Pi");
    world.create(Resource::PersistentVolumeClaims, huge);
    world.create(Resource::Pods, pod_with("c"));
    let told = |it: &World| {
        let events = it.list(Resource::Events);
        let why = "take the storage class azurefile";
        let mut said = events.iter().filter_map(|event| event["message"].as_str());
        said.any(|message| message.contains("are free") && message.ends_with(why))
    };
    world.until("told", told).await;
    assert_eq!(world.claim("c")["status"]["phase"], "Pending");
    assert!(world.list(Resource::PersistentVolumes).is_empty());
    let small = claim("d", None, "ReadWriteOnce");
    world.create(Resource::PersistentVolumeClaims, small);
    let mut second = pod_with("d");
    second["metadata"]["name"] = json!("second");
    world.create(Resource::Pods, second);
    world.until("bound", |it| it.is_bound("d")).await;
}

#[tokio::test]
async fn a_volume_that_was_made_by_hand_is_kept_and_not_given_twice() {
    let world = World::start();
    let volume = json!({
        "metadata": {"name": "hand"},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "azureFile": {"secretName": "s", "shareName": "logs"},
        },
    });
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", Some(""), "ReadWriteMany"),
    );
    world
        .until("nothing there", |it| it.said("FailedBinding"))
        .await;
    world.create(Resource::PersistentVolumes, volume);
    world.until("bound", |it| it.is_bound("c")).await;
    world
        .store
        .delete(&claim_key("c"), &Deletion::default())
        .unwrap();
    let phase = |it: &World| it.get(Resource::PersistentVolumes, "hand")["status"]["phase"].clone();
    world.until("released", |it| phase(it) == "Released").await;
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", Some(""), "ReadWriteMany"),
    );
    world
        .until("still to be had by nobody", |it| {
            it.claim("c")["status"]["phase"] == "Pending"
        })
        .await;
    assert_eq!(phase(&world), "Released");
}

#[tokio::test]
async fn a_claim_that_loses_its_volume_says_so() {
    let world = World::start();
    create_classes(&world.store);
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", Some("azurefile"), "ReadWriteMany"),
    );
    world.until("bound", |it| it.is_bound("c")).await;
    let volume = Key::of(
        Resource::PersistentVolumes,
        &world.list(Resource::PersistentVolumes)[0],
    );
    // It is protected: it goes only when somebody takes the protection away.
    world.store.delete(&volume, &Deletion::default()).unwrap();
    assert!(world.store.get(&volume).is_some());
    world.change(&volume, |it| it["metadata"]["finalizers"] = json!([]));
    world
        .until("lost", |it| it.claim("c")["status"]["phase"] == "Lost")
        .await;
    assert!(world.said("ClaimLost"));
}

/// Why the pod has no node, as its condition says.
fn unscheduled(world: &World) -> String {
    let pod = world.get(Resource::Pods, "user");
    let condition = crate::lab::controllers::conditions::find(&pod["status"], "PodScheduled");
    let message = condition.and_then(|it| it["message"].as_str());
    message.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_pod_waits_for_its_claims_before_it_gets_a_node() {
    let world = World::start();
    world.play_node();
    world.create(Resource::Pods, pod_with("c"));
    let hopeless = |why: &str| {
        format!(
            "0/1 nodes are available: {why}. preemption: 0/1 nodes are available: 1 Preemption \
             is not helpful for scheduling."
        )
    };
    let missing = hopeless("persistentvolumeclaim \"c\" not found");
    world
        .until("no claim", |it| unscheduled(it) == missing)
        .await;
    // No class, and no volume: nobody makes one.
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", Some(""), "ReadWriteMany"),
    );
    let unbound = hopeless("pod has unbound immediate PersistentVolumeClaims");
    world
        .until("no volume", |it| unscheduled(it) == unbound)
        .await;
    let volume = json!({
        "metadata": {"name": "hand"},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany"],
            "azureFile": {"secretName": "s", "shareName": "logs"},
        },
    });
    world.create(Resource::PersistentVolumes, volume);
    world
        .until("it has a node", |it| {
            it.get(Resource::Pods, "user")["spec"]["nodeName"].is_string()
        })
        .await;
    assert!(world.is_bound("c"));
}

#[tokio::test]
async fn a_disk_is_not_made_for_a_pod_that_no_node_takes() {
    let world = World::start();
    world.play_node();
    create_classes(&world.store);
    world.create(
        Resource::PersistentVolumeClaims,
        claim("c", None, "ReadWriteOnce"),
    );
    let mut greedy = pod_with("c");
    greedy["spec"]["nodeSelector"] = json!({"pool": "gpu"});
    world.create(Resource::Pods, greedy);
    world
        .until("no node", |it| unscheduled(it).contains("node affinity"))
        .await;
    world
        .until("it waits", |it| it.said("WaitForFirstConsumer"))
        .await;
    assert!(world.list(Resource::PersistentVolumes).is_empty());
    world.change(&Key::new(Resource::Nodes, "", "n"), |node| {
        node["metadata"]["labels"]["pool"] = json!("gpu");
    });
    world
        .until("it has a node", |it| {
            it.get(Resource::Pods, "user")["spec"]["nodeName"] == "n"
        })
        .await;
    assert!(world.is_bound("c"));
    let claim = world.claim("c");
    assert_eq!(claim["metadata"]["annotations"][SELECTED_NODE], "n");
}

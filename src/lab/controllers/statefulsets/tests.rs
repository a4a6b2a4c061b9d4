use super::*;
use crate::lab::controllers::volumes;
use crate::lab::controllers::world::World;

impl World {
    fn deploy_set(&self, spec: &Value) {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "serviceName": "web",
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "v1"}]},
                },
            },
        });
        json_patch::merge(&mut object["spec"], spec);
        self.create(Resource::StatefulSets, object);
    }

    fn edit_set(&self, change: impl FnOnce(&mut Value)) {
        self.change(&Key::new(Resource::StatefulSets, "default", "web"), change);
    }

    fn set(&self) -> Arc<Value> {
        self.get(Resource::StatefulSets, "web")
    }

    fn ready(&self) -> u64 {
        count(&self.set()["status"]["readyReplicas"], 0)
    }

    fn images(&self) -> Vec<String> {
        let image = |pod: &Arc<Value>| {
            pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        self.pods().iter().map(image).collect()
    }

    fn use_image(&self, image: &str) {
        self.edit_set(|it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image));
    }

    fn claims(&self) -> Vec<String> {
        let claims = self.list(Resource::PersistentVolumeClaims);
        claims.iter().map(|it| name(it).to_owned()).collect()
    }
}

fn with_disk() -> Value {
    json!({"volumeClaimTemplates": [{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]})
}

#[tokio::test]
async fn pods_have_names_labels_and_disks_of_their_own() {
    let world = World::start();
    world.play_node();
    volumes::create_classes(&world.store);
    let mut spec = with_disk();
    spec["replicas"] = json!(2);
    world.deploy_set(&spec);
    world.until("two ready", |it| it.ready() == 2).await;
    assert_eq!(world.names(), ["web-0", "web-1"]);
    assert_eq!(world.claims(), ["data-web-0", "data-web-1"]);
    let pod = &world.pods()[1];
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels[POD_NAME], "web-1");
    assert_eq!(labels[POD_INDEX], "1");
    assert_eq!(
        labels[plan::REVISION],
        world.set()["status"]["updateRevision"]
    );
    assert_eq!(pod["spec"]["hostname"], "web-1");
    assert_eq!(pod["spec"]["subdomain"], "web");
    let volume = &pod["spec"]["volumes"][0];
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "data-web-1");
    // A pod that is lost comes back with its disk.
    let before = pod["metadata"]["uid"].clone();
    world
        .store
        .remove(&Key::new(Resource::Pods, "default", "web-1"), None);
    world
        .until("back", |it| {
            it.ready() == 2 && it.get(Resource::Pods, "web-1")["metadata"]["uid"] != before
        })
        .await;
    assert_eq!(world.claims(), ["data-web-0", "data-web-1"]);
}

#[tokio::test]
async fn an_update_is_rolled_out_and_back_and_keeps_its_history() {
    let world = World::start();
    world.play_node();
    world.deploy_set(&json!({"replicas": 3}));
    world.until("v1", |it| it.ready() == 3).await;
    let first = world.set()["status"]["updateRevision"].clone();
    world.use_image("v2");
    let updated = |image: &'static str| {
        move |it: &World| {
            let status = it.set()["status"].clone();
            it.images() == [image; 3]
                && it.ready() == 3
                && status["currentRevision"] == status["updateRevision"]
        }
    };
    world.until("v2", updated("v2")).await;
    assert_eq!(world.list(Resource::ControllerRevisions).len(), 2);
    world.use_image("v1");
    world.until("v1 again", updated("v1")).await;
    // The first revision again, as the newest.
    assert_eq!(world.set()["status"]["updateRevision"], first);
    let revisions = world.list(Resource::ControllerRevisions);
    assert_eq!(revisions.len(), 2);
    let again = revisions
        .iter()
        .find(|it| it["metadata"]["name"] == first)
        .unwrap();
    assert_eq!(again["revision"], 3);
    assert_eq!(again["data"]["spec"]["template"]["$patch"], "replace");
}

#[tokio::test]
async fn a_partition_holds_an_update_back() {
    let world = World::start();
    world.play_node();
    world.deploy_set(&json!({"replicas": 3,
        "updateStrategy": {"rollingUpdate": {"partition": 2}}}));
    world.until("v1", |it| it.ready() == 3).await;
    world.use_image("v2");
    world
        .until("one of three", |it| {
            it.images() == ["v1", "v1", "v2"]
                && it.ready() == 3
                && it.set()["status"]["updatedReplicas"] == 1
        })
        .await;
    let status = world.set()["status"].clone();
    assert_eq!(status["currentReplicas"], 2);
    assert_ne!(status["currentRevision"], status["updateRevision"]);
}

#[tokio::test]
async fn only_so_many_old_revisions_are_kept() {
    let world = World::start();
    world.play_node();
    world.deploy_set(&json!({"replicas": 1, "revisionHistoryLimit": 1}));
    for image in ["v1", "v2", "v3", "v4"] {
        world.use_image(image);
        world
            .until(image, |it| it.images() == [image] && it.ready() == 1)
            .await;
    }
    world
        .until("two are left", |it| {
            it.list(Resource::ControllerRevisions).len() == 2
        })
        .await;
}

#[tokio::test]
async fn claims_stay_or_go_as_they_are_told() {
    for (when, policy, left) in [
        ("retained", json!({}), vec!["data-web-0", "data-web-1"]),
        (
            "scaled",
            json!({"whenScaled": "Delete"}),
            vec!["data-web-0"],
        ),
    ] {
        let world = World::start();
        world.play_node();
        volumes::create_classes(&world.store);
        let mut spec = with_disk();
        spec["replicas"] = json!(2);
        spec["persistentVolumeClaimRetentionPolicy"] = policy;
        world.deploy_set(&spec);
        world.until("two", |it| it.ready() == 2).await;
        world.edit_set(|it| it["spec"]["replicas"] = json!(1));
        world
            .until(when, |it| it.names() == ["web-0"] && it.claims() == left)
            .await;
    }
    let world = World::start();
    world.play_node();
    volumes::create_classes(&world.store);
    let mut spec = with_disk();
    spec["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Delete"});
    world.deploy_set(&spec);
    world.until("one", |it| it.ready() == 1).await;
    let key = Key::new(Resource::StatefulSets, "default", "web");
    world.store.delete(&key, &Deletion::default()).unwrap();
    world
        .until("all gone", |it| {
            it.pods().is_empty() && it.claims().is_empty()
        })
        .await;
}

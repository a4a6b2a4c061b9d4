use super::*;
use crate::lab::controllers::world::World;

fn key() -> Key {
    Key::new(Resource::Jobs, "default", "count")
}

impl World {
    fn start_job(&self, spec: &Value) {
        let mut object = json!({
            "metadata": {"name": "count"},
            "spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "c", "image": "i"}],
            }}},
        });
        json_patch::merge(&mut object["spec"], spec);
        self.create(Resource::Jobs, object);
    }

    fn status(&self) -> Value {
        self.get(Resource::Jobs, "count")["status"].clone()
    }

    fn is(&self, condition: &str) -> bool {
        conditions::since(&self.status(), condition, "True").is_some()
    }

    fn active(&self) -> Vec<String> {
        let pods = self.pods();
        let active = pods.iter().filter(|it| owned::is_active(it));
        active
            .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn until_active(&self, count: usize) -> Vec<String> {
        let what = format!("{count} active");
        self.until(&what, |it| {
            it.active().len() == count && it.status()["active"] == count
        })
        .await;
        self.active()
    }
}

#[tokio::test]
async fn a_job_is_complete_when_enough_pods_have_succeeded() {
    let world = World::start();
    world.play_node();
    world.start_job(&json!({"completions": 3, "parallelism": 2}));
    let two = world.until_active(2).await;
    let pod = world.get(Resource::Pods, &two[0]);
    assert_eq!(
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"],
        "count"
    );
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
    world.finish(&two[0], "Succeeded");
    world.finish(&two[1], "Succeeded");
    world
        .until("counted", |it| it.status()["succeeded"] == 2)
        .await;
    let one = world.until_active(1).await;
    world.finish(&one[0], "Succeeded");
    world.until("complete", |it| it.is("Complete")).await;
    let status = world.status();
    assert_eq!(status["succeeded"], 3);
    assert!(status["completionTime"].is_string() && status["active"].is_null());
    let kinds: Vec<&Value> = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(kinds, ["SuccessCriteriaMet", "Complete"]);
    // What has ended stays, to be read, and is free to go.
    world
        .until("released", |it| {
            it.pods().len() == 3
                && it
                    .pods()
                    .iter()
                    .all(|it| it["metadata"]["finalizers"].is_null())
        })
        .await;
}

#[tokio::test]
async fn a_job_fails_with_its_last_allowed_pod() {
    let world = World::start();
    world.play_node();
    world.start_job(&json!({"backoffLimit": 0, "completions": 2, "parallelism": 2}));
    let two = world.until_active(2).await;
    world.finish(&two[0], "Failed");
    world.until("failed", |it| it.is("Failed")).await;
    let status = world.status();
    let failed = conditions::find(&status, "Failed").unwrap();
    assert_eq!(failed["reason"], "BackoffLimitExceeded");
    assert_eq!(
        conditions::find(&status, "FailureTarget").unwrap()["reason"],
        "BackoffLimitExceeded"
    );
    // The other one was ended with it, and counts.
    assert_eq!(status["failed"], 2);
    assert!(status["completionTime"].is_null());
}

#[tokio::test]
async fn a_deleted_pod_is_counted_and_replaced() {
    let world = World::start();
    world.play_node();
    world.start_job(&json!({}));
    let first = world.until_active(1).await;
    let pod = Key::new(Resource::Pods, "default", &first[0]);
    world.store.delete(&pod, &Deletion::default()).unwrap();
    world
        .until("replaced", |it| {
            it.status()["failed"] == 1 && it.active().len() == 1 && it.active() != first
        })
        .await;
    world.until("gone", |it| it.store.get(&pod).is_none()).await;
}

#[tokio::test]
async fn suspension_ends_the_pods_and_counts_nothing() {
    let world = World::start();
    world.play_node();
    world.start_job(&json!({"parallelism": 2}));
    world.until_active(2).await;
    world.change(&key(), |it| it["spec"]["suspend"] = json!(true));
    world
        .until("suspended", |it| it.is("Suspended") && it.pods().is_empty())
        .await;
    let status = world.status();
    assert!(
        status["startTime"].is_null() && status["failed"].is_null(),
        "{status}"
    );
    world.change(&key(), |it| it["spec"]["suspend"] = json!(false));
    world.until_active(2).await;
    assert!(!world.is("Suspended"));
}

#[tokio::test]
async fn each_index_is_told_to_its_pod() {
    let world = World::start();
    world.play_node();
    world.start_job(&json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    let pods = world.until_active(2).await;
    for (index, name) in pods.iter().enumerate() {
        assert!(name.starts_with(&format!("count-{index}-")), "{name}");
        let pod = world.get(Resource::Pods, name);
        assert_eq!(pod["metadata"]["annotations"][INDEX], index.to_string());
        assert_eq!(
            pod["spec"]["containers"][0]["env"][0]["name"],
            "JOB_COMPLETION_INDEX"
        );
        world.finish(name, "Succeeded");
    }
    world.until("complete", |it| it.is("Complete")).await;
    assert_eq!(world.status()["completedIndexes"], "0,1");
}

#[tokio::test]
async fn a_finished_job_goes_when_its_time_is_up_and_takes_its_pods_along() {
    let world = World::start();
    world.play_node();
    world.start_job(&json!({"ttlSecondsAfterFinished": 0}));
    let one = world.until_active(1).await;
    world.finish(&one[0], "Succeeded");
    world
        .until("gone", |it| {
            it.store.get(&key()).is_none() && it.pods().is_empty()
        })
        .await;
}

#[tokio::test]
async fn a_deleted_job_takes_its_running_pods_along() {
    for foreground in [false, true] {
        let world = World::start();
        world.play_node();
        world.start_job(&json!({}));
        world.until_active(1).await;
        let how = Deletion {
            foreground,
            ..Deletion::default()
        };
        world.store.delete(&key(), &how).unwrap();
        world
            .until("gone", |it| {
                it.store.get(&key()).is_none() && it.pods().is_empty()
            })
            .await;
    }
}

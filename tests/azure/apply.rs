use aks_tui::{
    adapters::azure::apply::apply,
    core::azure::{
        OWNER,
        progress::{Progress, State},
    },
};

use crate::{
    fake::Fake,
    world::{GROUP, plan, settings, start},
};

fn puts(fake: &Fake, what: &str) -> usize {
    fake.seen()
        .iter()
        .filter(|seen| seen.method == "PUT" && seen.path.contains(what))
        .count()
}

#[tokio::test]
async fn a_plan_is_made_true_and_every_resource_tells_how_far_it_is() {
    let (fake, world) = start().await;
    let client = fake.client().await;
    let settings = settings(&fake);
    let planned = plan(&client, &settings).await;
    let mut told = Vec::new();
    let outputs = apply(&client, &settings, &planned, &mut |progress| {
        told.push(progress);
    })
    .await
    .unwrap();
    assert_eq!(outputs["clusterId"]["value"], "the-id");
    assert_eq!(
        world.lock().unwrap().get(GROUP).unwrap()["tags"][OWNER.0],
        OWNER.1
    );
    let states: Vec<_> = told
        .iter()
        .filter_map(|progress| match progress {
            Progress::Resource(resource) => {
                Some((resource.name.as_str(), resource.state, resource.seconds))
            }
            _ => None,
        })
        .collect();
    // What is only read, the cluster, is nobody's progress.
    assert_eq!(
        states,
        [
            ("xyzstorage", State::Running, Some(12.5)),
            ("xyzstorage", State::Done, Some(12.5))
        ]
    );
    // No key, no token, no secret in what a deployment leaves in Azure's history.
    let bodies: String = fake.seen().iter().map(|seen| seen.body.clone()).collect();
    assert!(!bodies.contains(crate::fake::SECRET));
}

#[tokio::test]
async fn two_who_want_the_same_make_it_once() {
    let (fake, _world) = start().await;
    let (one, other) = (fake.client().await, fake.client().await);
    let settings = settings(&fake);
    let (first, second) = futures::join!(plan(&one, &settings), plan(&other, &settings));
    assert_eq!(first.deployable.name(), second.deployable.name());
    let (mut a, mut b) = (|_| {}, |_| {});
    let (x, y) = futures::join!(
        apply(&one, &settings, &first, &mut a),
        apply(&other, &settings, &second, &mut b)
    );
    assert_eq!(x.unwrap(), y.unwrap());
}

#[tokio::test]
async fn who_was_interrupted_follows_the_deployment_that_runs() {
    let (fake, _world) = start().await;
    let client = fake.client().await;
    let settings = settings(&fake);
    let planned = plan(&client, &settings).await;
    // The first one dies right after the deployment was accepted.
    {
        let mut ignore = |_| {};
        let work = apply(&client, &settings, &planned, &mut ignore);
        let accepted = async {
            while puts(&fake, "/deployments/") == 0 {
                tokio::task::yield_now().await;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! { _ = work => panic!("it was interrupted"), () = accepted => {} }
    }
    let mut told = Vec::new();
    apply(&client, &settings, &planned, &mut |progress| {
        told.push(progress);
    })
    .await
    .unwrap();
    assert_eq!(puts(&fake, "/deployments/"), 1);
    assert!(told.iter().any(
        |progress| matches!(progress, Progress::Note { text } if text.contains("running already"))
    ));
}

use std::path::Path;

use aks_tui::{
    adapters::azure::{Client, clean::Cleaner},
    core::azure::{
        OWNER,
        clean::{Fate, Scope},
        settings::Settings,
    },
};
use serde_json::{Value, json};

use crate::world::{GROUP, Shared, paths, settings, start};

fn cleaner<'a>(client: &'a Client, settings: &'a Settings, also: &'a [String]) -> Cleaner<'a> {
    Cleaner {
        client,
        settings,
        paths: paths(),
        kubeconfig: Path::new("/nowhere"),
        also,
    }
}

fn thing(kind: &str, name: &str, ours: bool) -> (String, Value) {
    let id = format!("{GROUP}/providers/{kind}/{name}");
    let tags = if ours {
        json!({OWNER.0: OWNER.1})
    } else {
        json!({})
    };
    (
        id.clone(),
        json!({"id": id, "name": name, "type": kind, "tags": tags}),
    )
}

fn furnish(world: &Shared) {
    let mut world = world.lock().unwrap();
    world.put(GROUP, json!({"location": "eastus", "tags": {OWNER.0: OWNER.1}, "properties": {"provisioningState": "Succeeded"}}));
    for (kind, name, ours) in [
        ("Microsoft.Storage/storageAccounts", "xyzstorage", true),
        (
            "Microsoft.ContainerRegistry/registries",
            "xyzcontainerreg",
            false,
        ),
        (
            "Microsoft.ContainerService/managedClusters",
            "xyz-cluster",
            true,
        ),
    ] {
        let (id, value) = thing(kind, name, ours);
        world.put(&id, value);
    }
}

#[tokio::test]
async fn most_takes_what_is_ours_and_leaves_the_cluster_and_what_is_not() {
    let (fake, world) = start().await;
    furnish(&world);
    let client = fake.client().await;
    let settings = settings(&fake);
    let cleaner = cleaner(&client, &settings, &[]);
    let preview = cleaner.preview(Scope::Most).await.unwrap();
    let fates: Vec<_> = preview
        .objects
        .iter()
        .map(|object| (object.name.as_str(), object.fate))
        .collect();
    assert_eq!(
        fates,
        [
            ("xyzstorage", Fate::Delete),
            ("xyzcontainerreg", Fate::Stays)
        ]
    );
    cleaner.carry_out(&preview, &mut |_| {}).await.unwrap();
    let left: Vec<_> = world
        .lock()
        .unwrap()
        .things
        .iter()
        .map(|(at, _)| at.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(left, ["xyz-group", "xyzcontainerreg", "xyz-cluster"]);
    let again = cleaner.preview(Scope::Most).await.unwrap();
    assert!(again.is_empty());
}

#[tokio::test]
async fn all_is_refused_while_something_of_others_would_go_along() {
    let (fake, world) = start().await;
    furnish(&world);
    let client = fake.client().await;
    let settings = settings(&fake);
    let preview = cleaner(&client, &settings, &[])
        .preview(Scope::All)
        .await
        .unwrap();
    let objections: Vec<_> = preview
        .objections()
        .map(|object| object.note.clone())
        .collect();
    assert_eq!(
        objections,
        ["not made by aks-tui; --also xyzcontainerreg lets it go"]
    );
    assert_eq!(preview.word(), "xyz-group");
    let also = ["xyzcontainerreg".to_owned()];
    let cleaner = cleaner(&client, &settings, &also);
    let preview = cleaner.preview(Scope::All).await.unwrap();
    assert_eq!(preview.objections().count(), 0);
    cleaner.carry_out(&preview, &mut |_| {}).await.unwrap();
    assert!(world.lock().unwrap().things.is_empty());
    assert!(cleaner.preview(Scope::All).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lock_is_named() {
    let (fake, world) = start().await;
    furnish(&world);
    let lock = json!({"name": "keep", "id": format!("{GROUP}/providers/Microsoft.Authorization/locks/keep"),
        "properties": {"level": "CanNotDelete", "notes": "ask Ada"}});
    world.lock().unwrap().locks = vec![lock];
    let client = fake.client().await;
    let settings = settings(&fake);
    let preview = cleaner(&client, &settings, &[])
        .preview(Scope::All)
        .await
        .unwrap();
    assert_eq!(preview.refused, ["the lock keep (CanNotDelete) (ask Ada)"]);
}

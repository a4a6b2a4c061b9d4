use aks_tui::{
    adapters::azure::template::Deployable,
    core::azure::plan::{Action, Verdict},
};
use serde_json::json;

use crate::world::{GROUP, paths, plan, settings, start};

#[tokio::test]
async fn in_an_empty_subscription_everything_is_to_be_made() {
    let (fake, _world) = start().await;
    let client = fake.client().await;
    let settings = settings(&fake);
    let planned = plan(&client, &settings).await;
    assert_eq!(planned.plan.stops().count(), 0, "{:?}", planned.plan.checks);
    let made: Vec<_> = planned
        .plan
        .changes
        .iter()
        .map(|change| change.name.as_str())
        .collect();
    assert_eq!(
        made[..5],
        [
            "xyz-group",
            "xyzstorage",
            "xyzstorage/default/ambrosia-logs-smbshare",
            "xyzcontainerreg",
            "xyz-cluster"
        ]
    );
    assert_eq!(planned.plan.count(Action::Create), 6);
    assert!(!planned.plan.is_done() && planned.plan.seconds >= 300);
    let kubernetes = planned
        .plan
        .checks
        .iter()
        .find(|check| check.name == "kubernetes")
        .unwrap();
    assert_eq!(kubernetes.what, "1.35, the region's default");
    // Asking changes nothing.
    let only_asked = |seen: &crate::fake::Seen| {
        seen.method == "GET" || seen.path.ends_with("/checkNameAvailability")
    };
    assert!(fake.seen().iter().all(only_asked));
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_with_what_would_do() {
    let (fake, world) = start().await;
    {
        let mut world = world.lock().unwrap();
        world.quota = 3;
        world.unregistered = Some("Microsoft.ContainerService");
    }
    let client = fake.client().await;
    let mut settings = settings(&fake);
    settings.storage.account = "taken1".to_owned();
    settings.cluster.kubernetes_version = "1.29".to_owned();
    let planned = plan(&client, &settings).await;
    let stops: Vec<_> = planned
        .plan
        .stops()
        .map(|check| (check.name.as_str(), check.what.as_str()))
        .collect();
    let names: Vec<_> = stops.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["providers", "storage account", "kubernetes", "quota"]
    );
    assert!(stops[0].1.contains("Microsoft.ContainerService") && stops[0].1.contains("--register"));
    assert!(stops[1].1.contains("storage.account"));
    assert!(stops[2].1.contains("1.34, 1.35"));
    assert!(stops[3].1.contains("0 of 3 used, 4 needed"));
    settings.cluster.vm_size = "Standard_D8s_v5".to_owned();
    let planned = plan(&client, &settings).await;
    let size = planned
        .plan
        .stops()
        .find(|check| check.name == "size")
        .unwrap();
    assert!(
        size.what.contains("NotAvailableForSubscription") && size.what.contains("Standard_D2s_v5"),
        "{}",
        size.what
    );
}

#[tokio::test]
async fn in_a_group_that_is_there_azure_says_what_changes() {
    let (fake, world) = start().await;
    {
        let mut world = world.lock().unwrap();
        world.put(GROUP, json!({"location": "eastus", "tags": {}, "properties": {"provisioningState": "Succeeded"}}));
        let account = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/xyzstorage");
        world.put(
            &account,
            json!({"location": "eastus", "id": account, "name": "xyzstorage"}),
        );
        world.what_if = json!({"status": "Succeeded", "properties": {"changes": [
            {"resourceId": account, "changeType": "Modify", "delta": [
                {"path": "sku.name", "propertyChangeType": "Modify", "before": "Standard_GRS", "after": "Standard_LRS"}]},
            {"resourceId": format!("{GROUP}/providers/Microsoft.Web/sites/other"), "changeType": "Ignore"}]}});
        world.locks = vec![
            json!({"name": "frozen", "id": format!("{GROUP}/providers/Microsoft.Authorization/locks/frozen"), "properties": {"level": "ReadOnly"}}),
        ];
    }
    let client = fake.client().await;
    let planned = plan(&client, &settings(&fake)).await;
    assert_eq!(planned.plan.count(Action::Modify), 1);
    assert_eq!(planned.plan.changes[0].deltas[0].path, "sku.name");
    assert_eq!(planned.plan.count(Action::Ignore), 1);
    let check = |name: &str| {
        planned
            .plan
            .checks
            .iter()
            .find(|check| check.name == name)
            .unwrap()
    };
    assert_eq!(check("locks").verdict, Verdict::Stop);
    assert!(check("locks").what.contains("frozen"));
    // Somebody else's group is not deleted later.
    assert_eq!(check("resource group").verdict, Verdict::Doubt);
}

#[tokio::test]
async fn what_others_changed_since_is_told_from_what_is_wished_anew() {
    let (fake, world) = start().await;
    let client = fake.client().await;
    let settings = settings(&fake);
    let account = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/xyzstorage");
    let name = Deployable::of(&settings, &paths()).unwrap().name();
    let deployed = |name: &str, state: &str, at: &str| json!({"name": name, "properties": {"provisioningState": state, "timestamp": at}});
    {
        let mut world = world.lock().unwrap();
        world.put(GROUP, json!({"location": "eastus", "tags": {}}));
        world.what_if = json!({"status": "Succeeded", "properties": {"changes": [
            {"resourceId": account, "changeType": "Modify", "delta": [
                {"path": "sku.name", "propertyChangeType": "Modify", "before": "Standard_GRS", "after": "Standard_LRS"}]}]}});
        world.deployments = vec![
            deployed(&name, "Succeeded", "2026-01-01T10:00:01.5Z"),
            deployed("somebody-else", "Succeeded", "2026-01-03T10:00:00Z"),
        ];
    }
    let drifted = plan(&client, &settings).await.plan;
    let ids: Vec<_> = drifted.drifted().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, [account]);
    let histories = [
        // Another wish of ours came after it.
        vec![
            deployed("aks-tui-0123", "Succeeded", "2026-01-01T10:00:01.75Z"),
            deployed(&name, "Succeeded", "2026-01-01T10:00:01.5Z"),
        ],
        vec![deployed(&name, "Failed", "2026-01-01T10:00:00Z")],
        vec![],
    ];
    for history in histories {
        world.lock().unwrap().deployments = history;
        let plan = plan(&client, &settings).await.plan;
        assert_eq!(plan.count(Action::Modify), 1);
        assert_eq!(plan.drifted().count(), 0, "{:?}", fake.seen().last());
    }
}

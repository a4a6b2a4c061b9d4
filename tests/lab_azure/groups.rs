//! Resource groups, providers, locks and roles.

use serde_json::{Value, json};

use crate::azure::{Azure, RESOURCES};
use crate::support::Lab;
use crate::{FAST, lab};

#[tokio::test]
async fn a_group_lives_outlives_the_lab_and_goes_with_what_is_in_it() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut lab = Lab::start_on(&state, &FAST).unwrap();
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/inside1");
    let body = json!({"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"});
    let made = azure
        .call("PUT", &account, "2025-08-01", &body)
        .await
        .expect(&[202]);
    azure.follow(&made).await.expect(&[200]);
    let elsewhere = json!({"location": "westus2"});
    let refused = azure.call("PUT", &group, RESOURCES, &elsewhere).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "InvalidResourceGroupLocation")
    );
    assert_eq!(
        azure
            .call("HEAD", &group, RESOURCES, &Value::Null)
            .await
            .status,
        204
    );

    // A lab that died goes on with the same addresses, trust and resources.
    lab.kill();
    let mut next = Lab::start_on(&state, &FAST).unwrap();
    assert_eq!(Azure::stranger(&next).about, azure.about);
    let there = azure.get(&group, RESOURCES).await.expect(&[200]);
    assert_eq!(there.body["tags"]["owner"], "test");

    let list = format!("{group}/resources?$expand=createdTime,provisioningState");
    let inside = azure.get(&list, RESOURCES).await.body["value"].take();
    assert_eq!(inside[0]["name"], "inside1");
    assert_eq!(inside[0]["provisioningState"], "Succeeded");
    assert!(inside[0]["createdTime"].is_string());

    let going = azure
        .call("DELETE", &group, RESOURCES, &Value::Null)
        .await
        .expect(&[202]);
    assert!(going.header("location").contains("/operationresults/"));
    assert!(!going.header("retry-after").is_empty());
    assert_eq!(azure.follow(&going).await.status, 204);
    assert_eq!(
        azure.get(&group, RESOURCES).await.code(),
        "ResourceGroupNotFound"
    );
    next.stop();
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
}

#[tokio::test]
async fn a_group_that_goes_takes_nothing_new_and_whoever_asks_again_follows_it() {
    let slow = Lab::start(&["--azure", "--azure-time-scale", "1"]);
    let azure = Azure::of(&slow).await;
    let group = azure.make_group("rg1").await;
    let going = azure.call("DELETE", &group, RESOURCES, &Value::Null).await;
    let again = azure.call("DELETE", &group, RESOURCES, &Value::Null).await;
    assert_eq!((going.status, again.status), (202, 202));
    assert_eq!(going.header("location"), again.header("location"));
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/late1");
    let body = json!({"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"});
    for (path, body) in [(&account, &body), (&group, &json!({"location": "eastus"}))] {
        let refused = azure.call("PUT", path, "2025-04-01", body).await;
        let refused = if refused.status == 400 {
            azure.call("PUT", path, "2025-08-01", body).await
        } else {
            refused
        };
        assert_eq!(
            (refused.status, refused.code()),
            (409, "ResourceGroupBeingDeleted")
        );
    }
    let there = azure.get(&group, RESOURCES).await.body;
    assert_eq!(there["properties"]["provisioningState"], "Deleting");
}

#[tokio::test]
async fn a_list_comes_in_pages_and_by_tag() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    for name in ["a", "b", "c"] {
        azure.make_group(name).await;
    }
    let path = format!(
        "/subscriptions/{}/resourcegroups",
        azure.text("subscription")
    );
    let first = azure.get(&format!("{path}?$top=2"), RESOURCES).await.body;
    assert_eq!(first["value"].as_array().unwrap().len(), 2);
    let second = azure
        .send("GET", first["nextLink"].as_str().unwrap(), Vec::new())
        .await
        .body;
    assert_eq!(second["value"][0]["name"], "c");
    assert!(second["nextLink"].is_null());
    let filter = "$filter=tagName%20eq%20'owner'%20and%20tagValue%20eq%20'nobody'";
    let none = azure.get(&format!("{path}?{filter}"), RESOURCES).await;
    assert_eq!(none.body["value"], json!([]));
    let odd = azure
        .get(&format!("{path}?$filter=substringof('a',name)"), RESOURCES)
        .await;
    assert_eq!(
        (odd.status, odd.code()),
        (400, "InvalidFilterInQueryString")
    );
}

#[tokio::test]
async fn a_provider_is_registered_before_it_creates_anything() {
    let lab = lab(&["--azure-fault", "provider"]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/abc1");
    let body = json!({"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"});
    let refused = azure.call("PUT", &account, "2025-08-01", &body).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "MissingSubscriptionRegistration")
    );
    assert_eq!(
        refused.body["error"]["details"][0]["target"],
        "Microsoft.Storage"
    );

    let provider = format!(
        "/subscriptions/{}/providers/Microsoft.Storage",
        azure.text("subscription")
    );
    assert_eq!(
        azure.get(&provider, RESOURCES).await.body["registrationState"],
        "NotRegistered"
    );
    let path = format!("{provider}/register");
    let registering = azure
        .call("POST", &path, RESOURCES, &Value::Null)
        .await
        .expect(&[200]);
    assert_ne!(registering.body["registrationState"], "NotRegistered");
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    while azure.get(&provider, RESOURCES).await.body["registrationState"] != "Registered" {
        assert!(std::time::Instant::now() < end, "never registered");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    azure
        .call("PUT", &account, "2025-08-01", &body)
        .await
        .expect(&[202]);
}

#[tokio::test]
async fn a_lock_holds_what_it_is_on_and_what_is_above_it() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/keep");
    let body = json!({"properties": {"level": "CanNotDelete", "notes": "mine"}});
    azure
        .call("PUT", &lock, "2016-09-01", &body)
        .await
        .expect(&[201]);
    let refused = azure.call("DELETE", &group, RESOURCES, &Value::Null).await;
    assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"));
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&group)
    );
    let path = format!("{group}/providers/Microsoft.Authorization/locks");
    let locks = azure.get(&path, "2016-09-01").await.body;
    assert_eq!(locks["value"][0]["properties"]["level"], "CanNotDelete");
    azure
        .call("DELETE", &lock, "2016-09-01", &Value::Null)
        .await
        .expect(&[200]);
    azure
        .call("DELETE", &group, RESOURCES, &Value::Null)
        .await
        .expect(&[202]);
}

#[tokio::test]
async fn a_role_is_given_once_and_only_by_those_who_may() {
    const PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
    let azure_lab = lab(&[]);
    let azure = Azure::of(&azure_lab).await;
    let group = azure.make_group("rg1").await;
    let name = |number: u8| {
        format!(
            "{group}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-0000-0000-00000000000{number}"
        )
    };
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{PULL}",
        azure.text("subscription")
    );
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": "11111111-0000-0000-0000-000000000000", "principalType": "ServicePrincipal"}});
    azure
        .call("PUT", &name(1), "2022-04-01", &body)
        .await
        .expect(&[201]);
    azure
        .call("PUT", &name(1), "2022-04-01", &body)
        .await
        .expect(&[200]);
    let other = azure.call("PUT", &name(2), "2022-04-01", &body).await;
    assert_eq!((other.status, other.code()), (409, "RoleAssignmentExists"));
    let mut unknown = body.clone();
    unknown["properties"]["principalType"] = Value::Null;
    let refused = azure.call("PUT", &name(3), "2022-04-01", &unknown).await;
    assert_eq!((refused.status, refused.code()), (400, "PrincipalNotFound"));
    let filter =
        format!("{group}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()");
    let all = azure.get(&filter, "2022-04-01").await.body;
    assert_eq!(all["value"].as_array().unwrap().len(), 1);
    azure
        .call("DELETE", &name(1), "2022-04-01", &Value::Null)
        .await
        .expect(&[200]);
    azure
        .call("DELETE", &name(1), "2022-04-01", &Value::Null)
        .await
        .expect(&[204]);

    let contributors = lab(&["--azure-fault", "denied"]);
    let azure = Azure::of(&contributors).await;
    let group = azure.make_group("rg1").await;
    let path = format!(
        "{group}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-0000-0000-000000000001"
    );
    let refused = azure.call("PUT", &path, "2022-04-01", &body).await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "AuthorizationFailed")
    );
    let permissions = format!("{group}/providers/Microsoft.Authorization/permissions");
    let permissions = azure.get(&permissions, "2022-04-01").await.body;
    let not = permissions["value"][0]["notActions"].to_string();
    assert!(not.contains("Microsoft.Authorization/*/Write"), "{not}");
}

//! Storage accounts, their keys and their shares.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::lab;
use crate::support::Lab;

const STORAGE: &str = "2025-08-01";

fn body() -> Value {
    json!({
        "location": "East US", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2",
        "properties": {"minimumTlsVersion": "TLS1_2"},
    })
}

#[tokio::test]
async fn an_account_is_created_has_keys_and_shares_and_goes() {
    // Slow enough for what is asked before it is ready.
    let lab = Lab::start(&["--azure", "--azure-time-scale", "15"]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/logs1");
    let made = azure
        .call("PUT", &account, STORAGE, &body())
        .await
        .expect(&[202]);
    let keys = format!("{account}/listKeys");
    let early = azure.call("POST", &keys, STORAGE, &Value::Null).await;
    assert_eq!(
        (early.status, early.code()),
        (409, "StorageAccountIsNotProvisioned")
    );
    let done = azure.follow(&made).await.expect(&[200]).body;
    assert_eq!(done["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        (&done["location"], &done["sku"]["tier"]),
        (&json!("eastus"), &json!("Standard"))
    );
    assert_eq!(done["properties"]["minimumTlsVersion"], "TLS1_2");
    assert!(done["properties"]["primaryEndpoints"]["file"].is_string());
    azure
        .call("PUT", &account, STORAGE, &body())
        .await
        .expect(&[200]);

    let first = azure.call("POST", &keys, STORAGE, &Value::Null).await.body;
    assert_eq!(first["keys"][0]["keyName"], "key1");
    let renew = format!("{account}/regenerateKey");
    let renewed = azure
        .call("POST", &renew, STORAGE, &json!({"keyName": "key1"}))
        .await
        .body;
    assert_ne!(renewed["keys"][0]["value"], first["keys"][0]["value"]);
    assert_eq!(renewed["keys"][1]["value"], first["keys"][1]["value"]);

    let share = format!("{account}/fileServices/default/shares/run-1");
    let quota = json!({"properties": {"shareQuota": 80}});
    azure
        .call("PUT", &share, STORAGE, &quota)
        .await
        .expect(&[201]);
    azure
        .call("PUT", &share, STORAGE, &quota)
        .await
        .expect(&[200]);
    // What the lab keeps for the share is what the share holds.
    let directory = lab.state.join("node/shares/file/run-1");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("log1"), vec![0; 1234]).unwrap();
    let used = azure
        .get(&format!("{share}?$expand=stats"), STORAGE)
        .await
        .body;
    assert_eq!(used["properties"]["shareUsageBytes"], 1234);
    assert_eq!(used["properties"]["shareQuota"], 80);
    let bad = json!({"properties": {"shareQuota": 0}});
    assert_eq!(azure.call("PUT", &share, STORAGE, &bad).await.status, 400);

    azure
        .call("DELETE", &share, STORAGE, &Value::Null)
        .await
        .expect(&[200]);
    assert!(!directory.exists());
    let again = azure.call("PUT", &share, STORAGE, &quota).await;
    assert_eq!((again.status, again.code()), (409, "ShareBeingDeleted"));
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    while azure.call("PUT", &share, STORAGE, &quota).await.status != 201 {
        assert!(std::time::Instant::now() < end, "the name is never free");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    azure
        .call("DELETE", &account, STORAGE, &Value::Null)
        .await
        .expect(&[200]);
    azure
        .call("DELETE", &account, STORAGE, &Value::Null)
        .await
        .expect(&[204]);
    assert_eq!(azure.get(&share, STORAGE).await.status, 404);
}

#[tokio::test]
async fn names_are_checked_and_belong_to_one() {
    let azure_lab = lab(&[]);
    let azure = Azure::of(&azure_lab).await;
    let check = format!(
        "/subscriptions/{}/providers/Microsoft.Storage/checkNameAvailability",
        azure.text("subscription")
    );
    let ask = async |azure: &Azure, name: &str| {
        let body = json!({"name": name, "type": "Microsoft.Storage/storageAccounts"});
        azure
            .call("POST", &check, STORAGE, &body)
            .await
            .expect(&[200])
            .body
    };
    assert_eq!(ask(&azure, "free1").await, json!({"nameAvailable": true}));
    assert_eq!(
        ask(&azure, "Not_Right").await["reason"],
        "AccountNameInvalid"
    );
    let group = azure.make_group("rg1").await;
    let other = azure.make_group("rg2").await;
    let within = |group: &str, name: &str| {
        format!("{group}/providers/Microsoft.Storage/storageAccounts/{name}")
    };
    azure
        .call("PUT", &within(&group, "free1"), STORAGE, &body())
        .await
        .expect(&[202]);
    assert_eq!(ask(&azure, "free1").await["reason"], "AlreadyExists");
    let refused = azure
        .call("PUT", &within(&other, "free1"), STORAGE, &body())
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "StorageAccountInAnotherResourceGroup")
    );
    let refused = azure
        .call("PUT", &within(&other, "No"), STORAGE, &body())
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "AccountNameInvalid")
    );
    let mut moved = body();
    moved["location"] = json!("westus2");
    let refused = azure
        .call("PUT", &within(&group, "free1"), STORAGE, &moved)
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "InvalidResourceLocation")
    );

    let taken = lab(&["--azure-fault", "name"]);
    let azure = Azure::of(&taken).await;
    let group = azure.make_group("rg1").await;
    let refused = azure
        .call("PUT", &within(&group, "free1"), STORAGE, &body())
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "StorageAccountAlreadyTaken")
    );
}

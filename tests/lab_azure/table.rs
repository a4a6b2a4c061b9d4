//! What Azure's own packages say that a body must have, the simulator wants too.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::lab;

const TABLE: &str = include_str!("../azure_sdk/operations.json");

/// Bodies that are taken, by the end of the path in the table.
fn bodies() -> Vec<(&'static str, &'static str, Value)> {
    let role =
        "/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d";
    vec![
        (
            "PUT",
            "/resourcegroups/{resourceGroupName}",
            json!({"location": "eastus"}),
        ),
        (
            "POST",
            "/Microsoft.Storage/checkNameAvailability",
            json!({"name": "abc", "type": "Microsoft.Storage/storageAccounts"}),
        ),
        (
            "PUT",
            "/Microsoft.Storage/storageAccounts/{accountName}",
            json!({
                "location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"},
            }),
        ),
        (
            "PUT",
            "/Microsoft.ContainerRegistry/registries/{registryName}",
            json!({
                "location": "eastus", "sku": {"name": "Basic"},
            }),
        ),
        (
            "PUT",
            "/Microsoft.ContainerService/managedClusters/{resourceName}",
            json!({
                "location": "eastus",
                "properties": {"dnsPrefix": "a", "agentPoolProfiles": [{"name": "p", "mode": "System"}]},
            }),
        ),
        (
            "PUT",
            "/Microsoft.Resources/deployments/{deploymentName}",
            json!({
                "properties": {"mode": "Incremental", "template": {"resources": []}},
            }),
        ),
        (
            "PUT",
            "/{scope}/providers/Microsoft.Authorization/locks/{lockName}",
            json!({"properties": {"level": "CanNotDelete"}}),
        ),
        (
            "PUT",
            "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
            json!({
                "properties": {"roleDefinitionId": role, "principalId": "x", "principalType": "ServicePrincipal"},
            }),
        ),
        (
            "PUT",
            "/{scope}/providers/Microsoft.Resources/tags/default",
            json!({"properties": {"tags": {}}}),
        ),
    ]
}

/// Takes the property at a path away; false if it was not there.
fn take(value: &mut Value, path: &str) -> bool {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |it| (it.0, Some(it.1)));
    let Some(rest) = rest else {
        return value
            .as_object_mut()
            .is_some_and(|it| it.remove(first).is_some());
    };
    match first.strip_suffix("[]") {
        Some(list) => value[list]
            .as_array_mut()
            .is_some_and(|it| it.iter_mut().any(|it| take(it, rest))),
        None => value.get_mut(first).is_some_and(|it| take(it, rest)),
    }
}

#[tokio::test]
async fn a_body_without_what_it_must_have_is_refused() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let table: Vec<Value> = serde_json::from_str(TABLE).unwrap();
    for (method, end, body) in bodies() {
        let known =
            |it: &&Value| it["method"] == method && it["path"].as_str().unwrap().ends_with(end);
        let operation = table
            .iter()
            .find(known)
            .unwrap_or_else(|| panic!("{end} is not in the table"));
        let path = operation["path"].as_str().unwrap();
        let path = path
            .replace("/{scope}", &group)
            .replace("{subscriptionId}", &azure.text("subscription"))
            .replace("{resourceGroupName}", "rg1")
            .replace(
                "{roleAssignmentName}",
                "00000000-0000-0000-0000-000000000001",
            );
        let name = if path.contains("registries") {
            "abcde"
        } else {
            "abc"
        };
        let path = path.split('{').collect::<Vec<_>>();
        let path = path
            .iter()
            .map(|it| it.split_once('}').map_or(*it, |it| it.1))
            .collect::<Vec<_>>()
            .join(name);
        let version = operation["api_version"].as_str().unwrap();
        let mut tried = 0;
        for required in operation["required"].as_array().unwrap() {
            let mut less = body.clone();
            if !take(&mut less, required.as_str().unwrap()) {
                continue;
            }
            let refused = azure.call(method, &path, version, &less).await;
            assert_eq!(
                refused.status, 400,
                "{method} {path} without {required}: {refused:?}"
            );
            tried += 1;
        }
        assert!(tried > 0, "nothing is required of {method} {path}");
        let taken = azure.call(method, &path, version, &body).await;
        assert!(taken.status < 300, "{method} {path}: {taken:?}");
    }
}

//! Templates: what they would change, what they change, and how they fail.

use serde_json::{Value, json};

use crate::azure::{Azure, Reply};
use crate::lab;

const DEPLOYMENTS: &str = "2025-04-01";

fn template() -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "storage": {"type": "string", "minLength": 3},
            "shares": {"type": "array", "defaultValue": ["one", "two"]},
            "nodes": {"type": "int", "defaultValue": 1},
            "size": {"type": "string", "defaultValue": "Standard_D2as_v5"},
            "tags": {"type": "object", "defaultValue": {"app": "test"}},
        },
        "variables": {"registry": "[concat(parameters('storage'), 'acr')]"},
        "resources": [
            {
                "type": "Microsoft.Storage/storageAccounts", "apiVersion": "2025-08-01",
                "name": "[parameters('storage')]", "location": "[resourceGroup().location]",
                "tags": "[parameters('tags')]", "kind": "StorageV2", "sku": {"name": "Standard_LRS"},
                "properties": {"minimumTlsVersion": "TLS1_2"},
            },
            {
                "type": "Microsoft.Storage/storageAccounts/fileServices/shares", "apiVersion": "2025-08-01",
                "name": "[format('{0}/default/{1}', parameters('storage'), parameters('shares')[copyIndex()])]",
                "copy": {"name": "shares", "count": "[length(parameters('shares'))]"},
                "dependsOn": ["[parameters('storage')]"],
                "properties": {"shareQuota": 80},
            },
            {
                "type": "Microsoft.ContainerRegistry/registries", "apiVersion": "2025-11-01",
                "name": "[variables('registry')]", "location": "[resourceGroup().location]",
                "sku": {"name": "Basic"}, "tags": "[parameters('tags')]",
                "properties": {"adminUserEnabled": false},
            },
            {
                "type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2026-06-01",
                "name": "aks", "location": "[resourceGroup().location]", "tags": "[parameters('tags')]",
                "identity": {"type": "SystemAssigned"},
                "properties": {"dnsPrefix": "aks", "agentPoolProfiles": [{
                    "name": "nodepool1", "count": "[parameters('nodes')]",
                    "vmSize": "[parameters('size')]", "mode": "System",
                }]},
            },
            {
                "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
                "scope": "[resourceId('Microsoft.ContainerRegistry/registries', variables('registry'))]",
                "name": "[guid(variables('registry'), 'aks')]",
                "dependsOn": ["shares", "[variables('registry')]"],
                "properties": {
                    "roleDefinitionId": "[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')]",
                    "principalId": "[reference(resourceId('Microsoft.ContainerService/managedClusters', 'aks')).identityProfile.kubeletidentity.objectId]",
                    "principalType": "ServicePrincipal",
                },
            },
        ],
        "outputs": {
            "login": {"type": "string", "value": "[reference(variables('registry')).loginServer]"},
            "nodes": {"type": "string", "value": "[reference('aks').nodeResourceGroup]"},
        },
    })
}

fn body(parameters: &Value) -> Value {
    let values = parameters.as_object().unwrap();
    let values: serde_json::Map<_, _> = values
        .iter()
        .map(|(name, value)| (name.clone(), json!({"value": value})))
        .collect();
    json!({"properties": {"mode": "Incremental", "template": template(), "parameters": values}})
}

fn path(group: &str, name: &str) -> String {
    format!("{group}/providers/Microsoft.Resources/deployments/{name}")
}

async fn deploy(azure: &Azure, group: &str, name: &str, body: &Value) -> Reply {
    let begun = azure
        .call("PUT", &path(group, name), DEPLOYMENTS, body)
        .await
        .expect(&[200, 201]);
    azure.follow(&begun).await
}

async fn what_if(azure: &Azure, group: &str, body: &Value) -> Vec<Value> {
    let path = format!("{}/whatIf", path(group, "try"));
    let begun = azure
        .call("POST", &path, DEPLOYMENTS, body)
        .await
        .expect(&[202]);
    let found = azure.follow(&begun).await.expect(&[200]).body;
    assert_eq!(found["status"], "Succeeded");
    found["properties"]["changes"].as_array().unwrap().clone()
}

fn of<'a>(changes: &'a [Value], end: &str) -> &'a Value {
    let is = |it: &&Value| it["resourceId"].as_str().unwrap().ends_with(end);
    changes
        .iter()
        .find(is)
        .unwrap_or_else(|| panic!("{end} in {changes:?}"))
}

#[tokio::test]
async fn a_template_is_tried_deployed_changed_and_remembered() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let first = body(&json!({"storage": "abc1"}));
    let changes = what_if(&azure, &group, &first).await;
    assert_eq!(changes.len(), 6);
    assert!(
        changes.iter().all(|it| it["changeType"] == "Create"),
        "{changes:?}"
    );
    let role = changes
        .iter()
        .find(|it| {
            it["resourceId"]
                .as_str()
                .unwrap()
                .contains("/roleAssignments/")
        })
        .unwrap();
    let principal = role["after"]["properties"]["principalId"].as_str().unwrap();
    assert!(
        principal.starts_with("[reference("),
        "it is not known yet: {principal}"
    );

    let begun = azure
        .call("PUT", &path(&group, "first"), DEPLOYMENTS, &first)
        .await
        .expect(&[201]);
    assert_eq!(begun.body["properties"]["provisioningState"], "Accepted");
    let done = azure.follow(&begun).await.body;
    assert_eq!(done["status"], "Succeeded", "{done}");
    let there = azure.get(&path(&group, "first"), DEPLOYMENTS).await.body;
    let properties = &there["properties"];
    assert_eq!(
        properties["outputs"]["login"],
        json!({"type": "String", "value": "abc1acr.azurecr.io"})
    );
    assert_eq!(properties["outputs"]["nodes"]["value"], "MC_rg1_aks_eastus");
    assert!(properties["duration"].as_str().unwrap().starts_with("PT"));
    assert_eq!(properties["outputResources"].as_array().unwrap().len(), 6);
    let operations = format!("{group}/deployments/first/operations?$top=4");
    let page = azure.get(&operations, DEPLOYMENTS).await.body;
    let rest = azure
        .send("GET", page["nextLink"].as_str().unwrap(), Vec::new())
        .await
        .body;
    let all = [
        page["value"].as_array().unwrap().clone(),
        rest["value"].as_array().unwrap().clone(),
    ]
    .concat();
    assert_eq!(all.len(), 7, "{all:?}");
    assert!(
        all.iter()
            .all(|it| it["properties"]["provisioningState"] == "Succeeded")
    );

    // The same again changes nothing, but for what the service always says of
    // clusters; other tags and more nodes do.
    let changes = what_if(&azure, &group, &first).await;
    assert_eq!(
        of(&changes, "/storageAccounts/abc1")["changeType"],
        "NoChange"
    );
    let noise = of(&changes, "/managedClusters/aks");
    let kinds = noise["delta"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["propertyChangeType"]);
    assert!(
        kinds.clone().all(|it| it == "Delete" || it == "Array") && kinds.count() > 0,
        "{noise}"
    );
    let second = body(
        &json!({"storage": "abc1", "nodes": 2, "tags": {"app": "other"}, "shares": ["one", "three"]}),
    );
    let changes = what_if(&azure, &group, &second).await;
    let storage = of(&changes, "/storageAccounts/abc1");
    assert_eq!(
        storage["delta"],
        json!([{
            "path": "tags.app", "propertyChangeType": "Modify", "before": "test", "after": "other",
        }])
    );
    assert_eq!(of(&changes, "/shares/three")["changeType"], "Create");
    assert_eq!(of(&changes, "/shares/one")["changeType"], "NoChange");
    let delta = of(&changes, "/managedClusters/aks")["delta"].to_string();
    assert!(delta.contains(r#""path":"count""#), "{delta}");
    let done = deploy(&azure, &group, "second", &second).await.body;
    assert_eq!(done["status"], "Succeeded", "{done}");
    let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/aks");
    let cluster = azure.get(&cluster, "2026-06-01").await.body;
    assert_eq!(cluster["properties"]["agentPoolProfiles"][0]["count"], 2);

    // What is there and not in the template is left alone.
    let other = json!({"properties": {"mode": "Incremental", "template": {
        "$schema": "x", "contentVersion": "1.0.0.0", "resources": [],
    }}});
    let changes = what_if(&azure, &group, &other).await;
    assert!(
        changes.len() == 3 && changes.iter().all(|it| it["changeType"] == "Ignore"),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_deployment_fails_with_every_cause_and_can_be_cancelled() {
    let quota = lab(&["--azure-fault", "quota"]);
    let azure = Azure::of(&quota).await;
    let group = azure.make_group("rg1").await;
    let many = body(&json!({"storage": "abc1", "nodes": 2}));
    let failed = deploy(&azure, &group, "many", &many).await.body;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("Failed"), &json!("DeploymentFailed"))
    );
    // The provider's own answer is inside, as text.
    let detail = &failed["error"]["details"][0];
    assert_eq!(detail["code"], "BadRequest");
    let inner: Value = serde_json::from_str(detail["message"].as_str().unwrap()).unwrap();
    assert_eq!(inner["code"], "ErrCode_InsufficientVCPUQuota");
    let path_of = path(&group, "many");
    let operations = azure
        .get(&format!("{path_of}/operations"), DEPLOYMENTS)
        .await
        .body;
    let state = |end: &str| {
        let all = operations["value"].as_array().unwrap().iter();
        let mut of = all.filter(|it| {
            it["properties"]["targetResource"]["id"]
                .as_str()
                .unwrap()
                .ends_with(end)
        });
        of.next()
            .map(|it| it["properties"]["provisioningState"].clone())
    };
    assert_eq!(state("/managedClusters/aks"), Some(json!("Failed")));
    assert_eq!(state("/storageAccounts/abc1"), Some(json!("Succeeded")));

    let full = lab(&["--azure-fault", "capacity"]);
    let azure = Azure::of(&full).await;
    let group = azure.make_group("rg1").await;
    let failed = deploy(&azure, &group, "full", &body(&json!({"storage": "abc1"})))
        .await
        .body;
    let detail = &failed["error"]["details"][0];
    assert_eq!(detail["code"], "ResourceDeploymentFailure");
    assert_eq!(detail["details"][0]["code"], "AKSCapacityHeavyUsage");

    let slow = crate::support::Lab::start(&["--azure", "--azure-time-scale", "1"]);
    let azure = Azure::of(&slow).await;
    let group = azure.make_group("rg1").await;
    let begun = azure
        .call(
            "PUT",
            &path(&group, "slow"),
            DEPLOYMENTS,
            &body(&json!({"storage": "abc1"})),
        )
        .await
        .expect(&[201]);
    let busy = azure
        .call(
            "PUT",
            &path(&group, "slow"),
            DEPLOYMENTS,
            &body(&json!({"storage": "abc1"})),
        )
        .await;
    assert_eq!(
        (busy.status, busy.code()),
        (409, "DeploymentActiveAndUneditable")
    );
    let cancel = format!("{}/cancel", path(&group, "slow"));
    azure
        .call("POST", &cancel, DEPLOYMENTS, &Value::Null)
        .await
        .expect(&[204]);
    assert_eq!(azure.follow(&begun).await.body["status"], "Canceled");
    let again = azure.call("POST", &cancel, DEPLOYMENTS, &Value::Null).await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_before_it_begins() {
    let plain = lab(&[]);
    let azure = Azure::of(&plain).await;
    let group = azure.make_group("rg1").await;
    let mut versions = body(&json!({"storage": "abc1"}));
    versions["properties"]["template"]["resources"][0]["apiVersion"] = json!("2001-01-01");
    let mut twice = body(&json!({"storage": "abc1"}));
    let first = twice["properties"]["template"]["resources"][0].clone();
    twice["properties"]["template"]["resources"]
        .as_array_mut()
        .unwrap()
        .push(first);
    let mut stray = body(&json!({"storage": "abc1"}));
    stray["properties"]["template"]["resources"][0]["name"] = json!("[nonsense('a')]");
    for (body, code, words) in [
        (
            body(&json!({})),
            "InvalidTemplate",
            "'storage' is not provided",
        ),
        (
            body(&json!({"storage": "abc1", "odd": 1})),
            "InvalidTemplate",
            "'odd'",
        ),
        (body(&json!({"storage": 5})), "InvalidTemplate", "'storage'"),
        (
            body(&json!({"storage": "a"})),
            "InvalidTemplate",
            "minLength",
        ),
        (versions, "NoRegisteredProviderFound", "2001-01-01"),
        (twice, "InvalidTemplate", "defined multiple times"),
        (stray, "InvalidTemplate", "'nonsense'"),
    ] {
        for action in ["", "/validate", "/whatIf"] {
            let method = if action.is_empty() { "PUT" } else { "POST" };
            let path = format!("{}{action}", path(&group, "bad"));
            let refused = azure.call(method, &path, DEPLOYMENTS, &body).await;
            assert_eq!((refused.status, refused.code()), (400, code), "{refused:?}");
            let message = refused.body["error"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{words} in {message}");
        }
    }
    assert_eq!(
        azure.get(&path(&group, "bad"), DEPLOYMENTS).await.code(),
        "DeploymentNotFound"
    );

    let policy = lab(&["--azure-fault", "policy"]);
    let azure = Azure::of(&policy).await;
    let group = azure.make_group("rg1").await;
    let refused = azure
        .call(
            "PUT",
            &path(&group, "x"),
            DEPLOYMENTS,
            &body(&json!({"storage": "abc1"})),
        )
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "InvalidTemplateDeployment")
    );
    let detail = &refused.body["error"]["details"][0];
    assert_eq!(detail["code"], "RequestDisallowedByPolicy");
    assert_eq!(
        detail["additionalInfo"][0]["info"]["policyAssignmentName"],
        "require-cost-center"
    );
    let tagged = body(&json!({"storage": "abc1", "tags": {"costCenter": "7"}}));
    azure
        .call("PUT", &path(&group, "x"), DEPLOYMENTS, &tagged)
        .await
        .expect(&[201]);
}

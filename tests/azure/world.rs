//! A subscription that answers as documented, as far as a test bed goes: what a test
//! has not put there is not there.

use std::sync::{Arc, Mutex};

use aks_tui::{
    adapters::azure::{
        Client,
        api::Paths,
        plan::{self, Planned},
    },
    core::azure::{plan::usual_seconds, settings::Settings},
};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, SUBSCRIPTION, Seen, TENANT};

pub const GROUP: &str =
    "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/xyz-group";

/// What is in the subscription, by path, and what is peculiar about it.
#[derive(Debug, Default)]
pub struct World {
    pub things: Vec<(String, Value)>,
    pub what_if: Value,
    pub quota: u64,
    pub unregistered: Option<&'static str>,
    pub locks: Vec<Value>,
    pub deployments: Vec<Value>,
}

impl World {
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.things
            .iter()
            .find(|(at, _)| at.eq_ignore_ascii_case(path))
            .map(|(_, value)| value)
    }

    pub fn put(&mut self, path: &str, value: Value) {
        self.things.retain(|(at, _)| !at.eq_ignore_ascii_case(path));
        self.things.push((path.to_owned(), value));
    }
}

pub type Shared = Arc<Mutex<World>>;

pub fn settings(fake: &Fake) -> Settings {
    let mut settings = Settings {
        azure: fake.settings(),
        ..Settings::default()
    };
    "xyz-cluster".clone_into(&mut settings.cluster.name);
    "xyzstorage".clone_into(&mut settings.storage.account);
    "xyzcontainerreg".clone_into(&mut settings.registry.name);
    settings
}

pub fn paths() -> Paths {
    Paths {
        subscription: SUBSCRIPTION.to_owned(),
        group: "xyz-group".to_owned(),
    }
}

pub async fn start() -> (Fake, Shared) {
    let world: Shared = Arc::new(Mutex::new(World {
        quota: 10,
        ..World::default()
    }));
    let inside = world.clone();
    let fake =
        Fake::start(move |seen, before| answer(&mut inside.lock().unwrap(), seen, before)).await;
    (fake, world)
}

pub async fn plan(client: &Client, settings: &Settings) -> Planned {
    plan::make(client, settings, &usual_seconds).await.unwrap()
}

fn list(value: &Value) -> Reply {
    Reply::json(200, &json!({ "value": value }))
}

fn answer(world: &mut World, seen: &Seen, before: usize) -> Reply {
    let path = seen.path.as_str();
    let ends = |end: &str| path.ends_with(end);
    match seen.method.as_str() {
        "GET" if path == format!("/subscriptions/{SUBSCRIPTION}") => Reply::json(
            200,
            &json!({"subscriptionId": SUBSCRIPTION, "displayName": "Testing", "tenantId": TENANT, "state": "Enabled"}),
        ),
        "GET" if ends("/locations") => list(&json!([{"name": "eastus"}, {"name": "westeurope"}])),
        "GET" if ends("/skus") => list(&skus()),
        "GET" if ends("/usages") => list(&json!([
            {"name": {"value": "cores", "localizedValue": "Total Regional vCPUs"}, "currentValue": 0, "limit": world.quota},
            {"name": {"value": "standardDSv5Family", "localizedValue": "Standard DSv5 Family vCPUs"}, "currentValue": 0, "limit": 100}])),
        "GET" if ends("/kubernetesVersions") => Reply::json(
            200,
            &json!({"values": [{"version": "1.34", "patchVersions": {"1.34.9": {}}}, {"version": "1.35", "isDefault": true, "patchVersions": {"1.35.6": {}}}]}),
        ),
        "GET" if ends("/permissions") => list(&json!([{"actions": ["*"], "notActions": []}])),
        "GET" if ends("/locks") => list(&json!(world.locks)),
        "GET" if ends("/resources") => list(&
            world.things.iter().filter(|(at, _)| at.contains("/providers/") && !at.contains("/deployments/")).map(|(_, value)| value.clone()).collect(),
        ),
        "GET" if ends("/roleAssignments") => list(&json!([])),
        "GET" if ends("/operations") => operations(world, path),
        "POST" if ends("/checkNameAvailability") => Reply::json(200, &json!({"nameAvailable": !seen.body.contains("taken"), "message": "The name is already taken."})),
        "POST" if ends("/whatIf") => Reply::empty(202).with("location", "/what-if-result").with("retry-after", "0"),
        "GET" if path == "/what-if-result" => Reply::json(200, &world.what_if),
        "GET" if path.contains("/providers/Microsoft.") && path.matches('/').count() == 4 => {
            let state = if world.unregistered.is_some_and(ends) { "NotRegistered" } else { "Registered" };
            Reply::json(200, &json!({"registrationState": state}))
        }
        "PUT" if path.contains("/deployments/") => deploy(world, path, &seen.body),
        "GET" if ends("/deployments") => list(&json!(world.deployments)),
        "GET" if path.contains("/deployments/") => deployment(world, path, before),
        "PUT" => {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            world.put(path, body.clone());
            Reply::json(201, &body)
        }
        "DELETE" => {
            let gone = world.get(path).is_some();
            world.things.retain(|(at, _)| !at.to_lowercase().starts_with(&path.to_lowercase()));
            Reply::empty(if gone { 200 } else { 204 })
        }
        _ => world.get(path).map_or_else(
            || Reply::json(404, &json!({"error": {"code": "ResourceNotFound", "message": format!("{path} was not found")}})),
            |found| Reply::json(200, found),
        ),
    }
}

fn skus() -> Value {
    let sku = |name: &str, cores: &str, restrictions: Value| {
        json!({"resourceType": "virtualMachines", "name": name, "family": "standardDSv5Family", "restrictions": restrictions,
            "capabilities": [{"name": "vCPUs", "value": cores}, {"name": "MemoryGB", "value": "8"}]})
    };
    json!([
        sku("Standard_D2s_v5", "2", json!([])),
        sku("Standard_D4s_v5", "4", json!([])),
        sku(
            "Standard_D8s_v5",
            "8",
            json!([{"type": "Location", "reasonCode": "NotAvailableForSubscription"}])
        ),
    ])
}

/// A deployment is there at once, runs for two looks, and has made one account.
fn deploy(world: &mut World, path: &str, body: &str) -> Reply {
    if world
        .get(path)
        .is_some_and(|there| there["properties"]["provisioningState"] == "Running")
    {
        return Reply::json(
            409,
            &json!({"error": {"code": "DeploymentActive", "message": "it is active"}}),
        );
    }
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["properties"]["mode"], "Incremental");
    let deployment = json!({"properties": {"provisioningState": "Running", "looks": 0}});
    world.put(path, deployment.clone());
    Reply::json(201, &deployment)
}

fn deployment(world: &mut World, path: &str, _: usize) -> Reply {
    let Some(mut there) = world.get(path).cloned() else {
        return Reply::json(
            404,
            &json!({"error": {"code": "DeploymentNotFound", "message": "no such deployment"}}),
        );
    };
    let looks = there["properties"]["looks"].as_u64().unwrap();
    there["properties"]["looks"] = json!(looks + 1);
    if looks >= 2 && there["properties"]["provisioningState"] == "Running" {
        there["properties"]["provisioningState"] = json!("Succeeded");
        there["properties"]["outputs"] =
            json!({"clusterId": {"type": "String", "value": "the-id"}});
    }
    world.put(path, there.clone());
    Reply::json(200, &there)
}

fn operations(world: &World, path: &str) -> Reply {
    let deployment = path.trim_end_matches("/operations");
    let deployment = deployment.replace(
        "/deployments/",
        "/providers/Microsoft.Resources/deployments/",
    );
    let deployment = world.get(&deployment).cloned().unwrap_or_default();
    let done = deployment["properties"]["provisioningState"] == "Succeeded";
    let state = if done { "Succeeded" } else { "Running" };
    list(&json!([
        {"properties": {"provisioningOperation": "Create", "provisioningState": state, "duration": "PT12.5S",
            "targetResource": {"id": format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/xyzstorage")}}},
        {"properties": {"provisioningOperation": "Read", "provisioningState": state,
            "targetResource": {"id": format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters/xyz-cluster")}}},
    ]))
}

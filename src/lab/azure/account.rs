//! The subscription, the tenant, and the regions there are.

use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::world::World;

/// A region as clients name it, as people do, and where it is.
pub const REGIONS: [(&str, &str, &str); 8] = [
    ("eastus", "East US", "US"),
    ("eastus2", "East US 2", "US"),
    ("westus2", "West US 2", "US"),
    ("westus3", "West US 3", "US"),
    ("northeurope", "North Europe", "Europe"),
    ("westeurope", "West Europe", "Europe"),
    ("uksouth", "UK South", "UK"),
    ("southeastasia", "Southeast Asia", "Asia Pacific"),
];

/// A region's name as clients write it, from either way to write it.
pub fn region(name: &str) -> Option<&'static str> {
    let plain = name.replace(' ', "").to_ascii_lowercase();
    let found = REGIONS.iter().find(|(known, ..)| *known == plain);
    found.map(|(known, ..)| *known)
}

/// `GET /subscriptions`
pub fn subscriptions(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let subscription = about(world);
    Ok(Answer::ok(json!({
        "value": [subscription],
        "count": {"type": "Total", "value": 1},
    })))
}

/// `GET /subscriptions/{subscription}`
pub fn subscription(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    Ok(Answer::ok(about(world)))
}

fn about(world: &World) -> Value {
    let (id, tenant) = (&world.account.subscription, &world.account.tenant);
    json!({
        "id": format!("/subscriptions/{id}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": id,
        "tenantId": tenant,
        "displayName": "aks-tui lab",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET /tenants`
pub fn tenants(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let tenant = &world.account.tenant;
    Ok(Answer::list(vec![json!({
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "displayName": "aks-tui lab",
        "tenantCategory": "Home",
        "defaultDomain": "aks-tui-lab.onmicrosoft.com",
        "countryCode": "US",
    })]))
}

/// `GET /subscriptions/{subscription}/locations`
pub fn locations(world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    let id = &world.account.subscription;
    let locations = REGIONS.map(|(name, shown, group)| {
        json!({
            "id": format!("/subscriptions/{id}/locations/{name}"),
            "name": name,
            "type": "Region",
            "displayName": shown,
            "regionalDisplayName": format!("({group}) {shown}"),
            "metadata": {
                "regionType": "Physical",
                "regionCategory": "Recommended",
                "geography": group,
                "geographyGroup": group,
            },
        })
    });
    Ok(Answer::list(locations.to_vec()))
}

/// `GET /metadata/endpoints`: what the az command asks of a cloud that it does
/// not know.
pub fn endpoints(_world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let base = &call.base;
    Ok(Answer::ok(json!({
        "name": "aks-tui-lab",
        "portal": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": [base],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": base,
        "graph": base,
        "microsoftGraphResourceId": base,
        "suffixes": {
            "storage": "core.local",
            "acrLoginServer": "azurecr.local",
        },
    })))
}

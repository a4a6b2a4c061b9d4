//! A cluster: how it is created, changed and seen.

use serde_json::{Value, json};

use super::super::answer::ArmError;
use super::super::faults::Fault;
use super::super::groups;
use super::super::ids;
use super::super::kinds::{self, Put};
use super::super::lro::{Effect, Plan};
use super::super::world::World;
use super::{CLUSTER, bad, check_idle, check_running, nodes, pools, versions};
use crate::lab::store::new_uid;

/// How many clusters there may be.
const MOST: usize = 20;
/// How long a cluster takes to be there, in seconds.
const CREATING: f64 = 240.0;
/// How long it takes to be changed.
const CHANGING: f64 = 75.0;
/// How long it takes until Azure says that it has no machines.
const NO_CAPACITY: f64 = 90.0;
/// After which part of its creation there is a control plane.
const PLANE: f64 = 0.25;
/// After which part there are machines.
const MACHINES: f64 = 0.6;

/// Creates a cluster, or changes the one that is there.
///
/// # Errors
/// When it is not asked for rightly, there is no quota or no such size, or
/// another operation goes on.
pub fn put(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    check_name(ids::name(id))?;
    let location = groups::location(body, CLUSTER)?;
    kinds::check_location(world, id, location)?;
    if world.get(id).is_some() {
        check_idle(world, id)?;
        check_running(world, id)?;
        return change(world, id, body);
    }
    if world.of_kind(CLUSTER, "/").count() >= MOST {
        return Err(bad(
            "ManagedClusterCountExceedsQuotaLimit",
            format!("The total number of managed clusters exceeds the quota limit of {MOST}."),
        ));
    }
    let asked = &body["properties"];
    let version = asked["kubernetesVersion"].as_str().unwrap_or_default();
    let version = versions::resolve(version, ids::name(id))?;
    check_sign_in(asked)?;
    let profiles = pools::asked(asked)?;
    for profile in &profiles {
        pools::check(world, location, None, profile)?;
    }
    pools::check_quota(world, location, &profiles)?;
    create(world, id, body, location, version, &profiles)
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let fine = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    let ends = |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric());
    if name.len() <= 63
        && name.chars().all(fine)
        && ends(name.chars().next())
        && ends(name.chars().last())
    {
        return Ok(());
    }
    Err(bad(
        "InvalidParameter",
        format!(
            "The value of parameter resourceName '{name}' is invalid. It must have 1 to 63 letters, digits, '-' and '_', and begin and end with a letter or a digit."
        ),
    ))
}

fn check_sign_in(asked: &Value) -> Result<(), ArmError> {
    if asked["disableLocalAccounts"] == true && asked["aadProfile"].is_null() {
        return Err(bad(
            "BadRequest",
            "Disabling local accounts is only allowed on clusters with Microsoft Entra integration.",
        ));
    }
    let prefix = asked["dnsPrefix"]
        .as_str()
        .or(asked["fqdnSubdomain"].as_str());
    if prefix.is_none_or(str::is_empty) {
        return Err(bad(
            "InvalidParameter",
            "Required parameter properties.dnsPrefix or properties.fqdnSubdomain is missing (null).",
        ));
    }
    Ok(())
}

fn create(
    world: &mut World,
    id: &str,
    body: &Value,
    location: &'static str,
    version: &str,
    profiles: &[Value],
) -> Result<Put, ArmError> {
    let asked = &body["properties"];
    let hash = format!("{:08}", fastrand::u32(10_000_000..100_000_000));
    let prefix = asked["dnsPrefix"]
        .as_str()
        .or(asked["fqdnSubdomain"].as_str());
    let node_group = asked["nodeResourceGroup"].as_str().map_or_else(
        || {
            let group = ids::group(id).unwrap_or_default();
            format!("MC_{group}_{}_{location}", ids::name(id))
        },
        str::to_owned,
    );
    let mut properties = defaults();
    kinds::merge(&mut properties, asked);
    let fqdn = format!(
        "{}-{hash}.hcp.{location}.azmk8s.io",
        prefix.unwrap_or_default()
    );
    kinds::merge(
        &mut properties,
        &json!({
            "provisioningState": "Creating",
            "powerState": {"code": "Running"},
            "kubernetesVersion": version,
            "currentKubernetesVersion": version,
            "fqdn": fqdn,
            "azurePortalFQDN": fqdn.replacen(".hcp.", ".portal.hcp.", 1),
            "nodeResourceGroup": node_group.chars().take(80).collect::<String>(),
            "resourceUID": new_uid(),
        }),
    );
    if world.has(Fault::Deny) {
        properties["nodeResourceGroupProfile"]["restrictionLevel"] = json!("ReadOnly");
    }
    if let Some(properties) = properties.as_object_mut() {
        properties.remove("agentPoolProfiles");
    }
    let mut made = kinds::body(id, location, body, properties);
    made["sku"] = json!({"name": "Base", "tier": "Free"});
    kinds::merge(&mut made["sku"], &body["sku"]);
    made["identity"] = json!({
        "type": "SystemAssigned", "principalId": new_uid(), "tenantId": world.account.tenant,
    });
    world.put(id, made).secret = json!({
        "uid": new_uid(), "hash": hash, "running": true, "plane": false, "turn": 0,
        "kubelet": {"client": new_uid(), "object": new_uid()},
    });
    let mut effects = vec![Effect::Provisioned(id.to_owned())];
    for profile in profiles {
        let pool = pools::create(world, id, profile, version);
        effects.push(Effect::Provisioned(pool));
    }
    Ok(begin_to_be(world, id, location, effects))
}

fn begin_to_be(world: &mut World, id: &str, location: &str, effects: Vec<Effect>) -> Put {
    let plan = if world.has(Fault::Capacity) {
        Plan {
            seconds: NO_CAPACITY,
            failure: Some(json!({
                "code": "AKSCapacityHeavyUsage",
                "message": format!(
                    "AKS is currently experiencing heavy usage in {location} and is unable to create the cluster. Please try another region, or again later. See https://aka.ms/akscapacityheavyusage"
                ),
            })),
            ..Plan::default()
        }
    } else {
        world.later(CREATING * PLANE, Effect::Plane(id.to_owned()));
        world.later(CREATING * MACHINES, Effect::Machines(id.to_owned()));
        Plan {
            seconds: CREATING,
            effects,
            ..Plan::default()
        }
    };
    let operation = world.begin(id, plan);
    Put {
        created: true,
        operation: Some(operation),
    }
}

fn defaults() -> Value {
    json!({
        "maxAgentPools": 100,
        "enableRBAC": true,
        "supportPlan": "KubernetesOfficial",
        "disableLocalAccounts": false,
        "servicePrincipalProfile": {"clientId": "msi"},
        "networkProfile": {
            "networkPlugin": "azure", "networkPluginMode": "overlay", "networkDataplane": "azure",
            "loadBalancerSku": "standard", "outboundType": "loadBalancer",
            "podCidr": "10.244.0.0/16", "podCidrs": ["10.244.0.0/16"],
            "serviceCidr": "10.0.0.0/16", "serviceCidrs": ["10.0.0.0/16"],
            "dnsServiceIP": "10.0.0.10", "ipFamilies": ["IPv4"],
            "loadBalancerProfile": {
                "managedOutboundIPs": {"count": 1}, "backendPoolType": "nodeIPConfiguration",
            },
        },
        "autoUpgradeProfile": {"nodeOSUpgradeChannel": "NodeImage"},
        "oidcIssuerProfile": {"enabled": false},
        "securityProfile": {},
        "storageProfile": {
            "diskCSIDriver": {"enabled": true},
            "fileCSIDriver": {"enabled": true},
            "snapshotController": {"enabled": true},
        },
        "nodeResourceGroupProfile": {"restrictionLevel": "Unrestricted"},
        "workloadAutoScalerProfile": {},
        "bootstrapProfile": {"artifactSource": "Direct"},
    })
}

fn change(world: &mut World, id: &str, body: &Value) -> Result<Put, ArmError> {
    let Some(cluster) = world.get(id) else {
        return Err(super::super::resources::not_found(id));
    };
    let location = cluster.body["location"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut changed = cluster.body.clone();
    let asked = &body["properties"];
    check_unchangeable(&changed["properties"], asked)?;
    if let Some(version) = asked["kubernetesVersion"]
        .as_str()
        .filter(|it| !it.is_empty())
    {
        let version = versions::resolve(version, ids::name(id))?;
        changed["properties"]["kubernetesVersion"] = json!(version);
        changed["properties"]["currentKubernetesVersion"] = json!(version);
    }
    let version = changed["properties"]["kubernetesVersion"].clone();
    let mut effects = vec![Effect::Provisioned(id.to_owned())];
    if !asked["agentPoolProfiles"].is_null() {
        let profiles = pools::asked(asked)?;
        for profile in &profiles {
            let there = pools::find(world, id, profile["name"].as_str().unwrap_or_default());
            pools::check(world, &location, there, profile)?;
        }
        pools::check_quota_of(world, &location, id, &profiles)?;
        for profile in &profiles {
            let pool = pools::create(world, id, profile, version.as_str().unwrap_or_default());
            effects.push(Effect::Provisioned(pool));
        }
    }
    let mut wanted = asked.clone();
    if let Some(wanted) = wanted.as_object_mut() {
        wanted.remove("agentPoolProfiles");
        wanted.remove("kubernetesVersion");
        wanted.remove("provisioningState");
        wanted.remove("powerState");
    }
    kinds::merge(&mut changed["properties"], &wanted);
    kinds::merge(&mut changed["sku"], &body["sku"]);
    if body["tags"].is_object() {
        changed["tags"] = body["tags"].clone();
    }
    changed["properties"]["provisioningState"] = json!("Updating");
    world.put(id, changed);
    world.later(CHANGING * MACHINES, Effect::Machines(id.to_owned()));
    let plan = Plan {
        seconds: CHANGING,
        effects,
        ..Plan::default()
    };
    let operation = world.begin(id, plan);
    Ok(Put {
        created: false,
        operation: Some(operation),
    })
}

/// Refuses to change what a cluster keeps for life.
fn check_unchangeable(there: &Value, asked: &Value) -> Result<(), ArmError> {
    for field in [
        "dnsPrefix",
        "nodeResourceGroup",
        "networkProfile/networkPlugin",
        "networkProfile/loadBalancerSku",
    ] {
        let pointer = format!("/{field}");
        let (old, new) = (there.pointer(&pointer), asked.pointer(&pointer));
        if let (Some(old), Some(new)) = (old, new)
            && !new.is_null()
            && old != new
        {
            return Err(bad(
                "PropertyChangeNotAllowed",
                format!(
                    "Changing property 'properties.{}' is not allowed.",
                    field.replace('/', ".")
                ),
            ));
        }
    }
    Ok(())
}

/// A cluster as clients see it, with its pools.
pub fn view(world: &World, id: &str) -> Value {
    let Some(cluster) = world.get(id) else {
        return Value::Null;
    };
    let mut body = cluster.body.clone();
    let profiles = world.of_kind(super::POOL, id).map(|pool| {
        let mut profile = pool.body["properties"].clone();
        profile["name"] = pool.body["name"].clone();
        profile
    });
    body["properties"]["agentPoolProfiles"] = profiles.collect();
    if cluster.secret["plane"] == true {
        let identity = &cluster.secret["kubelet"];
        body["properties"]["identityProfile"]["kubeletidentity"] = json!({
            "resourceId": nodes::identity(world, id),
            "clientId": identity["client"],
            "objectId": identity["object"],
        });
    }
    body
}

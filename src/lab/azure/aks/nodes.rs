//! What a cluster has in its node resource group: scale sets and what goes with
//! them.

use serde_json::{Value, json};

use super::super::groups;
use super::super::ids;
use super::super::machines::{self, SET};
use super::super::resources::Resource;
use super::super::sizes;
use super::super::world::World;
use super::POOL;
use crate::lab::kubelet::Vm;

/// The image of nodes.
pub const IMAGE: &str = "AKSUbuntu-2404gen2containerd-202611.10.0";

/// The id of a cluster's node resource group.
pub fn group(world: &World, cluster: &str) -> String {
    let name = world
        .get(cluster)
        .map(|it| &it.body["properties"]["nodeResourceGroup"]);
    groups::id(world, name.and_then(Value::as_str).unwrap_or_default())
}

/// The id of the identity that a cluster's nodes have.
pub fn identity(world: &World, cluster: &str) -> String {
    format!(
        "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}-agentpool",
        group(world, cluster),
        ids::name(cluster)
    )
}

/// The control plane is there, and the group for the nodes with it.
pub fn plane(world: &mut World, cluster: &str) {
    let Some(there) = world.get_mut(cluster) else {
        return;
    };
    if there.body["properties"]["provisioningState"] == "Deleting" {
        return;
    }
    there.secret["plane"] = json!(true);
    let (body, secret) = (there.body.clone(), there.secret.clone());
    let location = body["location"].as_str().unwrap_or_default();
    let name = body["properties"]["nodeResourceGroup"]
        .as_str()
        .unwrap_or_default();
    let (hash, id) = (
        secret["hash"].as_str().unwrap_or_default(),
        there.id.clone(),
    );
    let tags = json!({"aks-managed-cluster-name": ids::name(&id), "aks-managed-cluster-rg": ids::group(&id)});
    groups::create(world, name, location, &tags, &json!(id));
    let group = groups::id(world, name);
    let identity = identity(world, cluster);
    for (id, properties) in [
        (
            identity,
            json!({
                "tenantId": world.account.tenant,
                "principalId": secret["kubelet"]["object"],
                "clientId": secret["kubelet"]["client"],
            }),
        ),
        (
            format!("{group}/providers/Microsoft.Network/virtualNetworks/aks-vnet-{hash}"),
            json!({"provisioningState": "Succeeded", "addressSpace": {"addressPrefixes": ["10.224.0.0/12"]}}),
        ),
        (
            format!(
                "{group}/providers/Microsoft.Network/networkSecurityGroups/aks-agentpool-{hash}-nsg"
            ),
            json!({"provisioningState": "Succeeded"}),
        ),
        (
            format!(
                "{group}/providers/Microsoft.Network/publicIPAddresses/{}",
                secret["uid"].as_str().unwrap_or_default()
            ),
            json!({"provisioningState": "Succeeded", "publicIPAllocationMethod": "Static"}),
        ),
        (
            format!("{group}/providers/Microsoft.Network/loadBalancers/kubernetes"),
            json!({"provisioningState": "Succeeded"}),
        ),
    ] {
        let made = super::super::kinds::body(&id, location, &json!({}), properties);
        world.put(&id, made);
    }
}

/// Makes as many machines as the pools of a cluster want, and takes away those
/// that are too many, the newest first.
pub fn sync(world: &mut World, cluster: &str) {
    let Some(there) = world.get(cluster) else {
        return;
    };
    if there.body["properties"]["provisioningState"] == "Deleting" {
        return;
    }
    let hash = there.secret["hash"].as_str().unwrap_or_default().to_owned();
    let location = there.body["location"].clone();
    let group = group(world, cluster);
    let pools: Vec<(String, Value)> = world
        .of_kind(POOL, cluster)
        .map(|it| (ids::name(&it.id).to_owned(), it.body["properties"].clone()))
        .collect();
    let wanted: Vec<String> = pools
        .iter()
        .map(|(name, _)| ids::key(&set_id(&group, name, &hash)))
        .collect();
    let gone: Vec<String> = world
        .of_kind(SET, &group)
        .map(|it| it.id.clone())
        .filter(|it| !wanted.contains(&ids::key(it)))
        .collect();
    for set in gone {
        world.remove_below(&set);
    }
    for (name, pool) in pools {
        let set = set_id(&group, &name, &hash);
        let count = pool["count"].as_u64().unwrap_or(0);
        if world.get(&set).is_none() {
            let made = json!({
                "id": set, "name": ids::name(&set), "type": SET, "location": location,
                "sku": {"name": pool["vmSize"], "tier": "Standard", "capacity": count},
                "tags": {"aks-managed-poolName": name, "aks-managed-orchestrator": "Kubernetes"},
                "properties": {
                    "provisioningState": "Succeeded", "overprovision": false,
                    "singlePlacementGroup": false, "upgradePolicy": {"mode": "Manual"},
                },
            });
            world.put(&set, made);
        }
        if let Some(there) = world.get_mut(&set) {
            there.body["sku"]["capacity"] = json!(count);
        }
        let mut now: Vec<String> = machines::of_set(world, &set)
            .map(|it| it.id.clone())
            .collect();
        now.sort_by_key(|it| ids::name(it).parse::<u64>().unwrap_or(0));
        for _ in now.len() as u64..count {
            machines::create(world, &set);
        }
        for surplus in now.split_off(now.len().min(count as usize)) {
            world.remove_below(&surplus);
        }
    }
}

fn set_id(group: &str, pool: &str, hash: &str) -> String {
    format!("{group}/providers/{SET}/aks-{pool}-{hash}-vmss")
}

/// The machines of a pool.
pub fn of_pool<'a>(world: &'a World, pool: &str) -> impl Iterator<Item = &'a Resource> {
    let cluster = super::of(pool);
    let hash = world.get(cluster).map(|it| it.secret["hash"].clone());
    let hash = hash.unwrap_or_default();
    let set = set_id(
        &group(world, cluster),
        ids::name(pool),
        hash.as_str().unwrap_or_default(),
    );
    let prefix = format!("{}/", ids::key(&set));
    world
        .resources
        .iter()
        .filter(move |(key, _)| key.starts_with(&prefix))
        .map(|(_, it)| it)
}

/// A machine as its pool lists it.
pub fn machine(pool: &str, machine: &Resource) -> Value {
    let name = &machine.body["properties"]["osProfile"]["computerName"];
    let number = machine.body["instanceId"].as_str().unwrap_or_default();
    let number: u64 = number.parse().unwrap_or(0);
    json!({
        "id": format!("{pool}/machines/{}", name.as_str().unwrap_or_default()),
        "name": name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools/machines",
        "properties": {
            "network": {"ipAddresses": [{"family": "IPv4", "ip": format!("10.224.0.{}", number + 4)}]},
            "resourceId": machine.id,
        },
    })
}

/// A cluster goes, and its nodes with it.
pub fn gone(world: &mut World, cluster: &str) {
    let group = group(world, cluster);
    if world.get(cluster).is_some() {
        world.remove_below(&group);
    }
    world.remove_below(cluster);
}

/// A machine that the lab is to have as a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What the node says of itself.
    pub vm: Vm,
    /// Whether it has power.
    pub on: bool,
    /// How often it was booted anew.
    pub boots: u64,
    /// How often it was given a fresh disk.
    pub disks: u64,
}

/// The machines that the lab is to have now.
pub fn wishes(world: &World) -> Vec<Wish> {
    let Some(cluster) = super::of_lab(world) else {
        return Vec::new();
    };
    let running = cluster.secret["running"] == true;
    let mut all = Vec::new();
    for pool in world.of_kind(POOL, &cluster.id) {
        for machine in of_pool(world, &pool.id) {
            let on = running && machine.secret["power"] == "running";
            all.push(Wish {
                vm: vm(cluster, pool, machine),
                on,
                boots: machine.secret["boots"].as_u64().unwrap_or(0),
                disks: machine.secret["disks"].as_u64().unwrap_or(0),
            });
        }
    }
    all
}

fn vm(cluster: &Resource, pool: &Resource, machine: &Resource) -> Vm {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&machine.body["properties"]["osProfile"]["computerName"]);
    let size = text(&machine.body["sku"]["name"]);
    let region = text(&cluster.body["location"]);
    let pool_name = ids::name(&pool.id).to_owned();
    let mode = text(&pool.body["properties"]["mode"]).to_ascii_lowercase();
    let node_group = text(&cluster.body["properties"]["nodeResourceGroup"]);
    let about = sizes::find(&size);
    let mut labels: Vec<(String, String)> = [
        ("agentpool", pool_name.clone()),
        ("kubernetes.azure.com/agentpool", pool_name),
        (
            "kubernetes.azure.com/cluster",
            node_group.chars().take(63).collect(),
        ),
        ("kubernetes.azure.com/mode", mode),
        ("kubernetes.azure.com/role", "agent".to_owned()),
        ("kubernetes.azure.com/node-image-version", IMAGE.to_owned()),
        (
            "kubernetes.azure.com/os-sku",
            text(&pool.body["properties"]["osSKU"]),
        ),
        ("node.kubernetes.io/instance-type", size.clone()),
        ("beta.kubernetes.io/instance-type", size),
        ("topology.kubernetes.io/region", region.clone()),
        ("failure-domain.beta.kubernetes.io/region", region),
        ("topology.kubernetes.io/zone", "0".to_owned()),
        ("failure-domain.beta.kubernetes.io/zone", "0".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    let own = pool.body["properties"]["nodeLabels"].as_object();
    let own = own.into_iter().flatten();
    labels.extend(own.map(|(name, value)| (name.clone(), text(value))));
    Vm {
        name,
        provider: format!("azure://{}", machine.id),
        labels,
        millicores: about.map_or(1000, |it| it.cpus as usize * 1000),
        memory: about.map_or(1, |it| it.memory) << 30,
    }
}

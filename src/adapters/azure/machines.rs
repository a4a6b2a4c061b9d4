//! The machines under the cluster: which one a node is, and what can be done to it;
//! and the cluster's own power.

use serde_json::Value;

use super::{
    api::{self, Paths},
    apply::{Tell, patiently},
    client::{Call, Client},
    error::Failure,
};
use crate::core::azure::{
    machines::{Machine, Operation},
    progress::Progress,
};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The machines of the cluster's nodes, with their power.
pub async fn list(client: &Client, paths: &Paths, cluster: &str) -> Result<Vec<Machine>, Failure> {
    let at = paths.cluster(cluster);
    let pools = Call::get(
        format!("list the node pools of {cluster}"),
        format!("{at}/agentPools"),
        api::CONTAINER_SERVICE,
    );
    let mut machines = Vec::new();
    for pool in client.list(&pools).await? {
        let pool = text(&pool["name"]);
        let call = Call::get(
            format!("list the machines of the node pool {pool}"),
            format!("{at}/agentPools/{pool}/machines"),
            api::CONTAINER_SERVICE,
        );
        for machine in client.list(&call).await? {
            let id = text(&machine["properties"]["resourceId"]);
            machines.push(Machine {
                node: text(&machine["name"]),
                pool: pool.clone(),
                power: String::new(),
                id,
            });
        }
    }
    powers(client, &mut machines).await?;
    Ok(machines)
}

/// Asks each scale set once what its instances' power is.
async fn powers(client: &Client, machines: &mut [Machine]) -> Result<(), Failure> {
    let mut sets: Vec<String> = machines
        .iter()
        .filter_map(|machine| scale_set(&machine.id))
        .map(str::to_owned)
        .collect();
    sets.sort();
    sets.dedup();
    for set in sets {
        let call = Call::get(
            "read the power of the nodes",
            format!("{set}/virtualMachines"),
            api::COMPUTE,
        )
        .query("$expand", "instanceView");
        for instance in client.list(&call).await? {
            let id = text(&instance["id"]);
            let number = text(&instance["instanceId"]);
            let power = instance["properties"]["instanceView"]["statuses"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|status| status["code"].as_str()?.strip_prefix("PowerState/"))
                .next_back();
            let is_it = |machine: &&mut Machine| {
                machine.id.eq_ignore_ascii_case(&id)
                    || machine
                        .id
                        .eq_ignore_ascii_case(&format!("{set}/virtualMachines/{number}"))
            };
            if let (Some(power), Some(machine)) = (power, machines.iter_mut().find(is_it)) {
                power.clone_into(&mut machine.power);
            }
        }
    }
    Ok(())
}

/// The scale set that an instance's id names.
fn scale_set(id: &str) -> Option<&str> {
    let at = id.to_ascii_lowercase().rfind("/virtualmachines/")?;
    id.get(..at)
}

/// Does `operation` to `machine`, and waits until it is done.
pub async fn operate(
    client: &Client,
    machine: &Machine,
    operation: Operation,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let wanted = format!("{} the node {}", operation.words(), machine.node);
    tell(Progress::Step {
        doing: wanted.clone(),
    });
    let call = Call::post(
        wanted,
        format!("{}/{}", machine.id, operation.name()),
        api::COMPUTE,
    );
    patiently(client, &call, tell).await.map(|_| ())
}

/// Whether the cluster is `Running` or `Stopped`, in Azure's words; nothing if there
/// is no cluster.
pub async fn power(
    client: &Client,
    paths: &Paths,
    cluster: &str,
) -> Result<Option<String>, Failure> {
    let call = Call::get(
        format!("read the cluster {cluster}"),
        paths.cluster(cluster),
        api::CONTAINER_SERVICE,
    );
    Ok(client
        .find(&call)
        .await?
        .map(|found| text(&found["properties"]["powerState"]["code"])))
}

/// Starts or stops the cluster, and waits until it is done.
pub async fn switch(
    client: &Client,
    paths: &Paths,
    cluster: &str,
    on: bool,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let verb = if on { "start" } else { "stop" };
    let wanted = format!("{verb} the cluster {cluster}");
    tell(Progress::Step {
        doing: wanted.clone(),
    });
    let call = Call::post(
        wanted,
        format!("{}/{verb}", paths.cluster(cluster)),
        api::CONTAINER_SERVICE,
    );
    patiently(client, &call, tell).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_names_its_scale_set() {
        let set = "/subscriptions/s/resourceGroups/MC_g/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-1-vmss";
        assert_eq!(scale_set(&format!("{set}/virtualMachines/0")), Some(set));
        assert_eq!(scale_set("x"), None);
    }
}

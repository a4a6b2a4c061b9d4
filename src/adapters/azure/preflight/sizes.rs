//! Sizes of machines and their quota.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{There, check, doubt};
use crate::{
    adapters::azure::{
        api::{self, Paths},
        client::{Call, Client},
    },
    core::azure::{
        plan::{Check, Verdict},
        settings::Settings,
    },
};

/// Sizes that are named when the wanted one is not to be had.
const ALTERNATIVES: usize = 6;

/// The nodes' size, and whether the quota holds them.
pub(super) async fn machines(
    client: &Client,
    paths: &Paths,
    settings: &Settings,
    there: &There,
) -> Vec<Check> {
    let wanted = &settings.cluster.vm_size;
    let skus = Call::get(
        "list the sizes of machines",
        format!("{}/skus", paths.provider("Microsoft.Compute")),
        api::SKUS,
    )
    .query(
        "$filter",
        &format!("location eq '{}'", settings.azure.location),
    );
    let usages = Call::get(
        "read the quota of machines",
        format!(
            "{}/locations/{}/usages",
            paths.provider("Microsoft.Compute"),
            settings.azure.location
        ),
        api::COMPUTE,
    );
    let (skus, usages) = futures::join!(client.list(&skus), client.list(&usages));
    let skus = match skus {
        Ok(skus) => skus,
        Err(failure) => return vec![doubt("size", &failure)],
    };
    let machines: Vec<&Value> = skus
        .iter()
        .filter(|sku| sku["resourceType"] == "virtualMachines")
        .collect();
    let Some(sku) = machines.iter().find(|sku| {
        sku["name"]
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
    }) else {
        return vec![check(
            "size",
            Verdict::Stop,
            format!(
                "the region has no size {wanted}; it has {}",
                alternatives(&machines, wanted)
            ),
        )];
    };
    if let Some(why) = restricted(sku) {
        return vec![check(
            "size",
            Verdict::Stop,
            format!(
                "{wanted} is not available here ({why}); available are {}",
                alternatives(&machines, wanted)
            ),
        )];
    }
    let cores = capability(sku, "vCPUs").unwrap_or(2.0) as u64;
    let mut checks = vec![check(
        "size",
        Verdict::Fine,
        format!(
            "{wanted}: {cores} vCPUs, {} GiB",
            capability(sku, "MemoryGB").unwrap_or_default()
        ),
    )];
    match usages {
        Err(failure) => checks.push(doubt("quota", &failure)),
        Ok(usages) => checks.push(quota(
            settings,
            there,
            sku["family"].as_str().unwrap_or_default(),
            cores,
            &usages,
        )),
    }
    checks
}

fn restricted(sku: &Value) -> Option<String> {
    sku["restrictions"]
        .as_array()?
        .iter()
        .find(|restriction| restriction["type"] == "Location")
        .map(|restriction| {
            restriction["reasonCode"]
                .as_str()
                .unwrap_or("restricted")
                .to_owned()
        })
}

fn capability(sku: &Value, name: &str) -> Option<f64> {
    sku["capabilities"]
        .as_array()?
        .iter()
        .find(|capability| capability["name"] == name)?["value"]
        .as_str()?
        .parse()
        .ok()
}

/// Sizes that a node may have and that are to be had, the most alike first.
fn alternatives(machines: &[&Value], wanted: &str) -> String {
    let mut names: Vec<&str> = machines
        .iter()
        .filter(|sku| restricted(sku).is_none())
        .filter(|sku| capability(sku, "vCPUs").is_some_and(|cores| cores >= 2.0))
        .filter(|sku| capability(sku, "MemoryGB").is_some_and(|memory| memory >= 4.0))
        .filter_map(|sku| sku["name"].as_str())
        .collect();
    names.sort_by_key(|name| strsim::damerau_levenshtein(wanted, name));
    names.truncate(ALTERNATIVES);
    if names.is_empty() {
        "none that fits a node".to_owned()
    } else {
        names.join(", ")
    }
}

/// Whether the region and the size's family have room for the nodes that are
/// missing.
fn quota(settings: &Settings, there: &There, family: &str, cores: u64, usages: &[Value]) -> Check {
    const NAME: &str = "quota";
    let have = there
        .cluster
        .as_ref()
        .and_then(|cluster| cluster["properties"]["agentPoolProfiles"][0]["count"].as_u64())
        .unwrap_or(0);
    let missing = u64::from(settings.cluster.nodes).saturating_sub(have);
    let needed = missing * cores;
    let mut said = Vec::new();
    let mut verdict = Verdict::Fine;
    let budgets: BTreeMap<&str, &Value> = usages
        .iter()
        .filter_map(|usage| Some((usage["name"]["value"].as_str()?, usage)))
        .collect();
    for budget in ["cores", family] {
        let Some((_, usage)) = budgets
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(budget))
        else {
            continue;
        };
        let used = usage["currentValue"].as_u64().unwrap_or(0);
        let limit = usage["limit"].as_u64().unwrap_or(u64::MAX);
        let name = usage["name"]["localizedValue"].as_str().unwrap_or(budget);
        said.push(format!("{name}: {used} of {limit} used, {needed} needed"));
        let room = limit.saturating_sub(used);
        if needed > room {
            verdict = Verdict::Stop;
        } else if needed + cores > room && verdict == Verdict::Fine && missing > 0 {
            // An upgrade needs a node more.
            verdict = Verdict::Doubt;
            said.push("no room for the node more that an upgrade needs".to_owned());
        }
    }
    if verdict == Verdict::Stop {
        said.push("choose a smaller size, fewer nodes or another region, or ask for more at https://aka.ms/AzureQuota".to_owned());
    }
    if said.is_empty() {
        return check(NAME, Verdict::Doubt, "the region tells no quota");
    }
    check(NAME, verdict, said.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_quota_counts_the_nodes_that_are_missing() {
        let settings = Settings::default();
        let usage = |name: &str, used: u64, limit: u64| json!({"name": {"value": name, "localizedValue": name}, "currentValue": used, "limit": limit});
        let family = "standardDSv5Family";
        let quota = |usages: &[Value], there: &There| quota(&settings, there, family, 2, usages);
        let none = There::default();
        assert_eq!(
            quota(&[usage("cores", 0, 10), usage(family, 0, 10)], &none).verdict,
            Verdict::Fine
        );
        assert_eq!(
            quota(&[usage("cores", 0, 10), usage(family, 6, 10)], &none).verdict,
            Verdict::Doubt
        );
        let stop = quota(&[usage("cores", 8, 10), usage(family, 0, 10)], &none);
        assert_eq!(stop.verdict, Verdict::Stop);
        assert!(
            stop.what.contains("8 of 10 used, 4 needed"),
            "{}",
            stop.what
        );
        let cluster = json!({"properties": {"agentPoolProfiles": [{"count": 2}]}});
        let there = There {
            cluster: Some(cluster),
            ..There::default()
        };
        assert_eq!(
            quota(&[usage("cores", 10, 10)], &there).verdict,
            Verdict::Fine
        );
    }
}

//! Sizes of virtual machines: what there is, how much of it may be had, and
//! what it costs.

use serde_json::{Value, json};

use super::account::{self, REGIONS};
use super::answer::{Answer, ArmError};
use super::call::Call;
use super::faults::Fault;
use super::machines;
use super::resources::Filter;
use super::world::World;

/// A size.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Its name.
    pub name: &'static str,
    /// The family whose quota it counts against.
    pub family: &'static str,
    /// Processors.
    pub cpus: u64,
    /// Memory in GiB.
    pub memory: u64,
    /// US dollars an hour, in the list.
    pub price: f64,
}

const fn size(
    name: &'static str,
    (family, _): (&'static str, &'static str),
    cpus: u64,
    memory: u64,
    price: f64,
) -> Size {
    Size {
        name,
        family,
        cpus,
        memory,
        price,
    }
}

const B: (&str, &str) = ("standardBsv2Family", "Standard Bsv2 Family vCPUs");
const DS2: (&str, &str) = ("standardDSv2Family", "Standard DSv2 Family vCPUs");
const DS5: (&str, &str) = ("standardDSv5Family", "Standard DSv5 Family vCPUs");
const DAS5: (&str, &str) = ("standardDASv5Family", "Standard DASv5 Family vCPUs");
const DDS5: (&str, &str) = ("standardDDSv5Family", "Standard DDSv5 Family vCPUs");
const ES5: (&str, &str) = ("standardESv5Family", "Standard ESv5 Family vCPUs");
const FS2: (&str, &str) = ("standardFSv2Family", "Standard FSv2 Family vCPUs");

/// All sizes.
pub const SIZES: [Size; 16] = [
    size("Standard_B2s_v2", B, 2, 8, 0.0832),
    size("Standard_B4s_v2", B, 4, 16, 0.166),
    size("Standard_DS2_v2", DS2, 2, 7, 0.146),
    size("Standard_DS3_v2", DS2, 4, 14, 0.293),
    size("Standard_DS4_v2", DS2, 8, 28, 0.585),
    size("Standard_D2s_v5", DS5, 2, 8, 0.096),
    size("Standard_D4s_v5", DS5, 4, 16, 0.192),
    size("Standard_D8s_v5", DS5, 8, 32, 0.384),
    size("Standard_D2as_v5", DAS5, 2, 8, 0.086),
    size("Standard_D4as_v5", DAS5, 4, 16, 0.172),
    size("Standard_D8as_v5", DAS5, 8, 32, 0.344),
    size("Standard_D2ds_v5", DDS5, 2, 8, 0.113),
    size("Standard_D4ds_v5", DDS5, 4, 16, 0.226),
    size("Standard_E2s_v5", ES5, 2, 16, 0.126),
    size("Standard_F2s_v2", FS2, 2, 4, 0.0846),
    size("Standard_F4s_v2", FS2, 4, 8, 0.169),
];

/// The size that a cluster gets whose pool names none.
pub const USUAL: &str = "Standard_D2s_v5";

/// The size of a name.
pub fn find(name: &str) -> Option<&'static Size> {
    SIZES.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

/// Whether the subscription may not have a size.
pub fn is_restricted(world: &World, size: &Size) -> bool {
    // The first choice of everybody is the one that is not to be had.
    world.has(Fault::Sku) && size.family == DS5.0
}

/// Processors that a region gives, in all and of one family.
pub fn limits(world: &World) -> (u64, u64) {
    if world.has(Fault::Quota) {
        (4, 2)
    } else {
        (100, 100)
    }
}

/// `GET …/Microsoft.Compute/skus`
pub fn skus(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let filter = Filter::parse(call.query("$filter"))?;
    let mut all = Vec::new();
    for (region, ..) in REGIONS {
        let wanted = filter.value("location").and_then(account::region);
        if filter.value("location").is_some() && wanted != Some(region) {
            continue;
        }
        all.extend(SIZES.iter().map(|it| sku(world, it, region)));
    }
    Ok(Answer::list(all))
}

fn sku(world: &World, size: &Size, region: &str) -> Value {
    let plain = size.name.trim_start_matches("Standard_");
    let restrictions = if is_restricted(world, size) {
        json!([{
            "type": "Location",
            "values": [region],
            "restrictionInfo": {"locations": [region]},
            "reasonCode": "NotAvailableForSubscription",
        }])
    } else {
        json!([])
    };
    let able = |name: &str, value: String| json!({"name": name, "value": value});
    json!({
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": plain,
        "family": size.family,
        "locations": [region],
        "locationInfo": [{"location": region, "zones": ["1", "2", "3"], "zoneDetails": []}],
        "capabilities": [
            able("vCPUs", size.cpus.to_string()),
            able("MemoryGB", size.memory.to_string()),
            able("PremiumIO", "True".to_owned()),
            able("CpuArchitectureType", "x64".to_owned()),
            able("HyperVGenerations", "V1,V2".to_owned()),
            able("AcceleratedNetworkingEnabled", "True".to_owned()),
            able("vCPUsAvailable", size.cpus.to_string()),
        ],
        "restrictions": restrictions,
    })
}

/// Processors in use in a region: of all families, or of one.
pub fn used(world: &World, region: &str, family: Option<&str>) -> u64 {
    let all = machines::all(world);
    let here = all.filter(|it| it.body["location"] == region);
    here.filter(|it| it.secret["power"] != "deallocated")
        .filter_map(|it| find(it.body["sku"]["name"].as_str()?))
        .filter(|it| family.is_none_or(|family| it.family == family))
        .map(|it| it.cpus)
        .sum()
}

/// `GET …/Microsoft.Compute/locations/{location}/usages`
pub fn usages(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let asked = call.arg("location");
    let region = account::region(asked).ok_or_else(|| {
        ArmError::bad(
            "NoRegisteredProviderFound",
            format!("No registered resource provider found for location '{asked}'."),
        )
    })?;
    let (in_all, of_family) = limits(world);
    let usage = |name: &str, shown: &str, current: u64, limit: u64| {
        json!({
            "unit": "Count", "currentValue": current, "limit": limit,
            "name": {"value": name, "localizedValue": shown},
        })
    };
    let machines = machines::all(world).count() as u64;
    let mut all = vec![
        usage(
            "cores",
            "Total Regional vCPUs",
            used(world, region, None),
            in_all,
        ),
        usage("virtualMachines", "Virtual Machines", machines, 25_000),
    ];
    for family in [B, DS2, DS5, DAS5, DDS5, ES5, FS2] {
        all.push(usage(
            family.0,
            family.1,
            used(world, region, Some(family.0)),
            of_family,
        ));
    }
    Ok(Answer::list(all))
}

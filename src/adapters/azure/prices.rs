//! What a test bed costs, from the public retail price list.

use azure_core::http::Url;
use futures::future::try_join_all;
use serde_json::Value;

use super::{api, client::Client, error::Failure};
use crate::core::azure::{
    plan::{Cost, Paid, Price},
    settings::{Settings, Tier},
};

/// What is never in the sum.
const LEAVES_OUT: [&str; 4] = [
    "the nodes' disks",
    "data stored in the shares and requests to them",
    "traffic out of the region",
    "taxes, discounts and credits",
];

/// A search in the price list.
struct Wanted {
    what: String,
    filter: String,
    /// The words of a meter's or SKU's name that make it the right one.
    words: &'static [&'static str],
    /// How many of its units there are in an hour.
    times: f64,
    paid: Paid,
}

/// What `settings` cost an hour; nothing where the cloud has no price list.
pub async fn cost(client: &Client, settings: &Settings) -> Result<Option<Cost>, Failure> {
    let Some(list) = &client.cloud().prices else {
        return Ok(None);
    };
    let wanted = wanted(settings);
    let found = try_join_all(wanted.iter().map(|wanted| search(client, list, wanted))).await?;
    let mut cost = Cost {
        currency: "USD".to_owned(),
        items: Vec::new(),
        leaves_out: LEAVES_OUT.map(str::to_owned).to_vec(),
    };
    for (wanted, found) in wanted.iter().zip(found) {
        match found {
            Some((unit, currency)) => {
                cost.currency = currency;
                cost.items.push(Price {
                    what: wanted.what.clone(),
                    per_hour: unit * wanted.times,
                    paid: wanted.paid,
                });
            }
            None => cost
                .leaves_out
                .insert(0, format!("{} (not in the price list)", wanted.what)),
        }
    }
    Ok(Some(cost))
}

fn wanted(settings: &Settings) -> Vec<Wanted> {
    let region = &settings.azure.location;
    let nodes = settings.cluster.nodes;
    let size = &settings.cluster.vm_size;
    let in_region = |service: &str| {
        format!(
            "serviceName eq '{service}' and armRegionName eq '{region}' and priceType eq 'Consumption'"
        )
    };
    let mut wanted = vec![Wanted {
        what: format!("{nodes} × {size}"),
        filter: format!(
            "{} and armSkuName eq '{size}'",
            in_region("Virtual Machines")
        ),
        words: &[],
        times: f64::from(nodes),
        paid: Paid::Nodes,
    }];
    if settings.cluster.tier != Tier::Free {
        wanted.push(Wanted {
            what: format!("control plane, tier {}", settings.cluster.tier.name()),
            filter: in_region("Azure Kubernetes Service"),
            words: &["standard"],
            times: 1.0,
            paid: Paid::Standing,
        });
    }
    if !settings.registry.name.is_empty() {
        wanted.push(Wanted {
            what: format!("container registry, {}", settings.registry.sku.name()),
            filter: format!(
                "{} and skuName eq '{}'",
                in_region("Container Registry"),
                settings.registry.sku.name()
            ),
            words: &["registry unit"],
            times: 1.0,
            paid: Paid::Registry,
        });
    }
    wanted.push(Wanted {
        what: "load balancer".to_owned(),
        filter: in_region("Load Balancer"),
        words: &["standard", "rules"],
        times: 1.0,
        paid: Paid::Standing,
    });
    wanted.push(Wanted {
        what: "public address".to_owned(),
        filter: in_region("Virtual Network"),
        words: &["standard", "static public ip"],
        times: 1.0,
        paid: Paid::Standing,
    });
    wanted
}

async fn search(
    client: &Client,
    list: &Url,
    wanted: &Wanted,
) -> Result<Option<(f64, String)>, Failure> {
    let doing = format!("read the price of the {}", wanted.what);
    let mut url = list.clone();
    url.query_pairs_mut()
        .append_pair("api-version", api::PRICES)
        .append_pair("$filter", &wanted.filter);
    let mut next = Some(url);
    // A search is narrow: a handful of pages at most.
    for _ in 0..8 {
        let Some(url) = next.take() else { break };
        let (status, _, body) = client.ask(&doing, url).await?;
        let page: Value = serde_json::from_slice(&body)
            .map_err(|_| Failure::new(&doing, format!("the answer ({status}) is no price list")))?;
        let items = page["Items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if let Some(found) = items.iter().find_map(|item| fits(item, wanted.words)) {
            return Ok(Some(found));
        }
        next = page["NextPageLink"]
            .as_str()
            .and_then(|next| Url::parse(next).ok())
            // A price list that sends us elsewhere is not followed.
            .filter(|next| next.host_str() == list.host_str());
    }
    Ok(None)
}

/// The price of an hour, if this is an item of the right kind.
fn fits(item: &Value, words: &[&str]) -> Option<(f64, String)> {
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_ascii_lowercase();
    let names = format!(
        "{} {} {}",
        text("productName"),
        text("skuName"),
        text("meterName")
    );
    let other = ["windows", "spot", "low priority", "cloud services"];
    if other.iter().any(|word| names.contains(word))
        || !words.iter().all(|word| names.contains(word))
    {
        return None;
    }
    let unit = match text("unitOfMeasure").as_str() {
        "1 hour" => 1.0,
        "1/day" | "1 day" => 1.0 / 24.0,
        "1/month" | "1 month" => 1.0 / crate::core::azure::plan::HOURS_OF_A_MONTH,
        _ => return None,
    };
    let price = item["retailPrice"]
        .as_f64()
        .or_else(|| item["unitPrice"].as_f64())?;
    // The first units of some meters are free; the price is what follows.
    if price <= 0.0
        || item["type"]
            .as_str()
            .is_some_and(|kind| kind != "Consumption")
    {
        return None;
    }
    Some((
        price * unit,
        item["currencyCode"].as_str().unwrap_or("USD").to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spot_and_windows_are_not_what_is_paid() {
        let item = |product: &str, sku: &str| {
            json!({"productName": product, "skuName": sku, "meterName": "D2s v5", "type": "Consumption",
                "unitOfMeasure": "1 Hour", "retailPrice": 0.096, "currencyCode": "USD"})
        };
        assert_eq!(
            fits(&item("Dsv5 Series", "D2s v5"), &[]),
            Some((0.096, "USD".to_owned()))
        );
        assert_eq!(fits(&item("Dsv5 Series Windows", "D2s v5"), &[]), None);
        assert_eq!(fits(&item("Dsv5 Series", "D2s v5 Spot"), &[]), None);
    }

    #[test]
    fn a_price_for_a_day_is_made_one_for_an_hour() {
        let item = json!({"productName": "Container Registry", "skuName": "Standard", "meterName": "Standard Registry Unit",
            "type": "Consumption", "unitOfMeasure": "1/Day", "retailPrice": 0.666});
        let (price, _) = fits(&item, &["registry unit"]).unwrap();
        assert!((price - 0.666 / 24.0).abs() < 1e-9);
    }
}

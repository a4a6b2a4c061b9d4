//! The retail price list. It asks nobody who he is.

use serde_json::{Value, json};

use super::account::REGIONS;
use super::answer::{Answer, ArmError};
use super::call::Call;
use super::resources::Filter;
use super::sizes::{SIZES, Size};
use super::world::World;

/// Items on a page.
const PAGE: usize = 100;

/// What is paid for besides machines: service, product, SKU, meter, unit and
/// US dollars.
const METERS: [(&str, &str, &str, &str, &str, f64); 9] = [
    (
        "Azure Kubernetes Service",
        "Azure Kubernetes Service",
        "Standard",
        "Standard Uptime SLA",
        "1 Hour",
        0.1,
    ),
    (
        "Azure Kubernetes Service",
        "Azure Kubernetes Service",
        "Premium",
        "Premium Long Term Support",
        "1 Hour",
        0.6,
    ),
    (
        "Container Registry",
        "Container Registry",
        "Basic",
        "Basic Registry Unit",
        "1/Day",
        0.1666,
    ),
    (
        "Container Registry",
        "Container Registry",
        "Standard",
        "Standard Registry Unit",
        "1/Day",
        0.6666,
    ),
    (
        "Container Registry",
        "Container Registry",
        "Premium",
        "Premium Registry Unit",
        "1/Day",
        1.6666,
    ),
    (
        "Storage",
        "Files v2",
        "Standard LRS",
        "LRS Data Stored",
        "1 GB/Month",
        0.06,
    ),
    (
        "Storage",
        "Premium SSD Managed Disks",
        "P10 LRS",
        "P10 LRS Disk",
        "1/Month",
        19.71,
    ),
    (
        "Load Balancer",
        "Load Balancer",
        "Standard",
        "Standard Included LB Rules and Outbound Rules",
        "1 Hour",
        0.025,
    ),
    (
        "Virtual Network",
        "IP Addresses",
        "Standard",
        "Standard IPv4 Static Public IP",
        "1 Hour",
        0.005,
    ),
];

/// What a currency is worth in US dollars' place.
fn rate(currency: &str) -> Option<f64> {
    match currency {
        "" | "USD" => Some(1.0),
        "EUR" => Some(0.86),
        "GBP" => Some(0.75),
        _ => None,
    }
}

/// `GET /api/retail/prices`
pub fn list(_world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let currency = call.query("currencyCode").trim_matches('\'').to_owned();
    let Some(rate) = rate(&currency) else {
        return Err(ArmError::bad(
            "InvalidCurrencyCode",
            format!(
                "The currency code '{currency}' is not known to the lab: USD, EUR and GBP are."
            ),
        ));
    };
    let currency = if currency.is_empty() {
        "USD"
    } else {
        &currency
    };
    let filter = Filter::parse(call.query("$filter"))?;
    let mut items = Vec::new();
    for region in REGIONS {
        items.extend(SIZES.iter().flat_map(|it| machines(it, region)));
        items.extend(METERS.iter().map(|it| meter(it, region)));
    }
    for item in &mut items {
        let price = item["retailPrice"].as_f64().unwrap_or(0.0) * rate;
        item["retailPrice"] = json!(price);
        item["unitPrice"] = json!(price);
        item["currencyCode"] = json!(currency);
    }
    items.retain(|it| filter.fits(it));
    let skip: usize = call.query("$skip").parse().unwrap_or(0);
    let next = (items.len() > skip + PAGE).then(|| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in call.query.iter().filter(|(name, _)| *name != "$skip") {
            query.append_pair(name, value);
        }
        query.append_pair("$skip", &(skip + PAGE).to_string());
        format!("{}{}?{}", call.base, call.path, query.finish())
    });
    let page: Vec<Value> = items.into_iter().skip(skip).take(PAGE).collect();
    Ok(Answer::ok(json!({
        "BillingCurrency": currency,
        "CustomerEntityId": "Default",
        "CustomerEntityType": "Retail",
        "Count": page.len(),
        "Items": page,
        "NextPageLink": next,
    })))
}

/// A size in a region: as it is, with Windows, and when it can be spared.
fn machines(size: &Size, region: (&str, &str, &str)) -> [Value; 3] {
    let plain = size.name.trim_start_matches("Standard_").replace('_', " ");
    let series = format!("Virtual Machines {plain} Series");
    let one = |product: &str, sku: &str, price: f64| {
        let mut item = item(
            region,
            "Virtual Machines",
            product,
            sku,
            sku,
            "1 Hour",
            price,
        );
        item["armSkuName"] = json!(size.name);
        item
    };
    [
        one(&series, &plain, size.price),
        one(&format!("{series} Windows"), &plain, size.price * 1.9),
        one(&series, &format!("{plain} Spot"), size.price * 0.2),
    ]
}

fn meter(it: &(&str, &str, &str, &str, &str, f64), region: (&str, &str, &str)) -> Value {
    let (service, product, sku, meter, unit, price) = *it;
    item(region, service, product, sku, meter, unit, price)
}

fn item(
    (region, shown, _): (&str, &str, &str),
    service: &str,
    product: &str,
    sku: &str,
    meter: &str,
    unit: &str,
    price: f64,
) -> Value {
    json!({
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": region,
        "location": shown,
        "effectiveStartDate": "2025-01-01T00:00:00Z",
        "meterName": meter,
        "productName": product,
        "skuName": sku,
        "serviceName": service,
        "serviceFamily": "Compute",
        "unitOfMeasure": unit,
        "type": "Consumption",
        "priceType": "Consumption",
        "isPrimaryMeterRegion": true,
        "armSkuName": "",
    })
}

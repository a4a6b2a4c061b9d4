//! The retail price list and the sizes of machines.

use serde_json::json;

use crate::azure::Azure;
use crate::lab;

#[tokio::test]
async fn prices_are_told_to_everybody_in_pages() {
    let lab = lab(&[]);
    let stranger = Azure::stranger(&lab);
    let prices = stranger.text("prices");
    let filter = "serviceName eq 'Virtual Machines' and armRegionName eq 'eastus' and armSkuName eq 'Standard_D2s_v5' and priceType eq 'Consumption'";
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("api-version", "2023-01-01-preview")
        .append_pair("$filter", filter)
        .finish();
    let found = stranger
        .send("GET", &format!("{prices}?{query}"), Vec::new())
        .await
        .body;
    let plain: Vec<_> = found["Items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| {
            !it["productName"].as_str().unwrap().contains("Windows")
                && !it["skuName"].as_str().unwrap().contains("Spot")
        })
        .collect();
    assert_eq!(plain.len(), 1, "{found}");
    assert_eq!(
        (&plain[0]["retailPrice"], &plain[0]["unitOfMeasure"]),
        (&json!(0.096), &json!("1 Hour"))
    );

    let mut count = 0;
    let mut next = json!(format!("{prices}?currencyCode='EUR'"));
    let mut pages = 0;
    while let Some(address) = next.as_str() {
        let page = stranger.send("GET", address, Vec::new()).await.body;
        assert_eq!(page["BillingCurrency"], "EUR");
        count += page["Items"].as_array().unwrap().len();
        pages += 1;
        next = page["NextPageLink"].clone();
    }
    assert!(pages > 2 && count > 200, "{pages} pages, {count} items");
}

#[tokio::test]
async fn sizes_say_what_they_are_and_whether_they_are_to_be_had() {
    let lab = lab(&["--azure-fault", "sku"]);
    let azure = Azure::of(&lab).await;
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Compute/skus?$filter=location%20eq%20'eastus'",
        azure.text("subscription")
    );
    let all = azure.get(&path, "2021-07-01").await.body;
    let of = |name: &str| {
        all["value"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == name)
            .unwrap()
    };
    let one = of("Standard_D2as_v5");
    assert_eq!(
        one["capabilities"][0],
        json!({"name": "vCPUs", "value": "2"})
    );
    assert_eq!(
        (&one["family"], &one["restrictions"]),
        (&json!("standardDASv5Family"), &json!([]))
    );
    assert_eq!(
        of("Standard_D2s_v5")["restrictions"][0]["reasonCode"],
        "NotAvailableForSubscription"
    );
}

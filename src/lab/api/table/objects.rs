//! Tables of what pods use and are reached by: accounts, configuration,
//! services and their endpoints, disruption budgets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, items, name, number, text};
use super::columns::{AGE, Column, NAME};

/// `v1 ServiceAccount`
pub const SERVICE_ACCOUNTS: &[Column] = &[
    NAME,
    Column("Secrets", "string", 0, "Secrets that belong to it."),
    AGE,
];

/// `v1 ConfigMap`
pub const CONFIG_MAPS: &[Column] = &[
    NAME,
    Column("Data", "string", 0, "How many entries it has."),
    AGE,
];

/// `v1 Secret`
pub const SECRETS: &[Column] = &[
    NAME,
    Column("Type", "string", 0, "What kind of secret it is."),
    Column("Data", "string", 0, "How many entries it has."),
    AGE,
];

/// `v1 Service`
pub const SERVICES: &[Column] = &[
    NAME,
    Column("Type", "string", 0, "From where it can be reached."),
    Column("Cluster-IP", "string", 0, "Address inside the cluster."),
    Column("External-IP", "string", 0, "Addresses outside the cluster."),
    Column(
        "Port(s)",
        "string",
        0,
        "Ports, with the nodes' after a colon.",
    ),
    AGE,
    Column("Selector", "string", 1, "Labels of the pods behind it."),
];

/// `discovery.k8s.io/v1 EndpointSlice`
pub const ENDPOINT_SLICES: &[Column] = &[
    NAME,
    Column("AddressType", "string", 0, "Kind of the addresses."),
    Column("Ports", "string", 0, "Ports of the endpoints."),
    Column("Endpoints", "string", 0, "Addresses of the endpoints."),
    AGE,
];

/// `policy/v1 PodDisruptionBudget`
pub const BUDGETS: &[Column] = &[
    NAME,
    Column("Min Available", "string", 0, "Pods that must stay."),
    Column("Max Unavailable", "string", 0, "Pods that may be missing."),
    Column(
        "Allowed Disruptions",
        "integer",
        0,
        "Pods that may be evicted now.",
    ),
    AGE,
];

/// How many endpoints or ports of a slice are named before the rest is counted.
const NAMED: usize = 3;

/// A service account's cells.
pub fn service_account(account: &Value, now: Timestamp) -> Vec<Value> {
    let secrets = items(&account["secrets"]).len();
    vec![name(account), json!(secrets), age(account, now)]
}

/// A config map's cells.
pub fn config_map(map: &Value, now: Timestamp) -> Vec<Value> {
    let entries = entries(&map["data"]) + entries(&map["binaryData"]);
    vec![name(map), json!(entries), age(map, now)]
}

/// A secret's cells.
pub fn secret(secret: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(secret),
        json!(text(&secret["type"], "")),
        json!(entries(&secret["data"])),
        age(secret, now),
    ]
}

fn entries(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

/// A service's cells.
pub fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &service["spec"];
    let kind = text(&spec["type"], "ClusterIP");
    let address = text(&spec["clusterIPs"][0], "<none>");
    let ports: Vec<String> = items(&spec["ports"]).iter().map(port).collect();
    let ports = if ports.is_empty() {
        "<none>".to_owned()
    } else {
        ports.join(",")
    };
    vec![
        name(service),
        json!(kind),
        json!(address),
        json!(outside(service, kind)),
        json!(ports),
        age(service, now),
        json!(labels(&spec["selector"])),
    ]
}

fn port(port: &Value) -> String {
    let protocol = text(&port["protocol"], "TCP");
    match number(&port["nodePort"]) {
        0 => format!("{}/{protocol}", number(&port["port"])),
        node => format!("{}:{node}/{protocol}", number(&port["port"])),
    }
}

/// The addresses outside the cluster.
fn outside(service: &Value, kind: &str) -> String {
    let spec = &service["spec"];
    if kind == "ExternalName" {
        return text(&spec["externalName"], "").to_owned();
    }
    let ingress = items(&service["status"]["loadBalancer"]["ingress"]).iter();
    let mut addresses: Vec<&str> = ingress
        .filter(|_| kind == "LoadBalancer")
        .map(|it| text(&it["ip"], text(&it["hostname"], "")))
        .filter(|it| !it.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.extend(items(&spec["externalIPs"]).iter().filter_map(Value::as_str));
    match (addresses.is_empty(), kind) {
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, _) => "<none>".to_owned(),
        _ => addresses.join(","),
    }
}

/// Labels as kubectl writes them, sorted by key.
fn labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value, "")))
        .collect();
    if pairs.is_empty() {
        return "<none>".to_owned();
    }
    pairs.join(",")
}

/// An endpoint slice's cells.
pub fn endpoint_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports =
        items(&slice["ports"])
            .iter()
            .map(|port| match (&port["port"], text(&port["name"], "")) {
                (Value::Number(port), _) => port.to_string(),
                (_, "") => "*".to_owned(),
                (_, name) => name.to_owned(),
            });
    let addresses = items(&slice["endpoints"])
        .iter()
        .flat_map(|endpoint| items(&endpoint["addresses"]))
        .map(|address| text(address, "").to_owned());
    vec![
        name(slice),
        json!(text(&slice["addressType"], "")),
        json!(some_of(&ports.collect::<Vec<_>>())),
        json!(some_of(&addresses.collect::<Vec<_>>())),
        age(slice, now),
    ]
}

/// The first few, and how many more there are.
fn some_of(words: &[String]) -> String {
    match words.len() {
        0 => "<unset>".to_owned(),
        count if count > NAMED => {
            let named = words[..NAMED].join(",");
            format!("{named} + {} more...", count - NAMED)
        }
        _ => words.join(","),
    }
}

/// A disruption budget's cells.
pub fn budget(budget: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match &budget["spec"][field] {
        Value::Null => "N/A".to_owned(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    vec![
        name(budget),
        json!(bound("minAvailable")),
        json!(bound("maxUnavailable")),
        json!(number(&budget["status"]["disruptionsAllowed"])),
        age(budget, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_shows_where_it_can_be_reached() {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                "ports": [
                    {"port": 80, "protocol": "TCP", "nodePort": 30001},
                    {"port": 53, "protocol": "UDP"},
                ],
                "selector": {"b": "2", "a": "1"},
            },
        });
        let cells = |object: &Value| service(object, Timestamp::now());
        let row = cells(&object);
        assert_eq!(
            row[1..5],
            [
                "LoadBalancer",
                "10.0.0.1",
                "<pending>",
                "80:30001/TCP,53/UDP"
            ]
            .map(|it| json!(it))
        );
        assert_eq!(row[6], "a=1,b=2");
        object["status"]["loadBalancer"]["ingress"] = json!([{"ip": "127.0.0.9"}]);
        assert_eq!(cells(&object)[3], "127.0.0.9");
        let name = json!({"metadata": {"name": "n"}, "spec": {"type": "ExternalName", "externalName": "x.y"}});
        assert_eq!(
            cells(&name)[2..5],
            ["<none>", "x.y", "<none>"].map(|it| json!(it))
        );
    }

    #[test]
    fn a_slice_names_three_and_counts_the_rest() {
        let slice = json!({
            "metadata": {"name": "s"}, "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [{"addresses": ["a", "b"]}, {"addresses": ["c"]}, {"addresses": ["d", "e"]}],
        });
        let row = endpoint_slice(&slice, Timestamp::now());
        assert_eq!(
            row[1..4],
            ["IPv4", "80", "a,b,c + 2 more..."].map(|it| json!(it))
        );
        assert_eq!(endpoint_slice(&json!({}), Timestamp::now())[3], "<unset>");
    }

    #[test]
    fn a_budget_shows_which_bound_it_has() {
        let object = json!({
            "metadata": {"name": "b"}, "spec": {"minAvailable": "50%"},
            "status": {"disruptionsAllowed": 1}});
        let row = budget(&object, Timestamp::now());
        assert_eq!(row[1..4], [json!("50%"), json!("N/A"), json!(1)]);
    }
}

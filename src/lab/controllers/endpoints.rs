//! Endpoint slices: where the pods are that a service means.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::owned;
use crate::lab::kinds::Resource;
use crate::lab::store::{Deletion, Key, Store, StoreError, timestamp};

/// Label of a slice with the name of its service.
pub const SERVICE: &str = "kubernetes.io/service-name";
/// Label of a slice with the name of what writes it.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Who we are there: others' slices are left alone.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label of the slices of a service without an address of its own.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation with the time of the change that a slice shows.
const CHANGED: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// Label of a node with its zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// How many endpoints a slice has at most.
const MOST: usize = 100;

/// Whether a service without a selector finds nothing by itself.
pub fn selects(service: &Value, labels: &Value) -> bool {
    let selector = service["spec"]["selector"].as_object();
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(label, value)| labels.get(label) == Some(value))
    })
}

/// Makes a service's slices show its pods as they are.
pub fn reconcile(store: &Store, key: &Key, service: &Value) {
    let selector = service["spec"]["selector"].as_object();
    let external = service["spec"]["type"] == "ExternalName";
    if selector.is_none_or(serde_json::Map::is_empty) || external {
        return;
    }
    if service["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let pods = store.list(Resource::Pods, Some(&key.namespace)).items;
    let meant = pods
        .iter()
        .filter(|pod| selects(service, &pod["metadata"]["labels"]));
    let mut wanted = slices(service, meant.map(AsRef::as_ref));
    let endpoints = wanted.iter_mut().flat_map(|(_, endpoints)| endpoints);
    for endpoint in endpoints {
        give_zone(store, endpoint);
    }
    let mut present: Vec<_> = store
        .list(Resource::EndpointSlices, Some(&key.namespace))
        .items
        .into_iter()
        .filter(|slice| {
            let labels = &slice["metadata"]["labels"];
            labels[SERVICE] == key.name.as_str() && labels[MANAGED_BY] == CONTROLLER
        })
        .collect();
    for (ports, endpoints) in wanted {
        // The slice that has these ports, or one that is left.
        let place = present.iter().position(|slice| slice["ports"] == ports);
        match place {
            Some(place) => {
                let slice = Key::of(Resource::EndpointSlices, &present.remove(place));
                rewrite(store, &slice, service, &ports, &endpoints);
            }
            None => create(store, service, &ports, &endpoints),
        }
    }
    for slice in present {
        // Somebody else may have deleted it: just as well.
        let _ = store.delete(
            &Key::of(Resource::EndpointSlices, &slice),
            &Deletion::default(),
        );
    }
}

/// The endpoints of a service, by the ports that they have: pods may call
/// different ports by one name.
fn slices<'a>(service: &Value, pods: impl Iterator<Item = &'a Value>) -> Vec<(Value, Vec<Value>)> {
    let mut groups: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in pods {
        let Some(endpoint) = endpoint(service, pod) else {
            continue;
        };
        let ports = ports(service, pod);
        let group = groups.entry(ports.to_string());
        group.or_insert((ports, Vec::new())).1.push(endpoint);
    }
    let mut slices = Vec::new();
    for (ports, endpoints) in groups.into_values() {
        for part in endpoints.chunks(MOST) {
            slices.push((ports.clone(), part.to_vec()));
        }
    }
    if slices.is_empty() {
        // A service whose pods are all gone still has a slice, an empty one.
        slices.push((Value::Null, Vec::new()));
    }
    slices
}

/// What a pod is to its service; none when it has no address or has ended.
fn endpoint(service: &Value, pod: &Value) -> Option<Value> {
    let address = pod["status"]["podIP"]
        .as_str()
        .filter(|it| !it.is_empty())?;
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    ) {
        return None;
    }
    let metadata = &pod["metadata"];
    let terminating = metadata["deletionTimestamp"].is_string();
    let serving = owned::ready_since(pod).is_some();
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {
            "ready": always || (serving && !terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    });
    if pod["spec"]["nodeName"].is_string() {
        endpoint["nodeName"] = pod["spec"]["nodeName"].clone();
    }
    if pod["spec"]["hostname"].is_string()
        && pod["spec"]["subdomain"] == service["metadata"]["name"]
    {
        endpoint["hostname"] = pod["spec"]["hostname"].clone();
    }
    Some(endpoint)
}

/// Says in which zone an endpoint's node is, if it is in one.
fn give_zone(store: &Store, endpoint: &mut Value) {
    let Some(node) = endpoint["nodeName"].as_str() else {
        return;
    };
    let node = store.get(&Key::new(Resource::Nodes, "", node));
    let zone = node.map(|node| node["metadata"]["labels"][ZONE].clone());
    if let Some(zone) = zone.filter(Value::is_string) {
        endpoint["zone"] = zone;
    }
}

/// The ports of a service as a pod has them.
fn ports(service: &Value, pod: &Value) -> Value {
    let wanted = service["spec"]["ports"].as_array();
    let found = wanted.into_iter().flatten().filter_map(|port| {
        let target = match &port["targetPort"] {
            Value::Null => port["port"].clone(),
            Value::String(name) if name.is_empty() => port["port"].clone(),
            Value::String(name) => named_port(pod, name, &port["protocol"])?,
            number => number.clone(),
        };
        let mut found = json!({
            "name": port["name"].as_str().unwrap_or_default(),
            "port": target,
            "protocol": port["protocol"].as_str().unwrap_or("TCP"),
        });
        if port["appProtocol"].is_string() {
            found["appProtocol"] = port["appProtocol"].clone();
        }
        Some(found)
    });
    let found: Vec<Value> = found.collect();
    // A headless service may have no ports at all.
    if wanted.is_none_or(Vec::is_empty) {
        Value::Null
    } else {
        Value::Array(found)
    }
}

fn named_port(pod: &Value, name: &str, protocol: &Value) -> Option<Value> {
    let containers = pod["spec"]["containers"].as_array();
    let ports = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container["ports"].as_array())
        .flatten();
    let tcp = json!("TCP");
    let of = |value: &Value| {
        if value.is_null() {
            tcp.clone()
        } else {
            value.clone()
        }
    };
    ports
        .into_iter()
        .find(|port| port["name"] == name && of(&port["protocol"]) == of(protocol))
        .map(|port| port["containerPort"].clone())
}

/// The labels of a service's slices: its own, and whose they are.
fn labels(service: &Value) -> Value {
    let mut labels = match &service["metadata"]["labels"] {
        Value::Object(labels) => Value::Object(labels.clone()),
        _ => json!({}),
    };
    labels[SERVICE] = service["metadata"]["name"].clone();
    labels[MANAGED_BY] = json!(CONTROLLER);
    if service["spec"]["clusterIP"] == "None" {
        labels[HEADLESS] = json!("");
    }
    labels
}

fn create(store: &Store, service: &Value, ports: &Value, endpoints: &[Value]) {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    loop {
        let mut slice = json!({
            "metadata": {
                "name": format!("{name}-{}", crate::lab::random_suffix()),
                "generateName": format!("{name}-"),
                "namespace": service["metadata"]["namespace"],
                "labels": labels(service),
                "ownerReferences": [owned::reference(service)],
                "annotations": {CHANGED: timestamp(Timestamp::now())},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
        });
        if !ports.is_null() {
            slice["ports"] = ports.clone();
        }
        let made = store.create(Resource::EndpointSlices, slice);
        if !matches!(made, Err(StoreError::AlreadyExists(_))) {
            return;
        }
    }
}

fn rewrite(store: &Store, key: &Key, service: &Value, ports: &Value, endpoints: &[Value]) {
    // Gone in the meantime: the next look makes another.
    let _ = store.update_with(key, |slice| {
        let before = slice.clone();
        slice["metadata"]["labels"] = labels(service);
        slice["endpoints"] = json!(endpoints);
        if !ports.is_null() {
            slice["ports"] = ports.clone();
        }
        if *slice != before {
            slice["metadata"]["annotations"][CHANGED] = json!(timestamp(Timestamp::now()));
        }
        Ok::<(), StoreError>(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "d", "uid": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": [
                {"ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn service(spec: &Value) -> Value {
        json!({"metadata": {"name": "web", "namespace": "d", "labels": {"team": "x"}}, "spec": spec})
    }

    fn conditions(service: &Value, pod: &Value) -> (bool, bool, bool) {
        let endpoint = endpoint(service, pod).unwrap();
        let of = |name: &str| endpoint["conditions"][name] == true;
        (of("ready"), of("serving"), of("terminating"))
    }

    #[test]
    fn a_pod_is_ready_serving_or_terminating() {
        let web = service(&json!({"selector": {"app": "web"}}));
        assert_eq!(conditions(&web, &pod("a", "True")), (true, true, false));
        assert_eq!(conditions(&web, &pod("a", "False")), (false, false, false));
        let mut ending = pod("a", "True");
        ending["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
        assert_eq!(conditions(&web, &ending), (false, true, true));
        let always = service(&json!({"publishNotReadyAddresses": true}));
        assert_eq!(
            conditions(&always, &pod("a", "False")),
            (true, false, false)
        );
        let mut done = pod("a", "False");
        done["status"]["phase"] = json!("Succeeded");
        assert_eq!(endpoint(&web, &done), None);
        done["status"] = json!({"phase": "Pending"});
        assert_eq!(endpoint(&web, &done), None);
    }

    #[test]
    fn ports_are_each_pods_own() {
        let by_name = service(&json!({"ports": [{"port": 80, "targetPort": "http"}]}));
        let mut other = pod("b", "True");
        other["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
        let pods = [pod("a", "True"), other];
        let slices = slices(&by_name, pods.iter());
        let found: Vec<&Value> = slices.iter().map(|(ports, _)| &ports[0]["port"]).collect();
        assert_eq!(found, [8080, 9090]);
        let by_number = service(&json!({"ports": [{"port": 80}, {"port": 81, "targetPort": 1}]}));
        let ports = ports(&by_number, &pods[0]);
        assert_eq!(
            (&ports[0]["port"], &ports[1]["port"]),
            (&json!(80), &json!(1))
        );
    }

    #[test]
    fn many_endpoints_are_many_slices_and_none_is_an_empty_one() {
        let web = service(&json!({"ports": [{"port": 80}]}));
        let pods: Vec<Value> = (0..250).map(|it| pod(&format!("p{it}"), "True")).collect();
        let sizes: Vec<usize> = slices(&web, pods.iter())
            .iter()
            .map(|it| it.1.len())
            .collect();
        assert_eq!(sizes, [100, 100, 50]);
        assert_eq!(slices(&web, std::iter::empty()), [(Value::Null, vec![])]);
    }

    #[test]
    fn slices_follow_the_service_and_its_pods() {
        let store = Store::new(0);
        let web = service(&json!({"selector": {"app": "web"}, "ports": [{"port": 80}]}));
        let web = store.create(Resource::Services, web).unwrap();
        let key = Key::of(Resource::Services, &web);
        store.create(Resource::Pods, pod("a", "True")).unwrap();
        reconcile(&store, &key, &web);
        let slices = || store.list(Resource::EndpointSlices, Some("d")).items;
        let first = slices()[0].clone();
        assert_eq!(first["endpoints"][0]["targetRef"]["name"], "a");
        assert_eq!(first["metadata"]["labels"][SERVICE], "web");
        assert_eq!(first["metadata"]["labels"]["team"], "x");
        let rv = store.rv();
        reconcile(&store, &key, &web);
        assert_eq!(store.rv(), rv, "nothing changed, nothing written");
        store.remove(&Key::new(Resource::Pods, "d", "a"), None);
        reconcile(&store, &key, &web);
        let left = slices();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["endpoints"], json!([]));
    }
}

//! What the server gives out so that no two objects have the same: the
//! addresses and node ports of services.
//!
//! Addresses are those of kubeadm's default range; node ports are Kubernetes'
//! default range. Called with the store locked, so that two requests at once
//! cannot get the same.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::status::FieldError;
use crate::lab::kinds::Resource;
use crate::lab::store::View;

/// The range of service addresses: `10.96.0.0/12`.
pub const SERVICE_RANGE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);

/// The range of node ports.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30000..=32767;

/// Gives a service its addresses and ports: it keeps what it has (`old`), gets
/// what it asks for if that is free, and else anything that is free.
pub fn service(object: &mut Value, old: Option<&Value>, view: &View<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let uid = old.map_or(Value::Null, |old| old["metadata"]["uid"].clone());
    let others = view.list(Resource::Services, None);
    let others: Vec<&Value> = others
        .iter()
        .map(|it| &**it)
        .filter(|it| uid.is_null() || it["metadata"]["uid"] != uid)
        .collect();
    if let Some(old) = old {
        keep(object, old);
    }
    address(object, &others, &mut errors);
    node_ports(object, &others, &mut errors);
    errors
}

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

fn has_address(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

/// A replacement that does not name what was given out keeps it, and one of a
/// type that has none of it loses it.
fn keep(object: &mut Value, old: &Value) {
    let absent = |value: &Value| value.as_str().unwrap_or_default().is_empty();
    if has_address(object) && has_address(old) {
        if absent(&object["spec"]["clusterIP"]) && object["spec"]["clusterIPs"].is_null() {
            object["spec"]["clusterIP"] = old["spec"]["clusterIP"].clone();
            object["spec"]["clusterIPs"] = old["spec"]["clusterIPs"].clone();
        }
    } else if !has_address(object)
        && object["spec"]["clusterIP"] == old["spec"]["clusterIP"]
        && let Some(spec) = object["spec"].as_object_mut()
    {
        for field in [
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ] {
            spec.remove(field);
        }
    }
    let had = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let same = |a: &Value, b: &Value| a["port"] == b["port"] && a["protocol"] == b["protocol"];
    let keeps_ports = kind(object) == "LoadBalancer" || has_node_ports(object);
    for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let was = had
            .iter()
            .find(|it| same(it, port))
            .map(|it| &it["nodePort"]);
        let was = was.filter(|it| it.is_number());
        if keeps_ports && port["nodePort"].is_null() {
            if let Some(was) = was {
                port["nodePort"] = was.clone();
            }
        } else if !keeps_ports
            && was == Some(&port["nodePort"])
            && let Some(port) = port.as_object_mut()
        {
            port.remove("nodePort");
        }
    }
    if kind(object) == "ClusterIP"
        && kind(old) != "ClusterIP"
        && let Some(spec) = object["spec"].as_object_mut()
    {
        for field in ["externalTrafficPolicy", "allocateLoadBalancerNodePorts"] {
            spec.remove(field);
        }
    }
}

fn address(object: &mut Value, others: &[&Value], errors: &mut Vec<FieldError>) {
    if !has_address(object) {
        return;
    }
    let spec = &mut object["spec"];
    let wanted = spec["clusterIP"]
        .as_str()
        .or_else(|| spec["clusterIPs"][0].as_str());
    let wanted = wanted.unwrap_or_default().to_owned();
    let taken = |address: &str| others.iter().any(|it| it["spec"]["clusterIP"] == address);
    let given = match wanted.as_str() {
        "" => loop {
            let address = random_address().to_string();
            if !taken(&address) {
                break address;
            }
        },
        "None" => wanted,
        named => {
            let path = "spec.clusterIPs";
            let value = json!([named]);
            let why = match named.parse::<Ipv4Addr>() {
                Ok(address) if !in_range(address) => Some(format!(
                    "failed to allocate IP {named}: the provided IP ({named}) is not in the valid range. The range of valid IPs is {}/{}",
                    SERVICE_RANGE.0, SERVICE_RANGE.1
                )),
                Ok(_) if taken(named) => Some(format!(
                    "failed to allocate IP {named}: provided IP is already allocated"
                )),
                Ok(_) => None,
                Err(_) => {
                    Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned())
                }
            };
            if let Some(why) = why {
                errors.push(FieldError::invalid(path, &value, &why));
            }
            wanted
        }
    };
    spec["clusterIPs"] = json!([given]);
    spec["clusterIP"] = json!(given);
}

fn in_range(address: Ipv4Addr) -> bool {
    let (network, prefix) = SERVICE_RANGE;
    let host = 32 - u32::from(prefix);
    address.to_bits() >> host == network.to_bits() >> host
}

/// Any address of the range but its first 256, which are for those who name
/// one, and its last.
fn random_address() -> Ipv4Addr {
    let (network, prefix) = SERVICE_RANGE;
    let size = 1_u32 << (32 - u32::from(prefix));
    Ipv4Addr::from_bits(network.to_bits() + fastrand::u32(256..size - 1))
}

fn node_ports(object: &mut Value, others: &[&Value], errors: &mut Vec<FieldError>) {
    let ports_of = |service: &Value| -> Vec<u64> {
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        ports.filter_map(|it| it["nodePort"].as_u64()).collect()
    };
    let mut taken: Vec<u64> = others.iter().flat_map(|it| ports_of(it)).collect();
    let gives = has_node_ports(object);
    let ports = object["spec"]["ports"].as_array_mut();
    let mut ports: Vec<&mut Value> = ports.into_iter().flatten().collect();
    for (index, port) in ports.iter().enumerate() {
        let Some(number) = port["nodePort"].as_u64().filter(|it| *it > 0) else {
            continue;
        };
        let why = if !NODE_PORTS.contains(&number) {
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        } else if taken.contains(&number) {
            "provided port is already allocated"
        } else {
            taken.push(number);
            continue;
        };
        let path = format!("spec.ports[{index}].nodePort");
        errors.push(FieldError::invalid(path, &port["nodePort"], why));
    }
    for port in ports.iter_mut().filter(|_| gives) {
        if port["nodePort"].as_u64().unwrap_or(0) != 0 {
            continue;
        }
        let free: Vec<u64> = NODE_PORTS.filter(|it| !taken.contains(it)).collect();
        let Some(number) = fastrand::choice(free) else {
            errors.push(FieldError::forbidden("spec.ports", "no node port is free"));
            return;
        };
        taken.push(number);
        port["nodePort"] = json!(number);
    }
}

//! What services there are, and which pods are behind each of their ports.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use serde_json::Value;

use super::nat::Range;
use super::packet::{TCP, UDP};
use crate::lab::controllers::endpoints;

/// Where the addresses of services are: 10.96.0.0/12.
pub(super) const SERVICES: Range = Range {
    first: Ipv4Addr::new(10, 96, 0, 0),
    bits: 12,
};

/// How long a client is remembered by default, in seconds: the real one.
const AFFINITY: u64 = 10_800;

/// The pods behind one port of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// Where new connections may go.
    pub pods: Vec<SocketAddrV4>,
    /// A client is served by the same one until it has not come for so long.
    pub sticky: Option<Duration>,
}

/// All services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Services {
    ports: HashMap<(u8, SocketAddrV4), Behind>,
    /// Addresses by name, names relative to the cluster's domain:
    /// `web.default.svc`.
    names: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Names of another domain by name.
    aliases: BTreeMap<String, String>,
}

impl Services {
    /// Reads the objects of the store.
    pub fn read<'a>(
        services: impl IntoIterator<Item = &'a Value>,
        slices: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let mut of: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
        for slice in slices {
            let meta = &slice["metadata"];
            if slice["addressType"] == "IPv4"
                && let Some(service) = meta["labels"][endpoints::SERVICE].as_str()
            {
                let namespace = meta["namespace"].as_str().unwrap_or_default();
                of.entry((namespace, service)).or_default().push(slice);
            }
        }
        let mut read = Self::default();
        for service in services {
            let meta = &service["metadata"];
            let name = meta["name"].as_str().unwrap_or_default();
            let namespace = meta["namespace"].as_str().unwrap_or_default();
            let slices = of.remove(&(namespace, name)).unwrap_or_default();
            read.add(service, &format!("{name}.{namespace}.svc"), &slices);
        }
        read
    }

    fn add(&mut self, service: &Value, name: &str, slices: &[&Value]) {
        let spec = &service["spec"];
        if let Some(alias) = spec["externalName"].as_str()
            && spec["type"] == "ExternalName"
        {
            self.aliases.insert(name.to_owned(), alias.to_owned());
            return;
        }
        let Some(address) = spec["clusterIP"].as_str().and_then(|it| it.parse().ok()) else {
            self.add_headless(service, name, slices);
            return;
        };
        self.names.insert(name.to_owned(), vec![address]);
        for port in spec["ports"].as_array().into_iter().flatten() {
            if let Some(protocol) = protocol(port)
                && let Some(number) = number(&port["port"])
            {
                let behind = Behind {
                    pods: pods(slices, port),
                    sticky: affinity(spec),
                };
                let at = SocketAddrV4::new(address, number);
                self.ports.insert((protocol, at), behind);
            }
        }
    }

    /// A service without an address has its pods' addresses for its name, and
    /// a name for each pod that has a host name.
    fn add_headless(&mut self, service: &Value, name: &str, slices: &[&Value]) {
        let all = service["spec"]["publishNotReadyAddresses"] == true;
        let mut addresses = Vec::new();
        for endpoint in each_of(slices) {
            if !all && !is(endpoint, "ready") {
                continue;
            }
            let found: Vec<Ipv4Addr> = addresses_of(endpoint).collect();
            addresses.extend(&found);
            if let Some(host) = endpoint["hostname"].as_str() {
                self.names.insert(format!("{host}.{name}"), found);
            }
        }
        self.names.insert(name.to_owned(), addresses);
    }

    /// Who is behind that port of that address; none when no service has it.
    pub fn behind(&self, protocol: u8, at: SocketAddrV4) -> Option<&Behind> {
        self.ports.get(&(protocol, at))
    }

    /// The addresses of a name relative to the cluster's domain; none when
    /// there is no such name.
    pub fn named(&self, name: &str) -> Option<&[Ipv4Addr]> {
        self.names.get(name).map(Vec::as_slice)
    }

    /// What a name stands for, if for another name.
    pub fn alias(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    /// Whether names end in that one.
    pub fn has_below(&self, name: &str) -> bool {
        let end = format!(".{name}");
        let mut names = self.names.keys().chain(self.aliases.keys());
        names.any(|known| known.ends_with(&end))
    }
}

/// For how long a client of a service is remembered, if it is.
fn affinity(spec: &Value) -> Option<Duration> {
    if spec["sessionAffinity"] != "ClientIP" {
        return None;
    }
    let seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].as_u64();
    Some(Duration::from_secs(seconds.unwrap_or(AFFINITY)))
}

/// The pods behind one port of a service: the ready ones, or, when there is
/// none, those that end but still serve, as kube-proxy has it.
pub(super) fn pods(slices: &[&Value], port: &Value) -> Vec<SocketAddrV4> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut ready = Vec::new();
    let mut ending = Vec::new();
    for slice in slices {
        let ports = slice["ports"].as_array();
        let same = |it: &&Value| {
            text(&it["name"]) == text(&port["name"]) && protocol(it) == protocol(port)
        };
        let Some(target) = ports.into_iter().flatten().find(same) else {
            continue;
        };
        let Some(target) = number(&target["port"]) else {
            continue;
        };
        for endpoint in each_of(&[slice]) {
            let pods = addresses_of(endpoint).map(|it| SocketAddrV4::new(it, target));
            if is(endpoint, "ready") {
                ready.extend(pods);
            } else if is(endpoint, "serving") {
                ending.extend(pods);
            }
        }
    }
    if ready.is_empty() { ending } else { ready }
}

fn each_of<'a>(slices: &[&'a Value]) -> Vec<&'a Value> {
    let each = slices.iter().filter_map(|it| it["endpoints"].as_array());
    each.flatten().collect()
}

fn addresses_of(endpoint: &Value) -> impl Iterator<Item = Ipv4Addr> {
    let addresses = endpoint["addresses"].as_array().into_iter().flatten();
    addresses.filter_map(|it| it.as_str()?.parse().ok())
}

/// A condition of an endpoint. One that is not told of is ready, but does not
/// end.
fn is(endpoint: &Value, condition: &str) -> bool {
    let conditions = &endpoint["conditions"];
    match condition {
        "serving" if conditions["serving"].is_null() => is(endpoint, "ready"),
        _ => conditions[condition].as_bool().unwrap_or(true),
    }
}

/// The number of a port's protocol, if services speak it here.
pub(super) fn protocol(port: &Value) -> Option<u8> {
    match port["protocol"].as_str().unwrap_or("TCP") {
        "TCP" => Some(TCP),
        "UDP" => Some(UDP),
        _ => None,
    }
}

pub(super) fn number(port: &Value) -> Option<u16> {
    port.as_u64().and_then(|it| u16::try_from(it).ok())
}

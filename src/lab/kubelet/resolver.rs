//! A pod's `/etc/resolv.conf`: where its programs ask for names.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};

use crate::lab::network::DNS;

/// The kubelet's own for a pod of its cluster; none for one that asks for the
/// machine's. What the pod's `dnsConfig` says is added.
pub(super) fn resolver(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let none = PodDNSConfig::default();
    let own = spec.dns_config.as_ref().unwrap_or(&none);
    let mut servers = Vec::new();
    let mut search = Vec::new();
    let mut options = Vec::new();
    match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "Default" => return None,
        "None" => {}
        _ => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
            servers.push(DNS.to_string());
            let below = ["svc.cluster.local", "cluster.local"];
            search.push(format!("{namespace}.{}", below[0]));
            search.extend(below.map(str::to_owned));
            options.push("ndots:5".to_owned());
        }
    }
    servers.extend(own.nameservers.iter().flatten().cloned());
    search.extend(own.searches.iter().flatten().cloned());
    for option in own.options.iter().flatten() {
        let name = option.name.clone().unwrap_or_default();
        options.retain(|known| known.split(':').next() != Some(name.as_str()));
        options.push(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name,
        });
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[allow(
        clippy::needless_pass_by_value,
        reason = "literals read better at its calls"
    )]
    fn of(spec: Value) -> Option<String> {
        let mut pod = json!({"metadata": {"namespace": "shop"}, "spec": {"containers": []}});
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        resolver(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_asks_the_cluster_unless_it_says_otherwise() {
        let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
                       nameserver 10.96.0.10\noptions ndots:5\n";
        assert_eq!(of(json!({})).unwrap(), cluster);
        assert_eq!(of(json!({"dnsPolicy": "ClusterFirst"})).unwrap(), cluster);
        assert_eq!(of(json!({"dnsPolicy": "Default"})), None);
        let own = json!({"dnsPolicy": "None", "dnsConfig": {
            "nameservers": ["10.96.0.10"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}});
        assert_eq!(
            of(own).unwrap(),
            "nameserver 10.96.0.10\noptions ndots:2 edns0\n"
        );
        let both = of(
            json!({"dnsConfig": {"searches": ["x.y"], "options": [{"name": "ndots", "value": "1"}]}}),
        );
        let both = both.unwrap();
        assert!(
            both.contains("cluster.local x.y\n") && both.ends_with("options ndots:1\n"),
            "{both}"
        );
    }
}

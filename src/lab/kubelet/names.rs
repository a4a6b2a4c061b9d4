//! What a pod calls itself, and its `/etc/hosts`.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;

/// The longest host name.
const LONGEST: usize = 63;

/// The pod's host name: the one it asks for, else its own.
pub(super) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let asked = spec.and_then(|it| it.hostname.clone());
    let asked = asked.filter(|it| !it.is_empty());
    let mut name = asked
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    if name.len() > LONGEST {
        name.truncate(LONGEST);
        name.truncate(name.trim_end_matches(['-', '.']).len());
    }
    match (spec.and_then(|it| it.set_hostname_as_fqdn), domain(pod)) {
        (Some(true), Some(domain)) => format!("{name}.{domain}"),
        _ => name,
    }
}

/// What is behind the host name in the pod's full name, if it has one.
fn domain(pod: &Pod) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref();
    let subdomain = subdomain.filter(|it| !it.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    Some(format!("{subdomain}.{namespace}.svc.cluster.local"))
}

/// The pod's `/etc/hosts`: itself, these others, and whom it names.
pub(super) fn hosts(pod: &Pod, address: &str, others: &[(Vec<String>, String)]) -> String {
    let name = hostname(pod);
    let full = match domain(pod) {
        Some(domain) if !name.ends_with(&domain) => format!("{name}.{domain}\t{name}"),
        _ => name,
    };
    let mut hosts = format!(
        "# Managed by the lab's kubelet.\n127.0.0.1\tlocalhost\n::1\tlocalhost\n{address}\t{full}\n"
    );
    // Writing to a string cannot fail.
    for (names, address) in others {
        let _ = writeln!(hosts, "{address}\t{}", names.join(" "));
    }
    let aliases = pod
        .spec
        .iter()
        .flat_map(|it| it.host_aliases.iter().flatten());
    let mut aliases = aliases.peekable();
    if aliases.peek().is_some() {
        hosts.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default();
        let _ = writeln!(hosts, "{}\t{}", alias.ip, names.join("\t"));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: &Value) -> Pod {
        let mut spec = spec.clone();
        spec["containers"] = json!([]);
        let metadata = json!({"name": "web-0", "namespace": "shop"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn a_pod_is_called_what_it_asks_to_be() {
        assert_eq!(hostname(&pod(&json!({}))), "web-0");
        assert_eq!(hostname(&pod(&json!({"hostname": "db"}))), "db");
        let full = json!({"hostname": "db", "subdomain": "all", "setHostnameAsFQDN": true});
        assert_eq!(hostname(&pod(&full)), "db.all.shop.svc.cluster.local");
        let mut long = pod(&json!({}));
        long.metadata.name = Some(format!("{}-{}", "a".repeat(62), "b".repeat(9)));
        assert_eq!(hostname(&long), "a".repeat(62));
    }

    #[test]
    fn names_that_a_pod_brings_come_last() {
        let spec = json!({
            "subdomain": "all",
            "hostAliases": [{"ip": "10.0.0.9", "hostnames": ["a.example.com", "b"]}],
        });
        let others = [(vec!["server".to_owned()], "10.244.1.3".to_owned())];
        assert_eq!(
            hosts(&pod(&spec), "10.244.1.2", &others),
            "# Managed by the lab's kubelet.\n127.0.0.1\tlocalhost\n::1\tlocalhost\n\
             10.244.1.2\tweb-0.all.shop.svc.cluster.local\tweb-0\n10.244.1.3\tserver\n\
             \n# Entries added by HostAliases.\n10.0.0.9\ta.example.com\tb\n"
        );
        let plain = hosts(&pod(&json!({})), "10.244.1.2", &[]);
        assert!(plain.ends_with("10.244.1.2\tweb-0\n"), "{plain}");
    }
}

//! How pods find each other: the places of replicas, the names of instances,
//! and the variables that tell where instances and services are.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::addresses::Place;
use super::{Shared, env};
use crate::lab::kinds::Resource;
use crate::lab::network::Mode;
use crate::lab::store::Key;

/// Label that names the instance a deployment runs.
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

impl Shared {
    /// The replicas that a pod is one of: its deployment's, its owner's, or
    /// itself alone.
    pub fn group(&self, pod: &Pod) -> String {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let owner = pod.metadata.owner_references.iter().flatten();
        let owner = owner
            .into_iter()
            .find(|owner| owner.controller == Some(true));
        let Some(owner) = owner else {
            let name = pod.metadata.name.clone().unwrap_or_default();
            return format!("{namespace}/pod/{name}");
        };
        let set = Key::new(Resource::ReplicaSets, &namespace, &owner.name);
        let set = (owner.kind == "ReplicaSet")
            .then(|| self.store.get(&set))
            .flatten();
        let owners = set
            .as_ref()
            .and_then(|set| set["metadata"]["ownerReferences"].as_array());
        let deployment = owners.into_iter().flatten().find_map(|owner| {
            (owner["kind"] == "Deployment")
                .then(|| owner["name"].as_str())
                .flatten()
        });
        match deployment {
            Some(deployment) => deployment_group(&namespace, deployment),
            None => format!("{namespace}/{}/{}", owner.kind, owner.name),
        }
    }

    /// Every instance of a namespace: its names and its address. What is the
    /// name of a service, too, means the service where services lead to pods.
    pub fn instances(&self, namespace: &str) -> Vec<(Vec<String>, String)> {
        let deployments = self
            .store
            .list(Resource::Deployments, Some(namespace))
            .items;
        let is_service = |name: &String| {
            let key = Key::new(Resource::Services, namespace, name.as_str());
            self.network.mode() == Mode::Namespaces && self.store.get(&key).is_some()
        };
        let instance = |deployment: &Value| {
            let name = deployment["metadata"]["name"].as_str()?;
            let labels = [
                &deployment["metadata"]["labels"],
                &deployment["spec"]["template"]["metadata"]["labels"],
            ];
            let instance = labels
                .iter()
                .find_map(|labels| labels[INSTANCE_LABEL].as_str());
            let place = Place {
                group: deployment_group(namespace, name),
                index: 0,
            };
            let address = self.addresses.of(&place)?;
            let mut names: Vec<_> = instance.into_iter().map(str::to_owned).collect();
            names.push(name.to_owned());
            names.dedup();
            names.retain(|name| !is_service(name));
            Some((names, address.to_string()))
        };
        let mut all: Vec<(Vec<String>, String)> = deployments
            .iter()
            .filter_map(|it| instance(it))
            .filter(|(names, _)| !names.is_empty())
            .collect();
        // A pod that has outlived its deployment is found by its name as before.
        for pod in self.store.list(Resource::Pods, Some(namespace)).items {
            let name = pod["metadata"]["labels"][INSTANCE_LABEL].as_str();
            let address = pod["status"]["podIP"].as_str();
            let (Some(name), Some(address)) = (name, address) else {
                continue;
            };
            let name = name.to_owned();
            let known = all.iter().any(|(names, _)| names.contains(&name));
            if !known && !is_service(&name) {
                all.push((vec![name], address.to_owned()));
            }
        }
        all
    }

    /// The variables that tell a pod the addresses of instances, and of the
    /// services of its namespace where these lead to pods.
    pub fn services(&self, pod: &Pod) -> Vec<(String, String)> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let variable = |(names, address): (Vec<String>, _)| {
            Some((env::service_variable(names.first()?), address))
        };
        let instances = self.instances(namespace).into_iter();
        let mut variables: Vec<_> = instances.filter_map(variable).collect();
        if self.network.mode() != Mode::Namespaces {
            return variables;
        }
        let spec = pod.spec.as_ref();
        let linked = spec.and_then(|it| it.enable_service_links) != Some(false);
        let services = self.store.list(Resource::Services, None).items;
        let told = services.iter().filter(|service| {
            let meta = &service["metadata"];
            let api = meta["namespace"] == "default" && meta["name"] == "kubernetes";
            api || (linked && meta["namespace"] == namespace)
        });
        variables.extend(told.flat_map(|it| links(it)));
        variables
    }
}

/// The variables that tell of a service, as Docker's links once did; none of
/// one without an address.
fn links(service: &Value) -> Vec<(String, String)> {
    let spec = &service["spec"];
    let address = spec["clusterIP"].as_str().unwrap_or_default();
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    if address.is_empty() || address == "None" || ports.is_empty() {
        return Vec::new();
    }
    let shout = |text: &str| text.to_ascii_uppercase().replace('-', "_");
    let name = shout(service["metadata"]["name"].as_str().unwrap_or_default());
    let mut links = vec![
        (format!("{name}_SERVICE_HOST"), address.to_owned()),
        (format!("{name}_SERVICE_PORT"), ports[0]["port"].to_string()),
    ];
    for port in ports {
        if let Some(port_name) = port["name"].as_str().filter(|it| !it.is_empty()) {
            let link = format!("{name}_SERVICE_PORT_{}", shout(port_name));
            links.push((link, port["port"].to_string()));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let number = port["port"].to_string();
        let url = format!("{}://{address}:{number}", protocol.to_ascii_lowercase());
        if index == 0 {
            links.push((format!("{name}_PORT"), url.clone()));
        }
        let link = format!("{name}_PORT_{number}_{protocol}");
        links.push((format!("{link}_PROTO"), protocol.to_ascii_lowercase()));
        links.push((format!("{link}_PORT"), number));
        links.push((format!("{link}_ADDR"), address.to_owned()));
        links.push((link, url));
    }
    links
}

fn deployment_group(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_is_told_in_variables() {
        let service = json!({
            "metadata": {"name": "my-db"},
            "spec": {"clusterIP": "10.96.1.2", "ports": [
                {"name": "sql", "port": 5432, "protocol": "TCP"},
                {"name": "ask", "port": 53, "protocol": "UDP"}]},
        });
        let links = links(&service);
        let of = |name: &str| {
            let found = links.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value)
        };
        for (name, value) in [
            ("MY_DB_SERVICE_HOST", "10.96.1.2"),
            ("MY_DB_SERVICE_PORT", "5432"),
            ("MY_DB_SERVICE_PORT_ASK", "53"),
            ("MY_DB_PORT", "tcp://10.96.1.2:5432"),
            ("MY_DB_PORT_53_UDP", "udp://10.96.1.2:53"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
            ("MY_DB_PORT_5432_TCP_ADDR", "10.96.1.2"),
        ] {
            assert_eq!(of(name), value, "{name}");
        }
        let headless = json!({"metadata": {"name": "h"}, "spec": {"clusterIP": "None"}});
        assert!(super::links(&headless).is_empty());
    }
}

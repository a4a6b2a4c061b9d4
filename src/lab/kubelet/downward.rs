//! What a container may be told of its own pod: fields and resources, for
//! variables and for files alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Pod, ResourceFieldSelector};
use serde_json::Value;

use crate::lab::quantity;

/// What a pod's own spec does not tell of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// Address of the pod.
    pub pod_ip: String,
    /// Address of the node.
    pub host_ip: String,
    /// Addresses of others: names of variables and values.
    pub services: Vec<(String, String)>,
    /// What the node gives to pods: the limit of those that have none.
    pub allocatable: Value,
}

/// A field of the pod, by the path of the downward API; none when there is no
/// such.
pub(super) fn field(pod: &Pod, path: &str, around: &Surroundings) -> Option<String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|it| it.split_once("['")) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return None,
        };
        let value = map.and_then(|map| map.get(key));
        return Some(value.cloned().unwrap_or_default());
    }
    match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(map(meta.labels.as_ref())),
        "metadata.annotations" => Some(map(meta.annotations.as_ref())),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => {
            let account = spec?.service_account_name.clone();
            Some(account.unwrap_or_else(|| "default".into()))
        }
        "status.podIP" | "status.podIPs" => Some(around.pod_ip.clone()),
        "status.hostIP" | "status.hostIPs" => Some(around.host_ip.clone()),
        _ => None,
    }
}

/// A whole map, as a file of it is written: a quoted value a line.
fn map(map: Option<&BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (name, value) in map.into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}={value:?}");
    }
    text.pop();
    text
}

/// A container's limit or request, in units of the selector's divisor, rounded
/// up. A limit that is not set is what the node has.
///
/// # Errors
/// That there is no such container or resource.
pub(super) fn resource(
    pod: &Pod,
    container: &str,
    selector: &ResourceFieldSelector,
    around: &Surroundings,
) -> Result<String, String> {
    let name = selector.container_name.as_deref().unwrap_or(container);
    let spec = pod.spec.as_ref();
    let found = spec.and_then(|spec| {
        let first = spec.init_containers.iter().flatten();
        let mut all = first.chain(&spec.containers);
        all.find(|container| container.name == name)
    });
    let found = found.ok_or_else(|| format!("container {name} not found"))?;
    let unknown = || format!("unsupported container resource : {}", selector.resource);
    let (list, what) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = found.resources.as_ref();
    let own = match list {
        "limits" => resources.and_then(|it| it.limits.as_ref()),
        "requests" => resources.and_then(|it| it.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let own = own.and_then(|it| it.get(what)).map(|it| it.0.as_str());
    let given = match (own, list) {
        (Some(own), _) => own,
        (None, "limits") => around.allocatable[what].as_str().unwrap_or("0"),
        (None, _) => "0",
    };
    let divisor = selector.divisor.as_ref().map_or("1", |it| it.0.as_str());
    let read = |text| quantity::milli(text).ok_or_else(|| format!("{text} is no quantity"));
    let divisor = match read(divisor)? {
        0 => 1000,
        divisor => divisor,
    };
    Ok(read(given)?.div_ceil(divisor).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_are_told_in_units_of_the_divisor() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}}]}}))
        .unwrap();
        let around = Surroundings {
            allocatable: json!({"memory": "2Gi", "cpu": "4", "ephemeral-storage": "1Ki"}),
            ..Surroundings::default()
        };
        let of = |resource: &str, divisor: &str| {
            let selector = json!({"resource": resource, "divisor": divisor});
            let selector = serde_json::from_value(selector).unwrap();
            super::resource(&pod, "c", &selector, &around)
        };
        assert_eq!(of("limits.cpu", "0"), Ok("2".into()));
        assert_eq!(of("limits.cpu", "1m"), Ok("1500".into()));
        assert_eq!(of("limits.memory", "1Mi"), Ok("64".into()));
        assert_eq!(of("requests.memory", "1"), Ok("0".into()));
        assert_eq!(of("limits.ephemeral-storage", "1"), Ok("1024".into()));
        assert!(of("limits", "1").is_err());
        assert!(of("other.cpu", "1").is_err());
    }

    #[test]
    fn a_map_is_written_a_line_each() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"labels": {"b": "2", "a": "say \"x\""}}}))
        .unwrap();
        let text = field(&pod, "metadata.labels", &Surroundings::default());
        assert_eq!(text.as_deref(), Some("a=\"say \\\"x\\\"\"\nb=\"2\""));
    }
}

//! What a container's probes, hooks, resources and volumes mean when they do
//! not say, and which quality of service they add up to.

use serde_json::{Value, json};

use super::set;
use crate::lab::quantity;

/// Fills in the probes and hooks of a container.
pub fn fill_checks(container: &mut Value) {
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(kind).filter(|it| it.is_object()) else {
            continue;
        };
        for (field, default) in [
            ("timeoutSeconds", 1),
            ("periodSeconds", 10),
            ("successThreshold", 1),
            ("failureThreshold", 3),
        ] {
            set(probe, field, json!(default));
        }
        fill_web(probe);
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = container["lifecycle"].get_mut(hook) {
            fill_web(hook);
        }
    }
}

fn fill_web(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet").filter(|it| it.is_object()) {
        set(get, "path", json!("/"));
        set(get, "scheme", json!("HTTP"));
    }
}

/// Mode of files that are made of objects.
const FILE_MODE: i32 = 0o644;

/// Fills in a volume.
pub fn fill_volume(volume: &mut Value) {
    for kind in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(kind).filter(|it| it.is_object()) {
            set(source, "defaultMode", json!(FILE_MODE));
            fill_references(source);
            for part in super::array(&mut source["sources"]) {
                if let Some(part) = part.get_mut("downwardAPI") {
                    fill_references(part);
                }
            }
        }
    }
}

fn fill_references(source: &mut Value) {
    for item in super::array(&mut source["items"]) {
        fill_reference(item);
    }
}

/// A reference to the pod's own fields or resources.
pub fn fill_reference(from: &mut Value) {
    if let Some(field) = from.get_mut("fieldRef").filter(|it| it.is_object()) {
        set(field, "apiVersion", json!("v1"));
    }
    if let Some(resource) = from.get_mut("resourceFieldRef").filter(|it| it.is_object()) {
        set(resource, "divisor", json!("0"));
    }
}

/// What is limited and asks for nothing asks for its limit.
pub fn fill_resources(container: &mut Value) {
    let limits = container["resources"]["limits"].as_object().cloned();
    for (name, limit) in limits.into_iter().flatten() {
        set(&mut container["resources"]["requests"], &name, limit);
    }
}

/// The quality of service of a pod: *Guaranteed* when every container has the
/// same request and limit of both processor and memory, *BestEffort* when none
/// has any.
pub fn quality(spec: &Value) -> &'static str {
    let lists = ["initContainers", "containers"];
    let containers = lists.iter().filter_map(|list| spec[*list].as_array());
    let (mut any, mut all) = (false, true);
    for container in containers.flatten() {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let read = |list: &str| {
                let text = resources[list][name].as_str()?;
                quantity::milli(text).filter(|amount| *amount > 0)
            };
            let (request, limit) = (read("requests"), read("limits"));
            any |= request.is_some() || limit.is_some();
            all &= limit.is_some() && request == limit;
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_gets_the_usual_times() {
        let mut container = json!({
            "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 2},
        });
        fill_checks(&mut container);
        let probe = &container["readinessProbe"];
        assert_eq!(probe["periodSeconds"], 2);
        assert_eq!(probe["failureThreshold"], 3);
        assert_eq!(probe["httpGet"]["scheme"], "HTTP");
        assert!(container["livenessProbe"].is_null());
    }

    #[test]
    fn the_quality_of_service_follows_the_resources() {
        let of = |resources: Value| {
            let mut container = json!({"resources": resources});
            fill_resources(&mut container);
            quality(&json!({"containers": [container]}))
        };
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(of(json!({"limits": {"memory": "1Mi"}})), "Burstable");
        let both = json!({"cpu": "500m", "memory": "1Mi"});
        assert_eq!(of(json!({"limits": both})), "Guaranteed");
        let more = json!({"cpu": "0.5", "memory": "1024Ki"});
        assert_eq!(of(json!({"limits": both, "requests": more})), "Guaranteed");
        let less = json!({"cpu": "0.1", "memory": "1Mi"});
        assert_eq!(of(json!({"limits": both, "requests": less})), "Burstable");
    }
}

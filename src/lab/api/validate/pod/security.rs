//! What a pod may ask for of the machine, and which powers for itself.
//!
//! A container of the lab has no capability and can gain none, is in the pod's
//! own network and among its own processes, and acts for the lab's user. Who
//! asks for less, or for the same, has it; who asks for more is refused.

use std::net::IpAddr;

use serde_json::Value;

use super::super::is_subdomain;
use super::items;
use crate::lab::api::status::FieldError;

/// Switches of a pod that take it out of what the lab shuts it in.
const SHARED: [(&str, &str); 4] = [
    ("hostNetwork", "the lab gives no pod the machine's network"),
    ("hostPID", "the lab shows no pod the machine's processes"),
    (
        "hostIPC",
        "the lab gives no pod the machine's memory and queues",
    ),
    (
        "shareProcessNamespace",
        "each container of the lab has its processes to itself",
    ),
];

/// The one capability that nobody needs: any program in a pod's network may
/// listen on any port.
const LISTEN_ANYWHERE: [&str; 2] = ["NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE"];

/// What stands against what a pod asks for.
pub(super) fn pod(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut refuse = |field: &str, why: &str| {
        errors.push(FieldError::forbidden(format!("{path}.{field}"), why));
    };
    for (field, why) in SHARED {
        if spec[field] == true {
            refuse(field, why);
        }
    }
    if spec["os"]["name"] == "windows" {
        refuse("os.name", "the nodes of the lab run linux");
    }
    if items(&spec["resourceClaims"]).next().is_some() {
        refuse("resourceClaims", "the lab has no devices to claim");
    }
    if ["limits", "requests"]
        .iter()
        .any(|list| spec["resources"][list].is_object())
    {
        refuse("resources", "the lab has resources of containers only");
    }
    for (index, alias) in items(&spec["hostAliases"]).enumerate() {
        let path = format!("{path}.hostAliases[{index}]");
        let ip = alias["ip"].as_str().unwrap_or_default();
        if ip.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(format!("{path}.ip"), &alias["ip"], why));
        }
        for (index, name) in items(&alias["hostnames"]).enumerate() {
            if !name.as_str().is_some_and(is_subdomain) {
                let field = format!("{path}.hostnames[{index}]");
                errors.push(FieldError::invalid(field, name, super::super::SUBDOMAIN));
            }
        }
    }
    let path = format!("{path}.securityContext");
    let context = &spec["securityContext"];
    if items(&context["sysctls"]).next().is_some() {
        let why = "the lab changes no setting of the kernel";
        errors.push(FieldError::forbidden(format!("{path}.sysctls"), why));
    }
    if context["fsGroup"].is_number() {
        id(&context["fsGroup"], &format!("{path}.fsGroup"), errors);
    }
    both(context, &path, errors);
}

/// What stands against what a container asks for.
pub(super) fn container(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if container["lifecycle"]["stopSignal"].is_string() {
        let field = format!("{path}.lifecycle.stopSignal");
        let why = "the lab asks containers to end by SIGTERM";
        errors.push(FieldError::forbidden(field, why));
    }
    let path = format!("{path}.securityContext");
    let context = &container["securityContext"];
    if context["privileged"] == true {
        let why = "the lab has no privileged containers";
        errors.push(FieldError::forbidden(format!("{path}.privileged"), why));
    }
    for (index, added) in items(&context["capabilities"]["add"]).enumerate() {
        if !LISTEN_ANYWHERE.iter().any(|it| added == it) {
            let field = format!("{path}.capabilities.add[{index}]");
            let why = "a container of the lab has no capability and gains none";
            errors.push(FieldError::forbidden(field, why));
        }
    }
    if !matches!(context["procMount"].as_str(), None | Some("" | "Default")) {
        let why = "the lab masks /proc of every container";
        errors.push(FieldError::forbidden(format!("{path}.procMount"), why));
    }
    both(context, &path, errors);
}

/// What containers may say as well as their pod.
fn both(context: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["runAsUser", "runAsGroup"] {
        id(&context[field], &format!("{path}.{field}"), errors);
    }
    for (profile, kind) in [
        ("seccompProfile", "filters of system calls"),
        ("appArmorProfile", "profiles of AppArmor"),
    ] {
        if context[profile]["type"] == "Localhost" {
            let field = format!("{path}.{profile}.type");
            let why = format!("the nodes of the lab have no {kind}");
            errors.push(FieldError::forbidden(field, &why));
        }
    }
    if context["windowsOptions"].is_object() {
        let field = format!("{path}.windowsOptions");
        errors.push(FieldError::forbidden(
            field,
            "the nodes of the lab run linux",
        ));
    }
}

fn id(value: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let most = i64::from(i32::MAX);
    if value.as_i64().is_some_and(|id| !(0..=most).contains(&id)) {
        let why = format!("must be between 0 and {most}, inclusive");
        errors.push(FieldError::invalid(field, value, &why));
    }
}

/// What is accepted and does less than its name says.
pub(super) fn warnings(spec: &Value, path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in items(&spec[list]).enumerate() {
            let path = format!("{path}.{list}[{index}]");
            for (index, port) in items(&container["ports"]).enumerate() {
                if port["hostPort"].as_u64().is_some_and(|it| it > 0) {
                    warnings.push(format!(
                        "{path}.ports[{index}].hostPort: the lab keeps the port for the pod and \
                         does not open it on the node; a service of type NodePort is opened"
                    ));
                }
            }
            if !container["resources"]["limits"]["ephemeral-storage"].is_null() {
                warnings.push(format!(
                    "{path}.resources.limits[ephemeral-storage]: the lab does not enforce it"
                ));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(spec: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        pod(spec, "spec", &mut errors);
        for (index, it) in items(&spec["containers"]).enumerate() {
            container(it, &format!("spec.containers[{index}]"), &mut errors);
        }
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everyday_restrictions_are_accepted() {
        let spec = json!({
            "hostNetwork": false, "hostPID": false, "hostUsers": false,
            "os": {"name": "linux"},
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}],
            "securityContext": {
                "runAsUser": 1000, "runAsGroup": 3000, "runAsNonRoot": true, "fsGroup": 2000,
                "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [4000],
                "seccompProfile": {"type": "RuntimeDefault"}, "sysctls": [],
            },
            "containers": [{"securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "privileged": false, "procMount": "Default",
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            }}],
        });
        assert_eq!(said(&spec), [""; 0]);
        assert_eq!(warnings(&spec, "spec"), [""; 0]);
    }

    #[test]
    fn who_asks_for_more_than_the_lab_gives_is_refused_by_name() {
        for (spec, expected) in [
            (
                json!({"hostNetwork": true}),
                "spec.hostNetwork: Forbidden: the lab gives no pod the machine's network",
            ),
            (
                json!({"shareProcessNamespace": true}),
                "spec.shareProcessNamespace: Forbidden: each container of the lab has its \
                 processes to itself",
            ),
            (
                json!({"hostAliases": [{"ip": "db"}]}),
                "spec.hostAliases[0].ip: Invalid value: \"db\": must be a valid IP address, \
                 (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
            (
                json!({"securityContext": {"sysctls": [{"name": "n", "value": "1"}]}}),
                "spec.securityContext.sysctls: Forbidden: the lab changes no setting of the \
                 kernel",
            ),
            (
                json!({"securityContext": {"runAsUser": -1}}),
                "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and \
                 2147483647, inclusive",
            ),
            (
                json!({"containers": [{"securityContext": {"privileged": true}}]}),
                "spec.containers[0].securityContext.privileged: Forbidden: the lab has no \
                 privileged containers",
            ),
            (
                json!({"containers": [{"securityContext": {
                    "capabilities": {"add": ["NET_BIND_SERVICE", "NET_ADMIN"]}}}]}),
                "spec.containers[0].securityContext.capabilities.add[1]: Forbidden: a container \
                 of the lab has no capability and gains none",
            ),
            (
                json!({"containers": [{"securityContext": {
                    "seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}}]}),
                "spec.containers[0].securityContext.seccompProfile.type: Forbidden: the nodes of \
                 the lab have no filters of system calls",
            ),
        ] {
            assert_eq!(said(&spec), [expected]);
        }
    }

    #[test]
    fn what_does_less_than_it_says_is_warned_of() {
        let spec = json!({"containers": [{
            "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}],
            "resources": {"limits": {"ephemeral-storage": "1Gi", "memory": "1Gi"}},
        }]});
        let warned = warnings(&spec, "spec");
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(warned[0].starts_with("spec.containers[0].ports[1].hostPort: "));
        assert!(warned[1].contains("ephemeral-storage"));
    }
}

//! Config maps, secrets, services, disruption budgets and slices.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::status::FieldError;
use super::{is_label, one_of};

/// How much a config map or a secret may hold, in bytes.
const DATA_LIMIT: usize = 1024 * 1024;
const DATA_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const FROZEN: &str = "field is immutable when `immutable` is set";
const PORT: &str = "must be between 1 and 65535, inclusive";

/// A config map.
pub fn config_map(map: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in map[field].as_object().into_iter().flatten() {
            data_key(field, key, errors);
            if field == "data" && map["binaryData"].get(key).is_some() {
                errors.push(FieldError::invalid(
                    format!("data[{key}]"),
                    &Value::from(key.as_str()),
                    "duplicate of key present in binaryData",
                ));
            }
            let text = value.as_str().unwrap_or_default();
            size += if field == "data" {
                text.len()
            } else {
                bytes(text).len()
            };
        }
    }
    if size > DATA_LIMIT {
        errors.push(FieldError::too_long("", DATA_LIMIT as u64));
    }
}

/// A secret.
pub fn secret(secret: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        data_key("data", key, errors);
        size += bytes(value.as_str().unwrap_or_default()).len();
    }
    if size > DATA_LIMIT {
        errors.push(FieldError::too_long("data", DATA_LIMIT as u64));
    }
    let has = |key: &str| secret["data"].get(key).is_some();
    let mut needs = |key: &str| {
        if !has(key) {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    };
    match secret["type"].as_str().unwrap_or_default() {
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().for_each(needs),
        "kubernetes.io/ssh-auth" => needs("ssh-privatekey"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            ["username", "password"].into_iter().for_each(needs);
        }
        "kubernetes.io/dockerconfigjson" => needs(".dockerconfigjson"),
        "kubernetes.io/dockercfg" => needs(".dockercfg"),
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            if secret["metadata"]["annotations"][name]
                .as_str()
                .unwrap_or_default()
                .is_empty()
            {
                errors.push(FieldError::required(
                    format!("metadata.annotations[{name}]"),
                    "",
                ));
            }
        }
        _ => {}
    }
    docker_config(secret, errors);
}

fn docker_config(secret: &Value, errors: &mut Vec<FieldError>) {
    let key = match secret["type"].as_str() {
        Some("kubernetes.io/dockerconfigjson") => ".dockerconfigjson",
        Some("kubernetes.io/dockercfg") => ".dockercfg",
        _ => return,
    };
    let Some(text) = secret["data"][key].as_str() else {
        return;
    };
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes(text)) {
        let hidden = Value::from("<secret contents redacted>");
        errors.push(FieldError::invalid(
            format!("data[{key}]"),
            &hidden,
            &error.to_string(),
        ));
    }
}

/// What may not change in a secret.
pub fn secret_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if old["type"] != new["type"] {
        errors.push(FieldError::invalid(
            "type",
            &new["type"],
            "field is immutable",
        ));
    }
    frozen(old, new, &["data"], errors);
}

/// What may not change in a config map or secret that says it never changes.
pub fn frozen(old: &Value, new: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"] != true {
        return;
    }
    if new["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", FROZEN));
    }
    for field in fields.iter().filter(|it| old[**it] != new[**it]) {
        errors.push(FieldError::forbidden(*field, FROZEN));
    }
}

fn data_key(field: &str, key: &str, errors: &mut Vec<FieldError>) {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let value = Value::from(key);
    let why = match key {
        "." => "must not be '.'",
        key if key.starts_with("..") => "must not start with '..'",
        key if key.len() > 253 => "must be no more than 253 bytes",
        key if key.is_empty() || !key.chars().all(letters) => DATA_KEY,
        _ => return,
    };
    errors.push(FieldError::invalid(format!("{field}[{key}]"), &value, why));
}

fn bytes(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap_or_default()
}

/// A service, but for the addresses that it is given.
pub fn service(service: &Value, errors: &mut Vec<FieldError>) {
    let spec = &service["spec"];
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of(spec, "type", &types, "spec", errors);
    one_of(
        spec,
        "sessionAffinity",
        &["ClientIP", "None"],
        "spec",
        errors,
    );
    super::metadata::labels(&spec["selector"], "spec.selector", errors);
    service_limits(spec, errors);
    let named = spec["type"] == "ExternalName";
    if named && spec["externalName"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("spec.externalName", ""));
    }
    if named && !matches!(spec["clusterIP"].as_str(), None | Some("")) {
        let why = "may not be set for ExternalName services";
        errors.push(FieldError::forbidden("spec.clusterIPs", why));
    }
    if spec["clusterIP"] == "None" && !matches!(spec["type"].as_str(), None | Some("ClusterIP")) {
        let why = format!(
            "may not be set to 'None' for {} services",
            spec["type"].as_str().unwrap_or_default()
        );
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            &spec["clusterIP"],
            &why,
        ));
    }
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    if ports.is_empty() && !named && spec["clusterIP"] != "None" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        service_port(port, &path, ports.len() > 1, errors);
        let before = &ports[..index];
        let name = &port["name"];
        if name.is_string() && before.iter().any(|it| it["name"] == *name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        let same = |it: &Value| it["port"] == port["port"] && it["protocol"] == port["protocol"];
        if before.iter().any(same) {
            let value = serde_json::json!({"protocol": port["protocol"], "port": port["port"]});
            errors.push(FieldError::duplicate(path, &value));
        }
    }
}

/// What the lab's network does not do is refused.
fn service_limits(spec: &Value, errors: &mut Vec<FieldError>) {
    for field in ["externalTrafficPolicy", "internalTrafficPolicy"] {
        if spec[field] == "Local" {
            let why = "the lab's network does not tell nodes apart, use Cluster";
            errors.push(FieldError::forbidden(format!("spec.{field}"), why));
        }
    }
    for (field, why) in [
        ("externalIPs", "the lab's network has no other addresses"),
        ("loadBalancerSourceRanges", "the lab balances for everybody"),
        ("loadBalancerIP", "the lab chooses the address itself"),
    ] {
        if !matches!(&spec[field], Value::Null)
            && spec[field] != ""
            && spec[field] != Value::Array(Vec::new())
        {
            errors.push(FieldError::forbidden(format!("spec.{field}"), why));
        }
    }
    for (index, port) in spec["ports"].as_array().into_iter().flatten().enumerate() {
        if port["protocol"] == "SCTP" {
            let path = format!("spec.ports[{index}].protocol");
            errors.push(FieldError::forbidden(
                path,
                "the lab's network has TCP and UDP only",
            ));
        }
    }
}

fn service_port(port: &Value, path: &str, must_be_named: bool, errors: &mut Vec<FieldError>) {
    let field = |name: &str| format!("{path}.{name}");
    match port["name"].as_str().unwrap_or_default() {
        "" if must_be_named => errors.push(FieldError::required(field("name"), "")),
        "" => {}
        name if !is_label(name) => {
            errors.push(FieldError::invalid(
                field("name"),
                &port["name"],
                super::LABEL,
            ));
        }
        _ => {}
    }
    let in_range = |value: &Value| value.as_i64().is_some_and(|it| (1..=65535).contains(&it));
    if !in_range(&port["port"]) {
        errors.push(FieldError::invalid(field("port"), &port["port"], PORT));
    }
    if port["targetPort"].is_number() && !in_range(&port["targetPort"]) {
        errors.push(FieldError::invalid(
            field("targetPort"),
            &port["targetPort"],
            PORT,
        ));
    }
    one_of(port, "protocol", &["SCTP", "TCP", "UDP"], path, errors);
}

/// What may not change in a service.
pub fn service_change(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let address = |service: &Value| {
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        address.to_owned()
    };
    let (was, is) = (address(old), address(new));
    let named = |service: &Value| service["spec"]["type"] == "ExternalName";
    if !named(old) && !named(new) && !was.is_empty() && !is.is_empty() && was != is {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            &serde_json::json!([is]),
            "may not change once set",
        ));
    }
}

/// A disruption budget.
pub fn budget(budget: &Value, errors: &mut Vec<FieldError>) {
    let spec = &budget["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid("spec", spec, why));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let path = format!("spec.{field}");
        match &spec[field] {
            Value::Number(count) if count.as_i64().is_some_and(|it| it < 0) => {
                let why = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(path, &spec[field], why));
            }
            Value::String(text) => {
                let percent = text.strip_suffix('%').and_then(|it| it.parse::<u32>().ok());
                match percent {
                    None => errors.push(FieldError::invalid(
                        path,
                        &spec[field],
                        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                    )),
                    Some(percent) if percent > 100 => {
                        errors.push(FieldError::invalid(path, &spec[field], "must not be greater than 100%"));
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    if spec["unhealthyPodEvictionPolicy"].is_string() {
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        one_of(
            spec,
            "unhealthyPodEvictionPolicy",
            &policies,
            "spec",
            errors,
        );
    }
}

/// An endpoint slice.
pub fn endpoint_slice(slice: &Value, errors: &mut Vec<FieldError>) {
    let types = ["FQDN", "IPv4", "IPv6"];
    if slice["addressType"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("addressType", ""));
    } else if !types.iter().any(|it| slice["addressType"] == *it) {
        errors.push(FieldError::unsupported(
            "addressType",
            &slice["addressType"],
            &types,
        ));
    }
    let endpoints = slice["endpoints"].as_array();
    for (index, endpoint) in endpoints.into_iter().flatten().enumerate() {
        if endpoint["addresses"].as_array().is_none_or(Vec::is_empty) {
            errors.push(FieldError::required(
                format!("endpoints[{index}].addresses"),
                "must contain at least 1 address",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_of_data_are_checked_and_never_twice() {
        let mut errors = Vec::new();
        let map = json!({"data": {"a b": "", "k": ""}, "binaryData": {"k": ""}});
        config_map(&map, &mut errors);
        let found = texts(&errors);
        assert!(found[0].starts_with("data[a b]: Invalid value: \"a b\": a valid config key"));
        assert_eq!(
            found[1],
            "data[k]: Invalid value: \"k\": duplicate of key present in binaryData"
        );
    }

    #[test]
    fn what_says_it_never_changes_does_not() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        let mut errors = Vec::new();
        frozen(&old, &json!({"data": {"a": "2"}}), &["data"], &mut errors);
        assert_eq!(
            texts(&errors),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
    }

    #[test]
    fn secrets_of_a_type_have_its_keys() {
        let mut errors = Vec::new();
        secret(
            &json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            &mut errors,
        );
        assert_eq!(texts(&errors), ["data[tls.key]: Required value"]);
        let mut errors = Vec::new();
        secret(
            &json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}),
            &mut errors,
        );
        assert!(texts(&errors)[0].contains("<secret contents redacted>"));
    }

    #[test]
    fn several_ports_have_names_and_differ() {
        let port = |extra: Value| {
            let mut port = json!({"port": 80, "protocol": "TCP"});
            port.as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            port
        };
        let object = |ports: Vec<Value>| {
            json!({"spec": {
            "type": "ClusterIP", "sessionAffinity": "None", "ports": ports}})
        };
        let mut errors = Vec::new();
        service(&object(vec![port(json!({"port": 0}))]), &mut errors);
        assert_eq!(
            texts(&errors),
            ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]
        );
        let mut errors = Vec::new();
        service(
            &object(vec![port(json!({"name": "a"})), port(json!({}))]),
            &mut errors,
        );
        assert_eq!(
            texts(&errors),
            [
                "spec.ports[1].name: Required value",
                "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}",
            ]
        );
    }
}

//! The environment and the command line of a container: values, references to
//! other variables, and fields of the pod.

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

use super::images::Image;

/// What a container is not told by its own spec.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// Address of the pod.
    pub pod_ip: String,
    /// Address of the node.
    pub host_ip: String,
    /// Addresses of the other instances: name of the variable and value.
    pub services: Vec<(String, String)>,
}

/// A container's environment, in the order of definition.
///
/// # Errors
/// What the lab does not offer, as the container's waiting message.
pub(super) fn environment(
    pod: &Pod,
    container: &Container,
    around: &Surroundings,
) -> Result<Vec<(String, String)>, String> {
    let mut env = around.services.clone();
    let name = pod.metadata.name.clone().unwrap_or_default();
    define(&mut env, "HOSTNAME", name);
    define(&mut env, "HOME", "/root".to_owned());
    for source in container.env_from.iter().flatten() {
        let maps = [
            source.config_map_ref.as_ref().map(|it| it.optional),
            source.secret_ref.as_ref().map(|it| it.optional),
        ];
        if maps
            .into_iter()
            .flatten()
            .any(|optional| optional != Some(true))
        {
            return Err("envFrom: the lab has neither config maps nor secrets".into());
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, variable, around, &env)? {
            define(&mut env, &variable.name, value);
        }
    }
    Ok(env)
}

fn define(env: &mut Vec<(String, String)>, name: &str, value: String) {
    env.retain(|(known, _)| known != name);
    env.push((name.to_owned(), value));
}

fn value(
    pod: &Pod,
    variable: &EnvVar,
    around: &Surroundings,
    env: &[(String, String)],
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else {
        let text = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(text, env)));
    };
    if let Some(field) = &source.field_ref {
        return match self::field(pod, &field.field_path, around) {
            Some(value) => Ok(Some(value)),
            None => Err(format!(
                "env {}: fieldPath {:?} is not supported by the lab",
                variable.name, field.field_path
            )),
        };
    }
    let optional = [
        source.config_map_key_ref.as_ref().map(|it| it.optional),
        source.secret_key_ref.as_ref().map(|it| it.optional),
    ];
    if optional.into_iter().flatten().next() == Some(Some(true)) {
        return Ok(None);
    }
    Err(format!(
        "env {}: the lab gives values and fields of the pod only, no config maps, secrets or resources",
        variable.name
    ))
}

/// A field of the pod, by the path of the downward API.
fn field(pod: &Pod, path: &str, around: &Surroundings) -> Option<String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|it| it.split_once("['")) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return None,
        };
        return Some(
            map.and_then(|map| map.get(key))
                .cloned()
                .unwrap_or_default(),
        );
    }
    match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => Some(
            spec?
                .service_account_name
                .clone()
                .unwrap_or_else(|| "default".into()),
        ),
        "status.podIP" | "status.podIPs" => Some(around.pod_ip.clone()),
        "status.hostIP" | "status.hostIPs" => Some(around.host_ip.clone()),
        _ => None,
    }
}

/// Program and arguments: the container's own, or the image's.
///
/// # Errors
/// When neither names a command, in a runtime's words.
pub(super) fn command_line(
    container: &Container,
    image: &Image,
    env: &[(String, String)],
) -> Result<Vec<String>, String> {
    let own = container.command.clone().filter(|words| !words.is_empty());
    let arguments = container.args.clone().unwrap_or_default();
    let image = image.entry(&arguments).iter();
    let mut words = own.unwrap_or_else(|| image.map(|word| (*word).to_owned()).collect());
    words.extend(arguments);
    if words.is_empty() {
        return Err("no command specified".into());
    }
    Ok(words.iter().map(|word| expand(word, env)).collect())
}

/// Replaces `$(NAME)` by the variable's value. `$$` is a dollar; a reference to
/// a variable that is not defined stays as it is.
pub(super) fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|it| it.split_once(')'))
        {
            if let Some((_, value)) = env.iter().rev().find(|(known, _)| known == name) {
                expanded.push_str(value);
            } else {
                expanded.push_str("$(");
                expanded.push_str(name);
                expanded.push(')');
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

/// Name of the variable that tells an instance's address.
pub(super) fn service_variable(instance: &str) -> String {
    format!(
        "{}_SERVICE_HOST",
        instance.to_ascii_uppercase().replace('-', "_")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "p-1", "namespace": "default", "uid": "u",
                "labels": {"app": "x"}
            },
            "spec": {"nodeName": "lab-node-0", "containers": []}
        }))
        .unwrap()
    }

    fn around() -> Surroundings {
        Surroundings {
            pod_ip: "127.9.9.2".into(),
            host_ip: "127.9.9.1".into(),
            services: vec![("PEER_SERVICE_HOST".into(), "127.9.9.3".into())],
        }
    }

    fn container(value: serde_json::Value) -> Container {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn references_are_expanded() {
        let env = vec![
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "$(A)".to_owned()),
        ];
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)-$(A)", "1-1"),
            ("$(B)", "$(A)"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("cost: 5$", "cost: 5$"),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn values_come_from_the_pod_and_from_each_other() {
        let container = container(json!({"name": "c", "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "NONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['x']"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "URL", "value": "$(ME)@$(PEER_SERVICE_HOST)/$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "HOME", "value": "/here"},
            {"name": "MAYBE", "valueFrom": {
                "configMapKeyRef": {"name": "m", "key": "k", "optional": true}}}
        ]}));
        let env = environment(&pod(), &container, &around()).unwrap();
        let of = |name: &str| {
            let found: Vec<_> = env.iter().filter(|(key, _)| key == name).collect();
            assert!(found.len() < 2, "{name} is defined twice");
            found.first().map(|(_, value)| value.as_str())
        };
        for (name, value) in [
            ("POD_IP", "127.9.9.2"),
            ("ME", "p-1"),
            ("APP", "x"),
            ("NONE", ""),
            ("NODE", "lab-node-0"),
            ("URL", "p-1@127.9.9.3/$(LATER)"),
            ("HOSTNAME", "p-1"),
            ("HOME", "/here"),
        ] {
            assert_eq!(of(name), Some(value), "{name}");
        }
        assert_eq!(of("MAYBE"), None);
    }

    #[test]
    fn what_the_lab_has_not_is_said() {
        for env in [
            json!({"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            json!({"env": [{"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}),
            json!({"env": [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
            json!({"envFrom": [{"configMapRef": {"name": "m"}}]}),
        ] {
            let mut value = env.clone();
            value["name"] = json!("c");
            let refused = environment(&pod(), &container(value), &around());
            assert!(refused.unwrap_err().contains("lab"), "{env}");
        }
    }

    #[test]
    fn a_command_line_is_the_containers_or_the_images() {
        let image = super::super::images::find("aks-tui/shell").unwrap();
        let line = |value| command_line(&container(value), &image, &[("A".into(), "1".into())]);
        assert_eq!(line(json!({"name": "c"})).unwrap(), ["sh"]);
        assert_eq!(
            line(json!({"name": "c", "args": ["-c", "$(A)"]})).unwrap(),
            ["sh", "-c", "1"]
        );
        let instead = json!({"name": "c", "args": ["sleep", "$(A)"]});
        assert_eq!(line(instead).unwrap(), ["sleep", "1"]);
        let own = json!({"name": "c", "command": ["Job"], "args": ["-c"]});
        assert_eq!(line(own).unwrap(), ["Job", "-c"]);
        let bare = super::super::images::find("aks-tui/perftest").unwrap();
        let none = command_line(&container(json!({"name": "c"})), &bare, &[]);
        assert_eq!(none.unwrap_err(), "no command specified");
    }

    #[test]
    fn an_instance_names_its_variable() {
        assert_eq!(
            service_variable("perftestserver"),
            "PERFTESTSERVER_SERVICE_HOST"
        );
        assert_eq!(service_variable("a-b"), "A_B_SERVICE_HOST");
    }

    proptest! {
        #[test]
        fn text_without_dollars_is_untouched(text in "[^$]{0,40}") {
            prop_assert_eq!(expand(&text, &[]), text);
        }

        #[test]
        fn doubled_dollars_protect_everything(text in ".{0,40}") {
            let env = [("A".to_owned(), "1".to_owned())];
            prop_assert_eq!(expand(&text.replace('$', "$$"), &env), text);
        }
    }
}

//! The environment and the command line of a container: values, references to
//! other variables, and fields of the pod.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar};

use super::downward;
use super::images::Image;
use super::sources::Kind;
use super::volumes::files::Origin;
use super::{names, security};

/// A container's environment, in the order of definition: what the lab tells,
/// what other objects hold, what the spec says.
///
/// # Errors
/// What is missing, as the container's waiting message.
pub(super) fn environment(
    container: &Container,
    origin: &Origin<'_>,
) -> Result<Vec<(String, String)>, String> {
    // A value refers to these, and not to what whole objects hold.
    let mut own = origin.around.services.clone();
    let mut env = own.clone();
    define(&mut env, "HOSTNAME", names::hostname(origin.pod));
    let root = security::user(origin.pod, container).uid == 0;
    // Whom no file of users knows lives at the root, as in any container.
    let home = if root { "/root" } else { "/" };
    define(&mut env, "HOME", home.to_owned());
    for source in container.env_from.iter().flatten() {
        for (name, value) in held(source, origin)? {
            define(&mut env, &name, value);
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(&container.name, variable, origin, &own)? {
            define(&mut env, &variable.name, value.clone());
            define(&mut own, &variable.name, value);
        }
    }
    Ok(env)
}

fn define(env: &mut Vec<(String, String)>, name: &str, value: String) {
    env.retain(|(known, _)| known != name);
    env.push((name.to_owned(), value));
}

/// All that an object holds, as variables.
fn held(source: &EnvFromSource, origin: &Origin<'_>) -> Result<Vec<(String, String)>, String> {
    let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
        (Some(map), _) => (Kind::ConfigMap, &map.name, map.optional),
        (None, Some(secret)) => (Kind::Secret, &secret.name, secret.optional),
        (None, None) => return Ok(Vec::new()),
    };
    let data = origin.sources.data(kind, name, optional)?;
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let variable = |(name, value): (String, Vec<u8>)| {
        let value = String::from_utf8(value).ok()?;
        // No program could be started with these.
        let fine = !name.contains('=') && !name.contains('\0') && !value.contains('\0');
        fine.then(|| (format!("{prefix}{name}"), value))
    };
    Ok(data
        .unwrap_or_default()
        .into_iter()
        .filter_map(variable)
        .collect())
}

fn value(
    container: &str,
    variable: &EnvVar,
    origin: &Origin<'_>,
    env: &[(String, String)],
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else {
        let text = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(text, env)));
    };
    if let Some(field) = &source.field_ref {
        let path = &field.field_path;
        let value = downward::field(origin.pod, path, origin.around);
        return value
            .map(Some)
            .ok_or_else(|| format!("unsupported fieldPath: {path}"));
    }
    if let Some(selector) = &source.resource_field_ref {
        return downward::resource(origin.pod, container, selector, origin.around).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        let sources = &origin.sources;
        return sources.value(Kind::ConfigMap, &key.name, &key.key, key.optional);
    }
    if let Some(key) = &source.secret_key_ref {
        let sources = &origin.sources;
        return sources.value(Kind::Secret, &key.name, &key.key, key.optional);
    }
    Ok(None)
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
    use crate::lab::kinds::Resource;
    use crate::lab::kubelet::downward::Surroundings;
    use crate::lab::kubelet::sources::Sources;
    use crate::lab::store::Store;
    use k8s_openapi::api::core::v1::Pod;
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
            ..Surroundings::default()
        }
    }

    fn made(container: &Container) -> Result<Vec<(String, String)>, String> {
        let store = Store::new(0);
        let map = json!({"metadata": {"namespace": "default", "name": "m"},
            "data": {"COLOUR": "red", "SIZE": "$(ME)", "odd": "1"}});
        store.create(Resource::ConfigMaps, map).unwrap();
        let (pod, around) = (pod(), around());
        let origin = Origin {
            pod: &pod,
            sources: Sources {
                store: &store,
                namespace: "default",
            },
            around: &around,
        };
        environment(container, &origin)
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
            {"name": "HELD", "value": "$(M_COLOUR)"},
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "COLOUR"}}},
            {"name": "PAINT", "value": "$(COLOUR)"},
            {"name": "MAYBE", "valueFrom": {
                "configMapKeyRef": {"name": "m", "key": "k", "optional": true}}}
        ], "envFrom": [
            {"prefix": "M_", "configMapRef": {"name": "m"}},
            {"secretRef": {"name": "none", "optional": true}}
        ]}));
        let env = made(&container).unwrap();
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
            ("M_COLOUR", "red"),
            ("M_SIZE", "$(ME)"),
            ("HELD", "$(M_COLOUR)"),
            ("PAINT", "red"),
        ] {
            assert_eq!(of(name), Some(value), "{name}");
        }
        assert_eq!(of("MAYBE"), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (env, expected) in [
            (
                json!({"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                "secret \"s\" not found",
            ),
            (
                json!({"env": [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
                "unsupported fieldPath: spec.x",
            ),
            (
                json!({"envFrom": [{"configMapRef": {"name": "none"}}]}),
                "configmap \"none\" not found",
            ),
        ] {
            let mut value = env.clone();
            value["name"] = json!("c");
            assert_eq!(made(&container(value)).unwrap_err(), expected);
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

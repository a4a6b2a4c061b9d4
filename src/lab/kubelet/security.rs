//! Who a pod's containers run as, and what of a pod a node without namespaces
//! does not do.

use std::fs;
use std::io;

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};

use super::pod::Worker;
use crate::lab::recorder::Severity;
use crate::lab::runtime::{Isolation, User};

/// The user that a container is to run as. The images of the lab are root's.
pub(super) fn user(pod: &Pod, spec: &ContainerSpec) -> User {
    let number = |id: Option<i64>| id.and_then(|id| u32::try_from(id).ok());
    let of_pod = pod
        .spec
        .as_ref()
        .and_then(|it| it.security_context.as_ref());
    let own = spec.security_context.as_ref();
    let uid = own.and_then(|it| it.run_as_user);
    let gid = own.and_then(|it| it.run_as_group);
    User {
        uid: number(uid.or(of_pod.and_then(|it| it.run_as_user))).unwrap_or(0),
        gid: number(gid.or(of_pod.and_then(|it| it.run_as_group))).unwrap_or(0),
    }
}

/// Why a container that must not be root would be root, in the words of the real
/// kubelet; none when it may run.
pub(super) fn root_all_the_same(pod: &Pod, spec: &ContainerSpec) -> Option<String> {
    let of_pod = pod
        .spec
        .as_ref()
        .and_then(|it| it.security_context.as_ref());
    let own = spec.security_context.as_ref();
    let not_root = own.and_then(|it| it.run_as_non_root);
    let not_root = not_root.or(of_pod.and_then(|it| it.run_as_non_root));
    if not_root != Some(true) || user(pod, spec).uid != 0 {
        return None;
    }
    let asked = own.and_then(|it| it.run_as_user);
    let asked = asked.or(of_pod.and_then(|it| it.run_as_user));
    let what = match asked {
        Some(_) => "container's runAsUser breaks non-root policy",
        None => "container has runAsNonRoot and image will run as root",
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let meta = &pod.metadata;
    let pod = format!(
        "{}_{}({})",
        text(&meta.name),
        text(&meta.namespace),
        text(&meta.uid)
    );
    Some(format!("{what} (pod: {pod:?}, container: {})", spec.name))
}

/// Whether a container's own root is closed to it.
pub(super) fn read_only(spec: &ContainerSpec) -> bool {
    let own = spec.security_context.as_ref();
    own.and_then(|it| it.read_only_root_filesystem) == Some(true)
}

impl Worker {
    /// An empty place for what a container's program makes for a while, where it
    /// has none of its own: the machine's is everybody's.
    pub(super) fn temporary(&self, spec: &ContainerSpec) -> io::Result<String> {
        let place = self.directory().join("tmp").join(&spec.name);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir_all(&place)?;
        Ok(place.display().to_string())
    }

    /// Says of a pod that is a process group which of its fields do nothing then.
    pub(super) fn tell_what_needs_namespaces(&self) {
        if self.shared.runtime.isolation() == Isolation::Namespaces {
            return;
        }
        let fields = need_namespaces(&self.pod);
        if !fields.is_empty() {
            let message = format!(
                "{} cannot be honored: without namespaces a pod is a group of the lab's own \
                 processes",
                fields.join(", ")
            );
            self.record(None, Severity::Warning, "NotHonored", &message);
        }
    }
}

/// The fields of a pod that take a root, an `/etc/hosts` or a user of its own.
fn need_namespaces(pod: &Pod) -> Vec<&'static str> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let first = spec.init_containers.iter().flatten();
    let all: Vec<_> = first.chain(&spec.containers).collect();
    let aliases = spec.host_aliases.as_ref();
    [
        (
            "hostAliases",
            aliases.is_some_and(|aliases| !aliases.is_empty()),
        ),
        (
            "runAsUser",
            all.iter().any(|it| user(pod, it) != User::default()),
        ),
        ("readOnlyRootFilesystem", all.iter().any(|it| read_only(it))),
    ]
    .into_iter()
    .filter_map(|(field, asked)| asked.then_some(field))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(context: &Value, own: &Value) -> (Pod, ContainerSpec) {
        let container = json!({"name": "c", "securityContext": own});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [container], "securityContext": context},
        }))
        .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        (pod, container)
    }

    #[test]
    fn a_containers_own_user_comes_before_its_pods() {
        let (pod, own) = pod(
            &json!({"runAsUser": 1000, "runAsGroup": 3000}),
            &json!({"runAsUser": 2000}),
        );
        let (uid, gid) = (2000, 3000);
        assert_eq!(user(&pod, &own), User { uid, gid });
        assert_eq!(need_namespaces(&pod), ["runAsUser"]);
    }

    #[test]
    fn nobody_is_root_who_must_not_be() {
        let why = |context: &Value, own: &Value| {
            let (pod, own) = pod(context, own);
            root_all_the_same(&pod, &own)
        };
        assert_eq!(why(&json!({}), &json!({})), None);
        let both = json!({"runAsNonRoot": true, "runAsUser": 1000});
        assert_eq!(why(&both, &json!({})), None);
        let no = json!({"runAsNonRoot": false});
        assert_eq!(why(&json!({"runAsNonRoot": true}), &no), None);
        assert_eq!(
            why(&json!({"runAsNonRoot": true}), &json!({})).unwrap(),
            "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)"
        );
        assert_eq!(
            why(&json!({"runAsNonRoot": true}), &json!({"runAsUser": 0})).unwrap(),
            "container's runAsUser breaks non-root policy (pod: \"p_n(u)\", container: c)"
        );
    }
}

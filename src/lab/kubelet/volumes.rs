//! Volumes of pods. Two kinds are real here: a directory of the node, which
//! outlives every pod, and an empty one that lives as long as its pod.
//!
//! The node's directories are not the machine's: `hostPath: /x` is `disk/x` of
//! the lab's state directory, the disk of the imagined node.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use crate::lab::runtime::{Mount, SourceKind, prepare_source};

/// Where volumes are on the machine.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    /// The node's disk.
    pub node: PathBuf,
    /// The pod's own directory.
    pub pod: PathBuf,
}

/// Why volumes cannot be mounted: an event's message.
pub(super) type MountFailure = String;

/// Makes the volumes of a pod and says where each container sees them.
///
/// # Errors
/// The message of a `FailedMount` event.
pub(super) fn mounts(
    pod: &Pod,
    container: &Container,
    disks: &Disks,
) -> Result<Vec<Mount>, MountFailure> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let mut mounts = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let volume = volumes
            .into_iter()
            .flatten()
            .find(|volume| volume.name == wanted.name)
            .ok_or_else(|| format!("volume {:?} is not in the pod's spec", wanted.name))?;
        if wanted.sub_path_expr.is_some() {
            return Err(failure(
                &volume.name,
                "the lab does not support subPathExpr",
            ));
        }
        let (base, mut inside) = source(volume, disks)?;
        if let Some(path) = wanted.sub_path.as_deref().filter(|path| !path.is_empty()) {
            inside = inside.join(path.trim_start_matches('/'));
            prepare(volume, &base, &inside, SourceKind::Any)?;
        }
        mounts.push(Mount {
            base,
            inside,
            target: PathBuf::from(&wanted.mount_path),
            read_only: wanted.read_only == Some(true),
        });
    }
    Ok(mounts)
}

fn source(volume: &Volume, disks: &Disks) -> Result<(PathBuf, PathBuf), MountFailure> {
    if let Some(host_path) = &volume.host_path {
        let kind = match host_path.type_.as_deref().unwrap_or_default() {
            "" => SourceKind::Any,
            "DirectoryOrCreate" => SourceKind::DirectoryOrCreate,
            "Directory" => SourceKind::Directory,
            "FileOrCreate" => SourceKind::FileOrCreate,
            "File" => SourceKind::File,
            other => {
                let why = format!("the lab does not support hostPath type {other}");
                return Err(failure(&volume.name, &why));
            }
        };
        let inside = PathBuf::from(host_path.path.trim_start_matches('/'));
        prepare(volume, &disks.node, &inside, kind)?;
        return Ok((disks.node.clone(), inside));
    }
    if volume.empty_dir.is_some() {
        let inside = PathBuf::from(&volume.name);
        let base = disks.pod.join("volumes");
        prepare(volume, &base, &inside, SourceKind::DirectoryOrCreate)?;
        return Ok((base, inside));
    }
    let kind = kind_of(volume).unwrap_or_else(|| "this kind of".to_owned());
    let why = format!("the lab does not support {kind} volumes, only hostPath and emptyDir");
    Err(failure(&volume.name, &why))
}

fn prepare(
    volume: &Volume,
    base: &Path,
    inside: &Path,
    kind: SourceKind,
) -> Result<(), MountFailure> {
    prepare_source(base, inside, kind).map_err(|error| {
        let why = format!("/{}: {error}", inside.display());
        failure(&volume.name, &why)
    })
}

fn failure(volume: &str, why: &str) -> MountFailure {
    format!("MountVolume.SetUp failed for volume {volume:?} : {why}")
}

/// What a volume is, by the one field that it has beside its name.
fn kind_of(volume: &Volume) -> Option<String> {
    let value = serde_json::to_value(volume).ok()?;
    let mut fields = value.as_object()?.keys();
    fields.find(|field| *field != "name").cloned()
}

/// Puts the machine's paths where a container's volume paths stand at the
/// beginning of words. In a process group nothing can be mounted, so programs
/// are told where their volumes really are.
pub(super) fn rewrite(word: &str, mounts: &[Mount]) -> String {
    let mut longest: Option<(&Mount, &Path)> = None;
    for mount in mounts {
        if let Ok(rest) = Path::new(word).strip_prefix(&mount.target) {
            let length = |mount: &Mount| mount.target.components().count();
            if longest.is_none_or(|(best, _)| length(mount) > length(best)) {
                longest = Some((mount, rest));
            }
        }
    }
    match longest {
        None => word.to_owned(),
        Some((mount, rest)) => {
            let mut path = mount.base.join(&mount.inside);
            if !rest.as_os_str().is_empty() {
                path.push(rest);
            }
            path.to_string_lossy().into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mount(inside: &str, target: &str) -> Mount {
        Mount {
            base: "/state/disk".into(),
            inside: inside.into(),
            target: target.into(),
            read_only: false,
        }
    }

    #[test]
    fn paths_at_the_beginning_of_a_word_are_rewritten() {
        let mounts = [mount("logs", "/logs"), mount("deep", "/logs/deep/")];
        for (word, expected) in [
            ("/logs", "/state/disk/logs"),
            ("/logs/a/b", "/state/disk/logs/a/b"),
            ("/logs/deep/x", "/state/disk/deep/x"),
            ("/logs/deep", "/state/disk/deep"),
            ("/logsx", "/logsx"),
            ("--log=/logs", "--log=/logs"),
            ("logs", "logs"),
            ("", ""),
        ] {
            assert_eq!(rewrite(word, &mounts), expected, "{word}");
        }
    }

    #[test]
    fn volumes_are_made_or_refused_with_a_reason() {
        let state = tempfile::tempdir().unwrap();
        let disks = Disks {
            node: state.path().join("disk"),
            pod: state.path().join("pod"),
        };
        let mounted = |volume: serde_json::Value, sub_path: Option<&str>| {
            let container = json!({"name": "c", "volumeMounts": [
                {"name": "v", "mountPath": "/m", "subPath": sub_path, "readOnly": true}]});
            let pod: Pod = serde_json::from_value(json!({
                "spec": {"containers": [container], "volumes": [volume]}
            }))
            .unwrap();
            let container = pod.spec.as_ref().unwrap().containers[0].clone();
            mounts(&pod, &container, &disks)
        };
        let host = json!({"name": "v", "hostPath": {"path": "/a/b", "type": "DirectoryOrCreate"}});
        let made = mounted(host.clone(), None).unwrap();
        assert_eq!(made[0].inside, Path::new("a/b"));
        assert!(made[0].read_only && state.path().join("disk/a/b").is_dir());
        let made = mounted(host, Some("c")).unwrap();
        assert_eq!(made[0].inside, Path::new("a/b/c"));
        assert!(state.path().join("disk/a/b/c").is_dir());
        mounted(json!({"name": "v", "emptyDir": {}}), None).unwrap();
        assert!(state.path().join("pod/volumes/v").is_dir());
        for (volume, expected) in [
            (
                json!({"name": "v", "secret": {"secretName": "s"}}),
                "secret volumes",
            ),
            (
                json!({"name": "v", "persistentVolumeClaim": {"claimName": "s"}}),
                "persistentVolumeClaim",
            ),
            (
                json!({"name": "v", "hostPath": {"path": "/no", "type": "Directory"}}),
                "/no",
            ),
            (
                json!({"name": "v", "hostPath": {"path": "/s", "type": "Socket"}}),
                "Socket",
            ),
            (json!({"name": "w", "emptyDir": {}}), "not in the pod"),
        ] {
            let refused = mounted(volume, None).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}

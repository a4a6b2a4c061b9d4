//! Volumes of pods.
//!
//! A directory of the node outlives every pod; an empty one lives as long as
//! its pod; a share or a disk is one directory for all nodes, and outlives what
//! mounts it; the others are [made of objects](files). Some have [an end](bounded).
//!
//! The node's directories are not the machine's: `hostPath: /x` is `disk/x` of
//! the lab's state directory, the disk of the imagined node.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, Pod, Volume, VolumeMount};
use serde_json::{Value, json};

use super::env::expand;
use crate::lab::kinds::Resource;
use crate::lab::runtime::{Mount, SourceKind, prepare_source};
use crate::lab::shares;
use crate::lab::store::Key;

pub(super) mod bounded;
pub(super) mod files;

use bounded::Trees;
use files::Origin;

/// Where volumes are on the machine.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    /// The node's disk.
    pub node: PathBuf,
    /// The pod's own directory.
    pub pod: PathBuf,
    /// The shares and disks of all nodes.
    pub shares: PathBuf,
}

/// Why volumes cannot be mounted: an event's message.
pub(super) type MountFailure = String;

/// A directory or file of the machine: below what, and where in it.
struct Source {
    base: PathBuf,
    /// Which tree `base` is, if it is one.
    tree: Option<usize>,
    inside: PathBuf,
    read_only: bool,
}

impl Source {
    fn at(base: PathBuf, inside: PathBuf) -> Self {
        Self {
            base,
            tree: None,
            inside,
            read_only: false,
        }
    }
}

/// Makes all volumes of a pod that a container mounts, and says where this
/// container sees them.
///
/// # Errors
/// The message of a `FailedMount` event.
pub(super) fn mounts(
    container: &Container,
    env: &[(String, String)],
    origin: &Origin<'_>,
    disks: &Disks,
    trees: &Trees,
) -> Result<Vec<Mount>, MountFailure> {
    let volumes = origin.pod.spec.as_ref();
    let volumes = volumes.and_then(|spec| spec.volumes.as_ref());
    let mut sources = Vec::new();
    for volume in volumes.into_iter().flatten() {
        if mounted(origin.pod, &volume.name) && !bounded::is_anothers(volume, trees) {
            sources.push((volume, source(volume, origin, disks, trees)?));
        }
    }
    let mut mounts = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let found = sources
            .iter()
            .find(|(volume, _)| volume.name == wanted.name);
        let (volume, source) =
            found.ok_or_else(|| format!("volume {:?} is not in the pod's spec", wanted.name))?;
        let mut inside = source.inside.clone();
        if let Some(path) = sub_path(wanted, env) {
            inside = inside.join(path.trim_start_matches('/'));
            prepare(volume, &source.base, &inside, SourceKind::Any)?;
        }
        mounts.push(Mount {
            base: source.base.clone(),
            tree: source.tree,
            inside,
            target: PathBuf::from(&wanted.mount_path),
            read_only: source.read_only || wanted.read_only == Some(true),
        });
    }
    Ok(mounts)
}

/// Whether a container of the pod mounts a volume: the others are not made.
fn mounted(pod: &Pod, volume: &str) -> bool {
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
    });
    containers.any(|it| {
        let mut mounts = it.volume_mounts.iter().flatten();
        mounts.any(|mount| mount.name == volume)
    })
}

fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Option<String> {
    let plain = mount.sub_path.clone();
    let path = plain.or_else(|| mount.sub_path_expr.as_ref().map(|it| expand(it, env)));
    path.filter(|path| !path.is_empty())
}

fn source(
    volume: &Volume,
    origin: &Origin<'_>,
    disks: &Disks,
    trees: &Trees,
) -> Result<Source, MountFailure> {
    if let Some(tree) = trees.places.get(&volume.name) {
        let handle = trees.held[*tree].as_raw_fd();
        let mut source = Source::at(format!("/proc/self/fd/{handle}").into(), PathBuf::new());
        source.tree = Some(*tree);
        let claim = volume.persistent_volume_claim.as_ref();
        source.read_only = claim.is_some_and(|claim| claim.read_only == Some(true));
        return Ok(source);
    }
    if let Some(host_path) = &volume.host_path {
        return on_node(&volume.name, host_path, disks);
    }
    let name = PathBuf::from(&volume.name);
    let own = disks.pod.join("volumes");
    if volume.empty_dir.is_some() {
        prepare(volume, &own, &name, SourceKind::DirectoryOrCreate)?;
        return Ok(Source::at(own, name));
    }
    if let Some(files) = origin.files(volume) {
        let files = files.map_err(|why| failure(&volume.name, &why))?;
        let written = files::write(&own.join(&name), &files);
        written.map_err(|error| failure(&volume.name, &error.to_string()))?;
        let mut source = Source::at(own, name);
        source.read_only = true;
        return Ok(source);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let mut source = claimed(volume, &claim.claim_name, origin, disks)?;
        source.read_only |= claim.read_only == Some(true);
        return Ok(source);
    }
    let share = json!(volume);
    let read_only = share["azureFile"]["readOnly"] == true || share["csi"]["readOnly"] == true;
    let mut source = shared(&volume.name, &share, disks)?;
    source.read_only |= read_only;
    Ok(source)
}

/// The name of the persistent volume that a claim is bound to, and itself.
fn persistent(
    volume: &Volume,
    claim: &str,
    origin: &Origin<'_>,
) -> Result<(String, Arc<Value>), MountFailure> {
    let sources = &origin.sources;
    let store = sources.store;
    let key = Key::new(Resource::PersistentVolumeClaims, sources.namespace, claim);
    let found = store.get(&key);
    let found = found.ok_or_else(|| {
        let why = format!("persistentvolumeclaim {claim:?} not found");
        failure(&volume.name, &why)
    })?;
    let bound = found["spec"]["volumeName"].as_str();
    let bound = bound.filter(|_| found["status"]["phase"] == "Bound");
    let bound = bound.ok_or_else(|| {
        let why = format!("PVC {}/{claim} is not bound", sources.namespace);
        failure(&volume.name, &why)
    })?;
    let persistent = store.get(&Key::new(Resource::PersistentVolumes, "", bound));
    let persistent = persistent
        .ok_or_else(|| failure(bound, &format!("persistentvolume {bound:?} not found")))?;
    Ok((bound.to_owned(), persistent))
}

/// The directory of the volume that a claim is bound to.
fn claimed(
    volume: &Volume,
    claim: &str,
    origin: &Origin<'_>,
    disks: &Disks,
) -> Result<Source, MountFailure> {
    let (bound, persistent) = persistent(volume, claim, origin)?;
    let bound = bound.as_str();
    let spec = &persistent["spec"];
    for kind in ["hostPath", "local"] {
        if let Ok(path) = serde_json::from_value::<HostPathVolumeSource>(spec[kind].clone()) {
            return on_node(bound, &path, disks);
        }
    }
    let mut source = shared(bound, spec, disks)?;
    source.read_only |= spec["csi"]["readOnly"] == true || spec["azureFile"]["readOnly"] == true;
    Ok(source)
}

fn on_node(
    name: &str,
    host_path: &HostPathVolumeSource,
    disks: &Disks,
) -> Result<Source, MountFailure> {
    let kind = match host_path.type_.as_deref().unwrap_or_default() {
        "" => SourceKind::Any,
        "DirectoryOrCreate" => SourceKind::DirectoryOrCreate,
        "Directory" => SourceKind::Directory,
        "FileOrCreate" => SourceKind::FileOrCreate,
        "File" => SourceKind::File,
        other => {
            let why = format!("the lab does not support hostPath type {other}");
            return Err(failure(name, &why));
        }
    };
    let inside = PathBuf::from(host_path.path.trim_start_matches('/'));
    make(name, &disks.node, &inside, kind)?;
    Ok(Source::at(disks.node.clone(), inside))
}

/// A share or a disk: one directory, whoever mounts it.
fn shared(name: &str, source: &Value, disks: &Disks) -> Result<Source, MountFailure> {
    let inside = shares::directory(source)
        .ok_or_else(|| failure(name, "the lab does not support this kind of volume"))?;
    make(name, &disks.shares, &inside, SourceKind::DirectoryOrCreate)?;
    Ok(Source::at(disks.shares.join(&inside), PathBuf::new()))
}

fn prepare(
    volume: &Volume,
    base: &Path,
    inside: &Path,
    kind: SourceKind,
) -> Result<(), MountFailure> {
    make(&volume.name, base, inside, kind)
}

fn make(name: &str, base: &Path, inside: &Path, kind: SourceKind) -> Result<(), MountFailure> {
    prepare_source(base, inside, kind).map_err(|error| {
        let why = format!("/{}: {error}", inside.display());
        failure(name, &why)
    })
}

fn failure(volume: &str, why: &str) -> MountFailure {
    format!("MountVolume.SetUp failed for volume {volume:?} : {why}")
}

/// Writes what has changed of a pod's volumes that are made of objects. What
/// is missing now stays as it was.
pub(super) fn renew(origin: &Origin<'_>, disks: &Disks) -> io::Result<()> {
    let volumes = origin.pod.spec.iter().flat_map(|spec| &spec.volumes);
    for volume in volumes.flatten() {
        let directory = disks.pod.join("volumes").join(&volume.name);
        if let Some(Ok(files)) = origin.files(volume)
            && directory.exists()
        {
            files::write(&directory, &files)?;
        }
    }
    Ok(())
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
    use crate::lab::kubelet::downward::Surroundings;
    use crate::lab::kubelet::sources::Sources;
    use crate::lab::store::Store;

    fn mount(inside: &str, target: &str) -> Mount {
        Mount {
            base: "/state/disk".into(),
            tree: None,
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
            shares: state.path().join("shares"),
        };
        let store = Store::new(0);
        let create = |resource, object| drop(store.create(resource, object).unwrap());
        create(
            Resource::ConfigMaps,
            json!({"metadata": {"namespace": "n", "name": "m"}, "data": {"k": "1"}}),
        );
        create(
            Resource::PersistentVolumes,
            json!({"metadata": {"name": "pv"}, "spec": {
                "csi": {"driver": "file.csi.azure.com", "volumeHandle": "logs"}}}),
        );
        for (name, phase) in [("bound", "Bound"), ("loose", "Pending")] {
            create(
                Resource::PersistentVolumeClaims,
                json!({"metadata": {"namespace": "n", "name": name},
                    "spec": {"volumeName": "pv"}, "status": {"phase": phase}}),
            );
        }
        let mounted = |volume: Value, sub_path: Option<&str>| {
            let container = json!({"name": "c", "volumeMounts": [
                {"name": "v", "mountPath": "/m", "subPath": sub_path}]});
            let pod: Pod = serde_json::from_value(json!({
                "spec": {"containers": [container], "volumes": [volume]}
            }))
            .unwrap();
            let container = pod.spec.as_ref().unwrap().containers[0].clone();
            let sources = Sources {
                store: &store,
                namespace: "n",
            };
            let around = Surroundings::default();
            let origin = Origin {
                pod: &pod,
                sources,
                around: &around,
            };
            mounts(&container, &[], &origin, &disks, &Trees::default())
        };
        let host = json!({"name": "v", "hostPath": {"path": "/a/b", "type": "DirectoryOrCreate"}});
        let made = mounted(host.clone(), None).unwrap();
        assert_eq!(made[0].inside, Path::new("a/b"));
        assert!(!made[0].read_only && state.path().join("disk/a/b").is_dir());
        let made = mounted(host, Some("c")).unwrap();
        assert_eq!(made[0].inside, Path::new("a/b/c"));
        assert!(state.path().join("disk/a/b/c").is_dir());
        mounted(json!({"name": "v", "emptyDir": {}}), None).unwrap();
        assert!(state.path().join("pod/volumes/v").is_dir());
        let share = json!({"name": "v", "azureFile": {"secretName": "s", "shareName": "logs"}});
        let claim = json!({"name": "v", "persistentVolumeClaim": {"claimName": "bound"}});
        for volume in [share, claim] {
            let made = mounted(volume, None).unwrap();
            assert_eq!(made[0].base, state.path().join("shares/file/logs"));
        }
        let map = json!({"name": "v", "configMap": {"name": "m"}});
        assert!(mounted(map, None).unwrap()[0].read_only);
        assert_eq!(
            std::fs::read(state.path().join("pod/volumes/v/k")).unwrap(),
            b"1"
        );
        for (volume, expected) in [
            (
                json!({"name": "v", "secret": {"secretName": "s"}}),
                "secret \"s\" not found",
            ),
            (
                json!({"name": "v", "persistentVolumeClaim": {"claimName": "loose"}}),
                "is not bound",
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

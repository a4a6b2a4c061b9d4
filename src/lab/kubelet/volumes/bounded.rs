//! Volumes that have an end: an `emptyDir` with a limit or in memory, and the
//! disks of claims.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, Volume};

use super::files::Origin;
use super::{MountFailure, failure, persistent};
use crate::lab::kubelet::pod::Worker;
use crate::lab::quantity;
use crate::lab::recorder::Severity;
use crate::lab::shares;

/// A volume that is to have an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The volume's name in the pod.
    pub volume: String,
    /// Its name among all of the lab.
    pub name: String,
    /// Its size in bytes, where one is named.
    pub size: Option<u64>,
    /// Whether it may do without an end where there can be none.
    pub lenient: bool,
}

/// The bounded volumes of one start of a container.
#[derive(Debug, Default)]
pub(in crate::lab::kubelet) struct Trees {
    /// Where in `held` a volume is, by its name in the pod.
    pub places: HashMap<String, usize>,
    pub held: Vec<Arc<OwnedFd>>,
}

/// Where the bounded volumes of a pod's own are, among all of the lab.
pub(in crate::lab::kubelet) fn own(uid: &str) -> String {
    format!("empty/{uid}")
}

/// The volumes with an end that a container mounts.
pub(super) fn bounds(
    container: &Container,
    origin: &Origin<'_>,
    uid: &str,
) -> Result<Vec<Bound>, MountFailure> {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let volumes = origin.pod.spec.iter().flat_map(|spec| &spec.volumes);
    let mut bounds = Vec::new();
    for volume in volumes.flatten() {
        if mounts.iter().any(|mount| mount.name == volume.name) {
            bounds.extend(bound(volume, origin, uid)?);
        }
    }
    Ok(bounds)
}

fn bound(volume: &Volume, origin: &Origin<'_>, uid: &str) -> Result<Option<Bound>, MountFailure> {
    if let Some(empty) = &volume.empty_dir {
        return Ok(has_end(empty).then(|| Bound {
            volume: volume.name.clone(),
            name: format!("{}/{}", own(uid), volume.name),
            size: empty.size_limit.as_ref().and_then(|limit| bytes(&limit.0)),
            lenient: false,
        }));
    }
    let Some(claim) = &volume.persistent_volume_claim else {
        return Ok(None);
    };
    let (_, persistent) = persistent(volume, &claim.claim_name, origin)?;
    Ok(
        shares::bounded(&persistent["spec"]).map(|(name, size)| Bound {
            volume: volume.name.clone(),
            name,
            size: Some(size),
            lenient: true,
        }),
    )
}

/// Whether an `emptyDir` asks for one.
fn has_end(volume: &EmptyDirVolumeSource) -> bool {
    volume.size_limit.is_some() || volume.medium.as_deref() == Some("Memory")
}

fn bytes(size: &str) -> Option<u64> {
    quantity::milli(size).and_then(|milli| u64::try_from(milli / 1000).ok())
}

impl Worker {
    /// Has the bounded volumes made that a container mounts.
    ///
    /// # Errors
    /// The message of a `FailedMount` event.
    pub(in crate::lab::kubelet) async fn trees(
        &self,
        container: &Container,
    ) -> Result<Trees, MountFailure> {
        let around = self.surroundings();
        let wanted = {
            let origin = Origin {
                pod: &self.pod,
                sources: self.sources(),
                around: &around,
            };
            bounds(container, &origin, &self.subject.uid)?
        };
        let bounded = &self.shared.bounded;
        let mut trees = Trees::default();
        for bound in wanted {
            if bound.lenient && bounded.why_not().is_some() {
                continue;
            }
            let placed = bounded.place(&bound.name, bound.size).await;
            let placed = placed.map_err(|why| failure(&bound.volume, &why))?;
            if placed.lost {
                self.tell_loss(&bound.volume);
            }
            trees.places.insert(bound.volume, trees.held.len());
            trees.held.push(placed.tree);
        }
        Ok(trees)
    }

    fn tell_loss(&self, volume: &str) {
        let text = format!(
            "what was on volume {volume:?} is lost: the lab keeps it in memory, and the machine \
             or the lab's keeper of volumes was started anew"
        );
        self.record(None, Severity::Warning, "VolumeContentLost", &text);
    }
}

/// Whether nothing is to be made of a volume: it has an end, and another
/// container has it made.
pub(super) fn is_anothers(volume: &Volume, trees: &Trees) -> bool {
    let own = volume.empty_dir.as_ref().is_some_and(has_end);
    own && !trees.places.contains_key(&volume.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_has_an_end_if_it_asks_for_one() {
        let volume = |text: &str| serde_json::from_str::<EmptyDirVolumeSource>(text).unwrap();
        assert!(!has_end(&volume("{}")));
        assert!(!has_end(&volume(r#"{"medium": ""}"#)));
        assert!(has_end(&volume(r#"{"medium": "Memory"}"#)));
        assert!(has_end(&volume(r#"{"sizeLimit": "64Mi"}"#)));
        assert_eq!(bytes("64Mi"), Some(64 << 20));
    }
}

//! What a pod's containers are given from elsewhere: where it comes from, how
//! they learn that it has changed, and how they wait for what is not there yet.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::downward::Surroundings;
use super::pod::Worker;
use super::sources::Sources;
use super::volumes::files::Origin;
use super::volumes::{self, Disks};
use crate::lab::kinds::Resource;
use crate::lab::store::Key;

/// Kinds of object that a container may wait for.
const AWAITED: [Resource; 4] = [
    Resource::ConfigMaps,
    Resource::Secrets,
    Resource::PersistentVolumeClaims,
    Resource::PersistentVolumes,
];

impl Worker {
    /// The pod with the labels and annotations that it has now.
    pub(super) fn as_it_is(&self) -> Pod {
        let mut pod = self.pod.clone();
        if let Some(stored) = self.shared.store.get(&self.key)
            && let Ok(metadata) = serde_json::from_value(stored["metadata"].clone())
        {
            pod.metadata = metadata;
        }
        pod
    }

    /// The objects that it can take from.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources {
            store: &self.shared.store,
            namespace: &self.subject.namespace,
        }
    }

    /// What its own spec does not tell.
    pub(super) fn surroundings(&self) -> Surroundings {
        let store = &self.shared.store;
        let node = store.get(&Key::new(Resource::Nodes, "", &self.machine.name));
        let allocatable = node.map(|node| node["status"]["allocatable"].clone());
        Surroundings {
            pod_ip: self.address().to_owned(),
            host_ip: self.machine.address.clone(),
            services: self.shared.services(&self.pod),
            allocatable: allocatable.unwrap_or_default(),
        }
    }

    /// Where its volumes are on the machine.
    pub(super) fn disks(&self) -> Disks {
        Disks {
            node: self.shared.state.join("disk"),
            pod: self.directory(),
            shares: self.shared.state.join("shares"),
        }
    }

    /// Brings what has changed elsewhere into the volumes that show it.
    pub(super) fn renew_volumes(&self) {
        let around = self.surroundings();
        let pod = self.as_it_is();
        let origin = Origin {
            pod: &pod,
            sources: self.sources(),
            around: &around,
        };
        if let Err(error) = volumes::renew(&origin, &self.disks()) {
            tracing::warn!("cannot renew the volumes of {}: {error}", self.key);
        }
    }

    /// Whether it shows fields of the pod as files.
    pub(super) fn shows_itself(&self) -> bool {
        let spec = self.pod.spec.iter();
        let mut volumes = spec.flat_map(|spec| spec.volumes.iter().flatten());
        volumes.any(|volume| {
            let projected = volume
                .projected
                .iter()
                .flat_map(|it| it.sources.iter().flatten());
            volume.downward_api.is_some()
                || projected.into_iter().any(|it| it.downward_api.is_some())
        })
    }

    /// Waits for news, since a version of the store, of what a container may be
    /// waiting for, but no longer than so long; says whether the container is
    /// still to run then.
    pub(super) async fn await_supply(&self, index: usize, since: u64, most: Duration) -> bool {
        let news = async {
            // One that fell behind has missed something: that is news, too.
            let Ok(mut watch) = self.shared.store.watch(&AWAITED, since) else {
                return;
            };
            while let Ok(event) = watch.next().await {
                let namespace = &event.key.namespace;
                if namespace.is_empty() || *namespace == self.subject.namespace {
                    return;
                }
            }
        };
        tokio::select! {
            () = news => self.goes_on(index),
            more = self.pause(index, most) => more,
        }
    }
}

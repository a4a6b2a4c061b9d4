//! Situations to practise on: each stages, by the means that any client has,
//! what an engineer on call meets.
//!
//! What a scenario deploys goes the way of `kubectl apply`. Some need somebody
//! who goes on doing something (a node that flaps, a rollout that comes after
//! another): that is a task, which ends with the lab.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::kinds::Resource;
use super::store::{Key, Store, StoreError};
use super::workload::{self, ManifestError};

mod crowd;

/// A situation that a lab can be started in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Containers that end again and again.
    CrashLoop,
    /// An image that cannot be had.
    ImagePull,
    /// Floods of log lines, and one that matters.
    Noisy,
    /// A rollout to an image that cannot be had.
    StuckRollout,
    /// Ten thousand pods on five hundred nodes, always changing.
    TenThousandPods,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::CrashLoop,
        Self::ImagePull,
        Self::Noisy,
        Self::StuckRollout,
        Self::TenThousandPods,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CrashLoop => "crashloop",
            Self::ImagePull => "imagepull",
            Self::Noisy => "noisy",
            Self::StuckRollout => "stuck-rollout",
            Self::TenThousandPods => "10k-pods",
        }
    }

    /// What it is, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::CrashLoop => "a container that ends two seconds after each start",
            Self::ImagePull => "an image that no registry has",
            Self::Noisy => "three pods that flood the log, and one worth reading",
            Self::StuckRollout => "a rollout that waits for an image for ever",
            Self::TenThousandPods => {
                "10,000 simulated pods on 500 simulated nodes, 500 changes a second"
            }
        }
    }

    const fn manifest(self) -> Option<&'static str> {
        match self {
            Self::CrashLoop => Some(include_str!("../../../assets/scenarios/crashloop.yaml")),
            Self::ImagePull => Some(include_str!("../../../assets/scenarios/imagepull.yaml")),
            Self::Noisy => Some(include_str!("../../../assets/scenarios/noisy.yaml")),
            Self::StuckRollout => {
                Some(include_str!("../../../assets/scenarios/stuck-rollout.yaml"))
            }
            Self::TenThousandPods => None,
        }
    }

    /// Puts a new lab into the situation.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn deploy(self, store: &Store) -> Result<(), ManifestError> {
        match self.manifest() {
            Some(manifest) => workload::apply(store, manifest, |_| ()),
            None => Ok(()),
        }
    }

    /// Keeps the lab in the situation until it is stopped.
    pub async fn keep(self, store: Store, stop: CancellationToken) {
        let keeping = async {
            match self {
                Self::StuckRollout => roll_out(&store).await,
                Self::TenThousandPods => crowd::keep(&store).await,
                Self::CrashLoop | Self::ImagePull | Self::Noisy => {}
            }
        };
        stop.run_until_cancelled(keeping).await;
    }
}

/// Waits until the deployment is well, and then rolls out what never will be.
/// A lab that starts again finds that done.
async fn roll_out(store: &Store) {
    let key = Key::new(Resource::Deployments, "default", "front");
    let (_, mut watch) = store.list_and_watch(&[Resource::Deployments]);
    loop {
        let Some(front) = store.get(&key) else { return };
        if front["status"]["availableReplicas"] == front["spec"]["replicas"] {
            break;
        }
        // An error means that changes were missed, and the object is looked at
        // again all the same.
        if watch.next().await.is_err() {
            watch = store.list_and_watch(&[Resource::Deployments]).1;
        }
    }
    let rolled = store.update_with(&key, |front| {
        let container = front.pointer_mut("/spec/template/spec/containers/0");
        if let Some(image) = container.and_then(|it| it.get_mut("image")) {
            *image = json!("shop.example.com/front:v2");
        }
        note_cause(front);
        Ok::<(), StoreError>(())
    });
    if let Err(error) = rolled {
        tracing::warn!("the rollout of the scenario cannot begin: {error}");
    }
}

/// What `kubectl rollout history` shows of a revision.
fn note_cause(front: &mut Value) {
    front["metadata"]["annotations"]["kubernetes.io/change-cause"] =
        json!("image v2, which no registry has");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_accepted_as_a_client_would_be() {
        for scenario in Scenario::ALL {
            let store = Store::new(0);
            workload::create_namespaces(&store);
            let deployed = scenario.deploy(&store);
            assert!(deployed.is_ok(), "{}: {deployed:?}", scenario.name());
            let deployments = store.list(Resource::Deployments, None).items.len();
            assert_eq!(deployments > 0, scenario.manifest().is_some());
        }
    }
}

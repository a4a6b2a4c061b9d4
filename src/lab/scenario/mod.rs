//! Situations to practise on: each stages, by the means that any client has,
//! what an engineer on call meets.
//!
//! What a scenario deploys goes the way of `kubectl apply`. Some need somebody
//! who goes on doing something (a node that flaps, a rollout that comes after
//! another): that is a task, which ends with the lab.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::kinds::Resource;
use super::kubelet::POWER_ANNOTATION;
use super::runtime::Enforced;
use super::store::{Key, Store, StoreError};
use super::workload::{self, ManifestError};

mod crowd;

/// How long a node that flaps has power, and has none.
const FLAP: Duration = Duration::from_secs(20);

/// Why a lab cannot be put into a situation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// It takes more nodes than the lab has.
    #[error(
        "the scenario {name} needs a node that the others can stand in for: \
         start the lab with --nodes 3"
    )]
    OneNode {
        /// Name of the scenario.
        name: &'static str,
    },
}

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
    /// Pods that nothing fits.
    Pending,
    /// Programs that take their time before they answer.
    SlowStart,
    /// Containers that take more memory than they may.
    Oom,
    /// A node that loses its power again and again.
    FlappingNode,
    /// Ten thousand pods on five hundred nodes, always changing.
    TenThousandPods,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::CrashLoop,
        Self::ImagePull,
        Self::Noisy,
        Self::StuckRollout,
        Self::Pending,
        Self::SlowStart,
        Self::Oom,
        Self::FlappingNode,
        Self::TenThousandPods,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CrashLoop => "crashloop",
            Self::ImagePull => "imagepull",
            Self::Noisy => "noisy",
            Self::StuckRollout => "stuck-rollout",
            Self::Pending => "pending",
            Self::SlowStart => "slow-start",
            Self::Oom => "oom",
            Self::FlappingNode => "flapping-node",
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
            Self::Pending => {
                "pods that wait for a node, for processors and for a volume that nobody has"
            }
            Self::SlowStart => "a slow program that a probe waits for, and one that a probe kills",
            Self::Oom => {
                "a container that is killed for the memory it takes (where control groups permit)"
            }
            Self::FlappingNode => {
                "the last of several nodes without power every other 20 seconds (--nodes 3)"
            }
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
            Self::Pending => Some(include_str!("../../../assets/scenarios/pending.yaml")),
            Self::SlowStart => Some(include_str!("../../../assets/scenarios/slow-start.yaml")),
            Self::Oom => Some(include_str!("../../../assets/scenarios/oom.yaml")),
            Self::FlappingNode => {
                Some(include_str!("../../../assets/scenarios/flapping-node.yaml"))
            }
            Self::TenThousandPods => None,
        }
    }

    /// Whether a lab of so many nodes can be put into the situation.
    ///
    /// # Errors
    /// What it lacks.
    pub const fn check(self, nodes: usize) -> Result<(), ScenarioError> {
        match self {
            Self::FlappingNode if nodes < 2 => Err(ScenarioError::OneNode { name: self.name() }),
            _ => Ok(()),
        }
    }

    /// What of the machine keeps the situation from coming about; none where it
    /// can be staged.
    pub fn obstacle(self, enforced: &Enforced) -> Option<&str> {
        let why = enforced.memory.as_ref().err()?;
        (self == Self::Oom).then_some(why)
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
                Self::FlappingNode => flap(&store).await,
                Self::CrashLoop
                | Self::ImagePull
                | Self::Noisy
                | Self::Pending
                | Self::SlowStart
                | Self::Oom => {}
            }
        };
        stop.run_until_cancelled(keeping).await;
    }
}

/// Turns the switch of the last node, again and again. A lab that starts again
/// goes on from how the node is.
async fn flap(store: &Store) {
    loop {
        tokio::time::sleep(FLAP).await;
        let nodes = store.list(Resource::Nodes, None).items;
        let Some(name) = last_with_a_switch(nodes.iter().map(AsRef::as_ref)) else {
            continue;
        };
        let turned = store.update_with(&Key::new(Resource::Nodes, "", name), |node| {
            let power = &mut node["metadata"]["annotations"][POWER_ANNOTATION];
            *power = json!(if power == "off" { "on" } else { "off" });
            Ok::<(), StoreError>(())
        });
        if let Err(error) = turned {
            tracing::warn!("the node of the scenario keeps its power: {error}");
        }
    }
}

/// The last of the lab's own nodes, by the number at the end of their names.
fn last_with_a_switch<'a>(nodes: impl Iterator<Item = &'a Value>) -> Option<&'a str> {
    nodes
        .filter(|node| node["metadata"]["annotations"][POWER_ANNOTATION].is_string())
        .filter_map(|node| node["metadata"]["name"].as_str())
        .max_by_key(|name| {
            let number = name.rsplit('-').next();
            number.and_then(|it| it.parse::<usize>().ok())
        })
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
    fn a_node_flaps_only_where_another_stays() {
        for scenario in Scenario::ALL {
            let flaps = scenario == Scenario::FlappingNode;
            assert_eq!(scenario.check(1).is_err(), flaps, "{}", scenario.name());
            assert_eq!(scenario.check(2), Ok(()));
        }
        let node = |name: &str, power: Value| json!({"metadata": {"name": name, "annotations": {POWER_ANNOTATION: power}}});
        let nodes = [
            node("lab-node-2", json!("on")),
            node("lab-node-10", json!("off")),
            node("simulated-99", Value::Null),
            node("lab-node-9", json!("on")),
        ];
        assert_eq!(last_with_a_switch(nodes.iter()), Some("lab-node-10"));
        assert_eq!(last_with_a_switch(nodes[2..3].iter()), None);
    }

    #[test]
    fn nobody_runs_out_of_memory_where_it_has_no_limit() {
        let enforced = |memory| Enforced {
            memory,
            cpu: Ok(()),
        };
        for scenario in Scenario::ALL {
            assert_eq!(scenario.obstacle(&enforced(Ok(()))), None);
            let why = enforced(Err("why".to_owned()));
            let expected = (scenario == Scenario::Oom).then_some("why");
            assert_eq!(scenario.obstacle(&why), expected);
        }
    }

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

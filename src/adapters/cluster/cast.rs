//! Who plays which side of the workload just now.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::core::{
    event::{ContainerState, Pod},
    workload::Role,
};

/// The container that plays a role, and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    /// The pod's uid.
    pub uid: String,
    /// The pod's name.
    pub pod: String,
    /// The container that runs the program.
    pub container: String,
    /// How often it was restarted; counts its executions from 0.
    pub restarts: u32,
    /// What it is doing.
    pub state: ContainerState,
    /// An earlier execution of it has ended.
    pub has_last: bool,
    /// The pod was told to go.
    pub deleting: bool,
    /// What the pod waits for, where it says so.
    pub phase: String,
    created_ms: Option<i64>,
}

impl Player {
    /// The container of `pod` that runs the program.
    pub fn of(pod: &Pod) -> Option<Self> {
        let container = pod.containers.iter().find(|container| container.program)?;
        Some(Self {
            uid: pod.uid.clone(),
            pod: pod.name.clone(),
            container: container.name.clone(),
            restarts: container.restarts,
            state: container.state.clone(),
            has_last: container.last.is_some(),
            deleting: pod.deleting,
            phase: pod.phase.clone(),
            created_ms: pod.created_ms,
        })
    }

    /// The newest execution whose log can be read.
    pub fn readable(&self) -> Option<u32> {
        match self.state {
            ContainerState::Running | ContainerState::Terminated(_) => Some(self.restarts),
            // Between two executions the node still has the log of the last.
            ContainerState::Waiting { .. } if self.has_last => Some(self.restarts),
            _ => None,
        }
    }

    /// Whether this execution is over, as far as is known.
    pub fn has_ended(&self, execution: u32) -> bool {
        self.restarts > execution || self.state != ContainerState::Running
    }

    /// It will do nothing any more.
    fn is_over(&self) -> bool {
        self.deleting || matches!(self.phase.as_str(), "Failed" | "Succeeded")
    }
}

/// The players of both roles; none where no pod matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cast {
    players: [Option<Player>; 2],
    /// The pods were listed at least once: an empty cast is known to be empty.
    pub listed: bool,
}

impl Cast {
    /// Who plays `role`.
    pub fn player(&self, role: Role) -> Option<&Player> {
        self.players[role as usize].as_ref()
    }
}

/// All pods that are known, and who is cast from them.
pub struct Stage {
    pods: BTreeMap<String, Pod>,
    cast: watch::Sender<Cast>,
}

impl Stage {
    /// An empty stage.
    pub fn new() -> Self {
        Self {
            pods: BTreeMap::new(),
            cast: watch::Sender::new(Cast::default()),
        }
    }

    /// Follows the casting.
    pub fn follow(&self) -> watch::Receiver<Cast> {
        self.cast.subscribe()
    }

    /// Takes in a pod as it is now. Returns whether it is news.
    pub fn enter(&mut self, pod: &Pod) -> bool {
        if self.pods.get(&pod.uid) == Some(pod) {
            return false;
        }
        self.pods.insert(pod.uid.clone(), pod.clone());
        if let Some(role) = pod.role {
            self.recast(role);
        }
        true
    }

    /// A pod is gone. Returns whether it was known.
    pub fn leave(&mut self, uid: &str) -> bool {
        let gone = self.pods.remove(uid);
        if let Some(role) = gone.as_ref().and_then(|pod| pod.role) {
            self.recast(role);
        }
        gone.is_some()
    }

    /// A list is complete: only these pods are there.
    pub fn retain(&mut self, uids: &[String]) {
        let there: std::collections::HashSet<&str> = uids.iter().map(String::as_str).collect();
        self.pods.retain(|uid, _| there.contains(uid.as_str()));
        for role in Role::ALL {
            self.recast(role);
        }
        self.cast.send_if_modified(|cast| {
            let first = !cast.listed;
            cast.listed = true;
            first
        });
    }

    fn recast(&self, role: Role) {
        self.cast.send_if_modified(|cast| {
            let now = self.choose(role, cast.player(role));
            let changed = cast.players[role as usize] != now;
            cast.players[role as usize] = now;
            changed
        });
    }

    /// Whoever played last plays on while it can; else the newest pod that can,
    /// preferring one that runs.
    fn choose(&self, role: Role, last: Option<&Player>) -> Option<Player> {
        self.pods
            .values()
            .filter(|pod| pod.role == Some(role))
            .filter_map(Player::of)
            .max_by_key(|player| {
                let played = last.is_some_and(|last| last.uid == player.uid);
                let runs = player.state == ContainerState::Running;
                let can = !player.is_over();
                (
                    can,
                    can && played,
                    runs,
                    player.created_ms,
                    player.uid.clone(),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Container;

    fn pod(uid: &str, created_ms: i64, deleting: bool, state: ContainerState) -> Pod {
        Pod {
            uid: uid.to_owned(),
            name: format!("pod-{uid}"),
            role: Some(Role::Client),
            phase: "Running".to_owned(),
            created_ms: Some(created_ms),
            deleting,
            containers: vec![Container {
                name: "client".to_owned(),
                state,
                program: true,
                ..Container::default()
            }],
            ..Pod::default()
        }
    }

    fn playing(stage: &Stage) -> Option<String> {
        let cast = stage.cast.borrow();
        cast.player(Role::Client).map(|player| player.uid.clone())
    }

    #[test]
    fn a_replacement_takes_over_when_its_predecessor_must_go() {
        let mut stage = Stage::new();
        stage.enter(&pod("a", 1, false, ContainerState::Running));
        stage.enter(&pod("b", 2, false, ContainerState::Unknown));
        assert_eq!(playing(&stage).as_deref(), Some("a"), "it plays on");
        stage.enter(&pod("a", 1, true, ContainerState::Running));
        assert_eq!(playing(&stage).as_deref(), Some("b"));
        stage.leave("b");
        assert_eq!(playing(&stage).as_deref(), Some("a"), "better than nobody");
        stage.retain(&[]);
        assert_eq!(playing(&stage), None);
    }

    #[test]
    fn an_evicted_pod_that_stays_listed_does_not_play() {
        let mut stage = Stage::new();
        let mut evicted = pod("a", 1, false, ContainerState::Unknown);
        evicted.phase = "Failed".to_owned();
        stage.enter(&pod("a", 1, false, ContainerState::Running));
        stage.enter(&evicted);
        stage.enter(&pod("b", 2, false, ContainerState::Unknown));
        assert_eq!(playing(&stage).as_deref(), Some("b"));
    }

    #[test]
    fn only_a_change_is_news() {
        let mut stage = Stage::new();
        let pod = pod("a", 1, false, ContainerState::Running);
        assert!(stage.enter(&pod));
        assert!(!stage.enter(&pod));
        assert!(stage.leave("a"));
        assert!(!stage.leave("a"));
    }
}

//! A run, told event by event.

use aks_tui::core::{
    around::Node,
    event::{Container, ContainerState, Event, Fact, Pod, Terminated},
    model::Model,
    time::Time,
    trial::{Fault, Phase, State, Trial, TrialId, Victim},
    workload::{Role, line::Progress},
};

pub use Role::{Client, Server};

/// A model, and the moment that the story has come to.
#[derive(Default)]
pub struct Story {
    pub model: Model,
    pub events: Vec<Event>,
    now: Time,
}

/// What a pod's container does.
#[derive(Clone, Copy)]
pub enum Does {
    Runs,
    RunsReady,
    Ended(i32),
    HeldBack,
    Creates,
}

pub fn pod(role: Role, name: &str, restarts: u32, does: Does) -> Pod {
    let end = |signal: i32, execution: u32| Terminated {
        exit_code: 128 + signal,
        signal: Some(signal),
        reason: "Error".into(),
        container_id: Some(format!("{name}/{execution}")),
    };
    let waiting = |reason: &str| ContainerState::Waiting {
        reason: reason.into(),
        message: String::new(),
    };
    let (state, last) = match does {
        Does::Runs | Does::RunsReady => (ContainerState::Running, restarts.checked_sub(1)),
        Does::Ended(signal) => (
            ContainerState::Terminated(end(signal, restarts)),
            restarts.checked_sub(1),
        ),
        Does::HeldBack => (waiting("CrashLoopBackOff"), Some(restarts)),
        Does::Creates => (waiting("ContainerCreating"), restarts.checked_sub(1)),
    };
    let ready = matches!(does, Does::RunsReady);
    let container = Container {
        name: role.name().into(),
        id: Some(format!("{name}/{restarts}")),
        restarts,
        ready,
        state,
        last: last.map(|execution| end(9, execution)),
        program: true,
        ..Container::default()
    };
    Pod {
        uid: format!("uid-{name}"),
        name: name.into(),
        namespace: "default".into(),
        role: Some(role),
        phase: "Running".into(),
        ready,
        containers: vec![container],
        ..Pod::default()
    }
}

pub fn victim(role: Role, name: &str, restarts: u32) -> Victim {
    Victim {
        role,
        namespace: "default".into(),
        pod: name.into(),
        node: Some("n1".into()),
        pod_uid: format!("uid-{name}"),
        container: role.name().into(),
        container_id: Some(format!("{name}/{restarts}")),
        restarts,
        pid: Some(7),
        volume: None,
    }
}

impl Story {
    /// A workload that runs: both pods ready, both sides in their first
    /// execution and 100 MiB into the run, one second after its beginning.
    pub fn of_a_running_workload() -> Self {
        let mut story = Self::default();
        story
            .at(0)
            .pod(Client, "c", 0, Does::RunsReady)
            .pod(Server, "s", 0, Does::RunsReady)
            .at(1_000)
            .progress(Server, 1, 100)
            .progress(Client, 1, 100);
        story
    }

    /// It is `ms` milliseconds into the run.
    pub fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Time::from_millis(ms);
        self
    }

    pub fn sees(&mut self, fact: Fact) -> &mut Self {
        let event = Event { at: self.now, fact };
        self.model.apply(&event);
        self.events.push(event);
        self
    }

    pub fn pod(&mut self, role: Role, name: &str, restarts: u32, does: Does) -> &mut Self {
        self.sees(Fact::Pod(Box::new(pod(role, name, restarts, does))))
    }

    pub fn pod_gone(&mut self, name: &str) -> &mut Self {
        self.sees(Fact::PodGone {
            uid: format!("uid-{name}"),
        })
    }

    pub fn says(&mut self, role: Role, epoch: u64, mib: u64, replaying: bool) -> &mut Self {
        let progress = Progress {
            epoch,
            call: mib,
            echoed: mib << 20,
            replaying,
        };
        self.sees(Fact::Progress { role, progress })
    }

    pub fn progress(&mut self, role: Role, epoch: u64, mib: u64) -> &mut Self {
        self.says(role, epoch, mib, false)
    }

    pub fn replays(&mut self, role: Role, epoch: u64, mib: u64) -> &mut Self {
        self.says(role, epoch, mib, true)
    }

    pub fn log_began(&mut self, role: Role, pod: &str, restart: u32) -> &mut Self {
        self.sees(Fact::LogBegan {
            role,
            pod: pod.into(),
            restart,
        })
    }

    pub fn round(&mut self, role: Role, replayed: bool) -> &mut Self {
        self.sees(Fact::Round {
            role,
            size: 65_536,
            gib_s: 0.5,
            replayed,
        })
    }

    pub fn injects(&mut self, id: u32, fault: Fault, victim: Victim) -> &mut Self {
        self.sees(Fact::FaultInjected {
            trial: TrialId(id),
            fault,
            victim,
            lasts: fault.holds().then_some(Fault::LASTS),
        })
    }

    /// `kill -9` of the first execution of a role's program.
    pub fn kills(&mut self, id: u32, role: Role) -> &mut Self {
        let name = &role.name()[..1];
        self.injects(id, Fault::ProcessKill, victim(role, name, 0))
    }

    pub fn refused(&mut self, id: u32, reason: &str) -> &mut Self {
        self.sees(Fact::FaultRefused {
            trial: TrialId(id),
            fault: Fault::ProcessKill,
            role: Client,
            reason: reason.into(),
        })
    }

    pub fn out_of_order(&mut self, role: Role, expected: u64, got: u64) -> &mut Self {
        self.sees(Fact::OutOfOrder {
            role,
            expected,
            got,
            replayed: false,
        })
    }

    pub fn deadline(&mut self, id: u32) -> &mut Self {
        self.sees(Fact::DeadlinePassed { trial: TrialId(id) })
    }

    pub fn stood_still(&mut self, id: u32, since: u64) -> &mut Self {
        self.sees(Fact::StoodStill {
            trial: TrialId(id),
            since: Time::from_millis(since),
        })
    }

    pub fn volume_full(&mut self, id: u32) -> &mut Self {
        self.sees(Fact::VolumeFull { trial: TrialId(id) })
    }

    pub fn node(&mut self, name: &str, ready: bool) -> &mut Self {
        self.sees(Fact::Node(Node {
            name: name.into(),
            ready,
            ..Node::default()
        }))
    }

    pub fn heal_sent(&mut self, id: u32) -> &mut Self {
        self.sees(Fact::HealSent { trial: TrialId(id) })
    }

    pub fn healed(&mut self, id: u32) -> &mut Self {
        self.sees(Fact::Healed { trial: TrialId(id) })
    }

    pub fn trial(&self, id: u32) -> &Trial {
        self.model.ledger.get(TrialId(id)).unwrap()
    }

    pub fn state(&self, id: u32) -> &State {
        &self.trial(id).state
    }

    /// The recovery time, ms.
    pub fn rto(&self, id: u32) -> Option<u128> {
        self.trial(id).recovery_time().map(|time| time.as_millis())
    }

    /// The phases that are over, ms.
    pub fn phases(&self, id: u32) -> Vec<(Phase, u128)> {
        let phases = self.trial(id).phases().into_iter();
        phases.map(|(p, time)| (p, time.as_millis())).collect()
    }
}

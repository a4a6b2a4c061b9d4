//! The pod whose log is followed: what was read of it, and what is read next.

use super::{super::cast::Player, lines::RawLine, position::Position};
use crate::core::{event::ContainerState, workload::Role};

/// What the follower has read of the pod it follows.
#[derive(Debug)]
pub struct Seat {
    /// The pod's uid.
    pub uid: String,
    /// The pod's name.
    pub pod: String,
    /// The container that runs the program.
    pub container: String,
    /// The execution that is or was read, if any was.
    pub begun: Option<u32>,
    /// It was read to its end.
    pub drained: bool,
    /// How far its log was read, over all executions.
    pub position: Position,
    /// What was printed last and never ended.
    pub torn: Option<RawLine>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing can be read before something changes.
    Wait(String),
    /// Read an execution's log.
    Read {
        /// Which.
        execution: u32,
        /// It is the one before the newest.
        previous: bool,
    },
}

impl Seat {
    /// A pod of which nothing was read yet.
    pub fn of(player: &Player) -> Self {
        Self {
            uid: player.uid.clone(),
            pod: player.pod.clone(),
            container: player.container.clone(),
            begun: None,
            drained: false,
            position: Position::default(),
            torn: None,
        }
    }

    /// What to read next of this pod.
    pub fn plan(&self, player: &Player, role: Role) -> Plan {
        let read = |execution, previous| Plan::Read {
            execution,
            previous,
        };
        let Some(newest) = player.readable() else {
            return Plan::Wait(waits(player, role));
        };
        match self.begun {
            None => read(newest, false),
            Some(begun) if newest < begun => Plan::Wait(waits(player, role)),
            Some(begun) if newest == begun && self.drained => Plan::Wait(waits(player, role)),
            Some(begun) if newest == begun => read(newest, false),
            Some(begun) if newest == begun + 1 && self.drained => read(newest, false),
            // The one before was not read to its end, or not at all.
            Some(_) => read(newest - 1, true),
        }
    }
}

/// What a container that does not speak is waiting for.
fn waits(player: &Player, role: Role) -> String {
    let pod = &player.pod;
    match &player.state {
        ContainerState::Waiting { reason, .. } if !reason.is_empty() => {
            format!("the {role} in pod `{pod}` to start ({reason})")
        }
        ContainerState::Terminated(end) => format!(
            "the {role} in pod `{pod}` to start again (it ended with code {})",
            end.exit_code
        ),
        ContainerState::Running => format!("the {role} in pod `{pod}` to speak again"),
        _ => format!("the {role} in pod `{pod}` to start ({})", player.phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{Container, Pod, Terminated};

    fn player(restarts: u32, state: ContainerState, has_last: bool) -> Player {
        Player::of(&Pod {
            uid: "u".to_owned(),
            name: "p".to_owned(),
            phase: "Running".to_owned(),
            containers: vec![Container {
                name: "c".to_owned(),
                restarts,
                state,
                last: has_last.then(Terminated::default),
                program: true,
                ..Container::default()
            }],
            ..Pod::default()
        })
        .unwrap()
    }

    fn seat(begun: Option<u32>, drained: bool) -> Seat {
        Seat {
            begun,
            drained,
            ..Seat::of(&player(0, ContainerState::Running, false))
        }
    }

    fn plan(seat: &Seat, player: &Player) -> Option<(u32, bool)> {
        match seat.plan(player, Role::Client) {
            Plan::Read {
                execution,
                previous,
            } => Some((execution, previous)),
            Plan::Wait(_) => None,
        }
    }

    #[test]
    fn every_execution_is_read_to_its_end_before_the_next() {
        let runs = |restarts| player(restarts, ContainerState::Running, restarts > 0);
        for (begun, drained, newest, expected) in [
            (None, false, 0, Some((0, false))),
            (None, false, 3, Some((3, false))),
            (Some(0), false, 0, Some((0, false))),
            (Some(0), true, 0, None),
            (Some(0), false, 1, Some((0, true))),
            (Some(0), true, 1, Some((1, false))),
            // One was missed: it is still there as the previous one.
            (Some(0), true, 2, Some((1, true))),
            (Some(0), false, 5, Some((4, true))),
            // The watch lags behind what is known.
            (Some(2), true, 1, None),
        ] {
            let seat = seat(begun, drained);
            assert_eq!(
                plan(&seat, &runs(newest)),
                expected,
                "{begun:?} {drained} {newest}"
            );
        }
    }

    #[test]
    fn between_two_executions_the_last_one_can_be_read() {
        let waiting = |reason: &str| ContainerState::Waiting {
            reason: reason.to_owned(),
            message: String::new(),
        };
        let creating = player(0, waiting("ContainerCreating"), false);
        assert_eq!(plan(&seat(None, false), &creating), None);
        let backing_off = player(1, waiting("CrashLoopBackOff"), true);
        assert_eq!(plan(&seat(None, false), &backing_off), Some((1, false)));
        assert_eq!(plan(&seat(Some(1), true), &backing_off), None);
        assert_eq!(plan(&seat(Some(0), false), &backing_off), Some((0, true)));
    }
}

//! Operations that take a while: what they do, when, and how a client follows
//! them.
//!
//! Everything that shall happen later is on the world's agenda with its time.
//! Whoever enters the world first settles what has become due, in order, each
//! as of its own time; so nothing runs in the background and a world that was
//! asleep is right when it is looked at.

use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::aks;
use super::answer::{Answer, ArmError};
use super::call::Call;
use super::deployments;
use super::groups;
use super::machines::{self, Power};
use super::providers;
use super::world::World;
use crate::lab::store::new_uid;

/// How an operation is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It goes on.
    InProgress,
    /// It has done what it was to do.
    Succeeded,
    /// It has not.
    Failed,
    /// Somebody has stopped it.
    Canceled,
}

impl Status {
    /// As the service writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

/// An operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// Id of the resource that it is about.
    pub subject: String,
    /// How it is going.
    pub status: Status,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Value>,
    /// What it has brought about, for whoever asks at its location.
    pub result: Option<Value>,
    /// What happens when it ends well.
    effects: Vec<Effect>,
    /// How it will fail, if it will.
    failure: Option<Value>,
}

/// Something that happens to the world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Effect {
    /// A resource is ready.
    Provisioned(String),
    /// A resource goes, with what is below it.
    Removed(String),
    /// A resource group goes, with all that is in it.
    GroupRemoved(String),
    /// A provider is registered.
    Registered(String),
    /// Deployments go on.
    Deploys,
    /// A machine's power changes.
    Switch(String, Power),
    /// A cluster's control plane is there.
    Plane(String),
    /// A cluster has as many machines as its pools want.
    Machines(String),
    /// A cluster runs, or does not.
    ClusterRuns(String, bool),
    /// A cluster's certificates are others.
    Rotated(String),
    /// A cluster goes, with its nodes.
    ClusterGone(String),
}

/// Something on the agenda.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Due {
    at: Timestamp,
    event: Event,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Event {
    /// An operation ends.
    Ends(String),
    /// Something happens on the way.
    Happens(Effect),
}

/// What is to be begun.
#[derive(Debug, Default)]
pub struct Plan {
    /// How long it takes in Azure, in seconds.
    pub seconds: f64,
    /// What happens at its end.
    pub effects: Vec<Effect>,
    /// How it will fail, if it will.
    pub failure: Option<Value>,
    /// What it will have brought about.
    pub result: Option<Value>,
}

impl World {
    /// When something is due that takes so many seconds in Azure.
    pub fn due(&self, seconds: f64) -> Timestamp {
        let scaled = Duration::from_secs_f64(seconds / self.scale());
        let scaled = SignedDuration::try_from(scaled).unwrap_or(SignedDuration::MAX);
        self.now.checked_add(scaled).unwrap_or(Timestamp::MAX)
    }

    fn scale(&self) -> f64 {
        self.setting.time_scale.max(0.01)
    }

    /// What stands in `Retry-After`: as much less than Azure's as everything
    /// else, but a second at least.
    pub fn retry_after(&self, seconds: f64) -> String {
        format!("{:.0}", (seconds / self.scale()).ceil().max(1.0))
    }

    /// Puts something on the agenda.
    pub fn later(&mut self, seconds: f64, effect: Effect) {
        let at = self.due(seconds);
        self.agenda.push(Due {
            at,
            event: Event::Happens(effect),
        });
    }

    /// Begins an operation, and gives its id.
    pub fn begin(&mut self, subject: &str, plan: Plan) -> String {
        let id = new_uid();
        let at = self.due(plan.seconds);
        self.agenda.push(Due {
            at,
            event: Event::Ends(id.clone()),
        });
        let operation = Operation {
            id: id.clone(),
            subject: subject.to_owned(),
            status: Status::InProgress,
            started: self.now,
            ended: None,
            error: None,
            result: plan.result,
            effects: plan.effects,
            failure: plan.failure,
        };
        self.operations.insert(id.clone(), operation);
        id
    }

    /// Says what an operation will have brought about.
    pub fn set_result(&mut self, id: &str, result: Value) {
        if let Some(operation) = self.operations.get_mut(id) {
            operation.result = Some(result);
        }
    }

    /// Lets everything happen that has become due by `now`. Says whether
    /// anything did.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        let mut happened = false;
        loop {
            let due = self.agenda.iter().enumerate();
            let next = due.min_by_key(|(index, due)| (due.at, *index));
            let Some(index) = next.filter(|(_, it)| it.at <= now).map(|(index, _)| index) else {
                break;
            };
            let due = self.agenda.remove(index);
            // What follows begins when this ended, not when somebody looks.
            self.now = due.at;
            match due.event {
                Event::Ends(id) => {
                    self.end(&id);
                    deployments::advance_all(self);
                }
                Event::Happens(effect) => self.happen(effect),
            }
            happened = true;
        }
        self.now = now;
        happened
    }

    /// When the next thing is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.agenda.iter().map(|it| it.at).min()
    }

    fn end(&mut self, id: &str) {
        let now = self.now;
        let Some(operation) = self.operations.get_mut(id) else {
            return;
        };
        if operation.status != Status::InProgress {
            return;
        }
        operation.ended = Some(now);
        let subject = operation.subject.clone();
        if let Some(error) = operation.failure.take() {
            operation.status = Status::Failed;
            operation.error = Some(error);
            self.set_state(&subject, "Failed");
        } else {
            operation.status = Status::Succeeded;
            for effect in std::mem::take(&mut operation.effects) {
                self.happen(effect);
            }
            self.renew_result(id, &subject);
        }
    }

    /// A result that is the resource itself is the resource as it is at the end.
    fn renew_result(&mut self, id: &str, subject: &str) {
        let now = self.get(subject).map(|it| it.body.clone());
        if let (Some(operation), Some(now)) = (self.operations.get_mut(id), now)
            && operation
                .result
                .as_ref()
                .is_some_and(|it| it["id"] == now["id"])
        {
            operation.result = Some(now);
        }
    }

    fn happen(&mut self, effect: Effect) {
        match effect {
            Effect::Provisioned(id) => self.set_state(&id, "Succeeded"),
            Effect::Removed(id) => self.remove_below(&id),
            Effect::GroupRemoved(name) => groups::removed(self, &name),
            Effect::Registered(namespace) => providers::registered(self, &namespace),
            Effect::Deploys => deployments::advance_all(self),
            Effect::Switch(id, power) => machines::switch(self, &id, power),
            Effect::Plane(id) => aks::nodes::plane(self, &id),
            Effect::Machines(id) => aks::nodes::sync(self, &id),
            Effect::ClusterRuns(id, run) => aks::calls::runs(self, &id, run),
            Effect::Rotated(id) => aks::calls::rotated(self, &id),
            Effect::ClusterGone(id) => aks::nodes::gone(self, &id),
        }
    }
}

/// `GET` of an operation where `Azure-AsyncOperation` points.
pub fn status(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let operation = find(world, call)?;
    let mut body = json!({
        "id": call.path,
        "name": operation.id,
        "status": operation.status.as_str(),
        "startTime": operation.started.to_string(),
    });
    if let Some(ended) = operation.ended {
        body["endTime"] = json!(ended.to_string());
    }
    if let Some(error) = &operation.error {
        body["error"] = error.clone();
    }
    let answer = Answer::ok(body);
    Ok(if operation.status == Status::InProgress {
        answer.with("retry-after", world.retry_after(15.0))
    } else {
        answer
    })
}

/// `GET` of an operation where `Location` points: *202* until it has ended,
/// then its result.
pub fn result(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let operation = find(world, call)?;
    match operation.status {
        Status::InProgress => {
            let version = call.query("api-version");
            Ok(Answer::empty(StatusCode::ACCEPTED)
                .with("location", format!("{}?api-version={version}", call.path))
                .with("retry-after", world.retry_after(15.0)))
        }
        Status::Succeeded => Ok(match &operation.result {
            Some(result) => Answer::ok(result.clone()),
            None => Answer::empty(StatusCode::NO_CONTENT),
        }),
        Status::Failed | Status::Canceled => Err(ArmError {
            status: StatusCode::CONFLICT,
            error: operation.error.clone().unwrap_or_else(
                || json!({"code": "OperationCanceled", "message": "The operation was canceled."}),
            ),
            flat: false,
            headers: Vec::new(),
        }),
    }
}

fn find<'a>(world: &'a World, call: &Call) -> Result<&'a Operation, ArmError> {
    let id = call.arg("operation");
    world.operations.get(id).ok_or_else(|| {
        ArmError::not_found(
            "OperationNotFound",
            format!("The operation '{id}' could not be found."),
        )
    })
}

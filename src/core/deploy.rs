//! Deploying the workload, and taking it away: what is planned, how far it is,
//! what came of it. A fold of facts, like everything.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    event::{Fact, Feed, FeedState, LogLine},
    model::Model,
    time::Time,
    workload::{
        GREETING, Role, Workload,
        order::{Order, Run},
    },
};

/// How long a rollout may take unless said otherwise.
pub const ROLLOUT_WITHIN: Duration = Duration::from_mins(10);

/// How long each object may take to go unless said otherwise.
pub const GONE_WITHIN: Duration = Duration::from_mins(2);

/// Columns of a value before it is cut.
const WIDE: usize = 100;

/// What is to be deployed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What is to be deployed.
    pub workload: Workload,
    /// What is asked for.
    pub order: Order,
    /// Which run it is to be.
    pub run: Run,
    /// Take fields over that belong to others.
    pub force: bool,
}

/// What a deployment, or its end, would do to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is deployed.
    #[serde(default)]
    pub workload: Workload,
    /// The kubeconfig's context.
    pub context: String,
    /// The namespace.
    pub namespace: String,
    /// What was asked for, completed by what is there.
    pub order: Order,
    /// The run whose logs are used.
    pub run: String,
    /// Whether that run has begun already, as far as is known.
    pub resumes: bool,
    /// Every object, in the order in which it is applied or deleted.
    pub objects: Vec<Planned>,
    /// Fields that belong to somebody else.
    pub conflicts: Vec<Conflict>,
    /// What a person should know before.
    pub notes: Vec<String>,
}

/// What would become of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// e.g. `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is done to it.
    pub change: Change,
    /// The fields that would change, where it is there already.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub object: Value,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is not there yet.
    Create,
    /// It is there, and other than it should be.
    Change,
    /// It is as it should be.
    Same,
    /// It goes.
    Delete,
    /// It stays, though one might expect it to go.
    Leave,
}

impl Change {
    /// How it is marked in a list.
    pub const fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Change => '~',
            Self::Same => '=',
            Self::Delete => '-',
            Self::Leave => ' ',
        }
    }
}

/// One field that would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Where it is, e.g. `spec.template.spec.containers[perftestclient].image`.
    pub path: String,
    /// What is there; nothing if it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What would be there; nothing if it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                write!(f, "~ {path}: {} -> {}", short(before), short(after))
            }
            (None, Some(after)) => write!(f, "+ {path}: {}", short(after)),
            (Some(before), None) => write!(f, "- {path}: {}", short(before)),
            (None, None) => f.write_str(path),
        }
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= WIDE {
        return text;
    }
    let cut: String = text.chars().take(WIDE).collect();
    format!("{cut}...")
}

/// A field that belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// `Kind name`.
    pub object: String,
    /// The field, e.g. `.spec.replicas`.
    pub field: String,
    /// Who has it, in the server's words.
    pub owner: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            field,
            owner,
        } = self;
        write!(f, "{object}: {field} belongs to {owner}")
    }
}

impl Plan {
    /// Whether it takes the workload away: nothing in it is made or changed.
    pub fn removes(&self) -> bool {
        self.objects
            .iter()
            .all(|it| matches!(it.change, Change::Delete | Change::Leave))
    }

    /// What a person must type before it is carried out: for what is lost, its
    /// place.
    pub fn word(&self) -> &str {
        if self.removes() {
            &self.namespace
        } else {
            "yes"
        }
    }

    /// Whether the cluster would be another afterwards.
    pub fn changes_anything(&self) -> bool {
        self.objects
            .iter()
            .any(|it| !matches!(it.change, Change::Same | Change::Leave))
    }
}

/// How a rollout is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whose.
    pub role: Role,
    /// Its pod serves.
    pub ready: bool,
    /// What it waits for, in words for the screen.
    pub waits_for: Option<String>,
}

/// Where a deployment stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Stage {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// What would be done is being worked out.
    Planning,
    /// It is known what would be done.
    Planned,
    /// Objects are being sent.
    Applying,
    /// Waits until both pods serve.
    RollingOut,
    /// Both serve; waits for the client to say what it has done.
    Working,
    /// The client does new work.
    Done {
        /// From the first request to the first line.
        took: Duration,
    },
    /// Objects are being deleted.
    Removing,
    /// They are gone.
    Removed,
    /// It did not work out.
    Failed {
        /// Why, in words for the screen.
        why: String,
        /// What to do.
        next: Option<String>,
    },
}

impl Stage {
    /// What it is called while it lasts.
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Applying => "applying",
            Self::RollingOut => "the rollout",
            Self::Removing => "taking the workload away",
            _ => "a deployment",
        }
    }

    /// Whether something is on its way that must not be begun twice.
    pub const fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Planning | Self::Applying | Self::RollingOut | Self::Removing
        )
    }

    /// Whether nothing more comes.
    pub const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Done { .. } | Self::Removed | Self::Failed { .. }
        )
    }
}

/// The newest deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deploy {
    /// Where it stands.
    pub stage: Stage,
    /// What would be, or is being done.
    pub plan: Option<Box<Plan>>,
    /// Objects that are done, `Kind name` each, and when they were.
    pub applied: Vec<(Time, String)>,
    /// How each side's rollout is doing, and since when, indexed by
    /// `Role as usize`.
    pub rollout: [Option<(Time, Progress)>; 2],
    /// When the plan was asked for, then when the first request was sent.
    pub began: Time,
    /// When the workload's pods served.
    pub rolled_out: Option<Time>,
    /// The client's pod that must speak.
    awaited: Option<String>,
    /// The pod whose log the client's lines come from.
    speaking: Option<String>,
    /// It has done new work.
    news: bool,
}

impl Deploy {
    /// Folds a fact. Returns whether it changed anything.
    pub(super) fn apply(&mut self, at: Time, fact: &Fact) -> bool {
        match fact {
            Fact::DeployPlanning => {
                *self = Self {
                    stage: Stage::Planning,
                    began: at,
                    speaking: self.speaking.take(),
                    news: self.news,
                    ..Self::default()
                };
            }
            Fact::DeployPlanned(plan) => {
                self.stage = Stage::Planned;
                self.plan = Some(plan.clone());
            }
            Fact::DeployBegan { removes } => {
                self.stage = if *removes {
                    Stage::Removing
                } else {
                    Stage::Applying
                };
                self.began = at;
                self.applied.clear();
                self.rollout = [None, None];
                self.rolled_out = None;
                self.awaited = None;
            }
            Fact::DeployApplied { object } => self.applied.push((at, object.clone())),
            Fact::Rollout(progress) => {
                self.stage = Stage::RollingOut;
                self.rollout[progress.role as usize] = Some((at, progress.clone()));
            }
            Fact::RolledOut { client } => {
                self.stage = Stage::Working;
                self.rolled_out = Some(at);
                self.awaited = Some(client.clone());
            }
            Fact::DeployRemoved => self.stage = Stage::Removed,
            Fact::DeployFailed(trouble) => {
                self.stage = Stage::Failed {
                    why: trouble.what.clone(),
                    next: trouble.next.clone(),
                };
            }
            Fact::CockpitResumed if self.stage.is_busy() || self.stage == Stage::Working => {
                self.stage = Stage::Failed {
                    why: "the cockpit ended before the deployment did".into(),
                    next: Some("plan again: what was done stays, and is found".into()),
                };
            }
            Fact::Turned { .. } => *self = Self::default(),
            said => return self.hear(at, said),
        }
        self.settle(at);
        true
    }

    /// Whether what is being deployed begins a run of its own.
    pub(super) fn begins_anew(&self) -> bool {
        let going = matches!(
            self.stage,
            Stage::Applying | Stage::RollingOut | Stage::Working
        );
        going && self.plan.as_ref().is_some_and(|plan| !plan.resumes)
    }

    /// The plan that accepting would carry out, taking fields of others over or
    /// not; or why none can be.
    ///
    /// # Errors
    /// That sentence.
    pub fn offer(&self, force: bool) -> Result<&Plan, String> {
        if self.stage.is_busy() {
            return Err(format!("{} goes on: wait", self.stage.words()));
        }
        let Some(plan) = self
            .plan
            .as_deref()
            .filter(|_| self.stage == Stage::Planned)
        else {
            return Err("there is no plan: plan first".into());
        };
        if plan.removes() && !plan.changes_anything() {
            return Err("nothing is there to go".into());
        }
        match plan.conflicts.first() {
            Some(conflict) if !force => Err(format!("{conflict}: let it have it, or take it over")),
            _ => Ok(plan),
        }
    }

    /// What the client says of itself. Only the pod that was rolled out counts:
    /// its predecessor worked until it was told to go.
    fn hear(&mut self, at: Time, fact: &Fact) -> bool {
        match fact {
            Fact::LogBegan {
                role: Role::Client,
                pod,
                ..
            } => {
                if self.speaking.as_ref() != Some(pod) {
                    self.news = false;
                }
                self.speaking = Some(pod.clone());
            }
            Fact::Progress {
                role: Role::Client,
                progress,
            } if !progress.replaying && progress.call > 0 => self.news = true,
            Fact::Round {
                role: Role::Client,
                replayed: false,
                ..
            } => self.news = true,
            Fact::Log {
                role: Role::Client,
                lines,
            } if lines.iter().any(greets) => self.news = true,
            _ => return false,
        }
        self.settle(at)
    }

    fn settle(&mut self, at: Time) -> bool {
        let works = self.stage == Stage::Working && self.news && self.awaited == self.speaking;
        if works {
            self.stage = Stage::Done {
                took: at.since(self.began),
            };
        }
        works
    }
}

/// helloworld has no figures: its word is what it says to people.
fn greets(line: &LogLine) -> bool {
    !line.replayed && line.text.starts_with(GREETING)
}

/// Why nothing was heard yet of new work, though the pods serve.
pub fn silence(model: &Model) -> String {
    let log = model.feed(Feed::Log(Role::Client));
    match log.map(|feed| &feed.state) {
        Some(FeedState::Broken { why, .. }) => format!("its log cannot be read: {why}"),
        Some(FeedState::Waiting { what }) => format!("its log waits for {what}"),
        _ if model.deploy.stage != Stage::Working => "the cluster does not answer".into(),
        _ => "its log tells of none: `kubectl logs` shows it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{event::Trouble, workload::line};

    fn fold(facts: &[Fact]) -> Deploy {
        let mut deploy = Deploy::default();
        for (second, fact) in (1_u64..).zip(facts) {
            deploy.apply(Time::ZERO + Duration::from_secs(second), fact);
        }
        deploy
    }

    fn speaks(pod: &str) -> Fact {
        Fact::LogBegan {
            role: Role::Client,
            pod: pod.into(),
            restart: 0,
        }
    }

    fn works(call: u64, replaying: bool) -> Fact {
        Fact::Progress {
            role: Role::Client,
            progress: line::Progress {
                epoch: 1,
                call,
                echoed: call,
                replaying,
            },
        }
    }

    fn rolled_out(client: &str) -> Fact {
        Fact::RolledOut {
            client: client.into(),
        }
    }

    #[test]
    fn it_is_done_when_the_new_client_does_new_work() {
        let began = Fact::DeployBegan { removes: false };
        let so_far = [
            speaks("old"),
            works(9, false),
            began,
            rolled_out("new"),
            works(10, false),
        ];
        assert_eq!(
            fold(&so_far).stage,
            Stage::Working,
            "the old one's word does not count"
        );
        let mut all = so_far.to_vec();
        all.extend([speaks("new"), works(0, false), works(3, true)]);
        assert_eq!(
            fold(&all).stage,
            Stage::Working,
            "nor does a replay, or nothing done"
        );
        all.push(works(11, false));
        let took = Duration::from_secs(6);
        assert_eq!(fold(&all).stage, Stage::Done { took });
    }

    #[test]
    fn a_greeting_is_work_unless_it_is_repeated() {
        let said = |text: &str, replayed| Fact::Log {
            role: Role::Client,
            lines: vec![LogLine {
                stamp_ms: None,
                text: text.into(),
                kind: crate::core::event::LineKind::Plain,
                replayed,
            }],
        };
        let mut facts = vec![
            Fact::DeployBegan { removes: false },
            rolled_out("p"),
            speaks("p"),
            said("*X* execution epoch=1 durability=fsync", false),
            said("!! Client: Sent message 1.", true),
        ];
        assert_eq!(fold(&facts).stage, Stage::Working);
        facts.push(said("!! Client: Sent message 1.", false));
        assert!(matches!(fold(&facts).stage, Stage::Done { .. }));
    }

    #[test]
    fn a_client_that_was_there_and_works_is_enough() {
        let facts = [
            speaks("p"),
            works(5, false),
            Fact::DeployPlanning,
            Fact::DeployBegan { removes: false },
            rolled_out("p"),
        ];
        assert!(matches!(fold(&facts).stage, Stage::Done { .. }));
    }

    #[test]
    fn a_failure_is_the_end_until_somebody_plans_again() {
        let failed = Fact::DeployFailed(Trouble::new("no", "do"));
        let mut facts = vec![Fact::DeployBegan { removes: false }, failed];
        assert!(fold(&facts).stage.is_over());
        facts.push(Fact::DeployPlanning);
        assert!(fold(&facts).stage.is_busy());
    }
}

//! What the cockpit knows of Azure: what was asked for, how far it is, what came of
//! it. Facts and their fold, like everything else.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    clean::{Preview, Scope},
    plan::{Action, Plan},
    progress::{Progress, Resource, State},
};
use crate::core::{time::Time, workload::order::Order};

/// Lines that are kept to be read again.
const LINES_KEPT: usize = 200;

/// What a person may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// See what there is to do.
    Plan,
    /// Do it.
    Provision,
    /// See what a clean would delete.
    Preview(Scope),
    /// Delete it.
    Clean(Scope),
    /// Start the cluster, or stop it.
    Switch {
        /// Whether it is to run.
        on: bool,
    },
    /// Give up what is being done.
    Cancel,
}

impl Wish {
    /// What it is called while it is done.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Plan => "planning",
            Self::Provision => "provisioning",
            Self::Preview(_) => "looking at what a clean would delete",
            Self::Clean(_) => "cleaning",
            Self::Switch { on: true } => "starting the cluster",
            Self::Switch { on: false } => "stopping the cluster",
            Self::Cancel => "cancelling",
        }
    }

    /// Whether it changes anything.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Provision | Self::Clean(_) | Self::Switch { .. })
    }
}

/// The cluster of the test bed, as far as it must be known to look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cluster {
    /// It is there.
    There {
        /// The file with its credentials.
        kubeconfig: String,
        /// Where its workload is to be.
        namespace: String,
        /// What a deployment there asks for.
        #[serde(default)]
        order: Box<Order>,
    },
    /// It is gone.
    Gone {
        /// The file with the credentials that it had.
        kubeconfig: String,
    },
}

/// Something that was seen of Azure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// A wish is being fulfilled.
    Began {
        /// Which.
        wish: Wish,
    },
    /// There is a plan.
    Planned(Box<Plan>),
    /// It is known what a clean would delete.
    Previewed(Preview),
    /// Something is further than before.
    Progress(Progress),
    /// The test bed's cluster can be reached from now on, or is gone.
    Cluster(Cluster),
    /// A wish is over.
    Ended {
        /// Which.
        wish: Wish,
        /// Why it was not fulfilled, if it was not.
        failure: Option<String>,
    },
}

/// What is known of Azure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desk {
    /// What is being done, since when.
    pub busy: Option<(Wish, Time)>,
    /// The last plan that is still true.
    pub plan: Option<Plan>,
    /// The last preview of a clean that is still true.
    pub preview: Option<Preview>,
    /// Every resource that was heard of since the last wish began, in the order in
    /// which they were heard of.
    pub resources: Vec<Heard>,
    /// What was said since the last wish began.
    pub lines: VecDeque<(Time, String)>,
    /// What came of the last wish: nothing, or why it failed.
    pub outcome: Option<(Wish, Option<String>)>,
    /// What was last heard of the test bed's cluster.
    pub cluster: Option<Cluster>,
}

/// What was last heard of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// What.
    pub resource: Resource,
    /// When.
    pub at: Time,
}

impl Heard {
    /// How long it is being worked on at `now`, or was, seconds, where Azure says so.
    pub fn seconds(&self, now: Time) -> Option<f64> {
        let seconds = self.resource.seconds?;
        Some(match self.resource.state {
            State::Running => seconds + now.since(self.at).as_secs_f64(),
            State::Done | State::Failed => seconds,
        })
    }
}

impl Desk {
    /// Takes in what was seen at `at`.
    pub fn apply(&mut self, at: Time, seen: &Seen) {
        match seen {
            Seen::Began { wish } => {
                self.busy = Some((*wish, at));
                self.outcome = None;
                self.resources.clear();
                self.lines.clear();
                if matches!(wish, Wish::Plan | Wish::Preview(_)) {
                    self.plan = None;
                    self.preview = None;
                }
            }
            Seen::Planned(plan) => self.plan = Some((**plan).clone()),
            Seen::Previewed(preview) => self.preview = Some(preview.clone()),
            Seen::Progress(Progress::Resource(resource)) => {
                let heard = Heard {
                    resource: resource.clone(),
                    at,
                };
                let same = |known: &&mut Heard| {
                    let known = &known.resource;
                    known.kind.eq_ignore_ascii_case(&resource.kind) && known.name == resource.name
                };
                match self.resources.iter_mut().find(same) {
                    Some(known) => *known = heard,
                    None => self.resources.push(heard),
                }
            }
            Seen::Progress(Progress::Step { doing }) => self.say(at, doing.clone()),
            Seen::Progress(Progress::Note { text }) => self.say(at, text.clone()),
            Seen::Progress(Progress::Wait { why, seconds }) => {
                self.say(at, format!("{why}; again in {seconds:.0} s"));
            }
            Seen::Cluster(cluster) => self.cluster = Some(cluster.clone()),
            Seen::Ended { wish, failure } => {
                self.busy = None;
                self.outcome = Some((*wish, failure.clone()));
                // What was carried out is no plan any more.
                if wish.changes() {
                    self.plan = None;
                    self.preview = None;
                }
            }
        }
    }

    /// Whoever was doing something is dead. What was begun in Azure goes on there.
    pub fn interrupt(&mut self) {
        if let Some((wish, _)) = self.busy.take() {
            let why = "the cockpit ended before it did; a new plan shows what there is";
            self.outcome = Some((wish, Some(why.to_owned())));
            self.plan = None;
            self.preview = None;
        }
    }

    /// What a deployment onto the test bed's cluster asks for, if it is there.
    pub fn order(&self) -> Order {
        match &self.cluster {
            Some(Cluster::There { order, .. }) => Order::clone(order),
            _ => Order::default(),
        }
    }

    fn say(&mut self, at: Time, text: String) {
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back((at, text));
    }

    /// What accepting would begin, and what a person must type for it; or why nothing
    /// can begin.
    pub fn offer(&self) -> Result<(Wish, String), String> {
        if let Some((wish, _)) = self.busy {
            return Err(format!("{} goes on: wait, or cancel it", wish.words()));
        }
        if let Some(preview) = &self.preview {
            if let Some(reason) = preview.refused.first() {
                return Err(format!("{reason} stands in the way"));
            }
            if let Some(object) = preview.objections().next() {
                return Err(format!(
                    "the {} {} is {}",
                    object.kind, object.name, object.note
                ));
            }
            if preview.is_empty() {
                return Err("there is nothing to delete".to_owned());
            }
            return Ok((Wish::Clean(preview.scope), preview.word().to_owned()));
        }
        let Some(plan) = &self.plan else {
            return Err("there is no plan yet".to_owned());
        };
        if let Some(check) = plan.stops().next() {
            return Err(format!("{}: {}", check.name, check.what));
        }
        if plan.is_done() && plan.count(Action::Unknown) == 0 {
            return Err("everything is as it should be".to_owned());
        }
        Ok((Wish::Provision, "yes".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::azure::{
        clean::{Fate, Object},
        plan::{Change, Check, Verdict},
    };

    fn plan(action: Action) -> Plan {
        Plan {
            changes: vec![Change {
                id: "/x".to_owned(),
                kind: "Microsoft.Storage/storageAccounts".to_owned(),
                name: "x".to_owned(),
                action,
                deltas: Vec::new(),
                folded: 0,
            }],
            ..Plan::default()
        }
    }

    fn seen(desk: &mut Desk, all: &[Seen]) {
        for seen in all {
            desk.apply(Time::ZERO, seen);
        }
    }

    #[test]
    fn a_plan_is_offered_until_it_is_carried_out() {
        let mut desk = Desk::default();
        assert!(desk.offer().is_err());
        let planned = Seen::Planned(Box::new(plan(Action::Create)));
        seen(&mut desk, &[Seen::Began { wish: Wish::Plan }, planned]);
        assert!(desk.offer().unwrap_err().contains("planning goes on"));
        seen(
            &mut desk,
            &[Seen::Ended {
                wish: Wish::Plan,
                failure: None,
            }],
        );
        assert_eq!(desk.offer(), Ok((Wish::Provision, "yes".to_owned())));
        seen(
            &mut desk,
            &[
                Seen::Began {
                    wish: Wish::Provision,
                },
                Seen::Ended {
                    wish: Wish::Provision,
                    failure: None,
                },
            ],
        );
        assert_eq!(desk.plan, None);
    }

    #[test]
    fn what_stands_in_the_way_is_the_answer() {
        let mut desk = Desk::default();
        let mut stopped = plan(Action::Create);
        stopped.checks.push(Check {
            name: "quota".to_owned(),
            verdict: Verdict::Stop,
            what: "4 needed".to_owned(),
        });
        seen(&mut desk, &[Seen::Planned(Box::new(stopped))]);
        assert_eq!(desk.offer().unwrap_err(), "quota: 4 needed");
        seen(&mut desk, &[Seen::Planned(Box::new(plan(Action::Keep)))]);
        assert_eq!(desk.offer().unwrap_err(), "everything is as it should be");
    }

    #[test]
    fn a_clean_asks_for_more_the_more_it_deletes() {
        let mut desk = Desk::default();
        let mut preview = Preview {
            scope: Scope::All,
            group: "xyz-group".to_owned(),
            objects: Vec::new(),
            refused: Vec::new(),
        };
        seen(&mut desk, &[Seen::Previewed(preview.clone())]);
        assert!(desk.offer().unwrap_err().contains("nothing to delete"));
        preview.objects.push(Object {
            id: "/g".to_owned(),
            kind: "resource group".to_owned(),
            name: "xyz-group".to_owned(),
            fate: Fate::Delete,
            note: String::new(),
        });
        seen(&mut desk, &[Seen::Previewed(preview.clone())]);
        assert_eq!(
            desk.offer(),
            Ok((Wish::Clean(Scope::All), "xyz-group".to_owned()))
        );
        preview.refused.push("the lock keep".to_owned());
        seen(&mut desk, &[Seen::Previewed(preview)]);
        assert_eq!(desk.offer().unwrap_err(), "the lock keep stands in the way");
    }

    #[test]
    fn a_resource_has_one_line_and_its_newest_state() {
        let mut desk = Desk::default();
        let at = |state| {
            Seen::Progress(Progress::Resource(Resource {
                kind: "a/b".to_owned(),
                name: "x".to_owned(),
                state,
                word: String::new(),
                seconds: None,
                error: None,
            }))
        };
        seen(&mut desk, &[at(State::Running), at(State::Done)]);
        assert_eq!(desk.resources.len(), 1);
        assert_eq!(desk.resources[0].resource.state, State::Done);
    }

    #[test]
    fn what_is_worked_on_grows_older_while_nothing_is_heard() {
        let mut heard = Heard {
            resource: Resource {
                kind: "a/b".to_owned(),
                name: "x".to_owned(),
                state: State::Running,
                word: String::new(),
                seconds: Some(10.0),
                error: None,
            },
            at: Time::ZERO,
        };
        let later = Time::ZERO + Duration::from_secs(5);
        assert_eq!(heard.seconds(later), Some(15.0));
        heard.resource.state = State::Done;
        assert_eq!(heard.seconds(later), Some(10.0));
    }
}

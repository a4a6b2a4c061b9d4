//! What a job does next: decided from what its pods are, without touching
//! anything.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::indexes::Indexes;
use crate::lab::controllers::owned::{self, count};

/// Finalizer of a pod that its job has not counted yet.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label of a pod with the index that it works on.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The wait after a first failed pod; each further one doubles it.
const BACKOFF: SignedDuration = SignedDuration::from_secs(10);
/// The longest such wait.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(10);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub parallelism: u64,
    /// How many pods must succeed; none means that one does and the rest end.
    pub completions: Option<u64>,
    pub backoff_limit: u64,
    pub suspended: bool,
    /// Each pod works on an index of its own.
    pub indexed: bool,
    /// How often containers may be started again in their pods, if they are.
    pub restart_limit: Option<u64>,
    /// A pod that is ending still holds its place.
    pub waits_for_ends: bool,
    pub deadline: Option<SignedDuration>,
    pub started: Option<Timestamp>,
}

/// One pod, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worker {
    pub name: String,
    pub index: Option<u64>,
    pub state: State,
    pub terminating: bool,
    pub ready: bool,
    /// It has not been counted yet.
    pub tracked: bool,
    /// How often its containers were started again.
    pub restarts: u64,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Going,
    Succeeded,
    Failed,
}

/// What was counted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub succeeded: u64,
    pub failed: u64,
    pub completed: Indexes,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub success: bool,
    pub reason: &'static str,
    pub message: &'static str,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Pods to make, each for an index if the job has indexes.
    pub create: Vec<Option<u64>>,
    /// Pods to delete that count neither way.
    pub delete: Vec<String>,
    /// The job is decided; what still runs is deleted and counts as failed.
    pub verdict: Option<Verdict>,
    /// When time alone will change something.
    pub wait: Option<Duration>,
}

impl Wanted {
    /// Reads a job.
    pub fn of(job: &Value) -> Self {
        let (spec, status) = (&job["spec"], &job["status"]);
        let backoff_limit = count(&spec["backoffLimit"], 6);
        let in_place = spec["template"]["spec"]["restartPolicy"] == "OnFailure";
        Self {
            parallelism: count(&spec["parallelism"], 1),
            completions: spec["completions"].as_u64(),
            backoff_limit,
            suspended: spec["suspend"] == true,
            indexed: spec["completionMode"] == "Indexed",
            restart_limit: in_place.then_some(backoff_limit),
            waits_for_ends: spec["podReplacementPolicy"] == "Failed",
            deadline: spec["activeDeadlineSeconds"]
                .as_i64()
                .map(SignedDuration::from_secs),
            started: status["startTime"].as_str().and_then(|it| it.parse().ok()),
        }
    }
}

impl Worker {
    /// Reads a pod of a job.
    pub fn of(pod: &Value) -> Self {
        let (metadata, status) = (&pod["metadata"], &pod["status"]);
        let statuses = status["containerStatuses"].as_array();
        let statuses = || statuses.into_iter().flatten();
        let terminating = metadata["deletionTimestamp"].is_string();
        let state = match status["phase"].as_str() {
            Some("Succeeded") => State::Succeeded,
            Some("Failed") => State::Failed,
            _ => State::Going,
        };
        let last = statuses()
            .filter_map(|it| {
                it["state"]["terminated"]["finishedAt"]
                    .as_str()?
                    .parse()
                    .ok()
            })
            .max();
        let deleted = metadata["deletionTimestamp"].as_str();
        let finalizers = metadata["finalizers"].as_array();
        Self {
            name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            index: metadata["annotations"][INDEX]
                .as_str()
                .and_then(|it| it.parse().ok()),
            state,
            terminating,
            ready: owned::ready_since(pod).is_some(),
            tracked: finalizers.is_some_and(|all| all.iter().any(|it| it == TRACKING)),
            restarts: statuses().map(|it| count(&it["restartCount"], 0)).sum(),
            ended: last.or_else(|| deleted.and_then(|it| it.parse().ok())),
        }
    }

    pub fn is_active(&self) -> bool {
        self.state == State::Going && !self.terminating
    }

    /// Whether it counts as failed: one that was deleted will not succeed.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed || (self.terminating && self.state != State::Succeeded)
    }
}

/// Counts the pods that have ended and were not counted yet.
pub(super) fn tally(wanted: &Wanted, mut tally: Tally, pods: &[Worker]) -> Tally {
    for pod in pods.iter().filter(|pod| pod.tracked) {
        if pod.state == State::Succeeded {
            match pod.index.filter(|_| wanted.indexed) {
                Some(index) => tally.completed.add(index),
                None => tally.succeeded += 1,
            }
        } else if pod.has_failed() && !(wanted.waits_for_ends && pod.state == State::Going) {
            tally.failed += 1;
        }
    }
    if wanted.indexed {
        tally.succeeded = tally.completed.len();
    }
    tally
}

/// What to do, given what was counted.
pub(super) fn plan(wanted: &Wanted, tally: &Tally, pods: &[Worker], now: Timestamp) -> Plan {
    let active: Vec<&Worker> = pods.iter().filter(|pod| pod.is_active()).collect();
    if let Some(verdict) = verdict(wanted, tally, &active, now) {
        return Plan {
            verdict: Some(verdict),
            ..Plan::default()
        };
    }
    let mut plan = Plan::default();
    let room = if wanted.suspended {
        0
    } else {
        room(wanted, tally, active.len() as u64)
    };
    if let (Some(deadline), Some(started), false) =
        (wanted.deadline, wanted.started, wanted.suspended)
    {
        plan.wait = Duration::try_from(deadline - now.duration_since(started)).ok();
    }
    let held = if wanted.waits_for_ends {
        let ending = |pod: &&Worker| pod.terminating && pod.state == State::Going;
        pods.iter().filter(ending).count() as u64
    } else {
        0
    };
    let held = held + active.len() as u64;
    if active.len() as u64 > room {
        let mut surplus = active;
        surplus.sort_by_key(|pod| (pod.ready, std::cmp::Reverse(pod.index)));
        let surplus_len = surplus.len() - room as usize;
        plan.delete = surplus[..surplus_len]
            .iter()
            .map(|it| it.name.clone())
            .collect();
    } else if room > held {
        let pause = backoff(pods, now);
        if pause.is_positive() {
            let pause = Duration::try_from(pause).ok();
            plan.wait = plan.wait.into_iter().chain(pause).min();
        } else {
            plan.create = places(wanted, tally, pods, room - held);
        }
    }
    plan
}

fn verdict(wanted: &Wanted, tally: &Tally, active: &[&Worker], now: Timestamp) -> Option<Verdict> {
    let complete = match wanted.completions {
        Some(completions) => tally.succeeded >= completions,
        None => tally.succeeded > 0 && active.is_empty(),
    };
    let restarts: u64 = active.iter().map(|pod| pod.restarts).sum();
    // A limit of none allows no restart; any other is reached, not passed.
    let restarted = |limit| restarts > 0 && restarts >= limit;
    let too_often =
        tally.failed > wanted.backoff_limit || wanted.restart_limit.is_some_and(restarted);
    let late = match (wanted.deadline, wanted.started) {
        (Some(deadline), Some(started)) => {
            !wanted.suspended && now.duration_since(started) >= deadline
        }
        _ => false,
    };
    let failed = |reason, message| {
        Some(Verdict {
            success: false,
            reason,
            message,
        })
    };
    if too_often {
        failed(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
    } else if late {
        failed(
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        )
    } else {
        complete.then_some(Verdict {
            success: true,
            reason: "CompletionsReached",
            message: "Reached expected number of succeeded pods",
        })
    }
}

/// How many pods may work at a time.
fn room(wanted: &Wanted, tally: &Tally, active: u64) -> u64 {
    match wanted.completions {
        Some(completions) => completions
            .saturating_sub(tally.succeeded)
            .min(wanted.parallelism),
        // One has found nothing left to do: the others end by themselves.
        None if tally.succeeded > 0 => active.min(wanted.parallelism),
        None => wanted.parallelism,
    }
}

/// The indexes that new pods work on, or as many nones.
fn places(wanted: &Wanted, tally: &Tally, pods: &[Worker], most: u64) -> Vec<Option<u64>> {
    if !wanted.indexed {
        return vec![None; most as usize];
    }
    let taken = |index: u64| {
        let works = |pod: &Worker| {
            let ending = wanted.waits_for_ends && pod.terminating && pod.state == State::Going;
            pod.index == Some(index) && (pod.is_active() || ending)
        };
        tally.completed.contains(index) || pods.iter().any(works)
    };
    (0..wanted.completions.unwrap_or(0))
        .filter(|index| !taken(*index))
        .take(most as usize)
        .map(Some)
        .collect()
}

/// How long no new pod is made, after pods have failed one after another.
fn backoff(pods: &[Worker], now: Timestamp) -> SignedDuration {
    let last_success = pods
        .iter()
        .filter(|pod| pod.state == State::Succeeded)
        .filter_map(|pod| pod.ended)
        .max();
    let failures: Vec<Timestamp> = pods
        .iter()
        .filter(|pod| pod.state == State::Failed)
        .filter_map(|pod| pod.ended)
        .filter(|at| last_success.is_none_or(|success| *at > success))
        .collect();
    let Some(newest) = failures.iter().max() else {
        return SignedDuration::ZERO;
    };
    let doublings = u32::try_from(failures.len() - 1)
        .unwrap_or(u32::MAX)
        .min(10);
    let wait = (BACKOFF * (1_i32 << doublings)).min(LONGEST_BACKOFF);
    wait - now.duration_since(*newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn wanted(parallelism: u64, completions: Option<u64>) -> Wanted {
        Wanted {
            parallelism,
            completions,
            backoff_limit: 6,
            suspended: false,
            indexed: false,
            restart_limit: None,
            waits_for_ends: false,
            deadline: None,
            started: Some(now()),
        }
    }

    fn pod(state: State) -> Worker {
        Worker {
            name: "j-x".to_owned(),
            index: None,
            state,
            terminating: false,
            ready: false,
            tracked: true,
            restarts: 0,
            ended: None,
        }
    }

    fn at(index: u64, state: State) -> Worker {
        Worker {
            index: Some(index),
            ..pod(state)
        }
    }

    /// Counts, then plans.
    fn next(wanted: &Wanted, pods: &[Worker]) -> Plan {
        let tally = tally(wanted, Tally::default(), pods);
        plan(wanted, &tally, pods, now())
    }

    #[test]
    fn as_many_work_as_may_and_no_more_than_are_needed() {
        assert_eq!(next(&wanted(2, Some(3)), &[]).create.len(), 2);
        let one_left = [pod(State::Succeeded), pod(State::Succeeded)];
        assert_eq!(next(&wanted(2, Some(3)), &one_left).create.len(), 1);
        let busy = [pod(State::Going), pod(State::Going)];
        assert_eq!(next(&wanted(2, Some(3)), &busy), Plan::default());
        // Fewer may work now than do.
        assert_eq!(next(&wanted(1, Some(3)), &busy).delete.len(), 1);
    }

    #[test]
    fn enough_successes_complete_it() {
        let done = next(&wanted(1, Some(1)), &[pod(State::Succeeded)]);
        assert_eq!(done.verdict.unwrap().reason, "CompletionsReached");
        // Without a number one success is enough, once the others have ended.
        let queue = wanted(2, None);
        let half = [pod(State::Succeeded), pod(State::Going)];
        assert_eq!(next(&queue, &half), Plan::default());
        let all = [pod(State::Succeeded), pod(State::Failed)];
        assert!(next(&queue, &all).verdict.unwrap().success);
    }

    #[test]
    fn more_failures_than_allowed_fail_it() {
        let strict = Wanted {
            backoff_limit: 0,
            ..wanted(1, Some(1))
        };
        let plan = next(&strict, &[pod(State::Failed)]);
        assert_eq!(plan.verdict.unwrap().reason, "BackoffLimitExceeded");
        // One that was deleted counts, and is replaced at once.
        let deleted = Worker {
            terminating: true,
            ..pod(State::Going)
        };
        let plan = next(&wanted(1, Some(1)), std::slice::from_ref(&deleted));
        assert_eq!(plan.create.len(), 1);
        assert!(next(&strict, &[deleted]).verdict.is_some());
        // Restarts in place count while the pod still runs.
        let in_place = Wanted {
            restart_limit: Some(2),
            ..wanted(1, Some(1))
        };
        let restarted = |restarts| Worker {
            restarts,
            ..pod(State::Going)
        };
        assert!(next(&in_place, &[restarted(1)]).verdict.is_none());
        assert!(next(&in_place, &[restarted(2)]).verdict.is_some());
    }

    #[test]
    fn what_was_counted_is_not_counted_again() {
        let counted = Worker {
            tracked: false,
            ..pod(State::Failed)
        };
        let before = Tally {
            failed: 1,
            ..Tally::default()
        };
        assert_eq!(
            tally(&wanted(1, Some(1)), before.clone(), &[counted]),
            before
        );
    }

    #[test]
    fn a_failed_pod_is_replaced_after_a_while_that_doubles() {
        let ago = |seconds: i64| Worker {
            ended: Some(now() - SignedDuration::from_secs(seconds)),
            ..pod(State::Failed)
        };
        let one = wanted(1, Some(1));
        assert_eq!(next(&one, &[ago(4)]).wait, Some(Duration::from_secs(6)));
        assert_eq!(next(&one, &[ago(10)]).create.len(), 1);
        let twice = next(&one, &[ago(30), ago(10)]);
        assert_eq!(twice.wait, Some(Duration::from_secs(10)));
    }

    #[test]
    fn indexes_are_worked_on_once_each() {
        let indexed = Wanted {
            indexed: true,
            ..wanted(2, Some(4))
        };
        let pods = [at(0, State::Succeeded), at(2, State::Going)];
        assert_eq!(next(&indexed, &pods).create, [Some(1)]);
        let twice = [at(0, State::Succeeded), at(0, State::Succeeded)];
        let counted = tally(&indexed, Tally::default(), &twice);
        assert_eq!(
            (counted.succeeded, counted.completed.to_string()),
            (1, "0".to_owned())
        );
    }

    #[test]
    fn a_deadline_ends_it_and_suspension_stops_the_clock() {
        let late = Wanted {
            deadline: Some(SignedDuration::from_secs(5)),
            started: Some(now() - SignedDuration::from_secs(5)),
            ..wanted(1, Some(1))
        };
        let plan = next(&late, &[pod(State::Going)]);
        assert_eq!(plan.verdict.unwrap().reason, "DeadlineExceeded");
        let suspended = Wanted {
            suspended: true,
            ..late
        };
        let plan = next(&suspended, &[pod(State::Going)]);
        assert_eq!((plan.verdict, plan.delete.len()), (None, 1));
    }

    #[test]
    fn an_ending_pod_holds_its_place_where_that_is_asked_for() {
        let ending = Worker {
            terminating: true,
            ..pod(State::Going)
        };
        let careful = Wanted {
            waits_for_ends: true,
            ..wanted(1, Some(1))
        };
        assert_eq!(next(&careful, &[ending]), Plan::default());
    }
}

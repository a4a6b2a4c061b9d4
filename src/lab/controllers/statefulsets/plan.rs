//! What a stateful set does next: decided from what its pods are, without
//! touching anything.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::lab::controllers::owned::{self, count};

/// Label of a pod with the name of the revision it was made from.
pub(super) const REVISION: &str = "controller-revision-hash";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Ordinal of the first pod.
    pub start: u64,
    /// How many pods.
    pub replicas: u64,
    /// One after another, each only when those before it are available.
    pub ordered: bool,
    /// How many of the first pods keep the current revision in an update; none
    /// when pods are replaced only once somebody else deletes them.
    pub partition: Option<u64>,
    /// Name of the newest revision.
    pub update: String,
}

/// One pod, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replica {
    pub name: String,
    pub ordinal: u64,
    pub revision: String,
    /// It has succeeded or failed, and will not run again.
    pub ended: bool,
    pub terminating: bool,
    pub ready: bool,
    /// How long it must stay ready yet before it counts as available.
    pub available_in: Option<Duration>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the pod of an ordinal, from the newest revision or the current one.
    Create { ordinal: u64, newest: bool },
    /// Delete a pod whose place stays.
    Replace { name: String, ended: bool },
    /// Delete a pod whose place is given up.
    GiveUp { name: String, ordinal: u64 },
}

impl Wanted {
    /// Reads a stateful set.
    pub fn of(set: &Value, update: &str) -> Self {
        let spec = &set["spec"];
        let rolling = spec["updateStrategy"]["type"] != "OnDelete";
        Self {
            start: count(&spec["ordinals"]["start"], 0),
            replicas: count(&spec["replicas"], 1),
            ordered: spec["podManagementPolicy"] != "Parallel",
            partition: rolling
                .then(|| count(&spec["updateStrategy"]["rollingUpdate"]["partition"], 0)),
            update: update.to_owned(),
        }
    }

    fn covers(&self, ordinal: u64) -> bool {
        (self.start..self.start + self.replicas).contains(&ordinal)
    }

    /// Whether the pod of an ordinal is made from the newest revision.
    fn is_newest(&self, ordinal: u64) -> bool {
        self.partition
            .is_none_or(|partition| ordinal >= self.start + partition)
    }
}

impl Replica {
    /// Reads a pod of the set `set`; none when its name is not that of one.
    pub fn of(set: &str, minimum: SignedDuration, pod: &Value, now: Timestamp) -> Option<Self> {
        let name = pod["metadata"]["name"].as_str()?;
        let phase = pod["status"]["phase"].as_str();
        let terminating = pod["metadata"]["deletionTimestamp"].is_string();
        let since = owned::ready_since(pod).filter(|_| phase == Some("Running") && !terminating);
        let left = since.map(|since| minimum - now.duration_since(since));
        Some(Self {
            name: name.to_owned(),
            ordinal: ordinal(set, name)?,
            revision: pod["metadata"]["labels"][REVISION]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            ended: matches!(phase, Some("Succeeded" | "Failed")),
            terminating,
            ready: since.is_some(),
            available_in: left
                .filter(SignedDuration::is_positive)
                .and_then(|left| Duration::try_from(left).ok()),
        })
    }
}

impl Replica {
    pub fn is_available(&self) -> bool {
        self.ready && self.available_in.is_none()
    }
}

/// The ordinal in the name of a pod of the set `set`.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<u64> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    (plain && canonical).then(|| digits.parse().ok()).flatten()
}

/// The next steps; none when all is as it should be, or when something must
/// happen by itself first.
pub(super) fn plan(wanted: &Wanted, pods: &[Replica]) -> Vec<Step> {
    let mut steps = Vec::new();
    if !fill(wanted, pods, &mut steps) {
        return steps;
    }
    if !shrink(wanted, pods, &mut steps) {
        return steps;
    }
    steps.extend(update(wanted, pods));
    steps
}

/// Makes what is missing; whether what follows may be done now.
fn fill(wanted: &Wanted, pods: &[Replica], steps: &mut Vec<Step>) -> bool {
    for ordinal in wanted.start..wanted.start + wanted.replicas {
        let pod = pods.iter().find(|pod| pod.ordinal == ordinal);
        let settled = match pod {
            None => {
                let newest = wanted.is_newest(ordinal);
                steps.push(Step::Create { ordinal, newest });
                false
            }
            Some(pod) if pod.ended && !pod.terminating => {
                let name = pod.name.clone();
                steps.push(Step::Replace { name, ended: true });
                false
            }
            Some(pod) => pod.is_available(),
        };
        if wanted.ordered && !settled {
            return false;
        }
    }
    true
}

/// Gives up what is too much, the highest ordinal first; whether what follows
/// may be done now.
fn shrink(wanted: &Wanted, pods: &[Replica], steps: &mut Vec<Step>) -> bool {
    let mut surplus: Vec<&Replica> = pods
        .iter()
        .filter(|pod| !wanted.covers(pod.ordinal))
        .collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(pod.ordinal));
    // An unhealthy pod may go, but only after all healthier ones above it.
    let first_unhealthy = surplus.iter().rev().find(|pod| !pod.is_available());
    let first_unhealthy = first_unhealthy.map(|pod| pod.ordinal);
    for pod in surplus {
        let stuck = !pod.is_available() && first_unhealthy != Some(pod.ordinal);
        if !(pod.terminating || wanted.ordered && stuck) {
            let (name, ordinal) = (pod.name.clone(), pod.ordinal);
            steps.push(Step::GiveUp { name, ordinal });
        }
        if wanted.ordered {
            return false;
        }
    }
    true
}

/// Replaces the highest pod of an older revision, once all above it are well.
fn update(wanted: &Wanted, pods: &[Replica]) -> Option<Step> {
    let lowest = wanted.start + wanted.partition?;
    for ordinal in (lowest..wanted.start + wanted.replicas).rev() {
        let pod = pods.iter().find(|pod| pod.ordinal == ordinal)?;
        if pod.terminating {
            return None;
        }
        if pod.revision != wanted.update {
            let (name, ended) = (pod.name.clone(), false);
            return Some(Step::Replace { name, ended });
        }
        if !pod.is_available() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(replicas: u64) -> Wanted {
        Wanted {
            start: 0,
            replicas,
            ordered: true,
            partition: Some(0),
            update: "new".to_owned(),
        }
    }

    fn pod(ordinal: u64, revision: &str) -> Replica {
        Replica {
            name: format!("web-{ordinal}"),
            ordinal,
            revision: revision.to_owned(),
            ended: false,
            terminating: false,
            ready: true,
            available_in: None,
        }
    }

    fn unready(ordinal: u64, revision: &str) -> Replica {
        Replica {
            ready: false,
            ..pod(ordinal, revision)
        }
    }

    fn terminating(ordinal: u64, revision: &str) -> Replica {
        Replica {
            terminating: true,
            ..unready(ordinal, revision)
        }
    }

    /// The steps as short words.
    fn steps(wanted: &Wanted, pods: &[Replica]) -> Vec<String> {
        let word = |step: Step| match step {
            Step::Create { ordinal, newest } => {
                format!("+{ordinal}{}", if newest { "" } else { " old" })
            }
            Step::Replace { name, ended } => {
                format!("!{name}{}", if ended { " ended" } else { "" })
            }
            Step::GiveUp { name, .. } => format!("-{name}"),
        };
        plan(wanted, pods).into_iter().map(word).collect()
    }

    #[test]
    fn pods_come_one_after_another_and_each_waits_for_the_one_before() {
        let wanted = wanted(3);
        assert_eq!(steps(&wanted, &[]), ["+0"]);
        assert_eq!(steps(&wanted, &[unready(0, "new")]), [""; 0]);
        assert_eq!(steps(&wanted, &[pod(0, "new")]), ["+1"]);
        // The first one went: it comes back before any other is made.
        assert_eq!(steps(&wanted, &[pod(1, "new")]), ["+0"]);
        assert_eq!(
            steps(&wanted, &[terminating(0, "new"), pod(1, "new")]),
            [""; 0]
        );
    }

    #[test]
    fn in_parallel_all_come_and_go_at_once() {
        let parallel = Wanted {
            ordered: false,
            ..wanted(3)
        };
        assert_eq!(steps(&parallel, &[]), ["+0", "+1", "+2"]);
        let none = Wanted {
            replicas: 0,
            ..parallel
        };
        let pods = [pod(0, "new"), unready(1, "new"), terminating(2, "new")];
        assert_eq!(steps(&none, &pods), ["-web-1", "-web-0"]);
    }

    #[test]
    fn the_highest_goes_first_and_the_next_only_when_it_is_gone() {
        let one = wanted(1);
        let three = [pod(0, "new"), pod(1, "new"), pod(2, "new")];
        assert_eq!(steps(&one, &three), ["-web-2"]);
        let ending = [pod(0, "new"), pod(1, "new"), terminating(2, "new")];
        assert_eq!(steps(&one, &ending), [""; 0]);
        assert_eq!(steps(&one, &three[..2]), ["-web-1"]);
        // One that is not well goes too, but not while a lower one is not well.
        let sick = [pod(0, "new"), pod(1, "new"), unready(2, "new")];
        assert_eq!(steps(&one, &sick), ["-web-2"]);
        let both = [pod(0, "new"), unready(1, "new"), unready(2, "new")];
        assert_eq!(steps(&one, &both), [""; 0]);
        // Nothing goes while one that stays is not well.
        let lower = [unready(0, "new"), pod(1, "new")];
        assert_eq!(steps(&one, &lower), [""; 0]);
    }

    #[test]
    fn an_update_goes_from_the_highest_down_to_the_partition() {
        let all = wanted(3);
        let old = [pod(0, "old"), pod(1, "old"), pod(2, "old")];
        assert_eq!(steps(&all, &old), ["!web-2"]);
        assert_eq!(steps(&all, &old[..2]), ["+2"]);
        assert_eq!(
            steps(&all, &[pod(0, "old"), pod(1, "old"), unready(2, "new")]),
            [""; 0]
        );
        assert_eq!(
            steps(&all, &[pod(0, "old"), pod(1, "old"), pod(2, "new")]),
            ["!web-1"]
        );
        let some = Wanted {
            partition: Some(2),
            ..wanted(3)
        };
        assert_eq!(steps(&some, &old), ["!web-2"]);
        assert_eq!(
            steps(&some, &[pod(0, "old"), pod(1, "old"), pod(2, "new")]),
            [""; 0]
        );
        // Below the partition a lost pod comes back as it was.
        assert_eq!(steps(&some, &[pod(0, "old"), pod(2, "new")]), ["+1 old"]);
    }

    #[test]
    fn on_delete_replaces_only_what_somebody_deleted() {
        let wanted = Wanted {
            partition: None,
            ..wanted(2)
        };
        assert_eq!(steps(&wanted, &[pod(0, "old"), pod(1, "old")]), [""; 0]);
        assert_eq!(steps(&wanted, &[pod(0, "old")]), ["+1"]);
    }

    #[test]
    fn a_pod_that_has_ended_is_replaced() {
        let ended = Replica {
            ended: true,
            ..unready(0, "new")
        };
        assert_eq!(steps(&wanted(2), &[ended]), ["!web-0 ended"]);
    }

    #[test]
    fn ordinals_start_where_they_are_told() {
        let wanted = Wanted {
            start: 5,
            ..wanted(2)
        };
        assert_eq!(steps(&wanted, &[]), ["+5"]);
        assert_eq!(
            steps(&wanted, &[pod(0, "new"), pod(5, "new"), pod(6, "new")]),
            ["-web-0"]
        );
    }

    #[test]
    fn only_a_name_with_its_ordinal_is_one_of_the_set() {
        assert_eq!(ordinal("web", "web-0"), Some(0));
        assert_eq!(ordinal("web", "web-12"), Some(12));
        for other in [
            "web", "web-", "web-a", "web-01", "web-x-0", "webs-0", "web-+1",
        ] {
            assert_eq!(ordinal("web", other), None, "{other}");
        }
    }
}

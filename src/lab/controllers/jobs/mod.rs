//! Jobs: pods that are to end, until enough of them have succeeded.
//!
//! A job's pods carry a finalizer until the job has counted them, so that none
//! is lost that somebody deletes in the moment it ends.

mod indexes;
mod plan;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::indexes::Indexes;
use self::plan::{INDEX, State, TRACKING, Tally, Verdict, Wanted, Worker};
use super::conditions;
use super::owned::{self, count};
use crate::lab::kinds::Resource;
use crate::lab::recorder::{Note, Recorder, Severity};
use crate::lab::store::{Deletion, Key, Store, StoreError, timestamp};

/// Counts what has ended, makes the next steps and writes the status. Says how
/// long to wait when time alone will change something.
pub fn reconcile(store: &Store, key: &Key, job: &Value) -> Option<Duration> {
    let others = job["spec"]["managedBy"].as_str();
    let others = others.is_some_and(|it| it != "kubernetes.io/job-controller");
    if others || job["metadata"]["deletionTimestamp"].is_string() {
        return None;
    }
    let look = Look {
        store,
        key,
        job,
        wanted: Wanted::of(job),
        recorder: Recorder::new(store.clone(), "job-controller", None),
    };
    if let Some(ended) = ended_at(job) {
        look.release_all();
        return look.expire(ended);
    }
    let workers = look.workers();
    let tally = plan::tally(&look.wanted, look.counted(), &workers);
    let plan = match look.decided() {
        Some(verdict) => plan::Plan {
            verdict: Some(verdict),
            ..plan::Plan::default()
        },
        None => plan::plan(&look.wanted, &tally, &workers, Timestamp::now()),
    };
    for index in &plan.create {
        look.create(*index);
    }
    for name in &plan.delete {
        // It has done nothing wrong: it counts neither way.
        look.release(name);
        look.delete(name);
    }
    if plan.verdict.is_some() {
        for worker in workers.iter().filter(|it| it.is_active()) {
            look.delete(&worker.name);
        }
    }
    look.write_status(&tally, plan.verdict.as_ref());
    for worker in workers.iter().filter(|it| it.tracked) {
        if worker.state != State::Going || (worker.has_failed() && !look.wanted.waits_for_ends) {
            look.release(&worker.name);
        }
    }
    plan.wait
}

/// Lets a pod go that its job will not count any more.
pub fn release_forgotten(store: &Store, key: &Key, pod: &Value) {
    let finalizers = pod["metadata"]["finalizers"].as_array();
    if !finalizers.is_some_and(|all| all.iter().any(|it| it == TRACKING)) {
        return;
    }
    let counts = owned::owners(pod).any(|owner| {
        let job = store.get(&Key::new(owner.resource, &key.namespace, &owner.name));
        owner.controller
            && job.is_some_and(|job| {
                job["metadata"]["uid"] == owner.uid.as_str()
                    && !job["metadata"]["deletionTimestamp"].is_string()
            })
    });
    if !counts {
        untrack(store, key);
    }
}

fn untrack(store: &Store, key: &Key) {
    // Gone in the meantime: nothing left to let go.
    let _ = store.update_with(key, |pod| {
        if let Some(finalizers) = pod["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|it| it != TRACKING);
            if finalizers.is_empty()
                && let Some(metadata) = pod["metadata"].as_object_mut()
            {
                metadata.remove("finalizers");
            }
        }
        Ok::<(), StoreError>(())
    });
}

/// When a job was complete or failed.
fn ended_at(job: &Value) -> Option<Timestamp> {
    let since = ["Complete", "Failed"]
        .into_iter()
        .find_map(|kind| conditions::since(&job["status"], kind, "True"))?;
    since.parse().ok()
}

/// A job at one look.
struct Look<'a> {
    store: &'a Store,
    key: &'a Key,
    job: &'a Value,
    wanted: Wanted,
    recorder: Recorder,
}

impl Look<'_> {
    fn workers(&self) -> Vec<Worker> {
        let pods = owned::claimed(self.store, self.job, Resource::Pods);
        pods.iter().map(|pod| Worker::of(pod)).collect()
    }

    /// What earlier looks have counted.
    fn counted(&self) -> Tally {
        let status = &self.job["status"];
        Tally {
            succeeded: count(&status["succeeded"], 0),
            failed: count(&status["failed"], 0),
            completed: Indexes::parse(status["completedIndexes"].as_str().unwrap_or_default()),
        }
    }

    /// The verdict of an earlier look, whose pods have not all ended yet.
    fn decided(&self) -> Option<Verdict> {
        let status = &self.job["status"];
        if conditions::since(status, "SuccessCriteriaMet", "True").is_some() {
            return Some(Verdict {
                success: true,
                reason: "CompletionsReached",
                message: "Reached expected number of succeeded pods",
            });
        }
        let failed = conditions::find(status, "FailureTarget")?;
        Some(if failed["reason"] == "DeadlineExceeded" {
            Verdict {
                success: false,
                reason: "DeadlineExceeded",
                message: "Job was active longer than specified deadline",
            }
        } else {
            Verdict {
                success: false,
                reason: "BackoffLimitExceeded",
                message: "Job has reached the specified backoff limit",
            }
        })
    }

    fn pod_key(&self, name: &str) -> Key {
        Key::new(Resource::Pods, &self.key.namespace, name)
    }

    fn create(&self, index: Option<u64>) {
        let job = &self.key.name;
        let prefix = match index {
            Some(index) => format!("{job}-{index}-"),
            None => format!("{job}-"),
        };
        let template = &self.job["spec"]["template"];
        let made = owned::create_generated(
            self.store,
            &self.recorder,
            self.job,
            template,
            &prefix,
            |pod| {
                pod["metadata"]["finalizers"] = json!([TRACKING]);
                if let Some(index) = index {
                    give_index(pod, job, index);
                }
            },
        );
        if let Some(pod) = made {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let message = format!("Created pod: {name}");
            self.recorder.normal(self.job, "SuccessfulCreate", &message);
        }
    }

    fn delete(&self, name: &str) {
        let deleted = self.store.delete(&self.pod_key(name), &Deletion::default());
        if deleted.is_ok() {
            let message = format!("Deleted pod: {name}");
            self.recorder.normal(self.job, "SuccessfulDelete", &message);
        }
    }

    fn release(&self, name: &str) {
        untrack(self.store, &self.pod_key(name));
    }

    fn release_all(&self) {
        for worker in self.workers().iter().filter(|it| it.tracked) {
            self.release(&worker.name);
        }
    }

    /// Deletes a job that has ended long enough ago, if it is to go by itself.
    fn expire(&self, ended: Timestamp) -> Option<Duration> {
        let kept = self.job["spec"]["ttlSecondsAfterFinished"].as_i64()?;
        let left = SignedDuration::from_secs(kept) - Timestamp::now().duration_since(ended);
        if left.is_positive() {
            return Duration::try_from(left).ok();
        }
        let how = Deletion {
            foreground: true,
            ..Deletion::default()
        };
        // Somebody else may have deleted it: just as well.
        let _ = self.store.delete(self.key, &how);
        None
    }

    fn write_status(&self, tally: &Tally, verdict: Option<&Verdict>) {
        let workers = self.workers();
        let going = |it: &&Worker| it.state == State::Going;
        let number = |counts: &dyn Fn(&Worker) -> bool| {
            workers.iter().filter(going).filter(|it| counts(it)).count() as u64
        };
        let ended = workers.iter().all(|it| it.state != State::Going);
        let now = json!(timestamp(Timestamp::now()));
        let mut said = Vec::new();
        // Gone in the meantime: nobody asks for its status.
        let _ = self.store.update_with(self.key, |job| {
            let status = &mut job["status"];
            if status.is_null() {
                *status = json!({});
            }
            for (field, number) in [
                ("active", number(&|it| !it.terminating)),
                ("succeeded", tally.succeeded),
                ("failed", tally.failed),
            ] {
                match (number, status.as_object_mut()) {
                    (0, Some(status)) => {
                        // Zero is left out, as the API does.
                        status.remove(field);
                    }
                    _ => status[field] = json!(number),
                }
            }
            status["ready"] = json!(number(&|it| it.ready && !it.terminating));
            status["terminating"] = json!(number(&|it| it.terminating));
            status["uncountedTerminatedPods"] = json!({});
            if self.wanted.indexed {
                status["completedIndexes"] = json!(tally.completed.to_string());
            }
            self.suspend(status, &now, &mut said);
            if let Some(verdict) = verdict {
                conclude(status, verdict, ended, &now, &mut said);
            }
            Ok::<(), StoreError>(())
        });
        for (severity, reason, message) in said {
            let note = Note {
                severity,
                reason,
                message,
                part: "",
            };
            self.recorder.record(self.job, note);
        }
    }

    /// Starts the clock, or stops it.
    fn suspend(&self, status: &mut Value, now: &Value, said: &mut Vec<Said>) {
        let was = conditions::since(status, "Suspended", "True").is_some();
        if self.wanted.suspended {
            if let Some(status) = status.as_object_mut() {
                status.remove("startTime");
            }
            if !was {
                let told = ("JobSuspended", "Job suspended");
                conditions::put(status, &condition("Suspended", "True", told));
                said.push((Severity::Normal, "Suspended", "Job suspended"));
            }
            return;
        }
        if was {
            let told = ("JobResumed", "Job resumed");
            conditions::put(status, &condition("Suspended", "False", told));
            said.push((Severity::Normal, "Resumed", "Job resumed"));
        }
        if !status["startTime"].is_string() {
            status["startTime"] = now.clone();
        }
    }
}

/// An event to be told when the status is written.
type Said = (Severity, &'static str, &'static str);

fn condition(kind: &str, status: &str, told: (&str, &str)) -> Value {
    json!({
        "type": kind, "status": status, "reason": told.0, "message": told.1,
        "lastProbeTime": timestamp(Timestamp::now()),
    })
}

/// Writes the verdict: first that it is decided, then, when no pod runs any
/// more, that it is over.
fn conclude(status: &mut Value, verdict: &Verdict, ended: bool, now: &Value, said: &mut Vec<Said>) {
    let told = (verdict.reason, verdict.message);
    let (decided, over) = if verdict.success {
        ("SuccessCriteriaMet", "Complete")
    } else {
        ("FailureTarget", "Failed")
    };
    conditions::put(status, &condition(decided, "True", told));
    if !ended {
        return;
    }
    conditions::put(status, &condition(over, "True", told));
    if verdict.success {
        status["completionTime"] = now.clone();
        said.push((Severity::Normal, "Completed", "Job completed"));
    } else {
        said.push((Severity::Warning, verdict.reason, verdict.message));
    }
}

/// Tells a pod which index it works on.
fn give_index(pod: &mut Value, job: &str, index: u64) {
    let text = json!(index.to_string());
    pod["metadata"]["annotations"][INDEX] = text.clone();
    pod["metadata"]["labels"][INDEX] = text;
    pod["spec"]["hostname"] = json!(format!("{job}-{index}"));
    let variable = json!({
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {
            "apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']"),
        }},
    });
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"][list].as_array_mut();
        for container in containers.into_iter().flatten() {
            match container["env"].as_array_mut() {
                Some(env) if env.iter().any(|it| it["name"] == variable["name"]) => {}
                Some(env) => env.push(variable.clone()),
                None => container["env"] = json!([variable]),
            }
        }
    }
}

#[cfg(test)]
mod tests;

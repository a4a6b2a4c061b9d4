//! Probes: whether a container has started, is alive, is ready.
//!
//! Until the startup probe has passed, the other two wait. A liveness or
//! startup probe that fails too often in a row ends the execution; readiness
//! only says whether the pod is to be sent work.

use std::future::pending;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Probe};
use tokio::time::{Instant, MissedTickBehavior};

use super::handlers::{Action, Outcome};
use super::pod::Worker;
use crate::lab::recorder::Severity;
use crate::lab::runtime::Container;

/// An execution that is not to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sick {
    /// Message of the event that says so.
    pub message: String,
    /// The probe's own grace, if it has one.
    pub grace: Option<Duration>,
}

/// What a probe's results in a row make known.
#[derive(Debug)]
struct Counter {
    success: u32,
    failure: u32,
    last: Option<bool>,
    run: u32,
}

impl Counter {
    fn new(probe: &Probe) -> Self {
        let threshold = |value: Option<i32>, default| value.unwrap_or(default).max(1) as u32;
        Self {
            success: threshold(probe.success_threshold, 1),
            failure: threshold(probe.failure_threshold, 3),
            last: None,
            run: 0,
        }
    }

    /// Counts a result; gives a verdict once there are enough of a kind.
    fn count(&mut self, passed: bool) -> Option<bool> {
        if self.last == Some(passed) {
            self.run += 1;
        } else {
            self.last = Some(passed);
            self.run = 1;
        }
        let needed = if passed { self.success } else { self.failure };
        (self.run >= needed).then_some(passed)
    }
}

/// One probe of one execution.
struct Watch<'a> {
    worker: &'a Worker,
    spec: &'a ContainerSpec,
    container: &'a Container,
    probe: &'a Probe,
    /// How events call it.
    kind: &'static str,
    counter: Counter,
    ticks: tokio::time::Interval,
}

impl Watch<'_> {
    /// The next verdict.
    async fn verdict(&mut self) -> bool {
        let Some(action) = Action::of_probe(self.probe) else {
            return pending().await;
        };
        let limit = seconds(self.probe.timeout_seconds, 1);
        loop {
            self.ticks.tick().await;
            let done = self
                .worker
                .perform(self.spec, self.container, action, Some(limit));
            let passed = match done.await {
                Outcome::Success => true,
                Outcome::Failure(why) => {
                    self.unhealthy(&format!("{} probe failed: {why}", self.kind));
                    false
                }
                // Not counted: it says nothing of the container.
                Outcome::Unknown(why) => {
                    self.unhealthy(&format!(
                        "{} probe errored and resulted in unknown state: {why}",
                        self.kind
                    ));
                    continue;
                }
            };
            if let Some(verdict) = self.counter.count(passed) {
                return verdict;
            }
        }
    }

    fn unhealthy(&self, message: &str) {
        let name = Some(self.spec.name.as_str());
        self.worker
            .record(name, Severity::Warning, "Unhealthy", message.trim_end());
    }

    fn sick(&self) -> Sick {
        let kind = self.kind.to_lowercase();
        let grace = self.probe.termination_grace_period_seconds;
        Sick {
            message: format!(
                "Container {} failed {kind} probe, will be restarted",
                self.spec.name
            ),
            grace: grace.map(|seconds| Duration::from_secs(seconds.max(0) as u64)),
        }
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.map_or(default, |value| value.max(0) as u64))
}

impl Worker {
    /// Probes a running container until it is sick, which may be never.
    pub(super) async fn attend(
        &self,
        index: usize,
        spec: &ContainerSpec,
        container: &Container,
    ) -> Sick {
        let born = Instant::now();
        let watch = |probe, kind| self.watch(spec, container, probe, kind, born);
        if let Some(probe) = &spec.startup_probe {
            let mut startup = watch(probe, "Startup");
            if !startup.verdict().await {
                return startup.sick();
            }
            self.change(index, |unit| unit.started = true);
        }
        let alive = async {
            let Some(probe) = &spec.liveness_probe else {
                return pending().await;
            };
            let mut liveness = watch(probe, "Liveness");
            while liveness.verdict().await {}
            liveness.sick()
        };
        let ready = async {
            let Some(probe) = &spec.readiness_probe else {
                return pending::<()>().await;
            };
            let mut readiness = watch(probe, "Readiness");
            loop {
                let passing = readiness.verdict().await;
                if self.unit(index).passing != passing {
                    self.change(index, |unit| unit.passing = passing);
                }
            }
        };
        tokio::select! {
            sick = alive => sick,
            () = ready => pending().await,
        }
    }

    fn watch<'a>(
        &'a self,
        spec: &'a ContainerSpec,
        container: &'a Container,
        probe: &'a Probe,
        kind: &'static str,
        born: Instant,
    ) -> Watch<'a> {
        let delay = seconds(probe.initial_delay_seconds, 0);
        let period = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
        let mut ticks = tokio::time::interval_at((born + delay).max(Instant::now()), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watch {
            worker: self,
            spec,
            container,
            probe,
            kind,
            counter: Counter::new(probe),
            ticks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_in_a_row_count() {
        let probe = Probe {
            success_threshold: Some(2),
            failure_threshold: Some(3),
            ..Probe::default()
        };
        let mut counter = Counter::new(&probe);
        let verdicts: Vec<_> = [
            true, true, false, false, true, false, false, false, false, true, true,
        ]
        .into_iter()
        .map(|passed| counter.count(passed))
        .collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(
            verdicts,
            [None, yes, None, None, None, None, None, no, no, None, yes]
        );
        let mut usual = Counter::new(&Probe::default());
        assert_eq!(usual.count(true), yes);
        assert_eq!(usual.count(false), None);
    }
}

//! How a container is brought to its end: the hook before it, the signal that
//! asks, the grace, the signal that does not ask; and what it leaves as its
//! last words.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container as ContainerSpec;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::handlers::{Action, Outcome};
use super::pod::{Desired, Worker};
use super::probes::Sick;
use crate::lab::recorder::Severity;
use crate::lab::runtime::{Container, Exit, Mount, cri};

/// After a hook that took the whole grace, a program has this long all the
/// same; the real kubelet's.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// How long a pod that is deleted can be seen at least. kubectl waits for an end
/// by name and looks a tenth of a second after it began to: a stateful set's next
/// pod of the same name would be taken for the one that is gone, and waited for
/// without end. A real node takes longer than this anyway.
const SEEN_ENDING: Duration = Duration::from_millis(250);

/// The most of a termination message that is kept, in bytes.
const LONGEST_MESSAGE: u64 = 4096;

/// The most that is taken from a log in its place: bytes and lines.
const LOG_MESSAGE: (usize, usize) = (2048, 80);

/// The time for which a deleted pod is still seen.
pub(super) struct Farewell(JoinHandle<Instant>);

impl Farewell {
    /// It begins when `asked` completes, whatever else goes on by then.
    pub fn after(asked: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            asked.await;
            Instant::now()
        }))
    }

    /// Waits until it is over.
    pub async fn over(self) {
        // Only the end of the lab ends the task before it has been asked.
        if let Ok(asked) = self.0.await {
            tokio::time::sleep_until(asked + SEEN_ENDING).await;
        }
    }
}

impl Worker {
    /// Runs the hook after a container's start; says whether it went well, or
    /// does not when the container or the pod ends meanwhile.
    pub(super) async fn post_start(&self, spec: &ContainerSpec, container: &Container) -> bool {
        let hook = spec.lifecycle.as_ref();
        let hook = hook.and_then(|it| it.post_start.as_ref());
        let Some(action) = hook.and_then(Action::of_hook) else {
            return true;
        };
        let outcome = tokio::select! {
            outcome = self.perform(spec, container, action, None) => outcome,
            _ = container.wait() => return true,
            () = self.ending() => return true,
        };
        if succeeded(action, &outcome) {
            return true;
        }
        // The real kubelet does not tell why: the answer may hold secrets.
        let (name, text) = (Some(spec.name.as_str()), "PostStartHook failed");
        self.record(name, Severity::Warning, "FailedPostStartHook", text);
        false
    }

    /// Ends a running container, because it is sick or the pod is to end, and
    /// waits until all of it is gone.
    pub(super) async fn bring_down(
        &self,
        spec: &ContainerSpec,
        container: &Container,
        sick: Option<Sick>,
    ) -> Exit {
        let mut desired = self.desired.subscribe();
        if *desired.borrow() == Desired::Stop {
            return container.kill().await;
        }
        let name = Some(spec.name.as_str());
        let usual = format!("Stopping container {}", spec.name);
        let message = sick.as_ref().map_or(&usual, |sick| &sick.message);
        self.record(name, Severity::Normal, "Killing", message);
        let own = sick.and_then(|it| it.grace).unwrap_or(self.usual_grace());
        let asked = match *desired.borrow() {
            Desired::Run => Instant::now(),
            _ => *self.asked.get_or_init(Instant::now),
        };
        let asking = self.ask_to_end(spec, container, asked, own);
        tokio::pin!(asking);
        let mut end = None;
        loop {
            // Deleting a second time may shorten the grace.
            let Some(grace) = grace(*desired.borrow_and_update(), own) else {
                return container.kill().await;
            };
            let until = (asked + grace).max(end.unwrap_or(asked));
            tokio::select! {
                exit = container.wait() => return exit,
                least = &mut asking, if end.is_none() => end = Some(least),
                () = tokio::time::sleep_until(until), if end.is_some() || grace.is_zero() => {
                    return container.kill().await;
                }
                changed = desired.changed() => if changed.is_err() {
                    return container.kill().await;
                },
            }
        }
    }

    /// Runs the hook before the end, then sends the signal that asks for it.
    /// Gives the time before which the program is not to be killed.
    async fn ask_to_end(
        &self,
        spec: &ContainerSpec,
        container: &Container,
        asked: Instant,
        own: Duration,
    ) -> Instant {
        let hook = spec.lifecycle.as_ref();
        let hook = hook.and_then(|it| it.pre_stop.as_ref());
        let mut least = asked;
        if let Some(action) = hook.and_then(Action::of_hook) {
            let mut desired = self.desired.subscribe();
            let performed = self.perform(spec, container, action, None);
            tokio::pin!(performed);
            let outcome = loop {
                let grace = grace(*desired.borrow_and_update(), own).unwrap_or_default();
                tokio::select! {
                    outcome = &mut performed => break Some(outcome),
                    () = tokio::time::sleep_until(asked + grace) => break None,
                    _ = desired.changed() => {}
                }
            };
            if outcome.is_some_and(|outcome| !succeeded(action, &outcome)) {
                let (name, text) = (Some(spec.name.as_str()), "PreStopHook failed");
                self.record(name, Severity::Warning, "FailedPreStopHook", text);
            }
            least = Instant::now() + LEAST_GRACE;
        }
        container.signal(Signal::TERM).await;
        least
    }

    /// The grace that the pod's own spec gives.
    pub(super) fn usual_grace(&self) -> Duration {
        let spec = self.pod.spec.as_ref();
        let grace = spec.and_then(|it| it.termination_grace_period_seconds);
        Duration::from_secs(grace.map_or(30, |seconds| seconds.max(0) as u64))
    }

    /// The file that a container's program leaves its last words in, empty.
    pub(super) fn last_words(&self, spec: &ContainerSpec) -> std::io::Result<Mount> {
        let base = self.directory().join("termination");
        std::fs::create_dir_all(&base)?;
        File::create(base.join(&spec.name))?;
        let target = spec.termination_message_path.as_deref();
        Ok(Mount {
            base,
            tree: None,
            inside: PathBuf::from(&spec.name),
            target: PathBuf::from(target.unwrap_or("/dev/termination-log")),
            read_only: false,
        })
    }

    /// What a program said at its end.
    pub(super) fn message(
        &self,
        spec: &ContainerSpec,
        container: &Container,
        well: bool,
    ) -> String {
        let path = self.directory().join("termination").join(&spec.name);
        let mut said = Vec::new();
        let read = File::open(path).map(|file| file.take(LONGEST_MESSAGE).read_to_end(&mut said));
        if read.is_err() || !said.is_empty() {
            return String::from_utf8_lossy(&said).into_owned();
        }
        let policy = spec.termination_message_policy.as_deref();
        if well || policy != Some("FallbackToLogsOnError") {
            return String::new();
        }
        end_of_log(&std::fs::read(container.log().current).unwrap_or_default())
    }
}

/// How long a container may take for its end; none to kill it at once.
fn grace(desired: Desired, own: Duration) -> Option<Duration> {
    match desired {
        Desired::Run => Some(own),
        Desired::End { grace } | Desired::Fail { grace } => Some(grace),
        Desired::Gone | Desired::Stop => None,
    }
}

/// A web server's answer to a hook does not matter, only that there is one.
fn succeeded(action: Action<'_>, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Success => true,
        Outcome::Failure(why) => {
            matches!(action, Action::Http(_)) && why.starts_with("HTTP probe failed")
        }
        Outcome::Unknown(_) => false,
    }
}

/// The last lines of a log, without the runtime's marks.
fn end_of_log(log: &[u8]) -> String {
    let mut text = Vec::new();
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    for line in &lines[lines.len().saturating_sub(LOG_MESSAGE.1)..] {
        if let Some(record) = cri::parse(line) {
            text.extend_from_slice(record.text);
            if !record.partial {
                text.push(b'\n');
            }
        }
    }
    let from = text.len().saturating_sub(LOG_MESSAGE.0);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deleted_pod_is_seen_for_a_moment_and_not_a_moment_longer() {
        let asked = Duration::from_secs(1);
        for (gone, seen) in [(1000, 1250), (1100, 1250), (1250, 1250), (9000, 9000)] {
            let start = Instant::now();
            let farewell = Farewell::after(tokio::time::sleep(asked));
            tokio::time::sleep(Duration::from_millis(gone)).await;
            farewell.over().await;
            // The clock of such a test is right to the millisecond.
            let took = start.elapsed().as_millis();
            assert!((seen..seen + 5).contains(&took), "gone at {gone}: {took}");
        }
    }

    #[test]
    fn the_end_of_a_log_is_short_and_bare() {
        let line = |text: &str| format!("2026-01-01T00:00:00Z stdout F {text}\n");
        let log: String = (0..100).map(|number| line(&number.to_string())).collect();
        let end = end_of_log(log.as_bytes());
        assert!(end.starts_with("20\n") && end.ends_with("99\n"), "{end}");
        let long = line(&"x".repeat(5000));
        assert_eq!(end_of_log(long.as_bytes()).len(), LOG_MESSAGE.0);
        assert_eq!(end_of_log(b""), "");
    }
}

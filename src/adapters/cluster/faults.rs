//! What the cockpit does to pods: faults, and two questions to the workload.
//!
//! The clock of a trial starts before the request is sent, because the answer
//! of an exec often dies with the container it was run in. So an answer that
//! never comes counts as sent; only a definite refusal takes the fault back.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use tokio::{sync::watch, time::sleep};

use super::{
    Context,
    access::Session,
    cast::{Cast, Player},
    exec::{self, NoOutput, Output, Place},
};
use crate::{
    adapters::sink::Closed,
    core::{
        effect::Effect,
        event::{Fact, Trouble},
        trial::{Fault, TrialId, Victim},
        workload::Role,
    },
};

/// How long a question to a container may take.
const ASK: Duration = Duration::from_secs(5);

/// How long a pod about to be deleted is asked for its process id: a nicety.
const ASK_BRIEFLY: Duration = Duration::from_secs(1);

/// How long the answer to a kill is waited for.
const KILL: Duration = Duration::from_secs(10);

/// How often, and how long apart, a recovered role is asked for its process id.
const PID_AFTER: (u32, Duration) = (20, Duration::from_millis(250));

/// What a command that was killed by a signal ends with, at least.
const BY_SIGNAL: i32 = 128;

/// Carries out one effect and answers with facts.
pub async fn carry_out(
    context: Arc<Context>,
    cast: watch::Receiver<Cast>,
    effect: Effect,
) -> Result<(), Closed> {
    let hand = Hand { context, cast };
    match effect {
        Effect::Inject {
            trial,
            fault,
            victim,
        } => hand.inject(trial, fault, victim).await,
        Effect::AskPid { trial, role } => hand.ask_pid(trial, role).await,
        Effect::FinishRun { victim } => hand.finish(&victim).await,
        Effect::Reconnect => {
            hand.context.reconnect().await;
            Ok(())
        }
        // The application's own.
        Effect::OwnLog(_) | Effect::Copy(_) | Effect::Suspend | Effect::Redraw | Effect::Quit => {
            Ok(())
        }
    }
}

struct Hand {
    context: Arc<Context>,
    cast: watch::Receiver<Cast>,
}

impl Hand {
    async fn inject(&self, trial: TrialId, fault: Fault, victim: Victim) -> Result<(), Closed> {
        let role = victim.role;
        let outcome = match fault {
            Fault::ProcessKill | Fault::ProcessTerm => self.kill(trial, fault, victim).await?,
            Fault::PodDelete => self.delete(trial, victim).await?,
        };
        if let Err(reason) = outcome {
            let refused = Fact::FaultRefused {
                trial,
                fault,
                role,
                reason,
            };
            self.context.sink.send(refused).await?;
        }
        Ok(())
    }

    /// A session to act with, unless nothing may be done.
    async fn armed(&self) -> Result<Arc<Session>, String> {
        if self.context.options.read_only {
            return Err("this cockpit is read-only; start it without --read-only".to_owned());
        }
        self.context
            .access
            .session()
            .await
            .map_err(|failure| failure.why)
    }

    /// The victim's container that runs the program: a victim may have been
    /// named by its first container, and that may be a sidecar.
    fn aim(&self, mut victim: Victim) -> Victim {
        let cast = self.cast.borrow();
        if let Some(player) = cast.player(victim.role)
            && player.uid == victim.pod_uid
        {
            victim.container.clone_from(&player.container);
        }
        victim
    }

    async fn announce(&self, trial: TrialId, fault: Fault, victim: Victim) -> Result<(), Closed> {
        let injected = Fact::FaultInjected {
            trial,
            fault,
            victim,
        };
        self.context.sink.send(injected).await
    }

    async fn kill(
        &self,
        trial: TrialId,
        fault: Fault,
        victim: Victim,
    ) -> Result<Result<(), String>, Closed> {
        let session = match self.armed().await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut victim = self.aim(victim);
        let (pod, container) = (victim.pod.clone(), victim.container.clone());
        let place = Place {
            pod: &pod,
            container: &container,
        };
        match pid_of(&session, place, victim.role, ASK).await {
            Ok(pid) => victim.pid = Some(pid),
            Err(reason) => return Ok(Err(reason)),
        }
        let command = kill_command(fault, victim.role);
        self.announce(trial, fault, victim).await?;
        let sent = exec::run(&session, place, &["sh", "-c", &command], KILL).await;
        Ok(judge(&command, sent))
    }

    async fn delete(&self, trial: TrialId, victim: Victim) -> Result<Result<(), String>, Closed> {
        let session = match self.armed().await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut victim = self.aim(victim);
        let (pod, uid) = (victim.pod.clone(), victim.pod_uid.clone());
        let container = victim.container.clone();
        let place = Place {
            pod: &pod,
            container: &container,
        };
        victim.pid = pid_of(&session, place, victim.role, ASK_BRIEFLY).await.ok();
        self.announce(trial, Fault::PodDelete, victim).await?;
        let pods: Api<Pod> = Api::namespaced(session.act.clone(), &session.namespace);
        let params = DeleteParams::default()
            .grace_period(0)
            .preconditions(Preconditions {
                uid: Some(uid),
                resource_version: None,
            });
        let what = format!("delete pod `{pod}`");
        let deleted = session.unary(&what, pods.delete(&pod, &params)).await;
        Ok(deleted.map(|_| ()).map_err(|failure| failure.why))
    }

    async fn ask_pid(&self, trial: TrialId, role: Role) -> Result<(), Closed> {
        let (attempts, apart) = PID_AFTER;
        for _ in 0..attempts {
            if let (Some(player), Ok(session)) =
                (self.player(role), self.context.access.session().await)
            {
                let place = Place {
                    pod: &player.pod,
                    container: &player.container,
                };
                if let Ok(pid) = pid_of(&session, place, role, ASK).await {
                    return self.context.sink.send(Fact::PidAfter { trial, pid }).await;
                }
            }
            sleep(apart).await;
        }
        tracing::warn!(%trial, %role, "the recovered process was not found");
        Ok(())
    }

    async fn finish(&self, victim: &Victim) -> Result<(), Closed> {
        let fact = match self.ask_to_finish(victim).await {
            Ok(()) => Fact::FinishRequested,
            Err(reason) => Fact::Trouble(Trouble::new(
                format!("the {} could not be asked to finish: {reason}", victim.role),
                "try again, or let it run",
            )),
        };
        self.context.sink.send(fact).await
    }

    async fn ask_to_finish(&self, victim: &Victim) -> Result<(), String> {
        let session = self.armed().await?;
        // The one that was meant may have been replaced meanwhile; the run is
        // the same.
        let player = self.player(victim.role);
        let place = player.as_ref().map_or(
            Place {
                pod: &victim.pod,
                container: &victim.container,
            },
            |player| Place {
                pod: &player.pod,
                container: &player.container,
            },
        );
        let command = format!("kill -USR1 $(pidof {})", victim.role.program());
        match exec::run(&session, place, &["sh", "-c", &command], KILL).await {
            // Unlike a kill, this leaves the container as it is: an answer that
            // does not come is trouble.
            Err(NoOutput::Unanswered) => Err("no answer came".to_owned()),
            Ok(Output { code, stderr, .. }) if code != 0 => Err(complaint(&command, code, &stderr)),
            other => judge(&command, other),
        }
    }

    fn player(&self, role: Role) -> Option<Player> {
        self.cast.borrow().player(role).cloned()
    }
}

fn kill_command(fault: Fault, role: Role) -> String {
    let signal = match fault.signal() {
        Some(9) => "-9 ",
        _ => "",
    };
    format!("kill {signal}$(pidof {})", role.program())
}

/// Whether a kill was refused for certain.
fn judge(command: &str, sent: Result<Output, NoOutput>) -> Result<(), String> {
    match sent {
        // The shell may die with the container that its kill ended.
        Ok(Output { code, .. }) if code == 0 || code > BY_SIGNAL => Ok(()),
        Ok(Output { code, stderr, .. }) => Err(complaint(command, code, &stderr)),
        Err(NoOutput::Unanswered) => Ok(()),
        Err(NoOutput::Refused(failure)) => Err(failure.why),
    }
}

fn complaint(command: &str, code: i32, stderr: &str) -> String {
    let said = if stderr.is_empty() {
        "it said nothing".to_owned()
    } else {
        stderr.to_owned()
    };
    match code {
        126 => format!("`{command}` is not allowed in this container (exit code 126): {said}"),
        127 => format!("the image lacks what `{command}` needs (exit code 127): {said}"),
        _ => format!("`{command}` failed with exit code {code}: {said}"),
    }
}

/// The process that runs as the role's program.
async fn pid_of(
    session: &Session,
    place: Place<'_>,
    role: Role,
    limit: Duration,
) -> Result<u32, String> {
    let program = role.program();
    let nothing = || {
        format!(
            "nothing to kill: no process named {program} runs in container `{}` of pod `{}`",
            place.container, place.pod
        )
    };
    match exec::run(session, place, &["pidof", program], limit).await {
        Ok(Output {
            code: 0, stdout, ..
        }) => stdout
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .ok_or_else(nothing),
        // `pidof` ends with 1 and says nothing when there is no such process.
        Ok(Output {
            code: 1, stderr, ..
        }) if stderr.is_empty() => Err(nothing()),
        Ok(Output { code, stderr, .. }) => {
            Err(complaint(&format!("pidof {program}"), code, &stderr))
        }
        Err(NoOutput::Refused(failure)) => Err(failure.why),
        Err(NoOutput::Unanswered) => Err(format!(
            "pod `{}` did not answer which process runs as {program} within {} s; \
             is its node well?",
            place.pod,
            limit.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::cluster::failure::{Failure, Kind};

    /// What a command that ended told; never that it told nothing.
    #[expect(clippy::unnecessary_wraps, reason = "it is compared with failures")]
    fn output(code: i32, stderr: &str) -> Result<Output, NoOutput> {
        Ok(Output {
            code,
            stdout: String::new(),
            stderr: stderr.to_owned(),
        })
    }

    #[test]
    fn the_commands_are_those_of_the_document() {
        assert_eq!(
            kill_command(Fault::ProcessKill, Role::Client),
            "kill -9 $(pidof Job)"
        );
        assert_eq!(
            kill_command(Fault::ProcessTerm, Role::Server),
            "kill $(pidof Server)"
        );
    }

    #[test]
    fn only_a_definite_refusal_is_one() {
        assert_eq!(judge("kill", output(0, "")), Ok(()));
        assert_eq!(judge("kill", output(137, "")), Ok(()));
        assert_eq!(judge("kill", Err(NoOutput::Unanswered)), Ok(()));
        for (code, hint) in [(1, "exit code 1"), (126, "not allowed"), (127, "lacks")] {
            let reason = judge("kill", output(code, "sh: no")).unwrap_err();
            assert!(
                reason.contains(hint) && reason.contains("sh: no"),
                "{reason}"
            );
        }
        let refused = NoOutput::Refused(Failure::new(Kind::Forbidden, "no exec for you"));
        assert_eq!(
            judge("kill", Err(refused)),
            Err("no exec for you".to_owned())
        );
    }
}

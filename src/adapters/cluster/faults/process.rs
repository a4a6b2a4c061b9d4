//! Signals to the processes of a container, as a person sends them: with the
//! container's own shell.

use std::time::Duration;

use super::{
    super::{
        access::Session,
        exec::{self, NoOutput, Output, Place},
        failure::Kind,
    },
    ASK, Hand, KILL, Order, Outcome,
};
use crate::{
    adapters::sink::Closed,
    core::{
        trial::{Fault, Victim},
        workload::Role,
    },
};

/// What a command that was killed by a signal ends with, at least.
const BY_SIGNAL: i32 = 128;

/// How much longer than the fault the victim's own clock waits before it lets
/// the victim go: the cockpit comes first, unless it is dead.
pub(super) const GRACE: Duration = Duration::from_secs(5);

impl Hand {
    pub(super) async fn kill(&self, mut order: Order) -> Result<Outcome, Closed> {
        let session = match self.find(&mut order).await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        let victim = order.victim.clone();
        let command = kill_command(order.fault, victim.role);
        self.announce(order).await?;
        let sent = exec::run(&session, Place::of(&victim), &["sh", "-c", &command], KILL).await;
        Ok(judge(&command, sent))
    }

    /// Stops the program. Before that a clock is started beside it that lets it
    /// go should the cockpit not live to do so.
    pub(super) async fn stop(&self, mut order: Order) -> Result<Outcome, Closed> {
        let session = match self.find(&mut order).await {
            Ok(session) => session,
            Err(reason) => return Ok(Err(reason)),
        };
        let victim = order.victim.clone();
        let place = Place::of(&victim);
        let limit = order.lasts.unwrap_or(Fault::LASTS) + GRACE;
        let clock = clock_command(limit, victim.role);
        match exec::run(&session, place, &["sh", "-c", &clock], ASK).await {
            Ok(Output { code: 0, .. }) => {}
            // Where there is no shell to keep a clock, the journal has to do.
            no_clock => tracing::warn!(?no_clock, "a stopped process has no clock beside it"),
        }
        let command = kill_command(order.fault, victim.role);
        self.announce(order).await?;
        let sent = exec::run(&session, place, &["sh", "-c", &command], KILL).await;
        Ok(match sent {
            // Nothing ends by being stopped: an answer that does not come may
            // mean anything, and the heal is sent in any case.
            Ok(Output { code, stderr, .. }) if code != 0 => Err(complaint(&command, code, &stderr)),
            sent => judge(&command, sent),
        })
    }

    /// Lets a stopped program go. One that is gone is stopped no more.
    pub(super) async fn let_go(&self, victim: &Victim) -> Outcome {
        let session = self.armed().await?;
        let mut victim = victim.clone();
        self.aim(&mut victim);
        let place = Place::of(&victim);
        let command = format!("kill -CONT $(pidof {})", victim.role.program());
        match exec::run(&session, place, &["sh", "-c", &command], ASK).await {
            Ok(Output { code: 0, .. }) => Ok(()),
            Ok(Output { code, stderr, .. }) => {
                match look_up(&session, place, victim.role, ASK).await {
                    Ok(None) => Ok(()),
                    Ok(Some(_)) => Err(complaint(&command, code, &stderr)),
                    Err(why) => Err(why),
                }
            }
            Err(NoOutput::Unanswered) => Err("no answer came".to_owned()),
            Err(NoOutput::Refused(failure)) if failure.kind == Kind::NotFound => Ok(()),
            Err(NoOutput::Refused(failure)) => Err(failure.why),
        }
    }

    /// Names the victim's process, unless nothing may or can be done to it.
    async fn find(&self, order: &mut Order) -> Result<std::sync::Arc<Session>, String> {
        let session = self.armed().await?;
        let victim = &mut order.victim;
        self.aim(victim);
        let pid = pid_of(&session, Place::of(victim), victim.role, ASK).await?;
        if pid == 1 && order.fault != Fault::ProcessTerm {
            return Err(format!(
                "{} is process 1 of its container, and Linux lets nobody inside kill or stop \
                 that; delete the pod instead",
                victim.role.program()
            ));
        }
        victim.pid = Some(pid);
        Ok(session)
    }
}

fn kill_command(fault: Fault, role: Role) -> String {
    let signal = match fault {
        // Every process but process 1 and the shell that says so.
        Fault::ContainerKill => return "kill -9 -1".to_owned(),
        Fault::ProcessKill => "-9 ",
        Fault::ProcessStop => "-STOP ",
        _ => "",
    };
    format!("kill {signal}$(pidof {})", role.program())
}

/// Leaves a clock behind that lets the program go after `limit`.
fn clock_command(limit: Duration, role: Role) -> String {
    format!(
        "(sleep {}; kill -CONT $(pidof {})) </dev/null >/dev/null 2>&1 &",
        limit.as_secs().max(1),
        role.program()
    )
}

/// Whether a kill was refused for certain.
pub(super) fn judge(command: &str, sent: Result<Output, NoOutput>) -> Result<(), String> {
    match sent {
        // The shell may die with the container that its kill ended.
        Ok(Output { code, .. }) if code == 0 || code > BY_SIGNAL => Ok(()),
        Ok(Output { code, stderr, .. }) => Err(complaint(command, code, &stderr)),
        Err(NoOutput::Unanswered) => Ok(()),
        Err(NoOutput::Refused(failure)) => Err(failure.why),
    }
}

pub(super) fn complaint(command: &str, code: i32, stderr: &str) -> String {
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
pub(super) async fn pid_of(
    session: &Session,
    place: Place<'_>,
    role: Role,
    limit: Duration,
) -> Result<u32, String> {
    let pid = look_up(session, place, role, limit).await?;
    pid.ok_or_else(|| {
        format!(
            "nothing to kill: no process named {} runs in container `{}` of pod `{}`",
            role.program(),
            place.container,
            place.pod
        )
    })
}

/// The process that runs as the role's program, if any does.
async fn look_up(
    session: &Session,
    place: Place<'_>,
    role: Role,
    limit: Duration,
) -> Result<Option<u32>, String> {
    let program = role.program();
    match exec::run(session, place, &["pidof", program], limit).await {
        Ok(Output {
            code: 0, stdout, ..
        }) => Ok(stdout.split_whitespace().find_map(|word| word.parse().ok())),
        // `pidof` ends with 1 and says nothing when there is no such process.
        Ok(Output {
            code: 1, stderr, ..
        }) if stderr.is_empty() => Ok(None),
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
        assert_eq!(
            kill_command(Fault::ProcessStop, Role::Server),
            "kill -STOP $(pidof Server)"
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

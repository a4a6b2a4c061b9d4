//! Commands in a container, as `kubectl exec` runs them, bounded in time.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    access::Session,
    failure::{Failure, Kind, quote},
};
use crate::core::trial::Victim;

/// Output that is kept of one stream, bytes.
const KEPT: u64 = 16 * 1024;

/// Where a command is run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The pod's name.
    pub pod: &'a str,
    /// The container's name.
    pub container: &'a str,
}

impl<'a> Place<'a> {
    /// Where the victim's program runs.
    pub fn of(victim: &'a Victim) -> Self {
        Self {
            pod: &victim.pod,
            container: &victim.container,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; 128 + n for signal n.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about, fit for the screen.
    pub stderr: String,
}

/// Why a command's end is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOutput {
    /// It was not started.
    Refused(Failure),
    /// It may have been started; no answer came.
    Unanswered,
}

/// Runs `command` in `place` and waits for its end, but no longer than `limit`.
pub async fn run(
    session: &Session,
    place: Place<'_>,
    command: &[&str],
    limit: Duration,
) -> Result<Output, NoOutput> {
    timeout(limit, run_unbounded(session, place, command))
        .await
        .unwrap_or(Err(NoOutput::Unanswered))
}

async fn run_unbounded(
    session: &Session,
    place: Place<'_>,
    command: &[&str],
) -> Result<Output, NoOutput> {
    let pods: Api<Pod> = Api::namespaced(session.act.clone(), &session.namespace);
    let params = AttachParams::default().container(place.container);
    let mut process = pods
        .exec(place.pod, command.iter().copied(), &params)
        .await
        .map_err(|error| {
            let what = format!("run a command in pod `{}`", place.pod);
            NoOutput::Refused(Failure::of(&what, &session.server, &error))
        })?;
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let (stdout, stderr) = tokio::join!(text(stdout), text(stderr));
    let status = status(&mut process).await.ok_or(NoOutput::Unanswered)?;
    let code = exit_code(&status).ok_or_else(|| {
        NoOutput::Refused(Failure::new(
            Kind::Other,
            not_started(place, command, status.message.as_deref()),
        ))
    })?;
    Ok(Output {
        code,
        stdout,
        stderr: quote(&stderr),
    })
}

/// Presses Enter in `place`, as `kubectl attach -i` does, and waits until its program
/// has answered, but no longer than `limit`.
///
/// # Errors
/// Why it was not pressed, as a sentence; that nothing answered.
pub async fn press_enter(
    session: &Session,
    place: Place<'_>,
    limit: Duration,
) -> Result<(), String> {
    let pods: Api<Pod> = Api::namespaced(session.act.clone(), &session.namespace);
    let params = AttachParams::default()
        .container(place.container)
        .stdin(true)
        .stderr(false);
    let press = async {
        let attached = pods.attach(place.pod, &params).await;
        let mut attached = attached.map_err(|error| {
            let what = format!("attach to pod `{}`", place.pod);
            Failure::of(&what, &session.server, &error).why
        })?;
        let streams = (attached.stdin(), attached.stdout());
        let (Some(mut stdin), Some(mut stdout)) = streams else {
            return Err("the container has no standard input".to_owned());
        };
        let sent = async {
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        sent.await.map_err(|error| error.to_string())?;
        // A connection that ends at once may take the key with it.
        match stdout.read(&mut [0; 64]).await {
            Ok(read) if read > 0 => Ok(()),
            _ => Err("it ended meanwhile".to_owned()),
        }
    };
    timeout(limit, press)
        .await
        .unwrap_or_else(|_| Err("nothing answered".to_owned()))
}

async fn text(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // A stream that breaks has said what it said.
        let _ = stream.take(KEPT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn status(process: &mut AttachedProcess) -> Option<Status> {
    process.take_status()?.await
}

/// The exit code that a status tells; none if it tells that nothing was run.
fn exit_code(status: &Status) -> Option<i32> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    status
        .details
        .as_ref()?
        .causes
        .iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))?
        .message
        .as_deref()?
        .parse()
        .ok()
}

fn not_started(place: Place<'_>, command: &[&str], message: Option<&str>) -> String {
    let message = message.unwrap_or("no reason was given");
    let program = command.first().copied().unwrap_or_default();
    let missing = ["executable file not found", "no such file or directory"]
        .iter()
        .any(|text| message.contains(text));
    if missing {
        format!(
            "the image of container `{}` has no `{program}`, which this needs: {}",
            place.container,
            quote(message)
        )
    } else {
        format!(
            "`{program}` could not be run in container `{}`: {}",
            place.container,
            quote(message)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Status {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_exit_code_is_read_from_the_status() {
        let ended = status(
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 137",
                "reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"137"}]}}"#,
        );
        assert_eq!(exit_code(&ended), Some(137));
        assert_eq!(
            exit_code(&status(r#"{"metadata":{},"status":"Success"}"#)),
            Some(0)
        );
        let refused = status(
            r#"{"metadata":{},"status":"Failure","reason":"InternalError","code":500,
                "message":"error executing command in container: exec: \"pidof\": executable file not found in $PATH: unknown"}"#,
        );
        assert_eq!(exit_code(&refused), None);
        let place = Place {
            pod: "p",
            container: "c",
        };
        let why = not_started(place, &["pidof", "Job"], refused.message.as_deref());
        assert!(why.contains("has no `pidof`"), "{why}");
    }
}

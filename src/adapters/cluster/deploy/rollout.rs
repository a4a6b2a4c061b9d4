//! From objects that the server has taken to pods that serve, and why they do not.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ContainerStatus, Event, Pod},
};
use kube::{Api, api::ListParams};
use tokio::time::{Instant, sleep};

use crate::{
    adapters::cluster::{
        access::Session,
        failure::{Failure, quote},
    },
    core::{
        deploy::Progress,
        event::Trouble,
        workload::{Role, Workload},
    },
};

/// How often a rollout is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// How long something may be wrong that seldom gets better by itself.
const HOPE: Duration = Duration::from_secs(15);

/// Restarts after which a container that keeps ending is given up.
const RESTARTS: i32 = 2;

/// What a pod waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    /// In words for the screen.
    what: String,
    /// What to do if it does not get better; none where waiting is usual.
    next: Option<&'static str>,
}

impl Wait {
    fn usual(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: None,
        }
    }
}

const PULL: &str = "check the image's name and tag, and that the nodes may pull from its registry; --image names another, --pull-secret a secret for it";
const CONFIG: &str = "make what is missing, then deploy again";
const CRASH: &str = "read the pod's log; if the run cannot go on, --fresh begins a new one";
const MOUNT: &str = "check the share, the claim and the secret; --storage says where the logs are";
const PLACE: &str = "make room on a node, or claim less";

/// One look at one side.
struct Seen {
    ready: bool,
    wait: Option<Wait>,
    pod: Option<String>,
}

/// Waits until both sides' pods serve, and tells `tell` whenever that changes.
/// Gives the name of the client's pod.
///
/// # Errors
/// Why not, and what to do.
pub(super) async fn wait<F: Future<Output = bool>>(
    session: &Session,
    workload: Workload,
    within: Duration,
    mut tell: impl FnMut(Progress) -> F,
) -> Result<String, Trouble> {
    let began = Instant::now();
    let mut told: [Option<Progress>; 2] = [None, None];
    let mut since: [Option<(String, Instant)>; 2] = [None, None];
    loop {
        let mut client = None;
        let mut ready = 0;
        let mut waits = Vec::new();
        for role in Role::ALL {
            let seen = match look(session, workload, role).await {
                Ok(seen) => seen,
                // The server may be busy for a moment, the rollout goes on.
                Err(failure) => Seen {
                    ready: false,
                    wait: Some(Wait::usual(failure.why)),
                    pod: None,
                },
            };
            let at = role as usize;
            if let Some(hopeless) = hopeless(role, &seen, &mut since[at]) {
                return Err(hopeless);
            }
            ready += usize::from(seen.ready);
            waits.extend(
                seen.wait
                    .as_ref()
                    .map(|wait| format!("the {role} waits for {}", wait.what)),
            );
            let progress = Progress {
                role,
                ready: seen.ready,
                waits_for: seen.wait.map(|wait| wait.what),
            };
            if told[at].as_ref() != Some(&progress) {
                told[at] = Some(progress.clone());
                if !tell(progress).await {
                    return Err(Trouble::new(
                        "the cockpit is leaving",
                        "the rollout goes on",
                    ));
                }
            }
            if role == Role::Client {
                client = seen.pod;
            }
        }
        if let Some(client) = client.filter(|_| ready == Role::ALL.len()) {
            return Ok(client);
        }
        if began.elapsed() > within {
            let what = format!(
                "not rolled out within {} s: {}",
                within.as_secs(),
                waits.join("; ")
            );
            return Err(Trouble::new(
                what,
                "the rollout goes on; --timeout allows more",
            ));
        }
        sleep(LOOK).await;
    }
}

/// What has been wrong for too long.
fn hopeless(role: Role, seen: &Seen, since: &mut Option<(String, Instant)>) -> Option<Trouble> {
    let bad = seen
        .wait
        .as_ref()
        .and_then(|wait| Some((&wait.what, wait.next?)));
    let Some((what, next)) = bad else {
        *since = None;
        return None;
    };
    let (_, began) = since.get_or_insert_with(|| (next.to_owned(), Instant::now()));
    (began.elapsed() >= HOPE)
        .then(|| Trouble::new(format!("the {role} does not start: {what}"), next))
}

async fn look(session: &Session, workload: Workload, role: Role) -> Result<Seen, Failure> {
    let name = workload.deployment(role);
    let deployments: Api<Deployment> = Api::namespaced(session.read.clone(), &session.namespace);
    let what = format!("look at deployment `{name}`");
    let deployment = session.unary(&what, deployments.get(&name)).await?;
    let pods = pods(session, &workload.selector(role)).await?;
    let status = deployment.status.unwrap_or_default();
    let seen = status.observed_generation >= deployment.metadata.generation;
    let one = |count: Option<i32>| count.unwrap_or_default() == 1;
    let newest = newest(&pods);
    let ready = seen
        && one(status.replicas)
        && one(status.updated_replicas)
        && one(status.available_replicas)
        && newest.is_some();
    let wait = if ready {
        None
    } else {
        let refused =
            status.conditions.iter().flatten().find(|condition| {
                condition.type_ == "ReplicaFailure" && condition.status == "True"
            });
        match (refused, newest) {
            (Some(refused), _) => Some(Wait {
                what: format!(
                    "a pod that is refused: {}",
                    quote(refused.message.as_deref().unwrap_or_default())
                ),
                next: Some(CONFIG),
            }),
            (None, Some(pod)) => Some(why(session, pod).await),
            (None, None) if !pods.is_empty() => Some(Wait::usual("the old pod to go")),
            (None, None) => Some(Wait::usual("its pod")),
        }
    };
    Ok(Seen {
        ready,
        wait,
        pod: newest.and_then(|pod| pod.metadata.name.clone()),
    })
}

/// The pods that `selector` selects.
pub(super) async fn pods(session: &Session, selector: &str) -> Result<Vec<Pod>, Failure> {
    let pods: Api<Pod> = Api::namespaced(session.read.clone(), &session.namespace);
    let params = ListParams::default().labels(selector);
    Ok(session
        .unary("list the pods", pods.list(&params))
        .await?
        .items)
}

/// The newest pod that is not on its way out.
fn newest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .max_by_key(|pod| pod.metadata.creation_timestamp.clone())
}

/// Why a pod does not serve yet.
async fn why(session: &Session, pod: &Pod) -> Wait {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.iter().flatten();
    if let Some(wait) = containers.clone().find_map(of_container) {
        return wait;
    }
    let unplaced = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unplaced {
        let message = quote(condition.message.as_deref().unwrap_or_default());
        return Wait {
            what: format!("a node: {message}"),
            // Claims that are bound when the pod is placed take their time.
            next: (!message.contains("PersistentVolumeClaim")).then_some(PLACE),
        };
    }
    if containers
        .clone()
        .any(|it| it.state.as_ref().is_some_and(|it| it.running.is_some()))
    {
        return Wait::usual("its program to be ready: it may be replaying its log");
    }
    match warning(session, pod).await {
        Some(message) => Wait {
            next: message.contains("ount").then_some(MOUNT),
            what: format!("its volumes: {message}"),
        },
        None => Wait::usual("its container to be made"),
    }
}

/// What a container that does not run says of itself.
fn of_container(container: &ContainerStatus) -> Option<Wait> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = quote(waiting.message.as_deref().unwrap_or_default());
    let next = match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => PULL,
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => CONFIG,
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref()?.terminated.as_ref()?;
            let hopeless = container.restart_count >= RESTARTS;
            return Some(Wait {
                what: format!(
                    "a program that keeps ending: exit code {}, {} restarts",
                    last.exit_code, container.restart_count
                ),
                next: hopeless.then_some(CRASH),
            });
        }
        _ => return None,
    };
    let image = &container.image;
    let what = match (next == PULL, message.is_empty()) {
        (true, true) => format!("image {image}: {reason}"),
        (true, false) => format!("image {image}: {reason}: {message}"),
        (false, true) => reason.to_owned(),
        (false, false) => format!("{reason}: {message}"),
    };
    Some(Wait {
        what,
        next: Some(next),
    })
}

/// The newest warning about a pod.
async fn warning(session: &Session, pod: &Pod) -> Option<String> {
    let events: Api<Event> = Api::namespaced(session.read.clone(), &session.namespace);
    let uid = pod.metadata.uid.clone()?;
    let params = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning"));
    let list = session
        .unary("list events", events.list(&params))
        .await
        .ok()?;
    let newest = list
        .items
        .into_iter()
        .max_by_key(|event| event.last_timestamp.clone().map(|time| time.0))?;
    Some(quote(&newest.message?))
}

/// Waits until a job has succeeded.
///
/// # Errors
/// Why it did not, and what to do.
pub(super) async fn job(session: &Session, name: &str, within: Duration) -> Result<(), Trouble> {
    let began = Instant::now();
    let jobs: Api<Job> = Api::namespaced(session.read.clone(), &session.namespace);
    let what = format!("look at job `{name}`");
    let mut bad_since = None;
    loop {
        let job = session.unary(&what, jobs.get(name)).await;
        let status = job.ok().and_then(|job| job.status).unwrap_or_default();
        let holds = |kind: &str| {
            let mut conditions = status.conditions.iter().flatten();
            conditions
                .find(|it| it.type_ == kind && it.status == "True")
                .cloned()
        };
        if holds("Complete").is_some() {
            return Ok(());
        }
        if let Some(failed) = holds("Failed") {
            let why = quote(failed.message.as_deref().unwrap_or_default());
            return Err(Trouble::new(
                format!("job {name} failed: {why}"),
                format!("`kubectl logs job/{name}` says why; delete the job to try again"),
            ));
        }
        let pods = pods(session, &format!("batch.kubernetes.io/job-name={name}")).await;
        let waits = match newest(&pods.unwrap_or_default()) {
            Some(pod) => Some(why(session, pod).await),
            None => None,
        };
        match waits
            .as_ref()
            .and_then(|wait| Some((&wait.what, wait.next?)))
        {
            Some((what, next)) => {
                let since = *bad_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= HOPE {
                    return Err(Trouble::new(
                        format!("job {name} does not start: {what}"),
                        next,
                    ));
                }
            }
            None => bad_since = None,
        }
        if began.elapsed() > within {
            let what = format!("job {name} has not ended within {} s", within.as_secs());
            return Err(Trouble::new(what, "it goes on; --timeout allows more"));
        }
        sleep(LOOK).await;
    }
}

//! How fast the lab's node is: from a pod's creation to ready, and from the
//! death of its process to the next execution.

use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, eyre};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams, WatchEvent, WatchParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::bare;
use super::home::{Home, Lab};
use super::rooms::{Args, client};
use super::table::{Figure, Row, Spread, Unit};

/// Annotation with the pid of the container's program on the machine.
const PID: &str = "lab.aks-tui.dev/pid-main";

/// From the request that creates a pod to the event that says it is ready.
const READY_LIMIT: f64 = 300.0;

/// From the kill to the event that says the next execution runs.
const RESTART_LIMIT: f64 = 50.0;

/// How long a container runs before it is killed, so that its end is no loop.
const RUNS: Duration = Duration::from_millis(300);

pub async fn measure(args: &Args) -> Result<Vec<Row>> {
    let home = Home::new()?;
    let lab = Lab::start(&args.program, &home, &[])?;
    let client = client(lab.kubeconfig()).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let mut starts = Vec::new();
    let mut restarts = Vec::new();
    for index in 0..args.times {
        let name = format!("p{index}");
        starts.push(start(&pods, &name).await?);
        tokio::time::sleep(RUNS).await;
        restarts.push(kill(&pods, &name).await?);
        pods.delete(&name, &DeleteParams::default().grace_period(0))
            .await?;
    }
    Ok(vec![
        Row::new(
            "pod: from create to ready",
            Unit::Millis,
            Spread::of_times(starts),
        )
        .at_most(Figure::P95, READY_LIMIT),
        Row::new(
            "container: from kill -9 to running again",
            Unit::Millis,
            Spread::of_times(restarts),
        )
        .at_most(Figure::P95, RESTART_LIMIT),
        Row::reference(
            "a shell on this machine, from start to its first word",
            Unit::Millis,
            Spread::of_times(bare::starts(args.times)?),
        ),
    ])
}

async fn start(pods: &Api<Pod>, name: &str) -> Result<Duration> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "aks-tui/pause"}],
        },
    }))?;
    let watch = WatchParams::default().fields(&format!("metadata.name={name}"));
    let events = pods.watch(&watch, "0").await?;
    let began = Instant::now();
    pods.create(&PostParams::default(), &pod).await?;
    until(events, began, is_ready).await
}

async fn kill(pods: &Api<Pod>, name: &str) -> Result<Duration> {
    let pod = pods.get(name).await?;
    let pid = pod.metadata.annotations.as_ref().and_then(|it| it.get(PID));
    let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let pid = pid.ok_or_else(|| eyre!("the pod does not name its process"))?;
    let version = pod.metadata.resource_version.unwrap_or_default();
    let watch = WatchParams::default().fields(&format!("metadata.name={name}"));
    let events = pods.watch(&watch, &version).await?;
    let began = Instant::now();
    kill_process(pid, Signal::KILL)?;
    until(events, began, |pod| {
        is_ready(pod) && container(pod).is_some_and(|it| it.restart_count > 0)
    })
    .await
}

/// The time until a pod holds.
async fn until(
    events: impl futures::Stream<Item = kube::Result<WatchEvent<Pod>>>,
    began: Instant,
    holds: impl Fn(&Pod) -> bool,
) -> Result<Duration> {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
            && holds(&pod)
        {
            return Ok(began.elapsed());
        }
    }
    Err(eyre!("the watch ended too soon"))
}

fn is_ready(pod: &Pod) -> bool {
    container(pod).is_some_and(|it| it.ready)
}

fn container(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

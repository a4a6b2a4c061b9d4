//! Ten clusters are made and watched at once: how often the service is asked, where
//! its published limits are enforced.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Child;

use crate::{
    bed::Bed,
    between::Seen,
    table::{Figure, Row, Spread, Unit},
};

const CLUSTERS: usize = 10;

/// Until all have been planned and begun.
const BEGUN: Duration = Duration::from_secs(60);

/// How long is counted.
const COUNTED: Duration = Duration::from_secs(120);

/// What Azure lets pass a minute for ever: reads of a subscription…
const READS: f64 = 25.0 * 60.0;
/// …reads of one cluster, and of the state of operations on clusters.
const CLUSTER_READS: f64 = 60.0;
const CLUSTER_STATUS: f64 = 120.0;

/// Makes ten, as slowly as Azure does.
pub async fn measure() -> Vec<Row> {
    let bed = Bed::start(1.0, &["--azure-fault", "limits"]).await;
    let mut children = Vec::new();
    for person in 0..CLUSTERS {
        let mut command = bed.command_of(person, "provision --yes");
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        children.push(quiet.spawn().unwrap());
    }
    tokio::time::sleep(BEGUN).await;
    bed.between.forget();
    let began = Instant::now();
    tokio::time::sleep(COUNTED).await;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let seen = bed.between.seen();
    let is_running = |child: &mut Child| child.try_wait().unwrap().is_none();
    let running = children
        .iter_mut()
        .filter_map(|it| is_running(it).then_some(()))
        .count();
    // They are killed with this.
    drop(children);
    bed.stop().await;
    let rate = |wanted: &dyn Fn(&&Seen) -> bool| {
        let count = seen.iter().filter(wanted).count() as f64;
        Spread::of(vec![count / minutes])
    };
    let of_clusters = |seen: &&Seen| seen.path.contains("/Microsoft.ContainerService/");
    let is_status = |seen: &&Seen| of_clusters(seen) && seen.path.contains("/operations/");
    let row = |what: &str, spread, limit| {
        Row::new(what, Unit::PerMinute, spread).at_most(Figure::Max, limit)
    };
    vec![
        row(
            &format!("all requests, {running} clusters being made and watched"),
            rate(&|_| true),
            READS,
        ),
        row(
            "of them to the provider of clusters",
            rate(&|seen| of_clusters(seen) && !is_status(seen)),
            CLUSTER_READS,
        ),
        row(
            "of them for the state of its operations",
            rate(&is_status),
            CLUSTER_STATUS,
        ),
        row(
            "of them refused as too many",
            rate(&|seen| seen.status == 429),
            0.0,
        ),
    ]
}

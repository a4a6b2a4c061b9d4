//! A plan on a group with much in it: what it takes beyond the service's own time.

use std::time::{Duration, Instant};

use crate::{
    bed::{Bed, GROUP},
    table::{Figure, Row, Spread, Unit},
};

/// How many storage accounts of others are in the group.
const OTHERS: usize = 60;

/// At most this beyond the service's time, milliseconds.
const BEYOND: f64 = 2000.0;

/// Plans so often.
pub async fn measure(times: usize) -> Vec<Row> {
    let bed = Bed::start(2400.0, &[]).await;
    bed.run("provision --yes").await.well("provision");
    for other in 0..OTHERS {
        bed.make_account(GROUP, &format!("other{other}")).await;
    }
    let (mut beyond, mut whole, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        bed.between.forget();
        let began = Instant::now();
        bed.run("provision --plan --json").await.well("plan");
        let wall = began.elapsed();
        whole.push(wall);
        beyond.push(wall.saturating_sub(busy(&bed)));
        requests.push(bed.between.seen().len() as f64);
    }
    bed.stop().await;
    vec![
        Row::new(
            "a plan on a group of 65, beyond the service's own time",
            Unit::Millis,
            Spread::of_times(beyond),
        )
        .at_most(Figure::Max, BEYOND),
        Row::reference(
            "the whole, start to end",
            Unit::Millis,
            Spread::of_times(whole),
        ),
        Row::reference("requests for it", Unit::Requests, Spread::of(requests)),
    ]
}

/// How long the service had something to answer.
fn busy(bed: &Bed) -> Duration {
    let mut spans: Vec<_> = bed
        .between
        .seen()
        .iter()
        .map(|seen| (seen.began, seen.ended))
        .collect();
    spans.sort();
    let mut busy = Duration::ZERO;
    let mut until = None;
    for (began, ended) in spans {
        let from = until.map_or(began, |until| began.max(until));
        busy += ended.saturating_duration_since(from);
        until = Some(until.map_or(ended, |until: Instant| until.max(ended)));
    }
    busy
}

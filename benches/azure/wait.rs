//! A deployment that takes a day, waited for by a clock that is moved: what the wait
//! costs in memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aks_tui::{
    adapters::azure::{Client, Cloud, apply, credential, plan},
    core::azure::{plan::usual_seconds, settings::Settings},
};
use color_eyre::eyre::{Result, bail, eyre};
use tokio::runtime::Runtime;

use crate::{
    bed::Bed,
    between::Between,
    table::{Figure, Row, Spread, Unit},
};

/// How far the clock is moved at a time: as long as the client waits between looks.
const STEP: Duration = Duration::from_secs(5);

/// And a little more: a timer rings in the millisecond after its own.
const MORE: Duration = Duration::from_millis(10);

/// A look is two requests: the deployment, and its operations.
const LOOK: usize = 2;

/// A wait may grow by this much, MiB.
const GROWTH: f64 = 1.0;

/// Waits for so many hours.
pub fn measure(others: &Runtime, hours: u64) -> Result<Vec<Row>> {
    // So slow that it never ends by itself.
    let bed = others.block_on(Bed::start(0.01, &[]));
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let began = Instant::now();
    let measured = own.block_on(wait(&bed, hours));
    drop(own);
    others.block_on(bed.stop());
    let (first, last, looks) = measured?;
    println!(
        "waited {hours} h in {:.0} s, {looks} requests",
        began.elapsed().as_secs_f64()
    );
    let one = |value| Spread::of(vec![value]);
    Ok(vec![
        Row::new(
            format!(
                "what {} more hours of waiting took",
                hours.saturating_sub(1)
            ),
            Unit::Mebibytes,
            one(last - first),
        )
        .at_most(Figure::Max, GROWTH),
        Row::reference(
            "all of the process after the first",
            Unit::Mebibytes,
            one(first),
        ),
    ])
}

async fn wait(bed: &Bed, hours: u64) -> Result<(f64, f64, usize)> {
    let settings: Settings = bed.settings();
    let secret = bed.text("client_secret").to_owned();
    let id = bed.text("client_id").to_owned();
    let environment = move |name: &str| match name {
        "AZURE_CLIENT_ID" => Some(id.clone()),
        "AZURE_CLIENT_SECRET" => Some(secret.clone()),
        _ => None,
    };
    let cloud = Cloud::of(&settings.azure)?;
    let identity = credential::sign_in(&settings.azure, &cloud, &environment).await?;
    let client = Client::new(cloud, identity, Arc::new(|_| {}));
    let planned = plan::make(&client, &settings, &usual_seconds).await?;
    tokio::time::pause();
    let mut ignore = |_| {};
    tokio::select! {
        ended = apply::apply(&client, &settings, &planned, &mut ignore) => {
            bail!("the wait ended early: {ended:?}")
        }
        moved = move_clock(&bed.between, hours) => moved,
    }
}

/// Moves the clock whenever a look is over. Returns the memory after the first hour
/// and after the last, and how many requests there were.
async fn move_clock(between: &Between, hours: u64) -> Result<(f64, f64, usize)> {
    let steps = hours * 3600 / STEP.as_secs();
    let (mut first, mut all) = (0.0, 0);
    for step in 0..steps {
        // A clock that stands still would otherwise run on by itself.
        let deadline = Instant::now() + Duration::from_millis(500);
        while between.count() < LOOK && Instant::now() < deadline {
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_micros(500))).await?;
        }
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_micros(500))).await?;
        all += between.count();
        between.forget();
        if (step + 1) * STEP.as_secs() == 3600 {
            first = resident()?;
        }
        tokio::time::advance(STEP + MORE).await;
    }
    Ok((first, resident()?, all))
}

/// What this process has in memory, MiB.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        .ok_or_else(|| eyre!("the kernel does not tell the memory of this process"))?;
    Ok(kib / 1024.0)
}

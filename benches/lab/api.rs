//! Lists, watches and memory with ten thousand pods that change five hundred
//! times a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use color_eyre::eyre::{Result, eyre};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use http::Request;
use kube::Client;
use serde_json::Value;

use super::bare;
use super::home::{Home, Lab};
use super::rooms::{Args, client};
use super::table::{Row, Spread, Unit};

const PODS: &str = "/api/v1/pods";

/// How many pods the scenario has.
const CROWD: usize = 10_000;

/// Pods of one page, as kubectl asks for.
const PAGE: usize = 500;

/// Bytes of a mebibyte.
const MIB: f64 = 1024.0 * 1024.0;

/// Changes a second that the scenario makes.
const CHANGES: f64 = 500.0;

pub async fn measure(args: &Args) -> Result<Vec<Row>> {
    let home = Home::new()?;
    let lab = Lab::start(&args.program, &home, &["--scenario", "10k-pods"])?;
    let client = client(lab.kubeconfig()).await?;
    while items(&get(&client, PODS).await?)? < CROWD {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut rows = lists(args, &client).await?;
    rows.extend(begin(args, &client).await?);
    rows.extend(follow(args, &client).await?);
    let memory = resident(lab.pid())? / MIB;
    rows.push(Row::new(
        "the lab's memory, 10,000 pods and all this",
        Unit::Mebibytes,
        Spread::of(vec![memory]),
    ));
    Ok(rows)
}

async fn lists(args: &Args, client: &Client) -> Result<Vec<Row>> {
    let whole = get(client, PODS).await?;
    let size = whole.len() as f64 / MIB;
    let mut full = Vec::new();
    let mut chunked = Vec::new();
    for _ in 0..args.times {
        full.push(timed(get(client, PODS)).await?);
        chunked.push(timed(pages(client)).await?);
    }
    let bare = bare::server(whole).await?;
    let mut reference = Vec::new();
    for _ in 0..args.times {
        reference.push(timed(get(&bare, "/")).await?);
    }
    Ok(vec![
        Row::new(
            format!("list of 10,000 pods, {size:.1} MiB"),
            Unit::Millis,
            Spread::of_times(full),
        ),
        Row::new(
            format!("the same in pages of {PAGE}"),
            Unit::Millis,
            Spread::of_times(chunked),
        ),
        Row::reference(
            "a server that only sends these bytes",
            Unit::Millis,
            Spread::of_times(reference),
        ),
    ])
}

/// Reads the whole list in pages.
async fn pages(client: &Client) -> Result<()> {
    let mut token = String::new();
    let mut seen = 0;
    loop {
        let path = format!("{PODS}?limit={PAGE}&continue={token}");
        let page: Value = serde_json::from_slice(&get(client, &path).await?)?;
        seen += page["items"].as_array().map_or(0, Vec::len);
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => break,
        }
    }
    if seen < CROWD - 1 {
        return Err(eyre!("the pages held {seen} pods only"));
    }
    Ok(())
}

/// How long a watch takes until it says something: from now on, and with
/// everything first.
async fn begin(args: &Args, client: &Client) -> Result<Vec<Row>> {
    let mut plain = Vec::new();
    let mut streamed = Vec::new();
    let all = format!(
        "{PODS}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    );
    for _ in 0..args.times {
        let version = get(client, &format!("{PODS}?limit=1")).await?;
        let version: Value = serde_json::from_slice(&version)?;
        let version = version["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or("");
        let path = format!("{PODS}?watch=true&resourceVersion={version}");
        plain.push(timed(lines_until(client, &path, |_| true)).await?);
        let marked = |line: &str| line.contains("k8s.io/initial-events-end");
        streamed.push(timed(lines_until(client, &all, marked)).await?);
    }
    Ok(vec![
        Row::new(
            "watch: from the request to the first change",
            Unit::Millis,
            Spread::of_times(plain),
        ),
        Row::new(
            "watch: until all 10,000 pods were streamed",
            Unit::Millis,
            Spread::of_times(streamed),
        ),
    ])
}

/// Reads a watch until a line fits.
async fn lines_until(client: &Client, path: &str, fits: impl Fn(&str) -> bool) -> Result<()> {
    let request = Request::get(path).body(Vec::new())?;
    let mut lines = client.request_stream(request).await?.lines();
    while let Some(line) = lines.try_next().await? {
        if fits(&line) {
            return Ok(());
        }
    }
    Err(eyre!("the watch ended too soon"))
}

/// Many watchers at once: how many events reach them.
async fn follow(args: &Args, client: &Client) -> Result<Vec<Row>> {
    let seen = Arc::new(AtomicU64::new(0));
    let path = format!("{PODS}?watch=true&resourceVersion=");
    let list: Value = serde_json::from_slice(&get(client, &format!("{PODS}?limit=1")).await?)?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("");
    let mut watchers = Vec::new();
    for _ in 0..args.watchers {
        let request = Request::get(format!("{path}{version}")).body(Vec::new())?;
        let mut lines = client.request_stream(request).await?.lines();
        let seen = Arc::clone(&seen);
        watchers.push(tokio::spawn(async move {
            while let Some(Ok(_)) = lines.next().await {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut rates = Vec::new();
    for _ in 0..args.seconds {
        let (before, began) = (seen.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let events = seen.load(Ordering::Relaxed) - before;
        rates.push(events as f64 / began.elapsed().as_secs_f64());
    }
    let ended = watchers.iter().filter(|it| it.is_finished()).count();
    for watcher in watchers {
        watcher.abort();
    }
    if ended > 0 {
        return Err(eyre!("{ended} watchers fell behind and were cut off"));
    }
    let wanted = CHANGES * args.watchers as f64;
    Ok(vec![
        Row::new(
            format!("events to {} watchers", args.watchers),
            Unit::Events,
            Spread::of(rates),
        ),
        Row::reference(
            "changes made, times watchers",
            Unit::Events,
            Spread::of(vec![wanted]),
        ),
    ])
}

async fn get(client: &Client, path: &str) -> Result<Bytes> {
    let request = Request::get(path).body(kube::client::Body::empty())?;
    let response = client.send(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect_bytes().await?;
    if !status.is_success() {
        let said = String::from_utf8_lossy(&bytes);
        return Err(eyre!("{path} was answered with {status}: {said}"));
    }
    Ok(bytes)
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<Duration> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}

fn items(list: &[u8]) -> Result<usize> {
    let list: Value = serde_json::from_slice(list)?;
    Ok(list["items"].as_array().map_or(0, Vec::len))
}

/// Memory of a process that is in RAM, in bytes.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let kilobytes = kilobytes.ok_or_else(|| eyre!("the kernel does not say how much memory"))?;
    Ok(kilobytes * 1024.0)
}

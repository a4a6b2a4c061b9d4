//! Building an image in the registry, without docker: the context goes up as an
//! archive, the registry builds and pushes, the log comes down as it is written.

use std::time::Duration;

use azure_core::http::Url;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    api::{self, Paths},
    client::{Call, Client},
    error::Failure,
};

/// Between looks at a log that does not grow.
const LOOK: Duration = Duration::from_secs(1);

/// How long a build may take, seconds.
const LONGEST: u32 = 3600;

/// What is built, and as what.
#[derive(Debug, Clone)]
pub struct Build {
    /// The context as a gzipped tar archive.
    pub context: Vec<u8>,
    /// The Dockerfile's path in it.
    pub dockerfile: String,
    /// The image: `perftest:1`.
    pub image: String,
}

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The image with its registry: `xyz.azurecr.io/perftest:1`.
    pub image: String,
    /// Its digest, if the registry says.
    pub digest: Option<String>,
}

/// Builds in the registry; `log` hears its lines as they come.
pub async fn run(
    client: &Client,
    paths: &Paths,
    registry: &str,
    build: Build,
    log: &mut (dyn FnMut(&str) + Send),
) -> Result<Pushed, Failure> {
    let at = paths.registry(registry);
    let wanted = format!("build {} in the registry {registry}", build.image);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = Call::post(
        &wanted,
        format!("{at}/listBuildSourceUploadUrl"),
        api::REGISTRY_TASKS,
    );
    let place = client.send(&place).await?.body;
    let url = address(&wanted, &place["uploadUrl"])?;
    client.upload(&wanted, url, build.context).await?;
    let body = json!({
        "type": "DockerBuildRequest",
        "imageNames": [build.image],
        "isPushEnabled": true,
        "noCache": false,
        "dockerFilePath": build.dockerfile,
        "arguments": [],
        "timeout": LONGEST,
        "platform": {"os": "Linux", "architecture": "amd64"},
        "sourceLocation": place["relativePath"],
        "agentConfiguration": {"cpu": 2},
    });
    let call = Call::post(&wanted, format!("{at}/scheduleRun"), api::REGISTRY_TASKS).body(body);
    let scheduled = client.operate(&call, &mut |_| {}).await?;
    let id = match text(&scheduled["properties"]["runId"]) {
        id if id.is_empty() => text(&scheduled["name"]),
        id => id,
    };
    let run = format!("{at}/runs/{id}");
    stream(client, &wanted, &run, log).await?;
    finish(client, &wanted, &run, &build.image, registry).await
}

fn address(wanted: &str, value: &Value) -> Result<Url, Failure> {
    value
        .as_str()
        .and_then(|text| Url::parse(text).ok())
        .filter(|url| url.scheme() == "https")
        .ok_or_else(|| Failure::new(wanted, "the registry named no address to go on with"))
}

/// Hands the log on until it is complete, or the run is over and the log does not
/// grow any more.
async fn stream(
    client: &Client,
    wanted: &str,
    run: &str,
    log: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Failure> {
    let link = Call::post(wanted, format!("{run}/listLogSasUrl"), api::REGISTRY_TASKS);
    let url = address(wanted, &client.send(&link).await?.body["logLink"])?;
    let mut have = Vec::new();
    let mut said = 0;
    loop {
        let (status, headers, bytes) = client
            .ask_from(wanted, url.clone(), have.len() as u64)
            .await?;
        let grown = matches!(status, 200 | 206) && !bytes.is_empty();
        if grown {
            // Without ranges the whole log comes each time.
            if status == 200 {
                have.clear();
            }
            have.extend(bytes);
            said = lines(&have, said, log);
        }
        let complete = headers
            .iter()
            .any(|(name, _)| name.as_str().eq_ignore_ascii_case("x-ms-meta-complete"));
        if complete && (!grown || status == 200) {
            break;
        }
        if !grown {
            if is_over(&state(client, wanted, run).await?) {
                break;
            }
            sleep(LOOK).await;
        }
    }
    if said < have.len() {
        log(&crate::core::workload::text::printable(&have[said..]));
    }
    Ok(())
}

/// Says the whole lines from `said` on, and how far it came.
fn lines(have: &[u8], mut said: usize, log: &mut (dyn FnMut(&str) + Send)) -> usize {
    while let Some(length) = have[said..].iter().position(|byte| *byte == b'\n') {
        let line = &have[said..said + length];
        log(&crate::core::workload::text::printable(
            line.strip_suffix(b"\r").unwrap_or(line),
        ));
        said += length + 1;
    }
    said
}

async fn state(client: &Client, wanted: &str, run: &str) -> Result<Value, Failure> {
    let call = Call::get(wanted, run, api::REGISTRY_TASKS);
    Ok(client.send(&call).await?.body["properties"].take())
}

fn is_over(run: &Value) -> bool {
    !matches!(
        run["status"].as_str(),
        Some("Queued" | "Started" | "Running")
    )
}

async fn finish(
    client: &Client,
    wanted: &str,
    run: &str,
    image: &str,
    registry: &str,
) -> Result<Pushed, Failure> {
    let mut run_state = state(client, wanted, run).await?;
    while !is_over(&run_state) {
        sleep(LOOK).await;
        run_state = state(client, wanted, run).await?;
    }
    let status = run_state["status"].as_str().unwrap_or_default();
    if status != "Succeeded" {
        let why = run_state["runErrorMessage"]
            .as_str()
            .unwrap_or("the log says why");
        return Err(Failure::new(
            wanted,
            format!(
                "the build ended as {status}: {}",
                crate::core::workload::text::quote(why)
            ),
        ));
    }
    let pushed = &run_state["outputImages"][0];
    let server = pushed["registry"]
        .as_str()
        .map_or_else(|| format!("{registry}.azurecr.io"), str::to_owned);
    Ok(Pushed {
        image: format!("{server}/{image}"),
        digest: pushed["digest"].as_str().map(str::to_owned),
    })
}

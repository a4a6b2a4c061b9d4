//! A pod of the lab that prints log lines at a fixed rate: this very program,
//! seen by the pod through a volume.

use std::{
    fs,
    io::Write,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use color_eyre::eyre::{Result, WrapErr, eyre};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::home::{Home, Lab};

/// What a pod tells this program to do.
const PART: &str = "flood-the-log";

/// The volume, and this program in it.
const VOLUME: &str = "/flood";
const PROGRAM: &str = "story";

/// Lines are written in pieces this far apart.
const TICK: Duration = Duration::from_millis(2);

/// What every line begins with; its number follows.
pub const MARK: &str = "flood ";

/// Floods, if this process was started for that.
pub fn play_part() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some(PART) {
        return None;
    }
    let rate = words.next()?.parse().ok()?;
    // The reader's end is the end.
    let _ = flood(rate);
    Some(ExitCode::SUCCESS)
}

/// Prints `rate` numbered lines a second, as a program does that logs much.
fn flood(rate: u64) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let started = Instant::now();
    let mut printed = 0;
    let mut piece = Vec::new();
    loop {
        let due = started.elapsed().as_micros() as u64 * rate / 1_000_000;
        piece.clear();
        while printed < due {
            printed += 1;
            writeln!(
                piece,
                "{MARK}{printed:010} GET /streams/orders-{:04} 200 {} bytes",
                printed % 1_000,
                printed * 7_919 % 65_536
            )?;
        }
        out.write_all(&piece)?;
        out.flush()?;
        thread::sleep(TICK);
    }
}

/// Deploys the flood in the place of the client.
pub fn deploy(lab: &Lab, home: &Home, rate: u64) -> Result<()> {
    // Where the lab keeps what its pods know as directories of their node.
    let node = Lab::state(home).join("node/disk");
    let volume = node.join(&VOLUME[1..]);
    fs::create_dir_all(&volume)?;
    fs::copy(std::env::current_exe()?, volume.join(PROGRAM))
        .wrap_err("cannot give the pod its program")?;
    let labels = json!({
        "app": "generated-perftestclient",
        "app.kubernetes.io/instance": "perftestclient",
        "app.kubernetes.io/managed-by": "aks-tui",
    });
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "generated-perftestclient", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{
                        "name": "flood",
                        "image": "aks-tui/shell",
                        "command": [format!("{VOLUME}/{PROGRAM}"), PART, rate.to_string()],
                        "volumeMounts": [{"name": "flood", "mountPath": VOLUME}],
                    }],
                    "volumes": [{
                        "name": "flood",
                        "hostPath": {"path": VOLUME, "type": "Directory"},
                    }],
                },
            },
        },
    }))?;
    // Somebody else may have chosen already, and that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(lab.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = Client::try_from(config)?;
        let deployments: Api<Deployment> = Api::namespaced(client, "default");
        deployments
            .create(&PostParams::default(), &deployment)
            .await
            .map(drop)
            .map_err(|error| eyre!("cannot deploy the flood: {error}"))
    })
}

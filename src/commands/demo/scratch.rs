//! `aks-tui demo --from-scratch`: the whole path of a test bed in the cloud, against
//! an Azure on this machine: plan, make, deploy, kill, clean.
//!
//! Without a screen every step is the command that a person would type, run as a
//! process of its own against other addresses; on the screen a person presses the
//! keys. There is no other way through any of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Instant,
};

use color_eyre::eyre::{Result, WrapErr, bail, eyre};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

use super::lab::{self, Lab, LabArgs};
use crate::{
    adapters::journal::{StateDir, store},
    app::{logging, signals},
    commands::{
        azure::{ConfigArgs, desk::Office},
        complain, print,
    },
    config::write,
    core::{
        azure::settings::{CloudName, Settings, SignIn},
        workload::order::Order,
    },
};

/// The file share of the demo.
const SHARE: &str = "ambrosia-logs-smbshare";

/// The resource group of the demo, and the cluster in it.
const GROUP: &str = "demo-group";
const CLUSTER: &str = "demo-cluster";

/// Where the steps keep what is theirs, in the demo's directory.
const OWN: &str = "own";

/// How many times faster than Azure the simulator is: the whole takes a minute.
pub(super) const TIME_SCALE: &str = "20";

/// What the lab says of its Azure.
#[derive(Debug, Deserialize)]
struct Endpoints {
    resource_manager: String,
    authority: String,
    certificate_authority: String,
    prices: String,
    tenant: String,
    subscription: String,
    client_id: String,
    client_secret: String,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Told {
    survived: bool,
    nothing_left: bool,
    kill: Value,
    steps: Vec<Step>,
}

/// A step and how long it took.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    seconds: f64,
}

/// A place for the demo's own files, and the environment of its steps.
struct Stage {
    dir: PathBuf,
    variables: Vec<(&'static str, String)>,
    told: Told,
}

impl Endpoints {
    /// What the lab in `dir` says of its Azure.
    fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(lab::STATE).join(lab::AZURE);
        let text = fs::read(&file).wrap_err_with(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text)
            .wrap_err_with(|| format!("{} is not what it should be", file.display()))
    }

    /// Who may sign in, in the variables that everybody looks for it in.
    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_TENANT_ID", self.tenant.clone()),
            ("AZURE_CLIENT_ID", self.client_id.clone()),
            ("AZURE_CLIENT_SECRET", self.client_secret.clone()),
        ]
    }
}

/// Writes what the demo wants in its Azure into `dir`, and says where.
fn write_settings(dir: &Path, about: &Endpoints) -> Result<PathBuf> {
    let file = dir.join("aks-tui.yaml");
    fs::write(&file, write::commented(&settings(about)))
        .wrap_err_with(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// A desk for the Azure of the lab in `dir`. What it keeps is kept there.
///
/// # Errors
/// The lab does not say where its Azure is, or the settings cannot be written.
pub(super) fn office(dir: &Path) -> Result<Arc<Office>> {
    let about = Endpoints::read(dir)?;
    let config = ConfigArgs::of(write_settings(dir, &about)?);
    let variables = about.variables();
    Ok(Arc::new(Office {
        config,
        state: StateDir::at(dir.join(OWN)),
        environment: Box::new(move |wanted| {
            let mut all = variables.iter();
            let found = all.find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.clone())
        }),
    }))
}

/// What the demo asks of the workload, besides what its settings say.
pub(super) fn load(load: &LabArgs) -> Order {
    Order {
        rate: Some(load.rate.clone()),
        bytes_per_round: Some(load.bytes_per_round.clone()),
        ..Order::default()
    }
}

impl Stage {
    fn new(dir: PathBuf, about: &Endpoints) -> Result<Self> {
        let file = write_settings(&dir, about)?;
        let mut variables = vec![
            ("AKS_TUI_SETTINGS", file.display().to_string()),
            ("AKS_TUI_STATE", dir.join(OWN).display().to_string()),
        ];
        variables.extend(about.variables());
        Ok(Self {
            dir,
            variables,
            told: Told::default(),
        })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir
            .join(OWN)
            .join("azure")
            .join(format!("{GROUP}.{CLUSTER}"))
            .join("kubeconfig")
    }

    /// One of our own commands, as a person would type it.
    fn command(&self, args: &[&str]) -> Result<Command> {
        complain(&format!("aks-tui {}", args.join(" ")));
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        Ok(command)
    }

    fn took(&mut self, step: &'static str, began: Instant) {
        let seconds = began.elapsed().as_secs_f64();
        self.told.steps.push(Step { step, seconds });
    }

    /// Runs a command that must succeed; what it prints goes where complaints go.
    async fn must(&mut self, step: &'static str, args: &[&str]) -> Result<()> {
        let began = Instant::now();
        let mut command = self.command(args)?;
        command.stdout(std::io::stderr());
        let status = command.status().await.wrap_err("cannot run aks-tui")?;
        self.took(step, began);
        if !status.success() {
            bail!("{step} failed ({status})");
        }
        Ok(())
    }

    /// Runs a command that ends with one JSON object. Returns that, and whether the
    /// command was content.
    async fn ask(&mut self, step: &'static str, args: &[&str]) -> Result<(Value, bool)> {
        let began = Instant::now();
        let output = self.command(args)?.output().await;
        let output = output.wrap_err("cannot run aks-tui")?;
        self.took(step, began);
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.trim_end().lines().last().unwrap_or_default();
        let said = serde_json::from_str(last);
        let said = said.wrap_err_with(|| format!("{step} failed ({})", output.status))?;
        Ok((said, output.status.success()))
    }

    /// Everything, in its order. What was made is cleaned up whatever came of it.
    async fn play(&mut self, load: &LabArgs) -> Result<()> {
        self.must("provision", &["provision", "--yes"]).await?;
        let played = self.on_the_cluster(load).await;
        let cleaned = self.must("clean", &["clean", "all", "--yes"]).await;
        played?;
        cleaned?;
        let (plan, _) = self.ask("plan", &["provision", "--plan", "--json"]).await?;
        let changes = plan["changes"]
            .as_array()
            .ok_or_else(|| eyre!("there is no plan"))?;
        self.told.nothing_left =
            !changes.is_empty() && changes.iter().all(|change| change["action"] == "create");
        Ok(())
    }

    async fn on_the_cluster(&mut self, load: &LabArgs) -> Result<()> {
        let kubeconfig = self.kubeconfig().display().to_string();
        let storage = format!("share:{SHARE}");
        let deploy = [
            "deploy",
            "perftest",
            "--storage",
            &storage,
            "--rate",
            &load.rate,
            "--bytes-per-round",
            &load.bytes_per_round,
            "--kubeconfig",
            &kubeconfig,
        ];
        self.must("deploy", &deploy).await?;
        let (kill, survived) = self
            .ask(
                "kill",
                &["kill", "client", "--json", "--kubeconfig", &kubeconfig],
            )
            .await?;
        self.told.survived = survived;
        self.told.kill = kill;
        Ok(())
    }
}

/// What the demo wants in its Azure: only the addresses are not anybody's.
fn settings(about: &Endpoints) -> Settings {
    let mut settings = Settings::default();
    let azure = &mut settings.azure;
    azure.subscription.clone_from(&about.subscription);
    azure.tenant.clone_from(&about.tenant);
    GROUP.clone_into(&mut azure.resource_group);
    azure.sign_in = SignIn::ServicePrincipal;
    azure.cloud = CloudName::Custom;
    azure
        .custom
        .resource_manager
        .clone_from(&about.resource_manager);
    azure.custom.authority.clone_from(&about.authority);
    azure
        .custom
        .certificate_authority
        .clone_from(&about.certificate_authority);
    azure.custom.prices.clone_from(&about.prices);
    CLUSTER.clone_into(&mut settings.cluster.name);
    "demostorage".clone_into(&mut settings.storage.account);
    SHARE.clone_into(&mut settings.storage.shares[0].name);
    "demoregistry".clone_into(&mut settings.registry.name);
    // A person has time to look, and to kill.
    settings.workload.rounds = 0;
    settings
}

/// Plays it without a screen. Succeeds only if the kill was survived and nothing is
/// left.
pub fn run(json: bool, mut lab_args: LabArgs) -> Result<ExitCode> {
    logging::to_stderr();
    lab_args.azure = Some(TIME_SCALE);
    crate::commands::on_runtime(async {
        let interrupted = signals::interrupted()?.shared();
        let state = StateDir::find()?;
        lab::reap(&state, None);
        let run = store::run_id(store::wall_ms());
        let dir = state.lab(&run);
        let Some(lab) = Lab::hold(&dir, &run, &lab_args, interrupted.clone()).await? else {
            bail!("stopped by a signal before the lab was ready");
        };
        let played = tokio::select! {
            played = play(&dir, &lab_args) => played,
            () = interrupted => Err(eyre!("stopped by a signal")),
        };
        lab.stop().await?;
        let told = played?;
        let good = told.survived && told.nothing_left;
        print(&if json {
            format!("{}\n", serde_json::to_string(&told)?)
        } else {
            readable(&told)
        })?;
        if good {
            Ok(ExitCode::SUCCESS)
        } else {
            bail!("the kill was not survived, or something is left")
        }
    })
}

async fn play(dir: &Path, load: &LabArgs) -> Result<Told> {
    let about = Endpoints::read(dir)?;
    let mut stage = Stage::new(dir.to_owned(), &about)?;
    stage.play(load).await?;
    Ok(stage.told)
}

fn readable(told: &Told) -> String {
    let steps: Vec<String> = told
        .steps
        .iter()
        .map(|step| format!("{} {:.1} s", step.step, step.seconds))
        .collect();
    format!(
        "{}; the kill was {}; {}\n",
        steps.join(", "),
        if told.survived {
            "survived"
        } else {
            "not survived"
        },
        if told.nothing_left {
            "nothing is left"
        } else {
            "something is left"
        },
    )
}

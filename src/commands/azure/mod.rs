//! What the commands for Azure have in common: settings, sign-in, words.

mod bars;
pub mod build;
pub mod clean;
mod cleaning;
pub mod cluster;
mod context;
pub mod desk;
mod follow;
pub mod hands;
mod logs;
mod lookout;
pub mod provision;
pub mod run;
pub mod token;
mod words;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
};

use color_eyre::eyre::{Result, bail};

use super::complain;
use crate::{
    adapters::{
        azure::{Client, Cloud, Notice, api::Paths, credential, preflight},
        journal::StateDir,
    },
    config::file,
    core::azure::{plan::usual_seconds, settings::Settings},
};

/// Which settings.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// Settings to read instead of ./aks-tui.yaml, else the one in the configuration directory
    #[arg(long, value_name = "FILE", env = "AKS_TUI_SETTINGS")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// These settings.
    pub const fn of(file: PathBuf) -> Self {
        Self { config: Some(file) }
    }

    /// Reads and checks the settings, if there are any.
    pub fn load_any(&self) -> Result<Option<Settings>> {
        if self.config.is_none() && file::find(None).is_err() {
            return Ok(None);
        }
        self.load().map(Some)
    }

    /// Reads and checks the settings; every mistake is told.
    pub fn load(&self) -> Result<Settings> {
        let path = file::find(self.config.as_deref())?;
        match file::load(&path) {
            Ok(settings) => Ok(file::effective(settings)),
            Err(mistakes) => {
                let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                bail!("{}", lines.join("\n"))
            }
        }
    }
}

/// Signs in. What must wait is said on standard error.
pub async fn sign_in(settings: &Settings) -> Result<Client> {
    let cloud = Cloud::of(&settings.azure)?;
    let identity = credential::sign_in(&settings.azure, &cloud, &credential::environment).await?;
    let listener = |notice| match notice {
        Notice::Retry {
            why, wait, attempt, ..
        } => {
            complain(&format!(
                "{why}; try {attempt} in {:.1} s",
                wait.as_secs_f64()
            ));
        }
        Notice::Low { budget, left } => {
            complain(&format!("Azure's budget {budget} has {left} requests left"));
        }
    };
    Ok(Client::new(cloud, identity, Arc::new(listener)))
}

/// Where the things of the test bed are that `settings` name.
pub async fn paths(client: &Client, settings: &Settings) -> Result<Paths> {
    let subscription = preflight::subscription(client, &settings.azure.subscription).await?;
    let id = subscription["subscriptionId"].as_str().unwrap_or_default();
    Ok(Paths {
        subscription: id.to_owned(),
        group: settings.azure.resource_group.clone(),
    })
}

/// Where in `state` the credentials of the cluster that `settings` name are kept.
pub fn kubeconfig(state: &StateDir, settings: &Settings) -> PathBuf {
    let name = format!(
        "{}.{}",
        settings.azure.resource_group, settings.cluster.name
    );
    state.path().join("azure").join(name).join("kubeconfig")
}

/// How long resources of each type took here before.
#[derive(Debug, Clone, Default)]
pub struct Times(BTreeMap<String, u64>);

impl Times {
    fn path(state: &StateDir) -> PathBuf {
        state.path().join("azure").join("times.json")
    }

    /// What is remembered in `state`; what cannot be read is forgotten.
    pub fn load(state: &StateDir) -> Self {
        let read = || serde_json::from_slice(&fs::read(Self::path(state)).ok()?).ok();
        Self(read().unwrap_or_default())
    }

    /// How long a resource of this type takes, seconds.
    pub fn seconds(&self, kind: &str) -> u64 {
        self.0
            .get(&kind.to_ascii_lowercase())
            .copied()
            .unwrap_or_else(|| usual_seconds(kind))
    }

    /// A resource of this type took so long.
    pub fn took(&mut self, kind: &str, seconds: f64) {
        self.0
            .insert(kind.to_ascii_lowercase(), seconds.ceil().max(1.0) as u64);
    }

    /// Remembers; estimates are not worth failing for.
    pub fn save(&self, state: &StateDir) {
        let path = Self::path(state);
        if let Some(dir) = path.parent() {
            let _ = fs::create_dir_all(dir);
        }
        let _ = fs::write(path, serde_json::to_vec(&self.0).unwrap_or_default());
    }
}

/// Asks a person to type `word`; anything else is a no.
pub fn confirm(question: &str, word: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: --yes answers yes");
    }
    let mut out = io::stderr();
    write!(out, "{question} Type {word} to go on: ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == word)
}

//! A lab's Azure with a relay in front of it, and a person's settings for it.
#![allow(dead_code, reason = "a bench uses what it needs")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use aks_tui::core::azure::settings::{CloudName, Settings, SignIn};
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{
    between::{Between, Moment, Seen},
    support::{Lab, PATIENCE},
};

/// The names in the settings.
pub const GROUP: &str = "proof-group";
pub const CLUSTER: &str = "proof-cluster";
pub const ACCOUNT: &str = "proofstorage";
pub const REGISTRY: &str = "proofregistry";

/// What a command said, and how it ended; no code means that it was killed.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl Ran {
    /// Itself, if it ended well.
    #[track_caller]
    pub fn well(self, about: &str) -> Self {
        assert_eq!(self.code, Some(0), "{about}:\n{}\n{}", self.out, self.err);
        self
    }
}

pub struct Bed {
    pub between: Between,
    pub about: Value,
    home: tempfile::TempDir,
    lab: Option<Lab>,
}

impl Bed {
    /// A lab with an Azure that has nothing in it and is `scale` times as fast as Azure;
    /// with more arguments.
    pub async fn start(scale: f64, more: &'static [&'static str]) -> Self {
        let lab = tokio::task::spawn_blocking(move || {
            let scale = scale.to_string();
            let arguments = ["--azure", "--azure-time-scale", &scale, "--backoff", "none"];
            Lab::start(&[&arguments[..], more].concat())
        });
        let lab = lab.await.unwrap();
        let about = std::fs::read(lab.state.join("azure.json")).unwrap();
        let about: Value = serde_json::from_slice(&about).unwrap();
        let text = |field: &str| about[field].as_str().unwrap();
        let trusted = std::fs::read(text("certificate_authority")).unwrap();
        let between = Between::start(text("resource_manager"), &trusted).await;
        let home = tempfile::tempdir().unwrap();
        let bed = Self {
            between,
            about,
            home,
            lab: Some(lab),
        };
        write_settings(&bed.home.path().join("aks-tui.yaml"), &bed.settings());
        bed
    }

    /// Stops the lab.
    pub async fn stop(mut self) {
        let lab = self.lab.take();
        tokio::task::spawn_blocking(move || drop(lab))
            .await
            .unwrap();
    }

    /// A field of `azure.json`.
    pub fn text(&self, field: &str) -> &str {
        self.about[field].as_str().unwrap()
    }

    /// The directory of everything that is this person's.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the program keeps what is its own.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The credentials of the cluster, where the program keeps them.
    pub fn kubeconfig(&self) -> PathBuf {
        let name = format!("{GROUP}.{CLUSTER}");
        self.state().join("azure").join(name).join("kubeconfig")
    }

    /// Everything that the service knows.
    pub fn world(&self) -> Value {
        let state = &self.lab.as_ref().unwrap().state;
        let bytes = std::fs::read(state.join("azure/world.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The program with this person's environment.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-tui"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("AKS_TUI_SETTINGS", self.home.path().join("aks-tui.yaml"))
            .env("AKS_TUI_STATE", self.state())
            .env("AZURE_TENANT_ID", self.text("tenant"))
            .env("AZURE_CLIENT_ID", self.text("client_id"))
            .env("AZURE_CLIENT_SECRET", self.text("client_secret"))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// The same of one of many who each have a test bed of their own in this Azure.
    pub fn command_of(&self, person: usize, line: &str) -> Command {
        let home = self.home.path().join(format!("person{person}"));
        std::fs::create_dir_all(&home).unwrap();
        let mut settings = self.settings();
        settings.azure.resource_group = format!("{GROUP}{person}");
        settings.cluster.name = format!("{CLUSTER}{person}");
        settings.storage.account = format!("{ACCOUNT}{person}");
        settings.registry.name = format!("{REGISTRY}{person}");
        let file = home.join("aks-tui.yaml");
        write_settings(&file, &settings);
        let mut command = self.command(line);
        command
            .env("AKS_TUI_SETTINGS", file)
            .env("AKS_TUI_STATE", home.join("state"));
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, line: &str) -> Ran {
        ended(self.command(line).spawn().unwrap()).await
    }

    /// Runs a command that dies at its `at`-th request, if it sends as many.
    pub async fn run_until(&self, line: &str, at: usize, moment: Moment) -> Ran {
        self.between.set_trap(at, moment);
        let child = self.command(line).spawn().unwrap();
        self.between.name_victim(pid(&child));
        let ran = ended(child).await;
        self.between.clear_trap();
        ran
    }

    /// Runs a command that dies after a time, if it lasts as long.
    pub async fn run_for(&self, line: &str, time: Duration) -> Ran {
        let child = self.command(line).spawn().unwrap();
        let pid = pid(&child);
        let ending = tokio::spawn(ended(child));
        tokio::time::sleep(time).await;
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        ending.await.unwrap()
    }

    /// Runs a command that is interrupted, as by Ctrl-C, when it has sent this.
    pub async fn interrupt_at(&self, line: &str, method: &str, part: &str) -> Ran {
        let child = self.command(line).spawn().unwrap();
        let pid = pid(&child);
        let ending = tokio::spawn(ended(child));
        let sent = async {
            let is_it = |seen: &Seen| seen.method == method && seen.path.contains(part);
            while !self.between.seen().iter().any(is_it) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, sent).await.expect(line);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        ending.await.unwrap()
    }

    /// Asks the service directly, as somebody else who may do everything.
    pub async fn ask(&self, method: &str, path: &str, version: &str, body: Option<Value>) -> Value {
        let trusted = std::fs::read(self.text("certificate_authority")).unwrap();
        let trusted = reqwest::Certificate::from_pem_bundle(&trusted).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only(trusted)
            .no_proxy()
            .build()
            .unwrap();
        let base = self.text("resource_manager");
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", self.text("client_id"))
            .append_pair("client_secret", self.text("client_secret"))
            .append_pair("scope", &format!("{base}/.default"))
            .finish();
        let at = format!("{base}/{}/oauth2/v2.0/token", self.text("tenant"));
        let token = client.post(at).body(form).send().await.unwrap();
        let token: Value = serde_json::from_slice(&token.bytes().await.unwrap()).unwrap();
        let token = token["access_token"].as_str().unwrap();
        let at = format!(
            "{base}/subscriptions/{}{path}?api-version={version}",
            self.text("subscription")
        );
        let mut request = client
            .request(method.parse().unwrap(), at)
            .header("authorization", format!("Bearer {token}"));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Somebody else's group with a storage account, beside ours.
    pub async fn furnish_neighbours(&self) {
        let group = "/resourceGroups/neighbours";
        let body = json!({"location": "eastus"});
        self.ask("PUT", group, "2024-11-01", Some(body)).await;
        self.make_account("neighbours", "neighbourstorage").await;
    }

    /// A storage account that is nobody's of ours.
    pub async fn make_account(&self, group: &str, name: &str) {
        let path =
            format!("/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}");
        let body = json!({
            "location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"},
            "tags": {"owner": "somebody else"},
        });
        self.ask("PUT", &path, "2025-08-01", Some(body)).await;
        let ready = async {
            let state = "provisioningState";
            while self.ask("GET", &path, "2025-08-01", None).await["properties"][state]
                != "Succeeded"
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
    }

    /// Takes such an account away again.
    pub async fn remove_account(&self, group: &str, name: &str) {
        let path =
            format!("/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}");
        self.ask("DELETE", &path, "2025-08-01", None).await;
    }
}

fn pid(child: &Child) -> Pid {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

async fn ended(child: Child) -> Ran {
    let output = tokio::time::timeout(2 * PATIENCE, child.wait_with_output());
    let output = output.await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        out: text(&output.stdout),
        err: text(&output.stderr),
        code: output.status.code(),
    }
}

fn write_settings(file: &Path, settings: &Settings) {
    std::fs::write(file, json!(settings).to_string()).unwrap();
}

impl Bed {
    /// What this person wants there.
    pub fn settings(&self) -> Settings {
        let text = |field: &str| self.text(field).to_owned();
        let mut settings = Settings::default();
        let azure = &mut settings.azure;
        azure.subscription = text("subscription");
        azure.tenant = text("tenant");
        GROUP.clone_into(&mut azure.resource_group);
        azure.sign_in = SignIn::ServicePrincipal;
        azure.cloud = CloudName::Custom;
        let here = &self.between;
        azure.custom.resource_manager.clone_from(&here.base);
        azure.custom.authority.clone_from(&here.base);
        azure.custom.audience = text("resource_manager");
        azure.custom.prices = format!("{}/api/retail/prices", here.base);
        azure.custom.certificate_authority = here.authority.path().display().to_string();
        CLUSTER.clone_into(&mut settings.cluster.name);
        settings.cluster.nodes = 1;
        ACCOUNT.clone_into(&mut settings.storage.account);
        REGISTRY.clone_into(&mut settings.registry.name);
        settings
    }
}

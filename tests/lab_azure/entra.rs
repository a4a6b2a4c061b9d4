//! A cluster that asks for Entra's word, opened with nothing but this program.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use aks_tui::adapters::azure::api::Paths;
use aks_tui::adapters::azure::{Client, Cloud, credential, kubernetes};
use serde_json::{Value, json};

use crate::aks::{AKS, body, cluster};
use crate::azure::Azure;
use crate::lab;
use crate::support::Lab;
use crate::typed::settings;

/// Writes the cluster's kubeconfig as `provision` does.
async fn fetch(azure: &Azure, path: &Path) {
    let settings = settings(azure);
    let cloud = Cloud::of(&settings.azure).unwrap();
    let (id, secret) = (azure.text("client_id"), azure.text("client_secret"));
    let env = move |name: &str| match name {
        "AZURE_CLIENT_ID" => Some(id.clone()),
        "AZURE_CLIENT_SECRET" => Some(secret.clone()),
        _ => None,
    };
    let identity = credential::sign_in(&settings.azure, &cloud, &env).await;
    let client = Client::new(cloud, identity.unwrap(), Arc::new(|_| ()));
    let paths = Paths {
        subscription: settings.azure.subscription.clone(),
        group: settings.azure.resource_group.clone(),
    };
    let program = Path::new(env!("CARGO_BIN_EXE_aks-tui"));
    kubernetes::write_kubeconfig(&client, &paths, &settings, path, program)
        .await
        .unwrap();
}

fn run(lab: &Lab, kubeconfig: &Path, secret: Option<&str>, id: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aks-tui"));
    command
        .args(["undeploy", "--dry-run", "--json", "--kubeconfig"])
        .arg(kubeconfig)
        .env("HOME", lab.state.parent().unwrap())
        .env("AZURE_CLIENT_ID", id)
        .env_remove("AZURE_CLIENT_SECRET")
        .stdin(Stdio::null());
    if let Some(secret) = secret {
        command.env("AZURE_CLIENT_SECRET", secret);
    }
    command.output().unwrap()
}

#[tokio::test]
async fn no_plug_in_is_needed_to_sign_in_to_it() {
    let lab = lab(&[]);
    let azure = Azure::of(&lab).await;
    let group = azure.make_group("rg1").await;
    let mut wanted = body(1);
    wanted["properties"]["aadProfile"] = json!({"managed": true});
    let made = azure.call("PUT", &cluster(&group), AKS, &wanted).await;
    azure.follow(&made.expect(&[201])).await;
    let kubeconfig = lab.state.join("of-entra");
    fetch(&azure, &kubeconfig).await;
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    assert!(text.contains("azure-token") && !text.contains("kubelogin"));
    let (id, secret) = (azure.text("client_id"), azure.text("client_secret"));
    assert!(!text.contains(&secret), "a file tells how, not who");

    let opened = run(&lab, &kubeconfig, Some(&secret), &id);
    let said: Value = serde_json::from_slice(&opened.stdout).expect("an answer");
    assert_eq!(said["outcome"], "planned", "{said}");

    let refused = run(&lab, &kubeconfig, None, &id);
    let told = String::from_utf8(refused.stdout).unwrap();
    assert!(told.contains("AZURE_CLIENT_SECRET"), "{told}");
    assert_eq!(refused.status.code(), Some(1));
}

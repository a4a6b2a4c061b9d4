//! `AmbrosiaAKSConf.sh`, the settings of the original's scripts, read without a
//! shell.

use std::collections::BTreeMap;

use crate::{
    core::azure::{
        names,
        settings::{AccessTier, RegistrySku, Settings},
    },
    ui::config::ConfigError,
};

/// Settings that came from a script, and what could not be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The settings.
    pub settings: Settings,
    /// What a person should know, a sentence each.
    pub notes: Vec<String>,
}

/// Reads the script `text`. `$NAME` and `${NAME}` are replaced by what the script
/// itself assigned before, and `${NAME:-default}` by it or the default.
pub fn migrate(file: &str, text: &str) -> Result<Migrated, ConfigError> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut notes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let error = |column: usize, what: String| ConfigError {
            file: file.to_owned(),
            place: Some((index + 1, column)),
            what,
        };
        let code = line.trim_start();
        let code = code.strip_prefix("export ").map_or(code, str::trim_start);
        let Some((name, rest)) = code.split_once('=') else {
            continue;
        };
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name {
            continue;
        }
        let column = line.len() - rest.len() + 1;
        let value = value(rest, &variables).map_err(|what| error(column, what))?;
        variables.insert(name.to_owned(), value);
    }
    let settings =
        take(&mut variables, &mut notes).map_err(|what| ConfigError::whole(file, what))?;
    Ok(Migrated { settings, notes })
}

/// The value of an assignment: one word of shell, quotes and variables resolved.
fn value(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => out.extend(rest.next()),
            ('`', None | Some('"')) => {
                return Err("a command in backquotes is not run: write its result".to_owned());
            }
            ('$', None | Some('"')) => out.push_str(&variable(&mut rest, variables)?),
            (c, None) if c.is_whitespace() || c == ';' => break,
            (c, _) => out.push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("the quote {open} is not closed on this line"));
    }
    Ok(out)
}

fn variable(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    variables: &BTreeMap<String, String>,
) -> Result<String, String> {
    match rest.peek() {
        Some('(') => Err("a command in $(…) is not run: write its result".to_owned()),
        Some('{') => {
            rest.next();
            let inner: String = rest.by_ref().take_while(|c| *c != '}').collect();
            let (name, default) = inner
                .split_once(":-")
                .or_else(|| inner.split_once('-'))
                .map_or((inner.as_str(), None), |(name, default)| {
                    (name, Some(default))
                });
            let known = variables.get(name).filter(|value| !value.is_empty());
            known
                .cloned()
                .or_else(|| default.map(|d| d.trim_matches(['"', '\'']).to_owned()))
                .ok_or_else(|| format!("${{{name}}} is not assigned in this file"))
        }
        _ => {
            let mut name = String::new();
            while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(c);
            }
            variables
                .get(&name)
                .cloned()
                .ok_or_else(|| format!("${name} is not assigned in this file"))
        }
    }
}

/// Moves the variables into settings; what is left over becomes notes.
fn take(
    variables: &mut BTreeMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<Settings, String> {
    let mut settings = Settings::default();
    {
        let mut text = |name: &str, target: &mut String| {
            if let Some(value) = variables.remove(name).filter(|value| !value.is_empty()) {
                *target = value;
            }
        };
        text("AZURE_SUBSCRIPTION", &mut settings.azure.subscription);
        text("AZURE_LOCATION", &mut settings.azure.location);
        text("AZURE_RESOURCE_GROUP", &mut settings.azure.resource_group);
        text("AZURE_KUBERNETES_CLUSTER", &mut settings.cluster.name);
        text("AKS_VM_SIZE", &mut settings.cluster.vm_size);
        text("AZURE_STORAGE_NAME", &mut settings.storage.account);
        text("AZ_STORAGE_SKU", &mut settings.storage.sku);
        text("FILESHARE_NAME", &mut settings.storage.shares[0].name);
        text("FILESHARE_SECRET_NAME", &mut settings.storage.secret);
        text("ACR_NAME", &mut settings.registry.name);
        text("ACR_SECRET_NAME", &mut settings.registry.secret);
        text("AMBROSIA_SERVICE_NAME", &mut settings.workload.service);
        text("PUBLIC_CONTAINER_NAME", &mut settings.workload.image);
        text("AMBROSIA_LOGDIR", &mut settings.workload.log_dir);
        text(
            "SERVICE_PRINCIPAL_NAME",
            &mut settings.legacy.service_principal,
        );
        text("DOCKER_EMAIL", &mut settings.legacy.docker_email);
    }
    settings.azure.location = names::location(&settings.azure.location);
    if settings.azure.subscription == "PASTE_SUBSCRIPTION_ID_HERE" {
        settings.azure.subscription.clear();
        notes.push(
            "the subscription was never pasted into the script: the sign-in's own is used"
                .to_owned(),
        );
    }
    if !settings.workload.image.is_empty() && !settings.registry.name.is_empty() {
        notes.push(format!(
            "the image {} is public, so the registry {} is not created; clear workload.image to use it",
            settings.workload.image, settings.registry.name
        ));
        settings.registry.name.clear();
    }
    if let Some(tier) = variables.remove("AZ_STORAGE_TIER") {
        settings.storage.access_tier = match tier.to_ascii_lowercase().as_str() {
            "hot" | "" => AccessTier::Hot,
            "cool" | "cold" => AccessTier::Cool,
            _ => return Err(format!("AZ_STORAGE_TIER is `{tier}`: Hot or Cool is meant")),
        };
    }
    if let Some(sku) = variables.remove("ACR_SKU") {
        settings.registry.sku = match sku.to_ascii_lowercase().as_str() {
            "basic" => RegistrySku::Basic,
            "standard" | "" => RegistrySku::Standard,
            "premium" => RegistrySku::Premium,
            _ => {
                return Err(format!(
                    "ACR_SKU is `{sku}`: Basic, Standard or Premium is meant"
                ));
            }
        };
    }
    if let Some(rounds) = variables.remove("NUM_ROUNDS") {
        settings.workload.rounds = rounds
            .parse()
            .map_err(|_| format!("NUM_ROUNDS is `{rounds}`: a number is meant"))?;
    }
    for (index, name) in ["LOCALPORT1", "LOCALPORT2"].into_iter().enumerate() {
        if let Some(port) = variables.remove(name) {
            settings.workload.ports[index] = port
                .parse()
                .map_err(|_| format!("{name} is `{port}`: a port is meant"))?;
        }
    }
    for name in variables.keys() {
        notes.push(format!("{name} has no meaning here and was left out"));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::azure::check;

    const SCRIPT: &str = r#"
#!/bin/bash
# Every value is mandatory.
PREFIX="abc"
AMBROSIA_SERVICE_NAME="perftest"
# PUBLIC_CONTAINER_NAME="ambrosia/ambrosia-perftest"
export AZURE_SUBSCRIPTION="00000000-1111-2222-3333-444444444444"
AZURE_LOCATION="East US"
DOCKER_EMAIL="xyz@xyz.com"
AZURE_RESOURCE_GROUP="${PREFIX}-group"
AZURE_KUBERNETES_CLUSTER=$PREFIX-cluster   # the cluster
ACR_NAME='abccontainerreg'
AZURE_STORAGE_NAME="abcstorage"
SERVICE_PRINCIPAL_NAME="abc-aks-acr-service-principal"
ACR_SECRET_NAME="acr-auth-secret"
FILESHARE_NAME="ambrosia-logs-smbshare"
FILESHARE_SECRET_NAME="azure-fileshare-secret"
AZ_STORAGE_SKU="Standard_LRS"
AZ_STORAGE_TIER="Cold"
ACR_SKU="Standard"
AKS_VM_SIZE="Standard_DS4_v2"
NUM_ROUNDS=${NUM_ROUNDS:-20}
"#;

    #[test]
    fn a_script_becomes_settings() {
        let Migrated { settings, notes } = migrate("AmbrosiaAKSConf.sh", SCRIPT).unwrap();
        assert_eq!(check::problems(&settings), []);
        assert_eq!(settings.azure.location, "eastus");
        assert_eq!(settings.azure.resource_group, "abc-group");
        assert_eq!(settings.cluster.name, "abc-cluster");
        assert_eq!(settings.cluster.vm_size, "Standard_DS4_v2");
        assert_eq!(settings.storage.access_tier, AccessTier::Cool);
        assert_eq!(settings.workload.rounds, 20);
        assert_eq!(settings.legacy.docker_email, "xyz@xyz.com");
        assert_eq!(notes, ["PREFIX has no meaning here and was left out"]);
    }

    #[test]
    fn a_public_image_needs_no_registry() {
        let script = SCRIPT.replace("# PUBLIC_CONTAINER", "PUBLIC_CONTAINER");
        let migrated = migrate("f", &script).unwrap();
        assert_eq!(
            migrated.settings.workload.image,
            "ambrosia/ambrosia-perftest"
        );
        assert_eq!(migrated.settings.registry.name, "");
        assert!(migrated.notes[0].contains("abccontainerreg"));
    }

    #[test]
    fn what_only_a_shell_can_know_is_pointed_at() {
        let error = migrate("f.sh", "\nACR_NAME=\"$(whoami)reg\"\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "f.sh:2:10: a command in $(…) is not run: write its result"
        );
        assert!(migrate("f.sh", "A=$B\n").is_err() && migrate("f.sh", "A='x\n").is_err());
    }
}

//! Signing in to a cluster that asks for Entra's word, with nothing but this program.
//!
//! AKS hands out kubeconfigs that ask a plug-in, `kubelogin`, for a token. Its place
//! is taken by a command of our own, so that the same file works in every client.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::settings::{Azure, CloudName, SignIn};

/// The plug-in that AKS's kubeconfigs ask for.
pub const KUBELOGIN: &str = "kubelogin";

/// The application that stands for every cluster with Entra sign-in.
pub const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// Our command that answers with a token.
pub const COMMAND: &str = "azure-token";

/// What a plug-in and its client agree on.
pub const API: &str = "client.authentication.k8s.io/v1";

/// Our arguments in the place of `theirs`. With `own` the sign-in is the one that
/// fetched the kubeconfig; without, it is the one nearest to what theirs say.
pub fn arguments(theirs: &[String], own: Option<&Azure>) -> Vec<String> {
    let said = |name: &str| value_of(theirs, name).unwrap_or_default();
    let mut azure = own.cloned().unwrap_or_else(|| Azure {
        sign_in: sign_in(said("--login")),
        cloud: cloud(said("--environment")),
        ..Azure::default()
    });
    if azure.tenant.is_empty() {
        said("--tenant-id").clone_into(&mut azure.tenant);
    }
    let server = match said("--server-id") {
        "" => SERVER,
        given => given,
    };
    let mut ours = vec![COMMAND.to_owned()];
    for (name, value) in [
        ("--server-id", server),
        ("--tenant-id", &azure.tenant),
        ("--login", &word(azure.sign_in)),
        ("--environment", &word(azure.cloud)),
        ("--resource-manager", &azure.custom.resource_manager),
        ("--authority", &azure.custom.authority),
        (
            "--certificate-authority",
            &azure.custom.certificate_authority,
        ),
    ] {
        if !value.is_empty() {
            ours.extend([name.to_owned(), value.to_owned()]);
        }
    }
    ours
}

/// `user.exec` of a kubeconfig, if it asks for `kubelogin`, asking `program` instead.
pub fn instead(exec: &Value, program: &str, own: &Azure) -> Option<Value> {
    if exec["command"] != KUBELOGIN {
        return None;
    }
    let theirs: Vec<String> = exec["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    Some(json!({
        "apiVersion": API,
        "command": program,
        "args": arguments(&theirs, Some(own)),
        "env": null,
        "interactiveMode": "Never",
        "provideClusterInfo": false,
    }))
}

/// The value of an option, given as `--name value` or `--name=value`.
fn value_of<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == name {
            return words.next().map(String::as_str);
        }
        let rest = word.strip_prefix(name).and_then(|it| it.strip_prefix('='));
        if rest.is_some() {
            return rest;
        }
    }
    None
}

/// How `kubelogin` was told to sign in. What it would ask a person for is looked for
/// where it needs nobody.
fn sign_in(login: &str) -> SignIn {
    match login {
        "azurecli" => SignIn::Cli,
        "azd" => SignIn::Azd,
        "spn" => SignIn::ServicePrincipal,
        "workloadidentity" => SignIn::Workload,
        "msi" => SignIn::Managed,
        _ => SignIn::Auto,
    }
}

/// The clouds by the names that Azure's libraries have for them.
fn cloud(environment: &str) -> CloudName {
    match environment {
        "AzureUSGovernmentCloud" => CloudName::Government,
        "AzureChinaCloud" => CloudName::China,
        _ => CloudName::Public,
    }
}

/// A choice as the settings' file writes it.
fn word(choice: impl Serialize) -> String {
    let value = serde_json::to_value(choice).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// A choice as [`arguments`] write it.
///
/// # Errors
/// A sentence.
pub fn choice<T: DeserializeOwned>(word: &str) -> Result<T, String> {
    serde_json::from_value(json!(word)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::azure::settings::Custom;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_kubelogin_was_told_is_understood() {
        let theirs = words(
            "get-token --environment AzureChinaCloud --server-id=s --tenant-id t --login msi",
        );
        let ours = "azure-token --server-id s --tenant-id t --login managed --environment china";
        assert_eq!(arguments(&theirs, None), words(ours));
        let nothing = format!("azure-token --server-id {SERVER} --login auto --environment public");
        assert_eq!(
            arguments(&words("get-token --login devicecode"), None),
            words(&nothing)
        );
    }

    #[test]
    fn the_sign_in_that_fetched_the_file_is_the_one_that_is_written_into_it() {
        let own = Azure {
            sign_in: SignIn::Cli,
            cloud: CloudName::Custom,
            custom: Custom {
                authority: "https://here".into(),
                ..Custom::default()
            },
            ..Azure::default()
        };
        let exec = json!({"command": KUBELOGIN, "args": ["get-token", "--tenant-id", "t"]});
        let ours = instead(&exec, "/bin/aks-tui", &own).unwrap();
        assert_eq!(ours["command"], "/bin/aks-tui");
        let said = ours["args"].to_string().replace([',', '"'], " ");
        for part in ["t", "cli", "custom", "https://here"] {
            assert!(said.contains(&format!(" {part} ")), "{said}");
        }
        assert_eq!(choice("cli"), Ok(SignIn::Cli));
        assert!(choice::<SignIn>("devicecode").is_err());
        assert_eq!(instead(&json!({"command": "other"}), "x", &own), None);
    }
}

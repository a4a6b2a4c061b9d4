//! `aks-tui azure-token`: what a kubeconfig runs to sign in to a cluster of Entra's.
//! Nobody types it, so help does not name it.

use std::process::ExitCode;

use azure_core::credentials::TokenCredential as _;
use color_eyre::eyre::{Result, WrapErr};
use serde_json::json;

use crate::{
    adapters::azure::{Cloud, credential},
    app::logging,
    commands::{on_runtime, print},
    core::azure::{
        entra,
        settings::{Azure, CloudName, Custom, SignIn},
    },
};

/// Print a token for a cluster's API server, as clients of Kubernetes ask for one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The application that stands for the cluster
    #[arg(long, value_name = "ID", default_value = entra::SERVER)]
    server_id: String,

    /// The tenant
    #[arg(long, value_name = "ID", default_value = "")]
    tenant_id: String,

    /// How to sign in, as azure.sign_in of aks-tui.yaml
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = entra::choice::<SignIn>)]
    login: SignIn,

    /// Which Azure, as azure.cloud of aks-tui.yaml
    #[arg(long, value_name = "CLOUD", default_value = "public", value_parser = entra::choice::<CloudName>)]
    environment: CloudName,

    /// Its resource manager, where that is another than the cloud's own
    #[arg(long, value_name = "URL", default_value = "")]
    resource_manager: String,

    /// Its sign-in service, where that is another than the cloud's own
    #[arg(long, value_name = "URL", default_value = "")]
    authority: String,

    /// A PEM file with the authorities to trust instead of the system's
    #[arg(long, value_name = "FILE", default_value = "")]
    certificate_authority: String,
}

/// Signs in, prints.
pub fn run(args: Args) -> Result<ExitCode> {
    logging::to_stderr();
    let azure = Azure {
        tenant: args.tenant_id,
        sign_in: args.login,
        cloud: args.environment,
        custom: Custom {
            resource_manager: args.resource_manager,
            authority: args.authority,
            certificate_authority: args.certificate_authority,
            audience: args.server_id,
            ..Custom::default()
        },
        ..Azure::default()
    };
    on_runtime(async {
        let cloud = Cloud::of(&azure)?;
        let identity = credential::sign_in(&azure, &cloud, &credential::environment).await?;
        let token = identity.credential.get_token(&[&cloud.scope], None).await?;
        let ends = jiff::Timestamp::from_second(token.expires_on.unix_timestamp())
            .wrap_err("the token's end is no time")?;
        let answer = json!({
            "apiVersion": entra::API,
            "kind": "ExecCredential",
            "status": {"expirationTimestamp": ends.to_string(), "token": token.token.secret()},
        });
        print(&format!("{answer}\n"))
    })
}

//! `aks-tui build`: an image for the cluster, built in the registry.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use color_eyre::eyre::{Result, WrapErr, bail};
use serde_json::json;

use super::{ConfigArgs, context};
use crate::{
    adapters::azure::{
        Client, Failure,
        api::Paths,
        build::{self, Build, Pushed},
        preflight,
    },
    app::logging,
    commands::{complain, on_runtime, print},
    core::azure::settings::Settings,
};

/// Build an image in the registry of aks-tui.yaml and push it, without docker
///
/// Where the subscription may not build in the registry, a docker on this machine builds, and
/// pushes with the sign-in that it has.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory with the Dockerfile
    dir: PathBuf,

    /// Name of the image, with a tag: perftest:1
    #[arg(long, value_name = "NAME[:TAG]")]
    image: String,

    /// The Dockerfile, in DIR
    #[arg(short, long, value_name = "FILE", default_value = DOCKERFILE)]
    file: String,

    #[command(flatten)]
    config: ConfigArgs,

    /// Print the pushed image as one JSON object; the log goes to standard error
    #[arg(long)]
    json: bool,
}

/// The usual name of a Dockerfile.
pub const DOCKERFILE: &str = "Dockerfile";

/// Packs, builds, pushes.
pub fn run(args: &Args) -> Result<ExitCode> {
    logging::to_stderr();
    let settings = args.config.load()?;
    on_runtime(async {
        let client = super::sign_in(&settings).await?;
        let pushed = from(&client, &settings, &args.dir, &args.file, &args.image).await?;
        print(&if args.json {
            format!(
                "{}\n",
                json!({"image": pushed.image, "digest": pushed.digest})
            )
        } else {
            let digest = pushed
                .digest
                .map_or_else(String::new, |digest| format!(" ({digest})"));
            format!("pushed {}{digest}\n", pushed.image)
        })
    })
}

/// Builds `dir` in the registry of `settings` as `image`; the log goes to standard
/// error.
pub async fn from(
    client: &Client,
    settings: &Settings,
    dir: &Path,
    file: &str,
    image: &str,
) -> Result<Pushed> {
    let registry = &settings.registry.name;
    if registry.is_empty() {
        bail!("aks-tui.yaml names no registry: set registry.name, then `aks-tui provision`");
    }
    if !dir.join(file).is_file() {
        bail!("there is no {file} in {}", dir.display());
    }
    let image = if image.contains(':') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    };
    let context = context::archive(dir, file)?;
    let subscription = preflight::subscription(client, &settings.azure.subscription).await?;
    let paths = Paths {
        subscription: subscription["subscriptionId"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        group: settings.azure.resource_group.clone(),
    };
    let build = Build {
        context,
        dockerfile: file.to_owned(),
        image: image.clone(),
    };
    let mut log = |line: &str| complain(line);
    match build::run(client, &paths, registry, build, &mut log).await {
        Err(failure) if failure.has("TasksOperationsNotAllowed") => {
            by_docker(
                dir,
                file,
                &format!("{registry}.azurecr.io/{image}"),
                &failure,
            )
            .await
        }
        built => Ok(built?),
    }
}

/// Builds and pushes with the docker of this machine.
async fn by_docker(dir: &Path, file: &str, image: &str, refused: &Failure) -> Result<Pushed> {
    complain(&format!("{refused}; trying the docker of this machine"));
    let dockerfile = dir.join(file);
    for arguments in [
        vec![
            "build".as_ref(),
            "--tag".as_ref(),
            image.as_ref(),
            "--file".as_ref(),
            dockerfile.as_os_str(),
            dir.as_os_str(),
        ],
        vec!["push".as_ref(), image.as_ref()],
    ] {
        let done = tokio::process::Command::new("docker")
            .args(&arguments)
            .stdout(std::io::stderr())
            .status()
            .await
            .wrap_err("docker cannot be run: install it, or build where tasks are allowed")?;
        if !done.success() {
            bail!(
                "docker {} failed ({done}); to push it must be signed in to the registry: `az acr login`",
                arguments[0].to_string_lossy()
            );
        }
    }
    Ok(Pushed {
        image: image.to_owned(),
        digest: None,
    })
}

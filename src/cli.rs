//! The command line.

use std::{env, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use color_eyre::eyre::Result;

use crate::{
    adapters::cluster,
    commands::{
        self, helloworld,
        perftest::{self, Failure},
    },
    core::azure::entra,
    immortal::first,
};

/// Prove, live, that a stateful service on Kubernetes survives being killed.
///
/// Without a command, opens the cockpit on the cluster of your kubeconfig.
/// `aks-tui demo` needs no cluster at all.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    looks: LooksArgs,

    #[command(flatten)]
    config: commands::azure::ConfigArgs,
}

/// Which cluster, and what in it.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// Kubeconfig to read instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; its current context is never switched
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Namespace of the workload
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Label selector of the client's pods
    #[arg(long, value_name = "SELECTOR", default_value = CLIENT)]
    pub client: String,

    /// Label selector of the server's pods
    #[arg(long, value_name = "SELECTOR", default_value = SERVER)]
    pub server: String,

    /// Refuse everything that changes the cluster
    #[arg(long)]
    pub read_only: bool,
}

impl From<ClusterArgs> for cluster::Options {
    fn from(args: ClusterArgs) -> Self {
        Self {
            kubeconfig: args.kubeconfig,
            context: args.context,
            namespace: args.namespace,
            client_selector: args.client,
            server_selector: args.server,
            read_only: args.read_only,
            lease: None,
            nowhere: None,
            log_since_ms: None,
        }
    }
}

/// The client's pods as our manifests and the original's scripts label them.
pub const CLIENT: &str = "app=generated-perftestclient";

/// The server's pods as our manifests and the original's scripts label them.
pub const SERVER: &str = "app=generated-perftestserver";

/// How the screen looks and obeys.
#[derive(Debug, Clone, Default, Args)]
pub struct LooksArgs {
    /// Theme: a name (see `aks-tui themes`) or a file
    #[arg(long, value_name = "NAME|FILE", env = "AKS_TUI_THEME")]
    pub theme: Option<String>,

    /// Keymap: a name (see `aks-tui keys`) or a file
    #[arg(long, value_name = "NAME|FILE", env = "AKS_TUI_KEYMAP")]
    pub keymap: Option<String>,

    /// Draw with ASCII characters only
    #[arg(long, env = "AKS_TUI_ASCII")]
    pub ascii: bool,

    /// Frames a second that incoming data may cause
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=120))]
    pub fps: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(Box<commands::demo::Args>),
    Deploy(Box<commands::deploy::Args>),
    Run(Box<commands::azure::run::Args>),
    Undeploy(Box<commands::undeploy::Args>),
    Kill(Box<commands::kill::Args>),
    Replay(commands::replay::Args),
    Runs(commands::runs::Args),
    Lab(commands::lab::Lab),
    Init(commands::init::Args),
    Provision(commands::azure::provision::Args),
    Clean(commands::azure::clean::Args),
    Cluster(commands::azure::cluster::Args),
    Build(commands::azure::build::Args),
    #[command(name = entra::COMMAND, hide = true)]
    AzureToken(commands::azure::token::Args),
    Keys(commands::keys::Args),
    Themes(commands::themes::Args),
    /// The immortal throughput test: a job sends, a server sends back
    #[command(subcommand)]
    Perftest(perftest::Perftest),
    #[command(subcommand)]
    Helloworld(helloworld::Helloworld),
    /// Take the screen and panic: a test looks at what is left of the terminal
    #[cfg(debug_assertions)]
    #[command(hide = true)]
    PanicOnScreen {
        /// On another thread than the one that draws
        #[arg(long)]
        elsewhere: bool,
    },
}

/// Exit code for arguments that make no sense.
const USAGE: u8 = 2;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let result = match Cli::try_parse_from(perftest::rewrite(helloworld::rewrite(arguments))) {
        Ok(cli) => run(cli),
        Err(error) => return refuse(&error),
    };
    result.unwrap_or_else(|report| {
        commands::complain(&format!("error: {report:#}"));
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        None => commands::cockpit::run(cli.cluster, &cli.looks, &cli.config),
        Some(Command::Demo(args)) => commands::demo::run(*args),
        Some(Command::Deploy(args)) => commands::deploy::run(*args),
        Some(Command::Run(args)) => commands::azure::run::run(*args),
        Some(Command::Undeploy(args)) => commands::undeploy::run(&args),
        Some(Command::Kill(args)) => commands::kill::run(*args),
        Some(Command::Replay(args)) => commands::replay::run(&args),
        Some(Command::Runs(args)) => commands::runs::run(args),
        Some(Command::Lab(args)) => Ok(commands::lab::run(args)),
        Some(Command::Init(args)) => commands::init::run(&args),
        Some(Command::Provision(args)) => commands::azure::provision::run(&args),
        Some(Command::Clean(args)) => commands::azure::clean::run(&args),
        Some(Command::Cluster(args)) => commands::azure::cluster::run(&args),
        Some(Command::Build(args)) => commands::azure::build::run(&args),
        Some(Command::AzureToken(args)) => commands::azure::token::run(args),
        Some(Command::Keys(args)) => commands::keys::run(&args),
        Some(Command::Themes(args)) => commands::themes::run(&args),
        Some(Command::Perftest(command)) => Ok(immortal(|| perftest::run(command))),
        Some(Command::Helloworld(command)) => Ok(immortal(|| helloworld::run(command))),
        #[cfg(debug_assertions)]
        Some(Command::PanicOnScreen { elsewhere }) => {
            crate::app::terminal::panic_on_screen(elsewhere)
        }
    }
}

/// Runs an instance; as the first process of a container, only looks after one.
fn immortal(run: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    if first::is_first() {
        return first::look_after().map_or_else(
            |error| {
                commands::complain(&format!("error: cannot start as a child: {error}"));
                ExitCode::FAILURE
            },
            ExitCode::from,
        );
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(sentence)) => {
            commands::complain(&format!("error: {sentence}"));
            ExitCode::from(USAGE)
        }
        Err(Failure::Soak(sentence)) => {
            commands::complain(&format!("error: {sentence}"));
            ExitCode::FAILURE
        }
        Err(Failure::Instance(error)) => {
            commands::complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says in one line what is wrong with the arguments; help and version are no error.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nothing is left to do if nobody can read it.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let words: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    commands::complain(&words.join(" "));
    ExitCode::from(USAGE)
}

//! `aks-tui helloworld client|server`: from the command line to an immortal instance.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::perftest::{Failure, Safe, instance_name, peer};
use crate::immortal::helloworld::{self, Options};
use crate::immortal::perftest::{PORT, parse_time};

/// The immortal greeting: a client sends three messages and waits for Enter in between
#[derive(Debug, Subcommand)]
pub enum Helloworld {
    /// The client: sends one message, and after Enter two more
    Client(ClientArgs),
    /// The server: prints what comes
    Server(ServerArgs),
}

/// Options of both programs.
#[derive(Debug, Args)]
struct Both {
    /// Port of the link: the server listens on it, the client dials it there
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,
    /// Directory under which the instance keeps its log, as DIR/<instance>_0
    #[arg(short = 'l', long, value_name = "DIR", default_value = "AmbrosiaLogs")]
    log: PathBuf,
    /// When an input counts as safe: fsync survives a power loss, os the death of the process
    #[arg(long, value_enum, default_value = "fsync")]
    durability: Safe,
    /// Idle when the work is done instead of ending
    #[arg(long)]
    stay: bool,
}

/// Options of the client.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// Name of this instance
    #[arg(default_value = "client")]
    name: String,
    /// Name of the server instance, or where it is as host:port
    #[arg(default_value = "server")]
    server: String,
    /// Do not wait for Enter, but for --pause
    #[arg(short = 'c', long = "autoContinue")]
    auto_continue: bool,
    /// How long to wait instead of Enter: 500ms, 10s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time, requires = "auto_continue")]
    pause: Duration,
    #[command(flatten)]
    both: Both,
}

/// Options of the server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Name of this instance
    #[arg(default_value = "server")]
    name: String,
    #[command(flatten)]
    both: Both,
}

/// Rewrites the arguments of a whole command line (program name first): in an image
/// the client's process is called `Job` and the server's `Server`, whatever they do,
/// and `Job helloworld` is `aks-tui helloworld client`.
pub fn rewrite(arguments: Vec<String>) -> Vec<String> {
    let [called, what, rest @ ..] = &arguments[..] else {
        return arguments;
    };
    let role = match called.rsplit('/').next() {
        Some("Job") => "client",
        Some("Server") => "server",
        _ => return arguments,
    };
    if what != "helloworld" {
        return arguments;
    }
    let mut out = ["aks-tui", what, role].map(str::to_owned).to_vec();
    out.extend_from_slice(rest);
    out
}

/// Runs an instance to its end.
pub fn run(command: Helloworld) -> Result<(), Failure> {
    match command {
        Helloworld::Client(client) => {
            let server = peer(Some(client.server)).map_err(Failure::Usage)?;
            let pause = client.auto_continue.then_some(client.pause);
            let options = client.both.options(client.name)?;
            helloworld::client(options, server, pause)
        }
        Helloworld::Server(server) => helloworld::server(server.both.options(server.name)?),
    }
    .map_err(Failure::Instance)
}

impl Both {
    fn options(self, name: String) -> Result<Options, Failure> {
        Ok(Options {
            name: instance_name(Some(name), "the instance has no name").map_err(Failure::Usage)?,
            port: self.port,
            log: self.log,
            durability: self.durability.into(),
            stay: self.stay,
        })
    }
}

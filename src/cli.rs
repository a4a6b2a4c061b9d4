//! The command line.

use std::env;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::lab::{self, Lab};
use crate::commands::perftest::{self, Failure, Perftest};

/// A terminal cockpit that proves, live, that a stateful service on Kubernetes
/// survives being killed.
#[derive(Debug, Parser)]
#[command(name = "aks-tui", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The immortal throughput test: a job sends, a server sends back
    #[command(subcommand)]
    Perftest(Perftest),
    /// A small Kubernetes on this machine, with real processes for pods
    Lab(Lab),
}

/// Exit code for arguments that make no sense.
const USAGE: u8 = 2;

/// Parses the command line and runs what it asks for.
pub fn main() -> ExitCode {
    let arguments = env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match Cli::try_parse_from(perftest::rewrite(arguments)) {
        Ok(Cli {
            command: Command::Perftest(command),
        }) => run_perftest(command),
        Ok(Cli {
            command: Command::Lab(command),
        }) => lab::run(command),
        Err(error) => refuse(&error),
    }
}

fn run_perftest(command: Perftest) -> ExitCode {
    match perftest::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(sentence)) => {
            eprintln!("error: {sentence}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Instance(error)) => {
            eprintln!("error: {error}");
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
    eprintln!("{}", words.join(" "));
    ExitCode::from(USAGE)
}

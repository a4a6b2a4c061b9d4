//! One file a subcommand: arguments in, exit code out.

pub mod cockpit;
pub mod demo;
pub mod keys;
pub mod lab;
pub mod perftest;
pub mod replay;
pub mod runs;
pub mod themes;

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
};

use color_eyre::eyre::{Result, bail};

/// Prints `text`; a reader that has read enough (`| head`) is no error.
fn print(text: &str) -> Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what went wrong on standard error, if anybody reads it: a terminal that
/// is gone must not make a panic of an error.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Runs `future` on the runtime that everything asynchronous lives on.
fn on_runtime<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    // Two TLS libraries could be linked some day; the choice is made once, here.
    let chosen = rustls::crypto::ring::default_provider().install_default();
    debug_assert!(chosen.is_ok(), "a runtime is made once");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(future);
    // A plug-in that hangs on a blocking thread does not keep a person here.
    runtime.shutdown_background();
    result
}

/// The cockpit draws on a terminal and reads keys from one.
fn needs_terminal() -> Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!(
            "the cockpit needs a terminal on standard input and output; without one, use \
             `aks-tui demo --headless` or `aks-tui runs`"
        );
    }
    Ok(())
}

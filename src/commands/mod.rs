//! One file a subcommand: arguments in, exit code out.

pub mod azure;
pub mod cockpit;
pub mod demo;
pub mod deploy;
mod headless;
pub mod helloworld;
pub mod init;
pub mod keys;
pub mod kill;
pub mod lab;
pub mod perftest;
pub mod replay;
pub mod runs;
pub mod themes;
pub mod undeploy;

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use color_eyre::eyre::{Report, Result, WrapErr, bail, eyre};

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

/// `3s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        other => return Err(eyre!("{other} is no unit of time here: use ms, s or m")),
    };
    let number: f64 = number
        .parse()
        .wrap_err("expected a time like 3s or 500ms")?;
    Duration::try_from_secs_f64(number * scale).map_err(Report::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_unit() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("3s").unwrap(), Duration::from_secs(3));
        assert_eq!(duration("1.5m").unwrap(), Duration::from_secs(90));
        assert!(
            duration("3h")
                .unwrap_err()
                .to_string()
                .contains("use ms, s or m")
        );
        assert!(duration("-1s").is_err() && duration("s").is_err());
    }
}

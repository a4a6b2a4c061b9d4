//! The programs in the lab's images: small, honest causes of everyday trouble.
//!
//! Each is this executable under another name, so that it needs nothing of the
//! machine it runs on. None of them pretends: a crasher really ends, a hog
//! really holds the memory, a slow starter really does not answer yet.

use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Args, Parser};

mod web;

/// The names they are called by.
pub(super) const NAMES: [&str; 6] = ["web", "crasher", "hog", "flooder", "slow-starter", "pause"];

/// Bytes of a mebibyte.
const MIB: usize = 1024 * 1024;

/// How often a flooder that is behind looks at the clock.
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Parser)]
#[command(multicall = true, disable_help_subcommand = true)]
enum Program {
    /// Answer HTTP: the pod's name on /, 200 on /healthz and /readyz
    Web {
        #[command(flatten)]
        listen: Listen,
    },
    /// Work for a while, then end with an exit code
    Crasher {
        /// Seconds before it ends
        #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "1")]
        after: Duration,
        /// Exit code
        #[arg(long, default_value_t = 1)]
        code: u8,
    },
    /// Take more and more memory and hold it
    Hog {
        /// MiB to take each time
        #[arg(long, value_name = "MIB", default_value_t = 8)]
        step: usize,
        /// Seconds between
        #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "0.1")]
        every: Duration,
        /// MiB at which it stops growing
        #[arg(long, value_name = "MIB", default_value_t = 256)]
        most: usize,
    },
    /// Write numbered lines to the log, at a steady rate
    Flooder {
        /// Lines a second
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Lines before it only waits; 0 means for ever
        #[arg(long, default_value_t = 0)]
        lines: u64,
        /// Bytes of a line
        #[arg(long, value_name = "BYTES", default_value_t = 80)]
        width: usize,
    },
    /// Answer 503 for a while, then be a web server
    SlowStarter {
        /// Seconds before it is ready
        #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "20")]
        after: Duration,
        #[command(flatten)]
        listen: Listen,
        /// File that it makes when it is ready
        #[arg(long, value_name = "PATH", default_value_os_t = ready())]
        file: PathBuf,
    },
    /// Do nothing until it is told to end
    Pause,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, Args)]
struct Listen {
    /// Address to listen on; a pod without a network of its own names its own
    #[arg(long, env = "POD_IP", default_value_t = Ipv4Addr::UNSPECIFIED)]
    address: Ipv4Addr,
    /// Port to listen on
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
}

/// Plays the program of that name. Gives the exit code.
pub(super) fn main(name: &str, arguments: impl Iterator<Item = String>) -> u8 {
    let line = std::iter::once(name.to_owned()).chain(arguments);
    let program = match Program::try_parse_from(line) {
        Ok(program) => program,
        Err(error) => {
            // Who does not read it does not need it.
            let _ = error.print();
            return error.exit_code() as u8;
        }
    };
    match run(program) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{name}: {error}");
            1
        }
    }
}

fn run(program: Program) -> io::Result<u8> {
    match program {
        Program::Web { listen } => web::serve(listen, Instant::now(), || ()),
        Program::SlowStarter {
            after,
            listen,
            file,
        } => {
            // A container that starts again begins with a new root, but its
            // volumes may remember.
            if let Err(error) = fs::remove_file(&file)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            say(&format!("ready in {} s", after.as_secs_f64()))?;
            web::serve(listen, Instant::now() + after, move || {
                if let Err(error) = fs::write(&file, "") {
                    eprintln!("slow-starter: cannot make {}: {error}", file.display());
                }
            })
        }
        Program::Crasher { after, code } => {
            say(&format!("working, for {} s", after.as_secs_f64()))?;
            sleep(after);
            eprintln!("crasher: something went wrong, exit code {code}");
            Ok(code)
        }
        Program::Hog { step, every, most } => hog(step, every, most),
        Program::Flooder { rate, lines, width } => flood(rate, lines, width),
        Program::Pause => loop {
            sleep(Duration::MAX);
        },
    }
}

/// Where a program tells that it is ready, if it is not told where: a pod that
/// shares the machine's files is given a place of its own for what is temporary.
fn ready() -> PathBuf {
    std::env::temp_dir().join("ready")
}

/// A line on standard output, at once.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn hog(step: usize, every: Duration, most: usize) -> io::Result<u8> {
    let mut held = Vec::new();
    while held.len() * step < most && step > 0 {
        // Written to, or the kernel would only promise it.
        held.push(vec![1_u8; step * MIB]);
        say(&format!("holding {} MiB", held.len() * step))?;
        sleep(every);
    }
    std::hint::black_box(&held);
    loop {
        sleep(Duration::MAX);
    }
}

fn flood(rate: u32, lines: u64, width: usize) -> io::Result<u8> {
    let began = Instant::now();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut line = 0_u64;
    loop {
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let due = if lines == 0 { due } else { due.min(lines) };
        while line < due {
            line += 1;
            writeln!(out, "{:<width$}", format!("line {line} of the flood"))?;
        }
        out.flush()?;
        sleep(if lines > 0 && line == lines {
            Duration::MAX
        } else {
            TICK
        });
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_program_can_be_called_and_explains_itself() {
        let command = Program::command();
        let known: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(known, NAMES);
        for name in NAMES {
            let error = Program::try_parse_from([name, "--help"]).unwrap_err();
            assert_eq!(error.exit_code(), 0, "{name}");
        }
        let wrong = Program::try_parse_from(["crasher", "--after", "soon"]).unwrap_err();
        assert_eq!(wrong.exit_code(), 2);
    }

    #[test]
    fn a_crasher_ends_with_the_code_it_was_given() {
        let program = Program::Crasher {
            after: Duration::ZERO,
            code: 7,
        };
        assert_eq!(run(program).unwrap(), 7);
    }
}

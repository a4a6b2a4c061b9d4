//! How fast immortality is: perftest by message size, beside what the machine
//! itself can do and beside gRPC without any durability, all from one run.
//!
//! ```text
//! cargo bench --bench immortal                      all of it, about three minutes
//! cargo bench --bench immortal -- --sizes 16,4096   these sizes only
//! cargo bench --bench immortal -- --only recovery   one room: throughput or recovery
//! cargo bench --bench immortal -- --json            one object on the last line
//! ```
//!
//! The machine's limit is two processes that move the same bytes over the same
//! kind of sockets and append them to the same kind of logs, and do nothing else.
//! A figure is the median of its runs. Everything stays on loopback and in a
//! directory below `TMPDIR` that vanishes: it has to be on the disk in question.

#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
mod grpc;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
mod pair;
#[cfg(target_os = "linux")]
mod perftest;
#[cfg(target_os = "linux")]
mod recovery;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod throughput;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("these numbers are measured with what Linux tells of its processes");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    rooms::main()
}

#[cfg(target_os = "linux")]
mod rooms {
    use std::path::PathBuf;
    use std::process::ExitCode;

    use clap::{Parser, ValueEnum};
    use color_eyre::eyre::Result;
    use serde_json::json;

    use super::machine::Machine;
    use super::table::Table;
    use super::{bare, grpc, recovery, throughput};

    /// What can be measured by itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    enum Room {
        /// Calls and bytes in a second, by message size.
        Throughput,
        /// From a killed process to the next fresh call, the rate of replay, and failover.
        Recovery,
    }

    /// How fast immortality is, beside the machine's limit and gRPC
    #[derive(Debug, Parser)]
    pub struct Args {
        /// Measure only these
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Room>,

        /// Sizes of messages, in bytes
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "65536,16384,4096,1024,256,64,16"
        )]
        pub sizes: Vec<u64>,

        /// How often everything is run
        #[arg(long, default_value_t = 3)]
        pub times: usize,

        /// MiB of payload in a run, each way
        #[arg(long, default_value_t = 256)]
        pub mib: u64,

        /// Calls in a run, each way, if these are fewer bytes
        #[arg(long, default_value_t = 4_000_000)]
        pub calls: u64,

        /// How often a process is killed
        #[arg(long, default_value_t = 20)]
        pub kills: usize,

        /// How often a process that has a standby is killed
        #[arg(long, default_value_t = 50)]
        pub failovers: u64,

        /// Measure this build instead of the one that cargo has just made
        #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_aks-tui"))]
        pub program: PathBuf,

        /// Print one JSON object on the last line
        #[arg(long)]
        json: bool,

        /// Cargo says it to every bench
        #[arg(long, hide = true)]
        bench: bool,
    }

    pub fn main() -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        if let Some(played) = bare::play_part(&args).or_else(|| grpc::play_part(&args)) {
            return ended(played.map(|()| true));
        }
        let args = Args::parse();
        ended(report(&args))
    }

    fn ended(result: Result<bool>) -> ExitCode {
        match result {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(report) => {
                eprintln!("error: {report:#}");
                ExitCode::FAILURE
            }
        }
    }

    /// Whether every target was met.
    fn report(args: &Args) -> Result<bool> {
        let machine = Machine::read("immortal", &args.program);
        println!("{machine}");
        let wanted = |room| args.only.is_empty() || args.only.contains(&room);
        let mut table = Table::default();
        if wanted(Room::Throughput) {
            table.throughput = throughput::measure(args)?;
        }
        if wanted(Room::Recovery) {
            table.recovery = Some(recovery::measure(args)?);
        }
        print!("{table}");
        if args.json {
            println!("{}", json!({"machine": machine, "results": table}));
        }
        Ok(table.is_met())
    }
}

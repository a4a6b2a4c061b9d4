//! What the commands for Azure promise: how long a plan takes beside the service, how
//! often the service is asked, and what a long wait costs.
//!
//! ```text
//! cargo bench --bench azure                     all of it, about five minutes
//! cargo bench --bench azure -- --only plan      one room: plan, watch or wait
//! cargo bench --bench azure -- --json           one object on the last line
//! ```
//!
//! The service is the lab's Azure, behind a relay that takes the time of every answer.
//! Everything stays on loopback, ends by itself, and cleans up after itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it shares the bed of the tests, where whatever fails ends everything"
)]

#[cfg(target_os = "linux")]
#[path = "../../tests/azure_proof/bed.rs"]
mod bed;
#[cfg(target_os = "linux")]
#[path = "../../tests/azure_proof/between.rs"]
mod between;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
#[path = "../support/report.rs"]
mod report;
#[cfg(target_os = "linux")]
#[path = "../../tests/support/lab.rs"]
mod support;
#[cfg(target_os = "linux")]
#[path = "../support/table.rs"]
mod table;
#[cfg(target_os = "linux")]
mod wait;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
mod bench {
    use std::path::Path;
    use std::process::ExitCode;

    use clap::{Parser, ValueEnum};
    use color_eyre::eyre::Result;

    use super::report::report;
    use super::table::Row;
    use super::{plan, wait, watch};

    /// What can be measured by itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    enum Room {
        /// A plan on a group with much in it.
        Plan,
        /// Requests a minute while ten clusters are made.
        Watch,
        /// Memory over a day of waiting.
        Wait,
    }

    /// What the commands for Azure promise
    #[derive(Debug, Parser)]
    struct Args {
        /// Measure only these
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Room>,

        /// How many plans are made
        #[arg(long, default_value_t = 10)]
        times: usize,

        /// Hours that are waited
        #[arg(long, default_value_t = 24)]
        hours: u64,

        /// Print one JSON object on the last line
        #[arg(long)]
        json: bool,

        /// Cargo says it to every bench
        #[arg(long, hide = true)]
        bench: bool,
    }

    pub fn main() -> ExitCode {
        let args = Args::parse();
        let program = Path::new(env!("CARGO_BIN_EXE_aks-tui"));
        report("azure", program, args.json, || measure(&args))
    }

    fn measure(args: &Args) -> Result<Vec<Row>> {
        let wanted = |room| args.only.is_empty() || args.only.contains(&room);
        let mut rows = Vec::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        if wanted(Room::Plan) {
            rows.extend(runtime.block_on(plan::measure(args.times)));
        }
        if wanted(Room::Watch) {
            rows.extend(runtime.block_on(watch::measure()));
        }
        if wanted(Room::Wait) {
            rows.extend(wait::measure(&runtime, args.hours)?);
        }
        Ok(rows)
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    bench::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the lab needs Linux");
}

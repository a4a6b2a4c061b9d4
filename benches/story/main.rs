//! Every number that the project promises, measured on the real program in a
//! real terminal, beside a reference from the same machine and minute.
//!
//! ```text
//! cargo bench --bench story                        all of it, about four minutes
//! cargo bench --bench story -- --minutes 10        with ten minutes of demo
//! cargo bench --bench story -- --only recovery     one room: start, recovery,
//!                                                  keys or upkeep
//! cargo bench --bench story -- --json              one object on the last line
//! ```
//!
//! Everything stays on loopback, ends by itself, and cleans up after itself: no
//! state of the user's is read or written.

#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
mod flood;
#[cfg(target_os = "linux")]
#[path = "../support/home.rs"]
mod home;
#[cfg(target_os = "linux")]
mod keys;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
mod recovery;
#[cfg(target_os = "linux")]
#[path = "../support/report.rs"]
mod report;
#[cfg(target_os = "linux")]
mod start;
#[cfg(target_os = "linux")]
#[path = "../support/table.rs"]
mod table;
#[cfg(target_os = "linux")]
mod tty;
#[cfg(target_os = "linux")]
mod upkeep;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("these numbers are measured on the lab, and the lab needs Linux");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    rooms::main()
}

#[cfg(target_os = "linux")]
mod rooms {
    use std::{path::PathBuf, process::ExitCode};

    use clap::{Parser, ValueEnum};
    use color_eyre::eyre::Result;

    use super::{flood, keys, recovery, report::report, start, table::Row, upkeep};

    /// What can be measured by itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    enum Room {
        /// First frame and first progress.
        Start,
        /// Recovery time of a killed process and of a deleted pod.
        Recovery,
        /// From a key to its effect on the screen, under a flood of log lines.
        Keys,
        /// The cockpit's own processor time and memory.
        Upkeep,
    }

    /// Every number that the project promises, beside a reference
    #[derive(Debug, Parser)]
    pub struct Args {
        /// Measure only these
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Room>,

        /// How often the program is started
        #[arg(long, default_value_t = 12)]
        pub starts: usize,

        /// Kills of each fault
        #[arg(long, default_value_t = 20)]
        pub kills: usize,

        /// Keys pressed, with and without the flood
        #[arg(long, default_value_t = 400)]
        pub keys: usize,

        /// Log lines a second of the flood
        #[arg(long, default_value_t = 50_000)]
        pub lines: u64,

        /// Minutes of demo for processor time and memory
        #[arg(long, default_value_t = 0.5)]
        pub minutes: f64,

        /// Options of the demo, as one word: "--rate 64MiB"
        #[arg(
            long,
            value_name = "OPTIONS",
            default_value = "",
            allow_hyphen_values = true
        )]
        pub demo: String,

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

    impl Args {
        /// The words of `--demo`.
        pub fn demo(&self) -> impl Iterator<Item = &str> {
            self.demo.split_whitespace()
        }
    }

    pub fn main() -> ExitCode {
        // Inside a pod of the lab this program is the one that floods.
        if let Some(code) = flood::play_part() {
            return code;
        }
        let args = Args::parse();
        report("story", &args.program, args.json, || measure(&args))
    }

    fn measure(args: &Args) -> Result<Vec<Row>> {
        let wanted = |room| args.only.is_empty() || args.only.contains(&room);
        let mut rows = Vec::new();
        for (room, measure) in [
            (Room::Start, start::measure as fn(&Args) -> Result<Vec<Row>>),
            (Room::Recovery, recovery::measure),
            (Room::Keys, keys::measure),
            (Room::Upkeep, upkeep::measure),
        ] {
            if wanted(room) {
                eprintln!("measuring {room:?} …");
                rows.extend(measure(args)?);
            }
        }
        Ok(rows)
    }
}

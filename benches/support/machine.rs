//! Where the numbers were measured: without it they mean nothing.

use std::{fmt, fs, path::Path, thread};

use serde::Serialize;

/// The machine, the build and the command.
#[derive(Debug, Serialize)]
pub struct Machine {
    cores: usize,
    model: String,
    kernel: String,
    load: String,
    program: String,
    profile: &'static str,
    command: String,
}

impl Machine {
    /// Looks around, for the bench of this name.
    pub fn read(bench: &str, program: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, model)| model);
        let load = read("/proc/loadavg");
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let kernel = read("/proc/sys/kernel/osrelease");
        let command: Vec<String> = std::env::args()
            .skip(1)
            .filter(|word| word != "--bench")
            .collect();
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            model: model.to_owned(),
            kernel: kernel.trim().to_owned(),
            load,
            program: program.display().to_string(),
            profile: if cfg!(debug_assertions) {
                "debug: these numbers say nothing of a release"
            } else {
                "release"
            },
            command: format!("cargo bench --bench {bench} -- {}", command.join(" ")),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores,
            model,
            kernel,
            load,
            program,
            profile,
            command,
        } = self;
        writeln!(f, "machine  {cores} cores, {model}, Linux {kernel}")?;
        writeln!(
            f,
            "load     {load} (1, 5, 15 min) before the first measurement"
        )?;
        writeln!(f, "build    {profile}, {program}")?;
        write!(f, "command  {}", command.trim_end_matches([' ', '-']))
    }
}

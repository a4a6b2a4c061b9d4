//! perftest as people run it, on a directory and an address of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use color_eyre::eyre::Result;

use super::pair::{self, Cost, Load, Program};

/// A server, its job, and where they are.
pub struct World {
    program: PathBuf,
    logs: tempfile::TempDir,
    host: String,
}

impl World {
    /// An empty one for this build of the program.
    pub fn new(program: &Path) -> Result<Self> {
        let part = || fastrand::u8(1..=254);
        Ok(Self {
            program: program.to_owned(),
            logs: tempfile::Builder::new()
                .prefix("aks-tui-bench-")
                .tempdir()?,
            host: format!("127.{}.{}.{}", part(), part(), part()),
        })
    }

    /// Starts one of the two, with options split at blanks.
    pub fn start(&self, program: &str, options: &str) -> Result<Program> {
        let mut command = Command::new(&self.program);
        command
            .args(["perftest", program, "-c", "--sp", "50001", "--log"])
            .arg(self.logs.path())
            .args(options.split_whitespace())
            .env("POD_IP", &self.host)
            .env("SERVER_SERVICE_HOST", &self.host);
        Program::start(&mut command)
    }

    /// Bytes in each of an instance's logs, by their numbers.
    pub fn logs(&self, instance: &str) -> Result<Vec<(u64, u64)>> {
        let mut logs = Vec::new();
        for entry in fs::read_dir(self.logs.path().join(format!("{instance}_0")))? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("log-"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                logs.push((number, entry.metadata()?.len()));
            }
        }
        Ok(logs)
    }
}

/// The number after `name=` in a line that begins with `*X* kind`.
pub fn field(line: &str, kind: &str, name: &str) -> Option<u64> {
    let fields = line.strip_prefix("*X* ")?.strip_prefix(kind)?;
    let mut fields = fields.split_whitespace();
    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Whether a line is a progress line of fresh calls.
pub fn is_fresh(line: &str) -> Option<()> {
    (field(line, "progress", "replaying")? == 0 && field(line, "progress", "call")? > 0)
        .then_some(())
}

/// Carries this load from a fresh start to its end: from the first message at the
/// server to the last at the one to whom it goes.
pub fn run(program: &Path, load: Load, durability: &str) -> Result<Cost> {
    let world = World::new(program)?;
    pair::cost(|| {
        let one_way = if load.both_ways { "" } else { "-nbd" };
        let server = format!("-j server --progress 3600s --durability {durability} {one_way}");
        let server = world.start("server", &server)?;
        let job = world.start(
            "job",
            &format!(
                "-j client -s server --durability {durability} -n 1 --mms {} --bytes-per-round {}",
                load.size,
                load.bytes()
            ),
        )?;
        let (began, ()) = server.find(is_fresh)?;
        let last = if load.both_ways { &job } else { &server };
        let total = format!("Bytes received: {}", load.bytes());
        let (ended, ()) = last.find(|line| (line == total).then_some(()))?;
        job.succeed()?;
        server.succeed()?;
        Ok((ended - began).as_secs_f64())
    })
}

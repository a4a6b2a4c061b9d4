//! perftest: the workload whose survival is shown.
//!
//! A job sends rounds of messages to a server, which sends them back; both count.
//! The command line and the lines printed are those of AMBROSIA's
//! PerformanceTestInterruptible, so that documents, scripts and parsers made for it
//! work with this one. Not reproduced: the server's heartbeat, which called itself
//! every millisecond for ever, and what concerns a separate coordinator process,
//! which does not exist here.
//!
//! Two things differ for the better. The throughput of a round is measured on the
//! logged clock, so that a replay prints the same figure again. And the logs are
//! bounded.

pub mod argv;
pub(super) mod console;
mod job;
mod options;
mod payload;
mod server;
mod signals;
pub mod soak;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use options::{
    Common, JobOptions, LOG_TRIGGER, PORT, Plan, REPLAY_TRIGGER, ROUND, ServerOptions, parse_bytes,
    parse_time,
};

use super::{Call, Config, Error, Impulses, Link, Past, address, run};
use job::Job;
use server::Server;

/// A message, and its echo to the job that sent it.
const DELIVER: u8 = 1;
/// The echo of a message that another job sent.
const ECHO_OF_ANOTHER: u8 = 2;
/// To the server: this job has sent everything. To a job: so have all.
const PRINT_TOTALS: u8 = 3;
/// From the world: this round is the last.
const LAST_ROUND: u8 = 1;

/// Runs the client until it is done, or for ever with [`Common::stay`].
pub fn job(options: JobOptions) -> Result<(), Error> {
    let started = Instant::now();
    let impulses = Impulses::default();
    signals::listen(impulses.clone(), LAST_ROUND)?;
    pause(&options.name, options.common.auto_continue);
    let progress = console::Progress::start(options.common.progress)?;
    let app = Job::new(&options, progress);
    let links = vec![Link::Dial {
        peer: options.server,
        port: options.common.port,
    }];
    let config = config(options.name, links, options.common, started, impulses);
    run(&config, app)
}

/// Runs the server until its jobs are done, or for ever with [`Common::stay`].
pub fn server(options: ServerOptions) -> Result<(), Error> {
    let started = Instant::now();
    let impulses = Impulses::default();
    signals::listen(impulses.clone(), LAST_ROUND)?;
    pause(&options.name, options.common.auto_continue);
    let progress = console::Progress::start(options.common.progress)?;
    let app = Server::new(&options, progress);
    let peers = match (&options.jobs, options.count) {
        (None, count) => vec![None; usize::from(count)],
        (Some(job), 1) => vec![Some(job.clone())],
        (Some(base), count) => (0..count).map(|i| Some(format!("{base}{i}"))).collect(),
    };
    let links = peers
        .into_iter()
        .map(|peer| Link::Accept { peer })
        .collect();
    let address = address::own(options.common.port, &address::environment);
    let mut config = config(options.name, links, options.common, started, impulses);
    config.listen = Some(address);
    run(&config, app)
}

/// Executes again, offline, what an instance of perftest did: its lines once more,
/// then what it came to. Starts from the checkpoint `from`, else from the oldest.
pub fn replay(directory: &Path, from: Option<u64>) -> Result<(), Error> {
    let past = Past::open(directory, from)?;
    let progress = console::Progress::start(None)?;
    let replayed = if Job::wrote(past.state()) {
        past.replay(Job::again(progress))
    } else {
        past.replay(Server::again(progress))
    }?;
    console::replayed(&replayed);
    Ok(())
}

fn config(
    instance: String,
    links: Vec<Link>,
    common: Common,
    started: Instant,
    impulses: Impulses,
) -> Config {
    Config {
        instance,
        root: common.log,
        durability: common.durability,
        log_trigger: common.log_trigger,
        replay_trigger: REPLAY_TRIGGER,
        rate: common.rate,
        contest: common.contest,
        keep: common.keep,
        listen: None,
        links,
        stay: common.stay,
        started,
        notice: Arc::new(|text: &str| console::line(&format!("*X* {text}"))),
        impulses,
    }
}

fn pause(name: &str, auto_continue: bool) {
    if !auto_continue {
        console::line(&format!(
            "Pausing execution of {name}. Press enter to deploy and continue."
        ));
        // The end of the input is as good as Enter.
        let _ = io::stdin().read_line(&mut String::new());
    }
}

pub(super) fn save(state: &impl Serialize, out: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(out, state) {
        // Only a type that JSON cannot hold fails, and these are numbers and lists.
        unreachable!("a state is plain data: {error}");
    }
}

pub(super) fn load<T: DeserializeOwned>(state: &[u8]) -> Result<T, String> {
    serde_json::from_slice(state)
        .map_err(|error| format!("it is no state of this program: {error}"))
}

/// Says that an option has no effect on an instance that lives already.
fn say_kept(option: &str, asked: u64, kept: u64) {
    if asked != kept {
        console::line(&format!(
            "*X* {option} {asked} is ignored: the recovered state says {kept}, and wins; remove the logs to start over"
        ));
    }
}

/// Says that a call means nothing here: the other end is another version.
fn say_unknown(call: &Call<'_>) {
    console::line(&format!(
        "*X* ignored a call of method {} from {:?}",
        call.method, call.caller
    ));
}

//! `aks-tui perftest job|server`: from the command line to an immortal instance.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::immortal::perftest::{
    self, Common, JobOptions, LOG_TRIGGER, PORT, Plan, ROUND, ServerOptions, argv, parse_bytes,
    parse_time, soak,
};
use crate::immortal::{Contest, Durability, Error};

/// The immortal throughput test: a job sends, a server sends back, both survive
/// kill -9.
#[derive(Debug, Subcommand)]
pub enum Perftest {
    /// The client: sends rounds of messages, each half as long as before
    Job(JobArgs),
    /// The server: counts messages and sends them back
    Server(ServerArgs),
    /// Kill a client and a server again and again, and judge what survived
    Soak(SoakArgs),
    /// Execute again, offline, what an instance did: its lines, and the state it came to
    Replay(ReplayArgs),
}

/// Options of the soak.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// How many kills
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kills: u64,
    /// Chooses victims and moments; the same seed repeats the schedule [default: a random one, printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Who is killed
    #[arg(long, value_enum, default_value = "random")]
    target: Victims,
    /// Print the verdict as one JSON object
    #[arg(long)]
    json: bool,
    /// Payload of a message in the first round, in bytes
    #[arg(long = "maxMessageSize", alias = "mms", value_name = "BYTES", default_value = "16KiB", value_parser = parse_bytes)]
    max_message: u64,
    /// Bytes sent in a round
    #[arg(long = "bytes-per-round", value_name = "BYTES", default_value = "256KiB", value_parser = parse_bytes)]
    round_bytes: u64,
    /// When an input counts as safe: fsync survives a power loss, os the death of the process
    #[arg(long, value_enum, default_value = "fsync")]
    durability: Safe,
    /// Give each side a standby that takes over when it is killed
    #[arg(long)]
    standby: bool,
    /// Directory for the logs, kept if the proof fails [default: a new one for temporary files]
    #[arg(short = 'l', long, value_name = "DIR")]
    log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Victims {
    Client,
    Server,
    Both,
    Random,
}

/// What to replay.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Directory of an instance: <log directory>/<instance>_0
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Checkpoint to start from [default: the oldest one that is there]
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<u64>,
}

/// Options of both programs. Long names can be written as in AMBROSIA's
/// documents: -sp, --sp and --sendPort are one.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // a command line has flags
struct Both {
    /// Port of the link: the server listens on it, a job dials it there [also: -sp, --sp; default: --receivePort, else 50001]
    #[arg(long = "sendPort", value_name = "PORT", allow_negative_numbers = true)]
    send_port: Option<i32>,
    /// Used as the port of the link where no --sendPort is given; else without effect [also: -rp, --rp]
    #[arg(
        long = "receivePort",
        value_name = "PORT",
        allow_negative_numbers = true
    )]
    receive_port: Option<i32>,
    /// Start at once instead of waiting for Enter
    #[arg(short = 'c', long = "autoContinue")]
    auto_continue: bool,
    /// Directory under which the instance keeps its log, as DIR/<instance>_0
    #[arg(short = 'l', long, value_name = "DIR", default_value = "AmbrosiaLogs")]
    log: PathBuf,
    /// Print a progress line this often, and one at once after a recovery: 100ms, 2s
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    progress: Option<Duration>,
    /// Idle when the work is done instead of ending
    #[arg(long)]
    stay: bool,
    /// Cap of payload bytes sent a second: 65536, 64KiB, 20MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    rate: Option<u64>,
    /// When an input counts as safe: fsync survives a power loss, os the death of the process
    #[arg(long, value_enum, default_value = "fsync")]
    durability: Safe,
    /// Take a checkpoint after this much log
    #[arg(long = "log-trigger", value_name = "BYTES", value_parser = parse_bytes, hide = true)]
    log_trigger: Option<u64>,
    /// Check every byte of every message, not only the numbers of the calls
    #[arg(long = "verify-payload")]
    verify: bool,
    /// If another execution of the instance runs, ask it to yield instead of waiting for its end
    #[arg(long = "take-over")]
    take_over: bool,
    /// While another execution of the instance runs, do what it does and act as soon as it is gone; N names the standby [also: -r]
    #[arg(long, value_name = "N", conflicts_with = "take_over")]
    replica: Option<u64>,
    /// Never remove old logs and checkpoints, so that all of it can be replayed
    #[arg(long = "keep-logs")]
    keep: bool,
}

/// When an input counts as safe.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Safe {
    Fsync,
    Os,
}

impl From<Safe> for Durability {
    fn from(safe: Safe) -> Self {
        match safe {
            Safe::Fsync => Self::Fsync,
            Safe::Os => Self::Os,
        }
    }
}

/// Options of the client.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// Name of this instance
    #[arg(short = 'j', long = "jobName", value_name = "NAME")]
    name: Option<String>,
    /// Name of the server instance
    #[arg(short = 's', long = "serverName", value_name = "NAME")]
    server: Option<String>,
    /// Payload of a message in the first round, in bytes [also: -mms, --mms]
    #[arg(long = "maxMessageSize", value_name = "BYTES", default_value = "65536", value_parser = parse_bytes)]
    max_message: u64,
    /// Number of rounds; 0 repeats all sizes for ever, until SIGUSR1
    #[arg(
        short = 'n',
        long = "numOfRounds",
        value_name = "N",
        default_value_t = 13
    )]
    rounds: u64,
    /// Bytes sent in a round: 1048576, 1MiB, 1GiB
    #[arg(long = "bytes-per-round", value_name = "BYTES", default_value_t = ROUND, value_parser = parse_bytes)]
    round_bytes: u64,
    /// Draw the sizes after the first at random instead of halving them [also: -nds, --nds]
    #[arg(long = "noDescendingSize")]
    random_sizes: bool,
    #[command(flatten)]
    both: Both,
}

/// Options of the server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Name of this instance; with -s, the name of its job instead (of N jobs: their common beginning, before 0, 1, …)
    #[arg(short = 'j', long = "jobName", value_name = "NAME")]
    name: Option<String>,
    /// Name of this instance, where -j names its job
    #[arg(short = 's', long = "serverName", value_name = "NAME")]
    server: Option<String>,
    /// Number of jobs
    #[arg(short = 'n', long = "numOfJobs", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Do not send messages back [also: -nbd, --nbd]
    #[arg(long = "notBidirectional")]
    not_bidirectional: bool,
    /// Ballast in the state, which every checkpoint has to carry: 500MiB, 2GiB
    #[arg(short = 'm', long = "memoryUsed", value_name = "BYTES", default_value = "0", value_parser = parse_bytes)]
    memory: u64,
    #[command(flatten)]
    both: Both,
}

/// Rewrites the arguments of a whole command line (program name first) so that the
/// parser understands them: a program executed as `Job` or `Server` is `aks-tui
/// perftest job` or `server`, and perftest's options may be spelt as in AMBROSIA's
/// documents.
pub fn rewrite(arguments: Vec<String>) -> Vec<String> {
    let called = arguments.first().map_or("", |name| {
        name.rsplit(['/', '\\']).next().unwrap_or_default()
    });
    let (program, name, used) = match (called.trim_end_matches(".exe"), &arguments[..]) {
        ("Job", _) => (argv::Program::Job, "job", 1),
        ("Server", _) => (argv::Program::Server, "server", 1),
        (_, [_, perftest, name, ..]) if perftest == "perftest" => match name.as_str() {
            "job" => (argv::Program::Job, "job", 3),
            "server" => (argv::Program::Server, "server", 3),
            _ => return arguments,
        },
        _ => return arguments,
    };
    let mut out = vec!["aks-tui".to_owned(), "perftest".into(), name.into()];
    out.extend(argv::normalise(program, &arguments[used..]));
    out
}

/// Why perftest ended.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense; a sentence.
    Usage(String),
    /// The instance could not go on.
    Instance(Error),
    /// A soak found something lost or doubled, or could not go on: a sentence.
    Soak(String),
}

/// Runs a soak and prints its verdict.
fn soak(options: &soak::Options, json: bool) -> Result<(), Failure> {
    let verdict = soak::run(options).map_err(Failure::Soak)?;
    if json {
        println!("{}", verdict.json());
    } else {
        println!("{verdict}");
    }
    match &verdict.failure {
        None => Ok(()),
        Some(failure) => Err(Failure::Soak(failure.clone())),
    }
}

/// Runs an instance to its end.
pub fn run(command: Perftest) -> Result<(), Failure> {
    match command {
        Perftest::Job(job) => {
            let options = job.options().map_err(Failure::Usage)?;
            perftest::job(options)
        }
        Perftest::Server(server) => {
            let options = server.options().map_err(Failure::Usage)?;
            perftest::server(options)
        }
        Perftest::Replay(args) => perftest::replay(&args.directory, args.from),
        Perftest::Soak(args) => {
            let (options, json) = args.options().map_err(Failure::Usage)?;
            return soak(&options, json);
        }
    }
    .map_err(Failure::Instance)
}

impl SoakArgs {
    fn options(self) -> Result<(soak::Options, bool), String> {
        let plan = Plan {
            rounds: 0,
            max_message: self.max_message,
            round_bytes: self.round_bytes,
            random_sizes: false,
        };
        plan.check()?;
        let options = soak::Options {
            kills: self.kills,
            seed: self
                .seed
                .unwrap_or_else(|| fastrand::u64(..=u64::from(u32::MAX))),
            target: match self.target {
                Victims::Client => soak::Target::Client,
                Victims::Server => soak::Target::Server,
                Victims::Both => soak::Target::Both,
                Victims::Random => soak::Target::Random,
            },
            plan,
            durability: self.durability.into(),
            standby: self.standby,
            log: self.log,
        };
        Ok((options, self.json))
    }
}

impl JobArgs {
    fn options(self) -> Result<JobOptions, String> {
        let plan = Plan {
            rounds: self.rounds,
            max_message: self.max_message,
            round_bytes: self.round_bytes,
            random_sizes: self.random_sizes,
        };
        plan.check()?;
        Ok(JobOptions {
            name: instance_name(self.name, "Job name is required: give it with -j NAME")?,
            server: peer(self.server)?,
            plan,
            common: self.both.options()?,
        })
    }
}

impl ServerArgs {
    fn options(self) -> Result<ServerOptions, String> {
        let job = instance_name(
            self.name,
            "Job name is required: give this instance's name with -j NAME",
        )?;
        let (name, jobs) = match self.server {
            Some(server) => (instance_name(Some(server), "")?, Some(job)),
            None => (job, None),
        };
        Ok(ServerOptions {
            name,
            jobs,
            count: self.jobs,
            bidirectional: !self.not_bidirectional,
            memory: self.memory,
            common: self.both.options()?,
        })
    }
}

impl Both {
    fn options(self) -> Result<Common, String> {
        if self.rate == Some(0) {
            return Err("a rate of 0 sends nothing: change --rate".into());
        }
        if self.log_trigger.is_some_and(|bytes| bytes == 0) {
            return Err("a log trigger of 0 bytes never ends: change --log-trigger".into());
        }
        Ok(Common {
            port: port(self.send_port)?
                .or(port(self.receive_port)?)
                .unwrap_or(PORT),
            auto_continue: self.auto_continue,
            log: self.log,
            progress: self.progress,
            stay: self.stay,
            rate: self.rate,
            durability: self.durability.into(),
            log_trigger: self.log_trigger.unwrap_or(LOG_TRIGGER),
            verify: self.verify,
            contest: match (self.take_over, self.replica) {
                (true, _) => Contest::TakeOver,
                (false, Some(_)) => Contest::StandBy,
                (false, None) => Contest::Wait,
            },
            keep: self.keep,
        })
    }
}

/// A port; -1 is how the original writes none.
fn port(given: Option<i32>) -> Result<Option<u16>, String> {
    match given {
        None | Some(-1) => Ok(None),
        Some(port) => match u16::try_from(port) {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(format!("{port} is no port: give 1 to 65535")),
        },
    }
}

/// An instance name: it becomes part of a path.
pub(super) fn instance_name(given: Option<String>, missing: &str) -> Result<String, String> {
    let name = given.filter(|name| !name.is_empty()).ok_or(missing)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.chars().all(plain) && !name.starts_with('.') && name.len() <= 200 {
        Ok(name)
    } else {
        Err(format!(
            "'{name}' is no instance name: use letters, digits, - _ and ."
        ))
    }
}

/// A server's name, or where it is as `host:port`.
pub(super) fn peer(given: Option<String>) -> Result<String, String> {
    const MISSING: &str = "Server name is required: give it with -s NAME";
    match given {
        Some(place) if place.contains(':') => Ok(place),
        given => instance_name(given, MISSING),
    }
}

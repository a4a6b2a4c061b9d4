//! `aks-tui lab`: the embedded cluster, in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

#[cfg(target_os = "linux")]
use crate::lab::azure::Fault;
#[cfg(target_os = "linux")]
use crate::lab::scenario::Scenario;

/// A small Kubernetes on this machine, with real processes for pods.
///
/// Prints one line of JSON when it is ready, and stops everything on Ctrl-C.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub struct Lab {
    /// Write the kubeconfig here instead of into the state directory
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Keep the lab's state here; a lab that died goes on from it
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Listen on this port of 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Nodes, each with an equal share of this machine; at most 16
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "azure",
          value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// A node that has been silent for so long is not ready any more, and its pods
    /// go elsewhere as they tolerate it; the default is Kubernetes' own
    #[arg(long, value_name = "SECS", default_value_t = 50,
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    node_monitor_grace: u64,
    /// Start without perftest
    #[arg(long)]
    empty: bool,
    /// Stage a situation to practise on, beside perftest unless --empty
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "NAME", value_parser = scenario(), conflicts_with = "azure")]
    scenario: Option<Scenario>,
    /// Payload bytes of a round of perftest; suffixes KiB, MiB, GiB [default: 1GiB]
    #[arg(long, value_name = "BYTES")]
    bytes_per_round: Option<String>,
    /// Payload bytes that perftest's client sends a second at most [default: no limit]
    #[arg(long, value_name = "BYTES")]
    rate: Option<String>,
    /// Belong to a cockpit: leave the terminal's session, whose end is not the
    /// lab's, and linger if the cockpit never comes
    #[arg(long, hide = true)]
    own_session: bool,
    /// Delay restarts as Kubernetes does (0, 10, 20 … 300 s), or never
    #[arg(long, value_enum, default_value = "kubernetes")]
    backoff: Backoff,
    /// How pods are shut in [default: namespaces where the kernel allows them]
    #[arg(long, value_enum)]
    isolation: Option<Isolation>,
    /// Do not keep containers to their limits of memory and cpu, even where the
    /// kernel allows it
    #[arg(long)]
    no_limits: bool,
    /// Once a cockpit has held the lab: stop when none comes back for so long
    #[arg(long, value_name = "SECS", default_value_t = 600)]
    linger: u64,
    /// Put an Azure in front: the lab has no nodes and no workload until a cluster
    /// is created there; how to reach it is in azure.json in the state directory
    #[arg(long)]
    azure: bool,
    /// Let the lab's Azure listen on this port of 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "azure")]
    azure_port: u16,
    /// Let things happen so many times faster than in Azure
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, requires = "azure",
          value_parser = time_scale)]
    azure_time_scale: f64,
    /// Let something go wrong in the lab's Azure; may be given more than once
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "NAME", requires = "azure", value_parser = azure_fault())]
    azure_fault: Vec<Fault>,
}

/// Reads the name of a fault; `--help` says what each is.
#[cfg(target_os = "linux")]
fn azure_fault() -> impl TypedValueParser<Value = Fault> {
    let known = Fault::ALL.map(|it| PossibleValue::new(it.name()).help(it.about()));
    PossibleValuesParser::new(known).try_map(|name| {
        let mut all = Fault::ALL.into_iter();
        all.find(|it| it.name() == name).ok_or("no such fault")
    })
}

/// Reads how many times faster something is.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.01..=1e6).contains(&factor) => Ok(factor),
        _ => Err("a number from 0.01 to 1000000 is needed".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Backoff {
    Kubernetes,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Isolation {
    Namespaces,
    Group,
}

/// Reads the name of a scenario; `--help` says what each is.
#[cfg(target_os = "linux")]
fn scenario() -> impl TypedValueParser<Value = Scenario> {
    let known = Scenario::ALL.map(|it| PossibleValue::new(it.name()).help(it.about()));
    PossibleValuesParser::new(known).try_map(|name| {
        let mut all = Scenario::ALL.into_iter();
        all.find(|it| it.name() == name).ok_or("no such scenario")
    })
}

/// Runs the lab until it is told to stop.
#[cfg(not(target_os = "linux"))]
pub fn run(_lab: Lab) -> ExitCode {
    eprintln!(
        "error: the lab needs Linux; the cockpit works here with any cluster: aks-tui --kubeconfig FILE"
    );
    ExitCode::FAILURE
}

/// Runs the lab until it is told to stop.
#[cfg(target_os = "linux")]
pub fn run(lab: Lab) -> ExitCode {
    use std::io::Write as _;
    use std::time::Duration;

    use crate::lab::azure;
    use crate::lab::kubelet::BackoffMode;
    use crate::lab::process::{self, Options};
    use crate::lab::runtime;

    // The keys of whoever starts it are not its pods'. A kernel without any
    // has none to keep from them.
    let _ = crate::sys::leave_keyring();
    if lab.own_session
        && let Err(error) = rustix::process::setsid()
    {
        eprintln!("error: cannot leave the terminal's session: {error}");
        return ExitCode::FAILURE;
    }
    let options = Options {
        state: lab.state,
        kubeconfig: lab.kubeconfig,
        port: lab.port,
        empty: lab.empty,
        scenario: lab.scenario,
        client_arguments: [
            ("--bytes-per-round", lab.bytes_per_round),
            ("--rate", lab.rate),
        ]
        .into_iter()
        .filter_map(|(flag, value)| Some([flag.to_owned(), value?]))
        .flatten()
        .collect(),
        backoff: match lab.backoff {
            Backoff::Kubernetes => BackoffMode::Kubernetes,
            Backoff::None => BackoffMode::None,
        },
        isolation: lab.isolation.map(|isolation| match isolation {
            Isolation::Namespaces => runtime::Isolation::Namespaces,
            Isolation::Group => runtime::Isolation::Group,
        }),
        limits: !lab.no_limits,
        nodes: usize::from(lab.nodes),
        node_monitor_grace: Duration::from_secs(lab.node_monitor_grace),
        linger: Duration::from_secs(lab.linger),
        held: lab.own_session,
        azure: lab.azure.then_some(azure::Options {
            port: lab.azure_port,
            time_scale: lab.azure_time_scale,
            faults: lab.azure_fault,
        }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(process::run(options, |about| {
            let mut out = std::io::stdout();
            // Who does not listen does not need to know.
            let _ = writeln!(out, "{about}").and_then(|()| out.flush());
        })),
        Err(error) => Err(process::LabError::System(error.to_string())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

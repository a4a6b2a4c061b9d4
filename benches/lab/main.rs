//! What the lab's API costs with ten thousand pods in it, and how fast its node
//! is: measured over HTTPS on the real program, beside a reference from the
//! same minute.
//!
//! ```text
//! cargo bench --bench lab                     all of it, about two minutes
//! cargo bench --bench lab -- --only pods      one room: api or pods
//! cargo bench --bench lab -- --json           one object on the last line
//! ```
//!
//! Everything stays on loopback, ends by itself, and cleans up after itself.

#[cfg(target_os = "linux")]
mod api;
#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
#[path = "../support/home.rs"]
mod home;
#[cfg(target_os = "linux")]
#[path = "../support/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
mod pods;
#[cfg(target_os = "linux")]
#[path = "../support/report.rs"]
mod report;
#[cfg(target_os = "linux")]
#[path = "../support/table.rs"]
mod table;

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
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    use clap::{Parser, ValueEnum};
    use color_eyre::eyre::Result;
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use kube::{Client, Config};

    use super::report::report;
    use super::table::Row;
    use super::{api, pods};

    /// What can be measured by itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    enum Room {
        /// Lists, watches and memory with 10,000 pods that change.
        Api,
        /// From a pod's creation to ready, from a kill to the next execution.
        Pods,
    }

    /// What the lab promises, beside a reference
    #[derive(Debug, Parser)]
    pub struct Args {
        /// Measure only these
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Room>,

        /// How often each request is made, each pod started, each process killed
        #[arg(long, default_value_t = 20)]
        pub times: usize,

        /// Watchers at once
        #[arg(long, default_value_t = 50)]
        pub watchers: usize,

        /// Seconds for which they watch
        #[arg(long, default_value_t = 10)]
        pub seconds: u64,

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

    /// A client of the lab with this kubeconfig.
    pub async fn client(kubeconfig: &Path) -> Result<Client> {
        let options = KubeConfigOptions::default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        config.proxy_url = None;
        Ok(Client::try_from(config)?)
    }

    pub fn main() -> ExitCode {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let args = Args::parse();
        report("lab", &args.program, args.json, || measure(&args))
    }

    fn measure(args: &Args) -> Result<Vec<Row>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let wanted = |room| args.only.is_empty() || args.only.contains(&room);
        let mut rows = Vec::new();
        if wanted(Room::Api) {
            eprintln!("measuring the API …");
            rows.extend(runtime.block_on(api::measure(args))?);
        }
        if wanted(Room::Pods) {
            eprintln!("measuring pods …");
            rows.extend(runtime.block_on(pods::measure(args))?);
        }
        Ok(rows)
    }
}

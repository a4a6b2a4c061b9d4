//! The lab's process layer, with real processes that are really killed, under
//! both isolations.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

mod attacks;
mod isolation;
mod life;
mod limits;
mod sessions;

use std::fs;

use std::path::{Path, PathBuf};

use std::time::Duration;

use aks_tui::lab::node::{ExecRequest, ExecSession, NodeError, Stream, TerminalSize};

use aks_tui::lab::runtime::{
    Config, ConsoleSpec, Container, ContainerSpec, Ending, Isolation, Limits, Mount, Runtime,
    RuntimeError, StartError, User,
};

use bytes::Bytes;

use rustix::process::Signal;

/// A program that runs until it is killed.
const STEADY: &str = "echo ready; while :; do sleep 0.05; done";

const BOTH: [Isolation; 2] = [Isolation::Namespaces, Isolation::Group];

/// Long enough for a slow machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bed {
    runtime: Runtime,
    run: String,
    state: tempfile::TempDir,
}

impl Bed {
    /// A runtime, or none with the reason printed where the kernel forbids it.
    async fn new(isolation: Isolation) -> Option<Self> {
        let state = tempfile::tempdir().unwrap();
        Self::on(state, isolation).await
    }

    async fn on(state: tempfile::TempDir, isolation: Isolation) -> Option<Self> {
        let run = format!("test-{:016x}", fastrand::u64(..));
        match Runtime::open(config(state.path(), &run, Some(isolation))).await {
            Ok(runtime) => Some(Self {
                runtime,
                run,
                state,
            }),
            Err(error @ RuntimeError::NoNamespaces(_)) => {
                let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
                assert!(!required.contains("namespaces"), "{error}");
                eprintln!("skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn spec(&self, argv: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: "main".into(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            cwd: "/".into(),
            hostname: "pod".into(),
            hosts: None,
            resolver: None,
            network: None,
            links: Vec::new(),
            mounts: Vec::new(),
            trees: Vec::new(),
            console: ConsoleSpec::default(),
            user: User::default(),
            read_only: false,
            limits: Limits::default(),
            log_directory: self.state.path().join("logs"),
            execution: 0,
        }
    }

    async fn start(&self, argv: &[&str]) -> Container {
        self.runtime.start(self.spec(argv)).await.unwrap()
    }

    /// Stops everything and looks for what is left.
    async fn close(self) {
        self.runtime.stop().await;
        assert_eq!(marked(&self.run), Vec::<String>::new(), "left behind");
        let roots = self.state.path().join("roots");
        if let Ok(left) = fs::read_dir(roots) {
            assert_eq!(left.count(), 0, "roots left behind");
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.state.path().to_str().unwrap()));
        let records = fs::read_dir(self.state.path().join("records")).unwrap();
        let records = records.filter(|entry| entry.as_ref().unwrap().file_name() != "lock");
        assert_eq!(records.count(), 0, "records left behind");
    }
}

fn config(state: &Path, run: &str, isolation: Option<Isolation>) -> Config {
    Config {
        state: state.to_owned(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_aks-tui")),
        run: run.to_owned(),
        isolation,
        limits: true,
    }
}

/// Living processes with this run in their environment.
fn marked(run: &str) -> Vec<String> {
    let mark = format!("AKS_TUI_RUN={run}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(environment) = fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|it| it == mark.as_bytes())
        {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let timed = tokio::time::timeout(PATIENCE, future).await;
    timed.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

fn request(command: &[&str]) -> ExecRequest {
    ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        stdin: false,
        stdout: true,
        stderr: true,
        tty: false,
    }
}

/// Everything a command printed, and its exit code.
async fn finish(mut session: ExecSession) -> (String, String, i32) {
    session.stdin = None;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some((stream, bytes)) = within("output", session.output.recv()).await {
        match stream {
            Stream::Stdout => out.extend_from_slice(&bytes),
            Stream::Stderr => err.extend_from_slice(&bytes),
        }
    }
    let exit = within("exit", session.exit).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), exit.code)
}

async fn run(container: &Container, command: &[&str]) -> (String, String, i32) {
    finish(container.exec(request(command)).await.unwrap()).await
}

async fn sh(container: &Container, script: &str) -> (String, String, i32) {
    run(container, &["sh", "-c", script]).await
}

/// Waits until the log says `text`.
async fn logged(container: &Container, text: &str) -> String {
    let mut log = container.log();
    within(&format!("the log says {text:?}"), async {
        loop {
            log.state.borrow_and_update();
            let content = fs::read_to_string(&log.current).unwrap();
            if content.contains(text) {
                return content;
            }
            log.state.changed().await.unwrap();
        }
    })
    .await
}

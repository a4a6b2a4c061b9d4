//! A lab for a test: started as a process of its own under its own name, and
//! looked for afterwards.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running lab. Dropping it stops it.
pub struct Lab {
    child: Child,
    /// What it printed when it was ready.
    pub about: Value,
    /// The mark that all its processes carry.
    pub run: String,
    /// Its state directory.
    pub state: PathBuf,
    /// What it says of trouble.
    said: Arc<Mutex<String>>,
    // Last, so that it outlives the process.
    home: Option<tempfile::TempDir>,
}

impl Lab {
    /// Starts a lab with a state directory of its own.
    pub fn start(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        let mut lab = Self::start_on(&state, arguments).unwrap_or_else(|error| panic!("{error}"));
        lab.home = Some(home);
        lab
    }

    /// Starts a lab on a state directory; an error is what it said when it
    /// ended instead.
    pub fn start_on(state: &Path, arguments: &[&str]) -> Result<Self, String> {
        let program = Command::new(env!("CARGO_BIN_EXE_aks-tui"));
        Self::launch(program, state, arguments)
    }

    /// Starts a lab by a program that becomes what follows on its command line.
    pub fn start_through(program: &[&str], arguments: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(program[0]);
        command
            .args(&program[1..])
            .arg(env!("CARGO_BIN_EXE_aks-tui"));
        let home = tempfile::tempdir().unwrap();
        let mut lab = Self::launch(command, &home.path().join("state"), arguments)?;
        lab.home = Some(home);
        Ok(lab)
    }

    fn launch(mut program: Command, state: &Path, arguments: &[&str]) -> Result<Self, String> {
        let run = format!("test-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let mut child = program
            .arg("lab")
            .arg("--state")
            .arg(state)
            .args(arguments)
            .env("AKS_TUI_RUN", &run)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let listening = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..length]);
                    said.lock().unwrap().push_str(&text);
                }
            }
        });
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Self {
                child,
                about: serde_json::from_str(&line).unwrap(),
                run,
                state: state.to_owned(),
                said,
                home: None,
            }),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().unwrap();
                listening.join().unwrap();
                let said = said.lock().unwrap().clone();
                Err(format!("{said}[{}]", status.code().unwrap_or(-1)))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                panic!("the lab was not ready in time")
            }
        }
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        PathBuf::from(self.about["kubeconfig"].as_str().unwrap())
    }

    /// The pid of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it has broken, if it has.
    pub fn panics(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        let lines = said.lines().filter(|line| line.contains("panicked"));
        lines.map(str::to_owned).collect()
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.wait();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the lab has ended", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// What a stopped lab left behind: processes, a socket, files.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = marked(&self.run);
        if self.state.exists() {
            found.push(format!("{}", self.state.display()));
        }
        let server = self.about["server"].as_str().unwrap();
        let address = server.trim_start_matches("https://");
        if std::net::TcpStream::connect(address).is_ok() {
            found.push(format!("a listener on {address}"));
        }
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(rustix::process::Signal::TERM);
            let end = Instant::now() + PATIENCE;
            while matches!(self.child.try_wait(), Ok(None)) {
                if Instant::now() > end {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The processes whose environment names a run.
pub fn marked(run: &str) -> Vec<String> {
    let mark = format!("AKS_TUI_RUN={run}");
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let environment = std::fs::read(path.join("environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            if !variables.any(|variable| variable == mark.as_bytes()) {
                return None;
            }
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            Some(format!("{} {}", path.display(), name.trim()))
        })
        .collect()
}

/// Asks again and again until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for something, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

/// As [`eventually`], for what is asked asynchronously.
pub async fn eventually_so<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, asking).await;
}

/// Whether a test may not be skipped for want of `what`.
pub fn required(what: &str) -> bool {
    let list = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
    list.split(',').any(|it| it.trim() == what)
}

/// The isolations that this machine gives; says so when one is missing.
pub fn isolations() -> Vec<&'static str> {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--empty", "--isolation", "namespaces"];
    match Lab::start_on(&home.path().join("probe"), &arguments) {
        Ok(mut lab) => {
            lab.stop();
            vec!["namespaces", "group"]
        }
        Err(why) => {
            assert!(!required("namespaces"), "namespaces are required: {why}");
            println!("skipped under namespaces: {}", why.trim());
            vec!["group"]
        }
    }
}

//! The two processes, and everything that they say.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::super::super::Durability;
use super::judge::{Judge, Side};
use super::{Options, PATIENCE};

/// Something that a process said, or that it said its last.
struct Said {
    side: Side,
    execution: u64,
    at: Instant,
    what: What,
}

enum What {
    Line(String),
    Complaint(String),
    End,
}

/// One side through all of its executions.
struct Instance {
    arguments: Vec<OsString>,
    child: Child,
    /// Counts them, so that the last words of a dead one are told from its successor's.
    execution: u64,
    /// The next execution, if it is there already and stands by.
    standby: Option<Child>,
    complaint: String,
}

/// A client and a server on this machine.
pub struct Pair {
    program: PathBuf,
    logs: PathBuf,
    /// Whether the directory was made here, to be removed again.
    temporary: bool,
    client: Instance,
    server: Instance,
    say: Sender<Said>,
    heard: Receiver<Said>,
    told: u64,
    /// Whether each side has an execution that stands by.
    standby: bool,
}

impl Pair {
    /// Starts both.
    pub fn start(options: &Options) -> Result<Self, String> {
        let program = env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let temporary = options.log.is_none();
        let logs = options.log.clone().unwrap_or_else(|| {
            let name = format!("aks-tui-soak-{}", process::id());
            env::temp_dir().join(name)
        });
        for instance in ["soak-client_0", "soak-server_0"] {
            if logs.join(instance).exists() {
                let there = logs.display();
                return Err(format!(
                    "{there} holds an earlier soak: remove it, or give another --log"
                ));
            }
        }
        fs::create_dir_all(&logs).map_err(|e| format!("cannot create {}: {e}", logs.display()))?;
        let port = free_port()?;
        let durability = match options.durability {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        };
        let standby = if options.standby { "--replica 1 " } else { "" };
        let common = format!(
            "-c --progress 5ms --verify-payload --log-trigger 1MiB --sp {port} \
             --durability {durability} {standby}--log"
        );
        let arguments = |own: &str| -> Vec<OsString> {
            let own = format!("perftest {own} {common}");
            let words = own.split(' ').map(OsString::from);
            words.chain([logs.clone().into_os_string()]).collect()
        };
        let plan = &options.plan;
        let (mms, round) = (plan.max_message, plan.round_bytes);
        let client = arguments(&format!(
            "job -j soak-client -s soak-server -n 0 --mms {mms} --bytes-per-round {round}"
        ));
        let server = arguments("server -j soak-server");
        let (say, heard) = channel();
        let start = |side, arguments: Vec<OsString>| -> Result<Instance, String> {
            Ok(Instance {
                child: spawn(&program, &arguments, side, 1, &say)?,
                standby: None,
                arguments,
                execution: 1,
                complaint: String::new(),
            })
        };
        Ok(Self {
            server: start(Side::Server, server)?,
            client: start(Side::Client, client)?,
            program: program.clone(),
            logs: logs.clone(),
            temporary,
            say: say.clone(),
            heard,
            told: 0,
            standby: options.standby,
        })
    }

    /// Kills one side as nothing else does.
    pub fn kill(&mut self, side: Side) -> Result<(), String> {
        let instance = self.side(side);
        let failed = |e| format!("cannot kill the {side:?}: {e}").to_lowercase();
        instance.child.kill().map_err(failed)?;
        instance.child.wait().map_err(failed)?;
        Ok(())
    }

    /// Starts its next execution, or has the one that stands by take its place.
    pub fn restart(&mut self, side: Side) -> Result<(), String> {
        let (program, say) = (self.program.clone(), self.say.clone());
        let instance = self.side(side);
        instance.execution += 1;
        let start = || {
            spawn(
                &program,
                &instance.arguments,
                side,
                instance.execution,
                &say,
            )
        };
        instance.child = instance.standby.take().map_or_else(start, Ok)?;
        Ok(())
    }

    /// One side acts: now another execution may stand by, and not act in its place.
    fn acts(&mut self, side: Side) -> Result<(), String> {
        let (program, say) = (self.program.clone(), self.say.clone());
        let instance = self.side(side);
        let next = instance.execution + 1;
        let standby = spawn(&program, &instance.arguments, side, next, &say)?;
        instance.standby = Some(standby);
        Ok(())
    }

    /// Lets the judge hear what is said until he is content.
    pub fn watch(
        &mut self,
        judge: &mut Judge,
        patience: Duration,
        what: &str,
        content: impl Fn(&Judge) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        while !content(judge) {
            if !self.hear(judge, deadline)? {
                let seconds = patience.as_secs();
                return Err(format!("no sign of {what} within {seconds} s"));
            }
        }
        Ok(())
    }

    /// Lets the judge hear what is said for a while.
    pub fn watch_for(&mut self, judge: &mut Judge, time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        while self.hear(judge, deadline)? {}
        Ok(())
    }

    /// Takes one thing that is said before the deadline; `false` if there is none.
    fn hear(&mut self, judge: &mut Judge, deadline: Instant) -> Result<bool, String> {
        let left = deadline.saturating_duration_since(Instant::now());
        let said = match self.heard.recv_timeout(left) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            // It holds a sender itself.
            Err(RecvTimeoutError::Disconnected) => return Err("both sides are gone".into()),
        };
        let instance = self.side(said.side);
        let current = instance.execution == said.execution;
        match said.what {
            // What the dead have done counts; that they were fresh does not.
            What::Line(line) if !current && line.starts_with("*X* progress ") => {}
            What::Line(line) => {
                judge.hear(said.side, &line, said.at);
                if self.standby && current && line.starts_with("*X* execution ") {
                    self.acts(said.side)?;
                }
            }
            What::Complaint(line) => instance.complaint = line,
            // Nobody is killed while standing by.
            What::End if said.execution >= instance.execution => {
                if !judge.has_finished(said.side) {
                    let name = format!("{:?}", said.side).to_lowercase();
                    let why = &instance.complaint;
                    return Err(format!("the {name} ended by itself: {why}"));
                }
            }
            What::End => {}
        }
        Ok(true)
    }

    /// Has the client end after the round that it is in.
    pub fn ask_for_the_last_round(&self) -> Result<(), String> {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process};
            let pid = Pid::from_raw(self.client.child.id().cast_signed());
            let pid = pid.ok_or("the client has no process id")?;
            kill_process(pid, Signal::USR1).map_err(|e| format!("cannot signal the client: {e}"))
        }
        #[cfg(not(unix))]
        Err("a soak ends with SIGUSR1, which this system has not".into())
    }

    /// Waits until both have left as they should.
    pub fn wait_for_ends(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for (name, instance) in [("client", &mut self.client), ("server", &mut self.server)] {
            let status = loop {
                match instance.child.try_wait() {
                    Ok(Some(status)) => break status,
                    Ok(None) if Instant::now() < deadline => {
                        thread::sleep(Duration::from_millis(5));
                    }
                    Ok(None) => return Err(format!("the {name} does not end")),
                    Err(error) => return Err(format!("cannot wait for the {name}: {error}")),
                }
            };
            if !status.success() {
                return Err(format!("the {name} ended with {status}"));
            }
            if let Some(mut standby) = instance.standby.take() {
                // It would find that all is done, and end too.
                let _ = standby.kill();
                let _ = standby.wait();
            }
        }
        Ok(())
    }

    /// Says on standard error how far it is, from time to time.
    pub fn tell(&mut self, kills: u64, judge: &Judge) {
        const STEP: u64 = 100;
        if kills / STEP > self.told {
            self.told = kills / STEP;
            let (survived, lost, duplicated) = judge.so_far();
            eprintln!("{kills} kills, {survived} survived, {lost} lost, {duplicated} duplicated");
        }
    }

    /// The proof holds: the logs are of no more use.
    pub fn remove_logs(&self) {
        let remove = |path: PathBuf| {
            // What cannot be removed lies among temporary files, or where it was asked for.
            let _ = fs::remove_dir_all(path);
        };
        if self.temporary {
            remove(self.logs.clone());
        } else {
            remove(self.logs.join("soak-client_0"));
            remove(self.logs.join("soak-server_0"));
        }
    }

    /// The proof does not hold: says where the logs are.
    pub fn keep_logs(&self) -> String {
        format!("; the logs are in {}", self.logs.display())
    }

    fn side(&mut self, side: Side) -> &mut Instance {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for instance in [&mut self.client, &mut self.server] {
            // Gone already, mostly.
            let _ = instance.child.kill();
            let _ = instance.child.wait();
            if let Some(standby) = &mut instance.standby {
                let _ = standby.kill();
                let _ = standby.wait();
            }
        }
    }
}

fn spawn(
    program: &PathBuf,
    arguments: &[OsString],
    side: Side,
    execution: u64,
    say: &Sender<Said>,
) -> Result<Child, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("POD_IP", "127.0.0.1")
        .env("SOAK_SERVER_SERVICE_HOST", "127.0.0.1")
        // A test's own death of this process is not its children's.
        .env_remove("AKS_TUI_CRASH_AT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let say_as = move |say: &Sender<Said>, what| {
        // Nobody listens once the verdict is spoken.
        let _ = say.send(Said {
            side,
            execution,
            at: Instant::now(),
            what,
        });
    };
    let (lines, complaints) = (say.clone(), say.clone());
    thread::spawn(move || {
        // Complaints are read to their end first: an end must not come before its reason.
        let reader = thread::spawn(move || {
            each_line(errors, |line| say_as(&complaints, What::Complaint(line)));
        });
        each_line(out, |line| say_as(&lines, What::Line(line)));
        let _ = reader.join();
        say_as(&lines, What::End);
    });
    Ok(child)
}

fn each_line(pipe: Option<impl Read>, mut hear: impl FnMut(String)) {
    let Some(pipe) = pipe else { return };
    let mut input = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while input
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|read| read > 0)
    {
        hear(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        bytes.clear();
    }
}

/// A port of this machine that nobody uses, below those that the system gives to
/// whoever connects: the server gives it up for a moment at each kill.
fn free_port() -> Result<u16, String> {
    (0..200)
        .map(|_| fastrand::u16(15_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| "no port of 127.0.0.1 is free".into())
}

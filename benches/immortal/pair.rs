//! Two processes that are timed, whatever they are.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

use color_eyre::eyre::{Result, WrapErr, bail, eyre};

/// No run takes longer, on any machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one run carries.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Payload of a message, in bytes.
    pub size: u64,
    /// Messages, each way.
    pub calls: u64,
    /// Whether everything comes back.
    pub both_ways: bool,
}

impl Load {
    /// Payload in bytes, each way.
    pub fn bytes(&self) -> u64 {
        self.size * self.calls
    }
}

/// What a run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From the first message to the last.
    pub seconds: f64,
    /// Processor time of both processes, from their start to their end. On a machine
    /// that is busy with other things it says more than the clock.
    pub busy: f64,
}

/// A process and the lines it prints, each with the moment it was read.
pub struct Program {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Program {
    /// Starts it; it says what it has to say on standard output.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", command.get_program().display()))?;
        let out = child.stdout.take().ok_or_else(|| eyre!("no output"))?;
        let (into, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if into.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line in which `wanted` sees something; when was it, and what?
    pub fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Result<(Instant, T)> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((at, line)) => match wanted(&line) {
                    Some(found) => return Ok((at, found)),
                    None => last = line,
                },
                Err(RecvTimeoutError::Timeout) => bail!("it hangs after {last:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended after {last:?}"),
            }
        }
    }

    /// Waits for its good end.
    pub fn succeed(mut self) -> Result<()> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("a process of the pair ended badly: {status}");
        }
        Ok(())
    }

    /// Kills it, as nothing else does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    /// A measurement that failed half way must not leave it behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `pair` to its end, which answers the seconds it took; adds what the
/// processes cost that it started and waited for.
pub fn cost(pair: impl FnOnce() -> Result<f64>) -> Result<Cost> {
    let before = children()?;
    let seconds = pair()?;
    Ok(Cost {
        seconds,
        busy: children()? - before,
    })
}

/// Starts this very program twice, to play the two parts of a pair named `part`:
/// the server prints its port, the client is told it and prints the seconds.
pub fn play(part: &str, arguments: &[String]) -> Result<Cost> {
    let this = std::env::current_exe()?;
    cost(|| {
        let start = |side: &str, port: &str| {
            let words = [format!("{part}-{side}"), port.to_owned()];
            Program::start(Command::new(&this).args(words).args(arguments))
        };
        let server = start("server", "0")?;
        let (_, port) = server.find(|line| Some(line.strip_prefix("port ")?.to_owned()))?;
        let client = start("client", &port)?;
        let (_, seconds) = client.find(|line| line.strip_prefix("seconds ")?.parse().ok())?;
        client.succeed()?;
        // One of the servers would serve for ever.
        server.kill()?;
        Ok(seconds)
    })
}

/// Processor time in seconds of all children that were waited for.
fn children() -> Result<f64> {
    // The kernel's unit of these fields, whatever its own clock.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is a name in parentheses, with anything in it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(13);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    match (ticks(), ticks()) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS),
        _ => Err(eyre!("/proc/self/stat cannot be read")),
    }
}

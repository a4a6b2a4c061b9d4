//! A program in a pseudo-terminal whose output is stamped as it is read.
//!
//! A thread of its own does nothing but read and stamp, so what is done with a
//! frame does not delay the stamp of the next one.

use std::{
    io::{Read, Write},
    num::NonZero,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use color_eyre::eyre::{Result, bail, eyre};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::{Parser, Screen};

/// What the end of a synchronized update looks like: a frame is complete.
const END_OF_FRAME: &[u8] = b"\x1b[?2026l";

/// How long anything may take before measuring is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program in a terminal of its own.
pub struct Tty {
    /// Just before the program was started.
    pub started: Instant,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    chunks: Receiver<(Instant, Vec<u8>)>,
    parser: Parser,
    waiting: Vec<u8>,
    newest: Instant,
    /// The program hears of the terminal's end when this goes.
    _master: Box<dyn MasterPty + Send>,
}

impl Tty {
    /// Starts `program` in a terminal of `cols` × `rows`, with nothing in its
    /// environment but `env`.
    pub fn start<'a>(
        program: &Path,
        args: impl IntoIterator<Item = &'a str>,
        env: &[(String, String)],
        (cols, rows): (u16, u16),
    ) -> Result<Self> {
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).map_err(odd)?;
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        for (name, value) in env {
            command.env(name, value);
        }
        let output = pair.master.try_clone_reader().map_err(odd)?;
        let keys = pair.master.take_writer().map_err(odd)?;
        let (sender, chunks) = mpsc::channel();
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).map_err(odd)?;
        drop(pair.slave);
        thread::spawn(move || stamp(output, &sender));
        Ok(Self {
            started,
            child,
            keys,
            chunks,
            parser: Parser::new(at_least_one(rows), at_least_one(cols), 0),
            waiting: Vec::new(),
            newest: started,
            _master: pair.master,
        })
    }

    /// The program's process id.
    pub fn pid(&self) -> Result<u32> {
        let pid = self.child.process_id();
        pid.ok_or_else(|| eyre!("the program has no process id"))
    }

    /// Presses keys. Returns the moment just before.
    pub fn press(&mut self, keys: &str) -> Result<Instant> {
        let now = Instant::now();
        self.keys.write_all(keys.as_bytes())?;
        self.keys.flush()?;
        Ok(now)
    }

    /// Waits for the first complete frame that `shows`. Returns when its last
    /// byte was read.
    pub fn wait_frame(
        &mut self,
        what: &str,
        mut shows: impl FnMut(&Screen) -> bool,
    ) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(at) = self.next_frame() {
                if shows(self.parser.screen()) {
                    return Ok(at);
                }
            }
            if !self.receive(deadline) {
                bail!("the program ended before {what} was seen:\n{}", self.text());
            }
            if Instant::now() > deadline {
                bail!("{what} was not seen in time:\n{}", self.text());
            }
        }
    }

    /// Takes in what comes until `until`; shows each complete frame.
    pub fn watch(&mut self, until: Instant, mut see: impl FnMut(Instant, &Screen)) -> Result<()> {
        loop {
            while let Some(at) = self.next_frame() {
                see(at, self.parser.screen());
            }
            if Instant::now() >= until {
                return Ok(());
            }
            if !self.receive(until) {
                bail!("the program ended by itself:\n{}", self.text());
            }
        }
    }

    /// Waits until the program has closed the terminal. Returns when.
    pub fn wait_end(&mut self) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        while self.receive(deadline) {
            self.waiting.clear();
            if Instant::now() > deadline {
                bail!("the program did not end in time");
            }
        }
        let ended = Instant::now();
        self.child.wait()?;
        Ok(ended)
    }

    /// Leaves with the key for it, and waits until everything is put away.
    pub fn quit(mut self) -> Result<()> {
        self.press("q")?;
        self.wait_end().map(drop)
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Whether the program still had the terminal open.
    fn receive(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.chunks.recv_timeout(left) {
            Ok((at, bytes)) => {
                self.newest = at;
                self.waiting.extend(bytes);
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn next_frame(&mut self) -> Option<Instant> {
        let end = self
            .waiting
            .windows(END_OF_FRAME.len())
            .position(|window| window == END_OF_FRAME)?;
        let frame: Vec<u8> = self.waiting.drain(..end + END_OF_FRAME.len()).collect();
        self.parser.process(&frame);
        Some(self.newest)
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // It has ended already, unless measuring failed.
        let _ = self.child.kill();
    }
}

fn stamp(mut output: impl Read, sender: &mpsc::Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 64 * 1024];
    // The kernel reports the end of a terminal as an error.
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        if sender
            .send((Instant::now(), buffer[..length].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

fn odd(error: impl std::fmt::Display) -> color_eyre::Report {
    eyre!("cannot use a pseudo-terminal: {error}")
}

fn at_least_one(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap_or(NonZero::<u16>::MIN)
}

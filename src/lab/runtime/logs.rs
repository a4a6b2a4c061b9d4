//! Container logs on disk: one file an execution, kept small, with a bell that
//! rings when something was written.
//!
//! The program writes to pipes; a task of the lab empties them into the file.
//! Whoever reads a log reads files, so no reader can hold a program up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::console::Viewers;
use super::cri::Encoder;
use crate::lab::node::{LogSource, LogState, Stream};

/// A log begins a new file at this size, in bytes; the file before is kept, so
/// that one execution takes at most twice as much.
pub const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// How much is read from a program at a time.
const CHUNK: usize = 64 * 1024;

/// Where the log of an execution is, and how far it has come.
#[derive(Debug, Clone)]
pub(super) struct Log {
    current: PathBuf,
    state: watch::Receiver<LogState>,
    viewers: Viewers,
}

impl Log {
    /// Begins the log of the execution numbered `execution` in `directory`, and
    /// gives the writing ends for standard output and standard error.
    pub fn begin(directory: &Path, execution: u32) -> io::Result<(Self, [OwnedFd; 2])> {
        fs::create_dir_all(directory)?;
        let current = path(directory, execution);
        // A leftover of an execution that had this number before.
        forget(directory, execution);
        let file = create(&current)?;
        let (bell, state) = watch::channel(LogState::default());
        let (stdout, program_stdout) = reader()?;
        let (stderr, program_stderr) = reader()?;
        let writer = Writer {
            path: current.clone(),
            file,
            size: 0,
            lost: 0,
            state: LogState::default(),
            bell,
        };
        let viewers = Viewers::new();
        tokio::spawn(copy(stdout, stderr, writer, viewers.clone()));
        let log = Self {
            current,
            state,
            viewers,
        };
        Ok((log, [program_stdout, program_stderr]))
    }

    /// For whoever reads it.
    pub fn source(&self) -> LogSource {
        let before = rotated(&self.current);
        LogSource {
            rotated: before.exists().then_some(before).into_iter().collect(),
            current: self.current.clone(),
            state: self.state.clone(),
        }
    }

    /// Whoever watches what is written as it comes.
    pub fn viewers(&self) -> Viewers {
        self.viewers.clone()
    }

    /// Waits until everything that was written is in the files.
    pub async fn ended(&self) {
        // An error means that the writer is gone: nothing more will come.
        let _ = self.state.clone().wait_for(|state| state.ended).await;
    }
}

/// The finished log of an earlier execution; none when there is no such file.
pub(crate) fn past(directory: &Path, execution: u32) -> Option<LogSource> {
    let current = path(directory, execution);
    let bytes = fs::metadata(&current).ok()?.len();
    let before = rotated(&current);
    let state = LogState {
        bytes,
        rotations: 0,
        ended: true,
    };
    let (_, state) = watch::channel(state);
    Some(LogSource {
        rotated: before.exists().then_some(before).into_iter().collect(),
        current,
        state,
    })
}

/// Removes the log of an execution.
pub(crate) fn forget(directory: &Path, execution: u32) {
    let current = path(directory, execution);
    // What cannot be removed now goes with the state directory.
    let _ = remove(&rotated(&current));
    let _ = remove(&current);
}

fn path(directory: &Path, execution: u32) -> PathBuf {
    directory.join(format!("{execution}.log"))
}

fn rotated(current: &Path) -> PathBuf {
    current.with_extension("log.1")
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn reader() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, programs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // More room lets a program run on while the disk is slow; less is no error.
    let _ = rustix::pipe::fcntl_setpipe_size(&ours, 4 * CHUNK);
    Ok((pipe::Receiver::from_owned_fd(ours)?, programs))
}

async fn copy(
    mut stdout: pipe::Receiver,
    mut stderr: pipe::Receiver,
    mut writer: Writer,
    viewers: Viewers,
) {
    let mut encoders = [Encoder::new(Stream::Stdout), Encoder::new(Stream::Stderr)];
    let (mut from_stdout, mut from_stderr) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut open = [true, true];
    while open != [false, false] {
        let mut records = Vec::new();
        // A read that fails ends the stream like its end of file.
        let (which, bytes) = tokio::select! {
            read = stdout.read(&mut from_stdout), if open[0] => {
                (0, &from_stdout[..read.unwrap_or(0)])
            }
            read = stderr.read(&mut from_stderr), if open[1] => {
                (1, &from_stderr[..read.unwrap_or(0)])
            }
        };
        let now = Timestamp::now();
        if bytes.is_empty() {
            open[which] = false;
            encoders[which].finish(now, &mut records);
        } else {
            encoders[which].feed(bytes, now, &mut records);
        }
        if !records.is_empty() {
            // A slow disk must not hold up the lab's other tasks.
            let written = tokio::task::spawn_blocking(move || {
                writer.write(&records);
                writer
            });
            match written.await {
                Ok(back) => writer = back,
                Err(_) => return,
            }
        }
        let stream = [Stream::Stdout, Stream::Stderr][which];
        viewers.show(stream, bytes).await;
    }
    viewers.end();
    writer.end();
}

struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
    /// Bytes that the disk did not take.
    lost: u64,
    state: LogState,
    bell: watch::Sender<LogState>,
}

impl Writer {
    fn write(&mut self, records: &[u8]) {
        let length = records.len() as u64;
        if self.size > 0 && self.size + length > ROTATE_AT {
            match self.rotate() {
                Ok(()) => self.state.rotations += 1,
                Err(error) => tracing::warn!("cannot rotate {}: {error}", self.path.display()),
            }
        }
        if let Err(error) = self.file.write_all(records) {
            if self.lost == 0 {
                tracing::warn!(
                    "cannot write {}: {error}; lines are lost",
                    self.path.display()
                );
            }
            self.lost += length;
            // Half a record would spoil the next one.
            let _ = self.file.set_len(self.size);
            return;
        }
        self.size += length;
        self.state.bytes += length;
        self.bell.send_replace(self.state);
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, rotated(&self.path))?;
        self.file = create(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn end(mut self) {
        self.state.ended = true;
        self.bell.send_replace(self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_stays_bounded_and_tells_its_readers() {
        let directory = tempfile::tempdir().unwrap();
        let (log, [stdout, stderr]) = Log::begin(directory.path(), 3).unwrap();
        drop(stderr);
        let writer = tokio::task::spawn_blocking(move || {
            let mut stdout = File::from(stdout);
            let line = [vec![b'x'; 1000], vec![b'\n']].concat();
            for _ in 0..25_000 {
                stdout.write_all(&line).unwrap();
            }
        });
        log.ended().await;
        writer.await.unwrap();
        let source = log.source();
        assert_eq!(source.rotated.len(), 1);
        let state = *source.state.borrow();
        assert_eq!(state.rotations, 2);
        assert!(state.ended && state.bytes > 2 * ROTATE_AT, "{state:?}");
        for file in source.rotated.iter().chain([&source.current]) {
            let content = fs::read(file).unwrap();
            assert!(content.len() as u64 <= ROTATE_AT);
            assert!(content.ends_with(b"x\n"), "whole lines in each file");
        }
        let past = past(directory.path(), 3).unwrap();
        assert!(past.state.borrow().ended);
        forget(directory.path(), 3);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_reader_is_woken_by_each_write() {
        let directory = tempfile::tempdir().unwrap();
        let (log, [stdout, _stderr]) = Log::begin(directory.path(), 0).unwrap();
        let mut source = log.source();
        let mut stdout = File::from(stdout);
        for line in ["first", "second"] {
            source.state.borrow_and_update();
            writeln!(stdout, "{line}").unwrap();
            source.state.changed().await.unwrap();
            let content = fs::read_to_string(&source.current).unwrap();
            assert!(content.trim_end().ends_with(line), "{content}");
        }
    }
}

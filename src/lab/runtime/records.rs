//! What the runtime writes down of its containers, so that the next lab on the
//! same state directory can end what a killed one has left running.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::CONTAINER_ENV;
use super::procs::{self, Process};

/// How long a killed process may take to go before it is reported as stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// One container's outermost process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    id: String,
    pid: i32,
    started: u64,
    boot: String,
}

/// The directory of records, held by one lab at a time.
#[derive(Debug)]
pub(super) struct Records {
    directory: PathBuf,
    boot: String,
    lock: File,
}

impl Drop for Records {
    fn drop(&mut self) {
        // Closing it would do, if no process were just being born that has it
        // open as well until it becomes its program.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Records {
    /// Takes the directory; none when another lab holds it.
    pub fn take(directory: PathBuf) -> io::Result<Option<Self>> {
        fs::create_dir_all(&directory)?;
        let lock = File::create(directory.join("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Self {
            directory,
            boot: procs::boot(),
            lock,
        }))
    }

    /// Writes down that the container `id` runs as `process`.
    pub fn write(&self, id: &str, process: &Process) -> io::Result<()> {
        let record = Record {
            id: id.to_owned(),
            pid: process.pid,
            started: process.started,
            boot: self.boot.clone(),
        };
        // A record cut short by a kill is skipped by the reader; the process is
        // found by its environment then.
        fs::write(self.path(id), serde_json::to_vec(&record)?)
    }

    /// Forgets a container that is gone.
    pub fn forget(&self, id: &str) {
        // A record of a process that is gone does no harm.
        let _ = fs::remove_file(self.path(id));
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    /// Ends what an earlier lab has left, and waits until it is gone. Says how
    /// many processes that were.
    pub async fn reap(&self) -> io::Result<usize> {
        let mut reaped = 0;
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let path = entry.path();
            let Some(id) = container_id(&path) else {
                continue;
            };
            let record = fs::read(&path).ok();
            let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
            if let Some(record) = record.filter(|record| record.boot == self.boot)
                && let Some(process) = Process::read(record.pid)
                && process.started == record.started
            {
                reaped += end(vec![process]).await?;
            }
            reaped += end_marked(id).await?;
            fs::remove_file(&path)?;
        }
        Ok(reaped)
    }
}

fn container_id(path: &Path) -> Option<&str> {
    if path.extension()? != "json" {
        return None;
    }
    path.file_stem()?.to_str()
}

/// Ends every process that carries a container's mark in its environment.
pub(super) async fn end_marked(id: &str) -> io::Result<usize> {
    let mark = format!("{CONTAINER_ENV}={id}");
    let mut ended = 0;
    loop {
        let mut marked = procs::all();
        marked.retain(|process| process.alive() && process.has_environment(&mark));
        if marked.is_empty() {
            return Ok(ended);
        }
        // Again until none is left: one may be born between look and kill.
        ended += end(marked).await?;
    }
}

async fn end(processes: Vec<Process>) -> io::Result<usize> {
    let mut ended = 0;
    for process in processes {
        let Some(handle) = process.handle() else {
            continue;
        };
        process.signal(Signal::KILL);
        let handle = crate::sys::watch(handle)?;
        if tokio::time::timeout(PATIENCE, handle.readable())
            .await
            .is_err()
        {
            let Process { pid, name, .. } = process;
            return Err(io::Error::other(format!(
                "process {pid} ({name}) of an earlier lab does not end; \
                 the kernel holds it, perhaps for a disk that does not answer"
            )));
        }
        ended += 1;
    }
    Ok(ended)
}

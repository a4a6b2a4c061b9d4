//! Volumes that have an end: so many bytes, and then *no space left on device*.
//!
//! Nobody without privileges can bound a directory of a disk. But everybody may
//! mount memory in namespaces of his own, and memory has a size. So a process,
//! the *keeper*, holds a mount namespace with one `tmpfs` a volume, and another,
//! the *hand*, mounts and unmounts them there for the lab, and gives it a
//! detached copy of a mount for each container, which the container's init moves
//! to its place. `df` in a container tells the size and the use.
//!
//! ```text
//!  lab ─────▶ hand ──(in the namespaces of)──▶ keeper: tmpfs, tmpfs, …
//!   ╰──▶ init ◀── a tree, moved to its place
//! ```
//!
//! The keeper is started with the first volume, and outlives a lab that is
//! killed: the next lab on the same state finds it by its pid and start time. It
//! ends when the lab is stopped, when the lab's state is gone, or some minutes
//! after a lab that nobody starts again. What is on a volume is lost with the
//! keeper, so when the machine starts anew; then the volume is empty, and
//! [`Placed::lost`] says so.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, flock, fstatvfs};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::procs::{self, Process};
use super::spawner::{Request, Spawner};
use super::wire::{self, Channel};
use super::{HAND, KEEPER, RUN_ENV};
use crate::sys::{Birth, Session};

mod keeper;

pub(super) use keeper::{keep, serve};

use keeper::{Done, Plan, Task};

/// How long a process of ours may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which process keeps the volumes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: i32,
    started: u64,
    boot: String,
}

impl Record {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// The process, if it is there.
    fn process(&self) -> Option<Process> {
        let process = Process::read(self.pid)?;
        let same = process.started == self.started && self.boot == procs::boot();
        (same && process.alive()).then_some(process)
    }
}

/// A handle on the bounded volumes of a lab; cloning it gives another.
#[derive(Debug, Clone)]
pub struct Bounded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spawner: Spawner,
    executable: PathBuf,
    run: String,
    directory: PathBuf,
    why_not: Option<String>,
    /// Held, so that the keeper knows that the lab lives.
    _lock: File,
    hand: tokio::sync::Mutex<Option<Hand>>,
    placed: Mutex<BTreeMap<String, Volume>>,
}

#[derive(Debug)]
struct Hand {
    control: Channel,
    child: Child,
}

/// A volume that is there.
#[derive(Debug)]
struct Volume(OwnedFd);

impl Volume {
    fn size(&self) -> u64 {
        fstatvfs(&self.0).map_or(0, |it| it.f_blocks * it.f_frsize)
    }

    fn used(&self) -> u64 {
        fstatvfs(&self.0).map_or(0, |it| (it.f_blocks - it.f_bfree) * it.f_frsize)
    }
}

/// A volume, ready to be mounted in one container.
#[derive(Debug)]
pub struct Placed {
    /// The detached mount.
    pub tree: Arc<OwnedFd>,
    /// It was there in an earlier life of the lab, and is empty now.
    pub lost: bool,
}

impl Bounded {
    /// The volumes below a runtime's directory. `why_not` is why the runtime
    /// can mount nothing, if it cannot.
    ///
    /// # Errors
    /// When the directory cannot be used, or no thread can be had.
    pub fn open(
        state: &Path,
        executable: PathBuf,
        run: String,
        why_not: Option<String>,
    ) -> io::Result<Self> {
        let directory = directory(state);
        fs::create_dir_all(directory.join("root"))?;
        let lock = File::create(directory.join("lock"))?;
        // A keeper that looks has it for a moment; another lab cannot be here.
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self(Arc::new(Inner {
            spawner: Spawner::start()?,
            executable,
            run,
            directory,
            why_not: why_not.or_else(without_trees),
            _lock: lock,
            hand: tokio::sync::Mutex::default(),
            placed: Mutex::default(),
        })))
    }

    /// Why there can be no volume with a bound, if there can be none.
    pub fn why_not(&self) -> Option<&str> {
        self.0.why_not.as_deref()
    }

    /// What keeps volumes of these names and sizes in bytes from being promised,
    /// besides those there are: that they might not fit into the machine's free
    /// memory.
    pub fn obstacle<'a>(&self, wanted: impl IntoIterator<Item = (&'a str, u64)>) -> Option<String> {
        let placed = self.placed();
        let mut promised: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (name, volume) in placed.iter() {
            promised.insert(name, (volume.size(), volume.used()));
        }
        let mut asked = 0;
        for (name, size) in wanted {
            let known = promised.entry(name).or_default();
            known.0 = size;
            asked = size.saturating_sub(known.1);
        }
        let unfilled = |(size, used): &(u64, u64)| size.saturating_sub(*used);
        let all: u64 = promised.values().map(unfilled).sum();
        let free = free_memory();
        (all > free).then(|| {
            format!(
                "the lab keeps volumes with a bound in memory: {} are asked for and {} promised \
                 already, but {} are free",
                mebibytes(asked),
                mebibytes(all - asked),
                mebibytes(free)
            )
        })
    }

    /// Makes a volume of so many bytes, unless it is there; one that is smaller
    /// grows, none shrinks. Where no size is named it is half of the memory that
    /// is free now. Gives what one container can mount.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    pub async fn place(&self, name: &str, size: Option<u64>) -> Result<Placed, String> {
        let known = self.placed().get(name).map(Volume::size);
        let size = size.or(known).unwrap_or_else(|| free_memory() / 2);
        if known.is_none_or(|known| known < size)
            && let Some(why) = self.obstacle([(name, size)])
        {
            return Err(why);
        }
        let task = Task::Place {
            name: name.to_owned(),
            size,
        };
        let (done, handles) = self.ask(&task).await?;
        let (Done::Placed { fresh }, Ok([tree, root])) = (done, <[OwnedFd; 2]>::try_from(handles))
        else {
            return Err("the keeper of volumes gave something else".to_owned());
        };
        self.placed().insert(name.to_owned(), Volume(root));
        let mark = self.0.directory.join("made").join(name);
        let lost = fresh && mark.exists();
        if fresh && !lost {
            let noted = fs::create_dir_all(mark.parent().unwrap_or(&mark))
                .and_then(|()| fs::write(&mark, ""));
            noted.map_err(|error| format!("note down a volume: {error}"))?;
        }
        Ok(Placed {
            tree: Arc::new(tree),
            lost,
        })
    }

    /// Lets a volume grow to so many bytes, if it is there; another is made in
    /// its new size.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub async fn grow(&self, name: &str, size: u64) -> Result<(), String> {
        if self.placed().contains_key(name) {
            self.place(name, Some(size)).await?;
        }
        Ok(())
    }

    /// Removes what is at or below a name. Containers that have it mounted keep
    /// it until they end.
    ///
    /// # Errors
    /// What keeps it from going.
    pub async fn remove(&self, name: &str) -> Result<(), String> {
        let mark = self.0.directory.join("made").join(name);
        if !mark.exists() {
            return Ok(());
        }
        let below = format!("{name}/");
        self.placed()
            .retain(|placed, _| placed != name && !placed.starts_with(&below));
        let task = Task::Remove {
            name: name.to_owned(),
        };
        self.ask(&task).await?;
        let gone = if mark.is_dir() {
            fs::remove_dir_all(&mark)
        } else {
            fs::remove_file(&mark)
        };
        gone.map_err(|error| format!("forget a volume: {error}"))
    }

    /// Ends this lab's hand. The volumes stay.
    pub async fn close(&self) {
        self.placed().clear();
        if let Some(hand) = self.0.hand.lock().await.take() {
            hand.end().await;
        }
    }

    async fn ask(&self, task: &Task) -> Result<(Done, Vec<OwnedFd>), String> {
        if let Some(why) = self.why_not() {
            return Err(why.to_owned());
        }
        // One question at a time: answers carry no name.
        let mut hand = self.0.hand.lock().await;
        if let Some(known) = hand.as_ref() {
            if let Ok(answer) = known.ask(task).await {
                return refused(answer);
            }
            // It died: the volumes are the keeper's, and another hand will do.
            if let Some(dead) = hand.take() {
                dead.end().await;
            }
        }
        let fresh = self.hand().await?;
        let answer = fresh.ask(task).await;
        *hand = Some(fresh);
        refused(answer.map_err(|error| error.to_string())?)
    }

    /// A new hand, at the keeper's; a new keeper, if there is none.
    async fn hand(&self) -> Result<Hand, String> {
        let path = self.0.directory.join("keeper.json");
        let known = Record::read(&path).and_then(|record| record.process());
        let keeper = match known {
            Some(keeper) => keeper,
            None => self.start_keeper(&path).await?,
        };
        let said = |error: io::Error| format!("reach the keeper of volumes: {error}");
        let key = |name: &str| File::open(format!("/proc/{}/ns/{name}", keeper.pid));
        let (user, mounts) = (key("user").map_err(said)?, key("mnt").map_err(said)?);
        let (control, child) = self.spawn(HAND, Some(Signal::KILL)).await.map_err(said)?;
        let hand = Hand { control, child };
        let keys = [&user, &mounts].map(std::os::fd::AsFd::as_fd);
        hand.control.send(&wire::Join, &keys).await.map_err(said)?;
        match hand.answer().await.map_err(said)? {
            (Done::Failed(why), _) => Err(why),
            _ => Ok(hand),
        }
    }

    async fn start_keeper(&self, record: &Path) -> Result<Process, String> {
        let said = |error: io::Error| format!("start the keeper of volumes: {error}");
        let (control, child) = self.spawn(KEEPER, None).await.map_err(said)?;
        let process = Process::read(child.id() as i32);
        let keeper = Hand { control, child };
        let plan = Plan {
            lock: self.0.directory.join("lock"),
            root: self.0.directory.join("root"),
        };
        keeper.control.send(&plan, &[]).await.map_err(said)?;
        let answer = keeper.answer().await.map_err(said)?;
        // It is reaped when it ends, whenever that is.
        let Hand { mut child, .. } = keeper;
        tokio::task::spawn_blocking(move || child.wait());
        if let Done::Failed(why) = answer.0 {
            return Err(format!("make a place for volumes: {why}"));
        }
        let process = process.ok_or_else(|| said(io::Error::other("it has gone")))?;
        let written = serde_json::to_vec(&Record {
            pid: process.pid,
            started: process.started,
            boot: procs::boot(),
        })
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write(record, bytes));
        written.map_err(said)?;
        Ok(process)
    }

    async fn spawn(
        &self,
        argument: &'static str,
        parent_death: Option<Signal>,
    ) -> io::Result<(Channel, Child)> {
        let null = || fs::OpenOptions::new().write(true).open("/dev/null");
        let (control, stdin) = wire::pair()?;
        // The keeper is of no run: it is there for the next one, too.
        let mark = parent_death.map(|_| (RUN_ENV, self.0.run.clone()));
        let child = self.0.spawner.spawn(Request {
            executable: self.0.executable.clone(),
            argument,
            env: mark.into_iter().collect(),
            stdin,
            stdout: null()?.into(),
            stderr: null()?.into(),
            birth: Birth {
                session: Session::New,
                parent_death,
            },
        });
        Ok((Channel::new(control)?, child.await?))
    }

    fn placed(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        self.0.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    async fn ask(&self, task: &Task) -> io::Result<(Done, Vec<OwnedFd>)> {
        self.control.send(task, &[]).await?;
        self.answer().await
    }

    async fn answer(&self) -> io::Result<(Done, Vec<OwnedFd>)> {
        let answer = tokio::time::timeout(PATIENCE, self.control.receive::<Done>()).await;
        let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        answer.ok_or_else(|| io::Error::other("it has died"))
    }

    async fn end(self) {
        let Self { control, mut child } = self;
        drop(control);
        // It ends by itself; only a broken kernel keeps it.
        let gone = tokio::task::spawn_blocking(move || child.wait());
        let _ = tokio::time::timeout(PATIENCE, gone).await;
    }
}

fn refused(answer: (Done, Vec<OwnedFd>)) -> Result<(Done, Vec<OwnedFd>), String> {
    match answer {
        (Done::Failed(why), _) => Err(why),
        answer => Ok(answer),
    }
}

fn directory(state: &Path) -> PathBuf {
    state.join("bounded")
}

/// Ends the keeper of a runtime's directory, and with it the volumes.
pub(super) fn end_keeper(state: &Path) {
    let record = Record::read(&directory(state).join("keeper.json"));
    if let Some(keeper) = record.and_then(|record| record.process()) {
        keeper.signal(Signal::KILL);
    }
}

/// Why mounts cannot be handed from one namespace to another, if they cannot.
fn without_trees() -> Option<String> {
    let error = open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC).err()?;
    Some(format!(
        "the kernel hands no mounts from one namespace to another (open_tree: {error})"
    ))
}

/// What programs can still take of the machine's memory, in bytes.
fn free_memory() -> u64 {
    let known = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = known
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_might_not_fit_is_not_promised() {
        let state = tempfile::tempdir().unwrap();
        let bounded = Bounded::open(
            state.path(),
            "/none".into(),
            "run".into(),
            Some("no".into()),
        )
        .unwrap();
        assert_eq!(bounded.obstacle([("small", 4096)]), None);
        let free = free_memory();
        assert!(free > 0);
        let why = bounded.obstacle([("one", free * 2 / 3), ("two", free * 2 / 3)]);
        assert!(why.unwrap().contains("are free"));
    }

    #[tokio::test]
    async fn where_nothing_can_be_mounted_the_reason_is_told() {
        let state = tempfile::tempdir().unwrap();
        let why = Some("pods are process groups".to_owned());
        let bounded = Bounded::open(state.path(), "/none".into(), "run".into(), why).unwrap();
        let refused = bounded.place("v", Some(4096)).await.unwrap_err();
        assert_eq!(refused, "pods are process groups");
        // Nothing was made, so there is nothing to remove.
        bounded.remove("v").await.unwrap();
    }
}

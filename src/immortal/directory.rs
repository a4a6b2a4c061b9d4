//! The directory of an instance: who may use it, what lies in it.
//!
//! `<root>/<instance>_0/` holds `lock`, and for each generation N a
//! `checkpoint-N` and a `log-N`. A log of generation N begins where the
//! checkpoint N was taken. Only the process that holds the lock may write here; the
//! kernel drops the lock when that process dies, however it dies.
//!
//! `lock` also counts the executions. Where a lock does not exclude (some network
//! file systems), or somebody put another directory in the place of this one, two
//! executions could run at once: the older one looks at its lock every
//! [`LOOK`](super::fence::LOOK) and stops when the file is gone, is another one, or
//! counts an execution after its own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::crash;
use super::error::Error;

/// When an input counts as safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the device has it: survives the loss of the machine's power.
    #[default]
    Fsync,
    /// When the operating system has it: survives the death of the process, and
    /// is faster.
    Os,
}

/// An instance directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    lock: File,
    /// What counts as safe in this directory.
    pub durability: Durability,
    /// Whether logs and checkpoints that are no longer needed stay.
    pub keep: bool,
}

/// What the lock of a running execution says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// The directory is its own.
    Mine,
    /// The lock is gone, or is another file: the directory is not the one that this
    /// execution began with.
    Gone,
    /// A later execution of this number counted itself.
    Lost(u64),
    /// Another execution waits and asks this one to yield.
    Asked,
}

impl Directory {
    /// Creates the directory if needed, but does not lock it: good for reading only.
    pub fn prepare(root: &Path, instance: &str, durability: Durability) -> Result<Self, Error> {
        let path = root.join(format!("{instance}_0"));
        fs::create_dir_all(&path).map_err(Error::disk("create", &path))?;
        let lock = open_lock(&path)?;
        Ok(Self {
            path,
            lock,
            durability,
            keep: false,
        })
    }

    /// Opens a directory that is there to be read, and keeps executions out of it
    /// meanwhile. One that is in use is refused.
    pub fn inspect(path: &Path) -> Result<Self, Error> {
        let lock_path = path.join("lock");
        let lock = File::open(&lock_path).map_err(Error::disk("open", &lock_path))?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
                durability: Durability::Os,
                keep: true,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(Error::disk("lock", lock_path)(error)),
        }
    }

    /// Locks the directory if nobody holds it; answers whether.
    pub fn try_lock(&mut self) -> Result<bool, Error> {
        match self.lock.try_lock() {
            Ok(()) => self.locked(),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(Error::disk("lock", self.lock_path())(error)),
        }
    }

    /// Locks the directory as soon as nobody else holds it.
    pub fn wait_for_lock(&mut self) -> Result<(), Error> {
        loop {
            self.lock
                .lock()
                .map_err(Error::disk("lock", self.lock_path()))?;
            if self.locked()? {
                return Ok(());
            }
        }
    }

    /// The lock is held; `false` if it is that of a directory which is gone by now:
    /// then another one is opened in its place.
    fn locked(&mut self) -> Result<bool, Error> {
        let same = self.is_same_lock();
        if !same.map_err(Error::disk("read", self.lock_path()))? {
            fs::create_dir_all(&self.path).map_err(Error::disk("create", &self.path))?;
            self.lock = open_lock(&self.path)?;
            return Ok(false);
        }
        remove(self.request_path())?;
        self.remove_unfinished()?;
        Ok(true)
    }

    /// Asks the execution that holds the lock to yield.
    pub fn ask_to_yield(&self) -> Result<(), Error> {
        let path = self.request_path();
        fs::write(&path, "").map_err(Error::disk("create", path))
    }

    /// Whether this execution, the `epoch`th, may still act here. An error is one of
    /// the file system that says nothing about it.
    pub fn tenure(&self, epoch: u64) -> io::Result<Tenure> {
        if !self.is_same_lock()? {
            return Ok(Tenure::Gone);
        }
        if let Some(counted) = read_epoch(&mut File::open(self.lock_path())?)
            && counted > epoch
        {
            return Ok(Tenure::Lost(counted));
        }
        if self.request_path().exists() {
            return Ok(Tenure::Asked);
        }
        Ok(Tenure::Mine)
    }

    /// Whether the file at the lock's place is the one that was opened.
    fn is_same_lock(&self) -> io::Result<bool> {
        let there = match fs::metadata(self.lock_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            there => there?,
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let held = self.lock.metadata()?;
            Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
        }
        // Elsewhere an open file cannot be replaced.
        #[cfg(not(unix))]
        Ok(there.is_file())
    }

    /// The file that excludes.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn request_path(&self) -> PathBuf {
        self.path.join("yield")
    }

    /// Counts this execution: answers its epoch, one more than every execution
    /// before it, also those that died before they wrote anything else.
    /// `at_least` is the highest epoch known from elsewhere.
    pub fn next_epoch(&mut self, at_least: u64) -> Result<u64, Error> {
        let path = self.lock_path();
        let counted = read_epoch(&mut self.lock);
        let epoch = counted.unwrap_or(0).max(at_least) + 1;
        // One write inside one sector, of constant length: old or new, never half.
        let line = format!("epoch {epoch:020}\n");
        self.lock
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.lock.write_all(line.as_bytes()))
            .map_err(Error::disk("write", &path))?;
        if self.durability == Durability::Fsync {
            self.lock
                .sync_data()
                .map_err(Error::disk("synchronise", &path))?;
        }
        crash::point(crash::EPOCH_COUNTED);
        Ok(epoch)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log of a generation lies.
    pub fn log_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("log-{number:010}"))
    }

    /// Where the checkpoint of a generation lies.
    pub fn checkpoint_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("checkpoint-{number:010}"))
    }

    /// Where the checkpoint of a generation is written before it is published; `by`
    /// tells those who write the same one apart.
    pub fn unfinished_path(&self, number: u64, by: &str) -> PathBuf {
        self.path
            .join(format!("checkpoint-{number:010}{by}.unfinished"))
    }

    /// Numbers of the logs, ascending.
    pub fn logs(&self) -> Result<Vec<u64>, Error> {
        self.numbered("log-")
    }

    /// Numbers of the published checkpoints, ascending.
    pub fn checkpoints(&self) -> Result<Vec<u64>, Error> {
        self.numbered("checkpoint-")
    }

    /// Makes names created or renamed in the directory durable.
    pub fn sync(&self) -> Result<(), Error> {
        // Windows cannot open a directory to flush it; its renames are journaled.
        if cfg!(unix) {
            File::open(&self.path)
                .and_then(|directory| directory.sync_all())
                .map_err(Error::disk("synchronise", &self.path))?;
        }
        Ok(())
    }

    /// Removes what only older generations need: with checkpoints A < B < C, all
    /// before B. Two generations stay, so that a checkpoint that turns out to be
    /// unreadable costs a longer replay and not the state.
    pub fn prune(&self) -> Result<(), Error> {
        if self.keep {
            return Ok(());
        }
        let checkpoints = self.checkpoints()?;
        let [.., keep, _newest] = checkpoints[..] else {
            return Ok(());
        };
        let old_checkpoints = checkpoints.iter().filter(|&&number| number < keep);
        let old_logs = self.logs()?.into_iter().filter(|&number| number < keep);
        let old: Vec<PathBuf> = old_checkpoints
            .map(|&number| self.checkpoint_path(number))
            .chain(old_logs.map(|number| self.log_path(number)))
            .collect();
        for path in old {
            fs::remove_file(&path).map_err(Error::disk("remove", &path))?;
            crash::point(crash::PRUNED);
        }
        Ok(())
    }

    fn numbered(&self, prefix: &str) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        for name in self.names()? {
            let number = name.strip_prefix(prefix);
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        fs::read_dir(&self.path)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                    .collect()
            })
            .map_err(Error::disk("list", &self.path))
    }

    fn remove_unfinished(&self) -> Result<(), Error> {
        for name in self.names()? {
            if name.starts_with("checkpoint-") && name.ends_with(".unfinished") {
                let path = self.path.join(name);
                fs::remove_file(&path).map_err(Error::disk("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// Removes a file that may be there.
fn remove(path: PathBuf) -> Result<(), Error> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::disk("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    let path = path.join("lock");
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::disk("open", path))
}

/// The executions that a lock has counted. An unreadable count is one that was never
/// finished.
fn read_epoch(lock: &mut File) -> Option<u64> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.strip_prefix("epoch ")?.lines().next()?.parse().ok()
}

#[cfg(test)]
impl Directory {
    /// A locked directory; `waiting` is told the path of the lock if somebody holds it.
    pub fn open(
        root: &Path,
        instance: &str,
        durability: Durability,
        waiting: impl FnOnce(&Path),
    ) -> Result<Self, Error> {
        let mut directory = Self::prepare(root, instance, durability)?;
        if !directory.try_lock()? {
            waiting(&directory.lock_path());
            directory.wait_for_lock()?;
        }
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &Path) -> Directory {
        Directory::open(root, "a", Durability::Os, |_| panic!("nobody holds it")).unwrap()
    }

    #[test]
    fn epochs_only_rise() {
        let root = tempfile::tempdir().unwrap();
        for expected in 1..4 {
            assert_eq!(open(root.path()).next_epoch(0).unwrap(), expected);
        }
        assert_eq!(open(root.path()).next_epoch(9).unwrap(), 10);
        fs::write(root.path().join("a_0/lock"), [0xff; 40]).unwrap();
        assert_eq!(open(root.path()).next_epoch(10).unwrap(), 11);
    }

    #[test]
    fn a_second_execution_waits_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path());
        let (told, hears) = std::sync::mpsc::channel();
        let path = root.path().to_owned();
        let second = std::thread::spawn(move || {
            Directory::open(&path, "a", Durability::Os, |lock| {
                told.send(lock.to_owned()).unwrap();
            })
            .unwrap();
        });
        assert!(hears.recv().unwrap().ends_with("a_0/lock"));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap();
    }

    #[test]
    fn an_execution_knows_when_its_directory_is_no_longer_its_own() {
        let root = tempfile::tempdir().unwrap();
        let mut first = open(root.path());
        let epoch = first.next_epoch(0).unwrap();
        assert_eq!(first.tenure(epoch).unwrap(), Tenure::Mine);
        // As one that waits does.
        let waiting = Directory::prepare(root.path(), "a", Durability::Os).unwrap();
        waiting.ask_to_yield().unwrap();
        assert_eq!(first.tenure(epoch).unwrap(), Tenure::Asked);
        // As one does whom the lock did not keep out.
        fs::write(first.lock_path(), "epoch 00000000000000000007\n").unwrap();
        assert_eq!(first.tenure(epoch).unwrap(), Tenure::Lost(7));
        fs::remove_dir_all(&first.path).unwrap();
        assert_eq!(first.tenure(epoch).unwrap(), Tenure::Gone);
        // Another directory in the same place is another one, locked or not.
        let second = open(root.path());
        assert_eq!(first.tenure(epoch).unwrap(), Tenure::Gone);
        drop(second);
    }

    #[test]
    fn the_lock_of_a_directory_that_is_gone_is_worth_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut late = Directory::prepare(root.path(), "a", Durability::Os).unwrap();
        fs::remove_dir_all(&late.path).unwrap();
        assert!(!late.try_lock().unwrap());
        assert!(late.try_lock().unwrap());
        assert!(late.lock_path().exists());
    }

    #[test]
    fn two_generations_stay() {
        let root = tempfile::tempdir().unwrap();
        let directory = open(root.path());
        for number in [1, 2, 5, 7] {
            fs::write(directory.checkpoint_path(number), "").unwrap();
        }
        for number in 1..=8 {
            fs::write(directory.log_path(number), "").unwrap();
        }
        fs::write(directory.unfinished_path(9, ""), "").unwrap();
        directory.prune().unwrap();
        assert_eq!(directory.checkpoints().unwrap(), [5, 7]);
        assert_eq!(directory.logs().unwrap(), [5, 6, 7, 8]);
        drop(directory);
        open(root.path());
        assert!(
            !root
                .path()
                .join("a_0/checkpoint-0000000009.unfinished")
                .exists()
        );
    }
}

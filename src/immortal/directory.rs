//! The directory of an instance: who may use it, what lies in it.
//!
//! `<root>/<instance>_0/` holds `lock`, and for each generation N a
//! `checkpoint-N` and a `log-N`. A log of generation N begins where the
//! checkpoint N was taken. Only the process that holds the lock may look inside;
//! the kernel drops the lock when that process dies, however it dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

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

/// A locked instance directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    lock: File,
    /// What counts as safe in this directory.
    pub durability: Durability,
}

impl Directory {
    /// Creates the directory if needed and locks it, waiting for as long as
    /// another execution holds it. `waiting` is told once, with the path of the
    /// lock, when there is something to wait for.
    pub fn open(
        root: &Path,
        instance: &str,
        durability: Durability,
        waiting: impl FnOnce(&Path),
    ) -> Result<Self, Error> {
        let path = root.join(format!("{instance}_0"));
        fs::create_dir_all(&path).map_err(Error::disk("create", &path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(Error::disk("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting(&lock_path);
                lock.lock().map_err(Error::disk("lock", &lock_path))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::disk("lock", &lock_path)(error));
            }
        }
        let directory = Self {
            path,
            lock,
            durability,
        };
        directory.remove_unfinished()?;
        Ok(directory)
    }

    /// Counts this execution: answers its epoch, one more than every execution
    /// before it, also those that died before they wrote anything else.
    /// `at_least` is the highest epoch known from elsewhere.
    pub fn next_epoch(&mut self, at_least: u64) -> Result<u64, Error> {
        let path = self.path.join("lock");
        let mut text = String::new();
        // An unreadable count is one that was never finished.
        let counted = self.lock.read_to_string(&mut text).ok().and_then(|_| {
            text.strip_prefix("epoch ")?
                .lines()
                .next()?
                .parse::<u64>()
                .ok()
        });
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

    /// Where the checkpoint of a generation is written before it is published.
    pub fn unfinished_path(&self, number: u64) -> PathBuf {
        self.path
            .join(format!("checkpoint-{number:010}.unfinished"))
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
    fn two_generations_stay() {
        let root = tempfile::tempdir().unwrap();
        let directory = open(root.path());
        for number in [1, 2, 5, 7] {
            fs::write(directory.checkpoint_path(number), "").unwrap();
        }
        for number in 1..=8 {
            fs::write(directory.log_path(number), "").unwrap();
        }
        fs::write(directory.unfinished_path(9), "").unwrap();
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

//! Relieving the execution that acts of its checkpoints.
//!
//! A standby executes every page that is logged, so at the border of two logs it has
//! the very state that the checkpoint there has to hold. One standby takes the post:
//! it writes the checkpoints, and the execution that acts does not pause to copy its
//! state. The post is a lock on a file, so it falls free when its holder dies; the
//! execution that acts looks whether it is held, and takes its checkpoints itself if
//! not, or if the holder does not deliver.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::checkpoint::{self, Snapshot};
use super::commit::Generations;
use super::delivery::Notice;
use super::directory::Directory;
use super::error::Error;

/// A holder that has not delivered a checkpoint within this time is not waited for
/// any more, ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks for its checkpoint.
const LOOK: Duration = Duration::from_millis(5);

/// A standby, as far as it takes checkpoints.
pub struct Reliever {
    directory: Arc<Directory>,
    instance: String,
    notice: Notice,
    post: Option<File>,
    writing: Option<JoinHandle<Result<(), Error>>>,
}

impl Reliever {
    /// One that takes the post if it is free. `directory` is a handle of its own.
    pub fn new(directory: Directory, instance: &str, notice: &Notice) -> Self {
        let mut reliever = Self {
            directory: Arc::new(directory),
            instance: instance.to_owned(),
            notice: Arc::clone(notice),
            post: None,
            writing: None,
        };
        reliever.apply();
        reliever
    }

    /// The log `number` begins, and its first page is not executed yet: the moment of
    /// its checkpoint.
    pub fn generation(&mut self, number: u64, snapshot: impl FnOnce() -> Snapshot) {
        self.finish();
        if self.post.is_none() {
            // Whoever acts has counted on itself this time.
            self.apply();
        } else if !self.directory.checkpoint_path(number).exists() {
            let (directory, instance) = (Arc::clone(&self.directory), self.instance.clone());
            let snapshot = snapshot();
            let write = move || checkpoint::relieve(&directory, &instance, &snapshot);
            match thread::Builder::new().name("relief".into()).spawn(write) {
                Ok(writing) => self.writing = Some(writing),
                Err(_) => self.post = None,
            }
        }
    }

    /// Waits for the checkpoint that is being written; one that fails costs the post,
    /// and nothing else.
    pub fn finish(&mut self) {
        let Some(writing) = self.writing.take() else {
            return;
        };
        match writing.join() {
            Ok(Ok(())) => return,
            Ok(Err(error)) => (self.notice)(&format!("no longer taking checkpoints: {error}")),
            // It said so itself.
            Err(_panic) => {}
        }
        self.post = None;
    }

    fn apply(&mut self) {
        let file = open(post_path(&self.directory));
        self.post = file.filter(|file| file.try_lock().is_ok());
        if self.post.is_some() {
            (self.notice)("taking the checkpoints");
        }
    }
}

fn post_path(directory: &Directory) -> PathBuf {
    directory.path().join("checkpointer")
}

fn open(path: PathBuf) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).ok()
}

/// Whether somebody holds the post.
pub fn is_held(directory: &Directory) -> bool {
    // A file that nobody made is one that nobody locked.
    File::open(post_path(directory))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Waits for checkpoints that the holder of the post is to write.
pub fn wait(
    directory: &Directory,
    expected: &Receiver<u64>,
    generations: &Generations,
) -> Result<(), Error> {
    for number in expected {
        let deadline = Instant::now() + PATIENCE;
        let path = directory.checkpoint_path(number);
        while !path.exists() && is_held(directory) {
            if Instant::now() >= deadline {
                generations.rely_on_nobody();
                break;
            }
            thread::sleep(LOOK);
        }
        directory.prune()?;
        generations.end(None);
    }
    Ok(())
}

//! A full disk: nothing is lost by it, everything waits.
//!
//! What cannot be written is not safe, so it takes no effect, no peer is told of
//! it, and back-pressure holds the senders. A page that was written in part is cut
//! off again. So an instance waits for room where it stands, and goes on as if
//! nothing had been; one that is killed meanwhile finds at most a torn tail.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::delivery::Notice;
use super::error::Error;

/// How often it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Waits for room on a disk, on behalf of all who write to it, and tells it once.
pub struct Room {
    notice: Notice,
    /// Since when somebody waits.
    since: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Room {
    /// Nobody waits yet.
    pub fn new(notice: Notice) -> Self {
        Self {
            notice,
            since: Mutex::default(),
        }
    }

    /// Does what a full disk may refuse, until it does not. Whatever was begun by
    /// an attempt that failed must be undone by it, or by the next one.
    ///
    /// # Errors
    /// What is refused for another reason.
    pub fn until_there_is<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match attempt() {
                Err(error) if error.is_for_want_of_room() => self.wait(&error),
                Ok(done) => {
                    self.go_on();
                    return Ok(done);
                }
                failed => return failed,
            }
        }
    }

    fn wait(&self, error: &Error) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            *since = Some(Instant::now());
            if let Error::Disk {
                action,
                path,
                source,
            } = error
            {
                (self.notice)(&format!(
                    "waiting for space: cannot {action} {}: {source}; nothing is lost, free some",
                    path.display()
                ));
            }
        }
        drop(since);
        std::thread::sleep(AGAIN);
    }

    fn go_on(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = since.take() {
            let waited = since.elapsed().as_secs_f64();
            (self.notice)(&format!(
                "there is space again after {waited:.1} s, going on"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_disk_is_waited_for_and_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&told);
        let room = Room::new(Arc::new(move |line: &str| {
            lines.lock().unwrap().push(line.to_owned());
        }));
        let mut refusals = 3;
        let done = room.until_there_is(|| {
            if refusals > 0 {
                refusals -= 1;
                return Err(Error::disk("write", "/logs/a")(
                    io::ErrorKind::StorageFull.into(),
                ));
            }
            Ok(7)
        });
        assert_eq!(done.unwrap(), 7);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("waiting for space: cannot write /logs/a: "));
        assert!(told[1].starts_with("there is space again after "));
    }

    #[test]
    fn other_failures_are_not_waited_for() {
        let room = Room::new(Arc::new(|line: &str| panic!("{line}")));
        let failed = room.until_there_is(|| -> Result<(), Error> {
            Err(Error::disk("write", "/logs/a")(
                io::ErrorKind::ReadOnlyFilesystem.into(),
            ))
        });
        assert!(failed.is_err());
    }
}

//! Noticing that this execution must stop, because another one is to act.
//!
//! The lock of the directory excludes; this is for what a lock cannot do: yield to
//! an execution that asks, so that an instance migrates without being killed; and
//! notice where a lock failed to exclude.

use std::thread;
use std::time::Duration;

use super::directory::{Directory, Tenure};
use super::error::Error;

/// Pause between two looks at the lock: within this, and the time that a look takes,
/// an execution notices that it must stop.
pub const LOOK: Duration = Duration::from_millis(100);

/// Looks for ever; ends with the reason to stop.
pub fn watch(directory: &Directory, instance: &str, epoch: u64) -> Result<(), Error> {
    loop {
        thread::sleep(LOOK);
        // A file system that does not answer says nothing; a page that it does not
        // take will.
        let Ok(tenure) = directory.tenure(epoch) else {
            continue;
        };
        let reason = match tenure {
            Tenure::Mine => continue,
            Tenure::Asked => "another execution asked for it".to_owned(),
            Tenure::Lost(counted) => format!("execution {counted} has begun"),
            Tenure::Gone => format!(
                "{} is no longer the directory it began with",
                directory.path().display()
            ),
        };
        return Err(Error::Yielded {
            instance: instance.to_owned(),
            epoch,
            reason,
        });
    }
}

//! Who a container's processes are to themselves.
//!
//! They are always the lab's user, who is root inside the container's namespaces.
//! Whoever is to be somebody else there gets one more user namespace, in which the
//! same user has another number. So what it makes in a volume is the lab's, and
//! is its own again in every container that runs as the same number or another.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::sys;

/// A user and a group, by the numbers that processes see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct User {
    /// Number of the user.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
}

/// Where the calling process writes who it is. To be held before it moves into a
/// root whose `/proc` is read-only.
pub(super) struct Maps(OwnedFd);

impl Maps {
    /// Holds the process's own place in the `/proc` that it sees now.
    pub fn hold() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, "/proc/self", flags, Mode::empty())?))
    }

    /// Makes the calling process, alone and root in its user namespace, this user
    /// in a new one.
    pub fn become_user(&self, user: User) -> io::Result<()> {
        if user == User::default() {
            return Ok(());
        }
        sys::enter_new_users()?;
        self.write("setgroups", "deny")?;
        self.write("uid_map", &format!("{} 0 1", user.uid))?;
        self.write("gid_map", &format!("{} 0 1", user.gid))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.0, file, flags, Mode::empty())?;
        rustix::io::write(&file, text.as_bytes())?;
        Ok(())
    }
}

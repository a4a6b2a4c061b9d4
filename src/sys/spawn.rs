//! Giving birth to processes that cannot outlive their parent.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid};
use rustix::thread::UnshareFlags;

/// Which session a new process belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Its parent's.
    Inherited,
    /// A session of its own, without a terminal.
    New,
    /// A session of its own, with its standard input as controlling terminal.
    NewWithTerminal,
}

/// What a new process does to itself before it becomes its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// The session it joins or founds.
    pub session: Session,
    /// The signal it gets when the *thread* that spawned it ends. Spawn from a
    /// thread that lives as long as the process, or the signal comes early.
    pub parent_death: Option<Signal>,
}

/// Makes `command` give birth as told.
pub fn prepare(command: &mut Command, birth: Birth) {
    let born = move || -> io::Result<()> {
        match birth.session {
            Session::Inherited => {}
            Session::New => {
                setsid()?;
            }
            Session::NewWithTerminal => {
                setsid()?;
                ioctl_tiocsctty(rustix::stdio::stdin())?;
            }
        }
        if birth.parent_death.is_some() {
            set_parent_process_death_signal(birth.parent_death)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec. It makes
    // three plain system calls and neither allocates, locks nor touches memory
    // that another thread of the parent could have left in an odd state.
    unsafe {
        command.pre_exec(born);
    }
}

/// Moves the calling process into new namespaces; its next child is process 1
/// of the new pid namespace. The kernel refuses it to a process with threads.
///
/// # Errors
/// The kernel's reason: namespaces forbidden (EPERM), used up (ENOSPC), or not
/// built in (EINVAL).
pub fn enter_new_namespaces() -> io::Result<()> {
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC;
    // SAFETY: what is unsafe about unshare is `FILES`, which tears the table of
    // file descriptors between threads; it is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

//! Giving birth to processes that cannot outlive their parent.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

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

/// Makes `command` enter control groups before it becomes its program. The doors
/// are their `cgroup.procs`, open for writing.
pub fn enter_groups(command: &mut Command, doors: Arc<Vec<OwnedFd>>) {
    let enter = move || -> io::Result<()> {
        for door in doors.iter() {
            // To the kernel, 0 is whoever writes it.
            rustix::io::write(door, b"0")?;
        }
        Ok(())
    };
    // SAFETY: as in `prepare`; the closure reads a list that nobody changes and
    // makes one plain system call for each of its entries.
    unsafe {
        command.pre_exec(enter);
    }
}

/// Closes every descriptor but the three standard ones. Whoever started this
/// process may have left files and directories open for it, through which a
/// container's program would reach what it must not.
///
/// To be called by a process that has opened nothing yet.
///
/// # Errors
/// When the list of descriptors cannot be read.
pub fn close_inherited() -> io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?;
    let numbers = names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let open: Vec<i32> = numbers.filter(|number| *number > 2).collect();
    for number in open {
        // SAFETY: nothing in this process owns a descriptor yet but the three
        // that are left out. The one that has just listed them is closed
        // already, which is the only error there can be.
        let _ = unsafe { libc::close(number) };
    }
    Ok(())
}

/// Leaves the session keyring that this thread shares with whoever started it
/// for an empty one of its own, which its children will have.
///
/// # Errors
/// When the kernel knows no keys (ENOSYS) or gives this user no more (EDQUOT).
pub fn leave_keyring() -> io::Result<()> {
    // SAFETY: the call reads a name, of which there is none, and no memory of
    // this process else.
    let joined = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING as libc::c_long,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if joined < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
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
    unshare(flags)
}

/// Moves the calling process into a new user namespace. Refused to a process
/// with threads.
///
/// # Errors
/// As [`enter_new_namespaces`].
pub fn enter_new_users() -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER)
}

/// Moves the calling process into a new network namespace, and a new user
/// namespace that administers it. Refused to a process with threads.
///
/// # Errors
/// As [`enter_new_namespaces`].
pub fn enter_new_network() -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)
}

/// Moves the calling process into a new mount namespace, and a new user
/// namespace that administers it. Refused to a process with threads.
///
/// # Errors
/// As [`enter_new_namespaces`].
pub fn enter_new_mounts() -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
}

/// Moves the calling process into a mount namespace and the user namespace that
/// administers it. Refused to a process with threads.
///
/// # Errors
/// The kernel's reason: another user made them (EPERM).
pub fn join_mounts(user: BorrowedFd<'_>, mounts: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(user, Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(mounts, Some(LinkNameSpaceType::Mount))?;
    Ok(())
}

/// Moves the calling process into a network namespace and the user namespace
/// that administers it. Refused to a process with threads.
///
/// # Errors
/// The kernel's reason: another user made them (EPERM).
pub fn join_network(user: BorrowedFd<'_>, network: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(user, Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(network, Some(LinkNameSpaceType::Network))?;
    Ok(())
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: what is unsafe about unshare is `FILES`, which tears the table of
    // file descriptors between threads; none of the callers passes it.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

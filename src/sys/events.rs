//! Waiting for file descriptors in tasks.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers a descriptor, so that tasks can wait until it can be read or
/// written. To be called inside a tokio runtime.
///
/// # Errors
/// The kernel's reason when it cannot be waited for.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always names the same open descriptor and keeps it
    // open; the `AsyncFd` owns it, so it is deregistered before it is closed.
    let watched = unsafe { AsyncFd::register(descriptor) };
    watched.map_err(io::Error::from)
}

//! The only unsafe code of the project, and little of it: what a process must
//! do to itself between *fork* and *exec*, the system calls that safe wrappers
//! rightly refuse to offer or do not have, and a promise about descriptors.
//!
//! Everything else that touches the operating system goes through safe
//! wrappers, in the room that needs it.
#![allow(unsafe_code)]

#[cfg(unix)]
mod events;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod spawn;

#[cfg(unix)]
pub use events::watch;
#[cfg(target_os = "linux")]
pub use network::Interface;
#[cfg(target_os = "linux")]
pub use spawn::{
    Birth, Session, close_inherited, enter_groups, enter_new_mounts, enter_new_namespaces,
    enter_new_network, enter_new_users, join_mounts, join_network, leave_keyring, prepare,
};

//! What is promised of every command for Azure, whatever happens meanwhile: killed
//! anywhere and run again it ends as if nothing had been, it asks only what Azure's
//! own packages ask, and it keeps its secrets.
//!
//! The program is the real one, and so is its way: everything that it sends goes
//! through a relay ([`between`]) that writes it down, and may kill the sender.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "../support/lab.rs"]
mod support;

mod bed;
mod between;
mod crashes;
mod picture;
mod redaction;
mod requests;
mod terminal;

//! The run's record, from the outside: what a cockpit that dies leaves behind,
//! and what the next one makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/facts.rs"]
mod facts;

mod damage;
#[cfg(unix)]
mod kill;
mod pick;
mod relay;

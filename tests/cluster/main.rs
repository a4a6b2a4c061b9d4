//! The cluster adapter against a server that misbehaves on demand.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cockpit;
mod fake;
mod faults;
#[cfg(target_os = "linux")]
mod lab;
mod lasting;
mod logs;
mod pods;
mod reach;

//! The lab's API server through the kube crate, as the cockpit uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "lab_api/mod.rs"]
mod lab_api;
#[path = "support/lab.rs"]
mod support;

//! Deploying the workload, and taking it away, on a cluster that is empty at first.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "../support/kubectl.rs"]
mod kubectl;
#[path = "../support/lab.rs"]
mod support;

mod bench;
mod greeting;
mod image;
mod life;
mod render;
mod trouble;

//! The lab's Azure, asked as its clients ask it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "../support/lab.rs"]
mod support;

mod aks;
mod azure;
mod deployments;
mod entra;
mod groups;
mod machines;
mod many;
mod prices;
mod registry;
mod sign_in;
mod storage;
mod table;
mod typed;

/// Arguments of a lab with an Azure in which nothing takes long.
const FAST: [&str; 3] = ["--azure", "--azure-time-scale", "200"];

/// A lab with an Azure, and more arguments.
fn lab(more: &[&str]) -> support::Lab {
    support::Lab::start(&[&FAST[..], more].concat())
}

//! Clients that mean harm, or have lost their mind: what they say on streams,
//! what they do not say, and how many they are. Whatever they do, others are
//! served meanwhile, and nothing of them is left afterwards. And pods that do:
//! they get at nothing that is not theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "../lab_api/client.rs"]
mod client;
#[path = "../support/reach.rs"]
mod reach;
#[path = "../support/lab.rs"]
mod support;

mod bed;
mod crowds;
mod fuzz;
mod pods;
mod slow;
mod wire;

//! aks-tui: a terminal cockpit that proves, live, that a stateful service on
//! Kubernetes survives being killed.
//!
//! The rooms, and who may enter which, are described in ARCHITECTURE.md and
//! kept by a test. In one line each:
//!
//! - [`core`]: what happened and what it means, as pure functions of events;
//! - [`adapters`]: the cluster and the journal, which answer with events;
//! - [`cli`] and [`commands`]: arguments in, exit code out;
//! - [`immortal`]: the runtime that survives `kill -9`, and perftest on it;
//! - [`lab`]: a small Kubernetes whose pods are real processes;
//! - [`sys`]: the only unsafe code.

pub mod adapters;
pub mod cli;
pub mod commands;
pub mod core;
pub mod immortal;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod sys;

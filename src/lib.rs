//! aks-tui: a terminal cockpit that proves, live, that a stateful service on
//! Kubernetes survives being killed.
//!
//! The rooms, and who may enter which, are described in ARCHITECTURE.md and
//! kept by a test. In one line each:
//!
//! - [`core`]: what happened and what it means, as pure functions of events;
//! - [`ui`]: pictures of what is known, and the way from keys to actions;
//! - [`adapters`]: the cluster and the journal, which answer with events;
//! - [`app`]: the loop, the terminal, and the wires between them;
//! - [`cli`] and [`commands`]: arguments in, exit code out;
//! - [`config`]: the user's files, and errors that point into them;
//! - [`secret`]: values that never print;
//! - [`immortal`]: the runtime that survives `kill -9`, and perftest on it;
//! - [`lab`]: a small Kubernetes whose pods are real processes;
//! - [`sys`]: the only unsafe code.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod core;
pub mod immortal;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod secret;
pub mod sys;
pub mod ui;

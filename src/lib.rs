//! aks-tui: a terminal cockpit that proves, live, that a stateful service on
//! Kubernetes survives being killed.
//!
//! The rooms, and who may enter which, are described in ARCHITECTURE.md and
//! kept by a test. In one line each:
//!
//! - [`core`]: what happened and what it means, as pure functions of events;
//! - [`adapters`]: the cluster and the journal, which answer with events.
//! - [`commands`]: one file a subcommand.

pub mod adapters;
pub mod commands;
pub mod core;

//! aks-tui: a terminal cockpit that proves, live, that a stateful service on
//! Kubernetes survives being killed.
//!
//! The rooms, and who may enter which, are described in ARCHITECTURE.md and
//! kept by a test. In one line each:
//!
//! - [`core`]: what happened and what it means, as pure functions of events;
//! - [`ui`]: pictures of what is known, and the way from keys to actions;
//! - [`adapters`]: the cluster and the journal, which answer with events.

pub mod adapters;
pub mod core;
pub mod ui;

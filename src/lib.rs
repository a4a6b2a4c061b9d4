//! aks-tui: a terminal cockpit that proves, live, that a stateful service on
//! Kubernetes survives being killed.

pub mod cli;
pub mod commands;
pub mod immortal;

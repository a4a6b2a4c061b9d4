//! The lab: a Kubernetes that fits in one process and runs real processes.

pub mod kinds;
pub mod node;
#[cfg(target_os = "linux")]
pub mod runtime;
pub mod store;

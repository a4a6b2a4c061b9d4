//! The lab: a Kubernetes that fits in one process and runs real processes.

pub mod kinds;
pub mod node;
pub mod store;

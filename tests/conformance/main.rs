//! What every Kubernetes cluster does, and the lab must do too.
//!
//! The cases are given a kubeconfig and nothing else. Without
//! `AKS_TUI_TEST_KUBECONFIG` they run against a lab of their own; with it they
//! run against that cluster, where every one of them must pass as well: a case
//! that only the lab can pass is a wrong case. Each case works in a namespace
//! that it makes and deletes; what it makes outside namespaces has a name that
//! begins with the namespace's.
//!
//! Containers run `AKS_TUI_TEST_IMAGE`: any image with a POSIX shell. Where it
//! is not set that is busybox, and the lab's own shell in the lab.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "../support/lab.rs"]
mod support;

mod access;
mod apply;
mod customs;
mod frame;
mod kubectl;
mod lifecycle;
mod network;
mod objects;
mod pods;
mod ports;
mod services;
mod validation;
mod workloads;

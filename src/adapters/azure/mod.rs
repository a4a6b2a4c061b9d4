//! Azure: signing in, and the resource manager's interface.
//!
//! Requests are written by hand on `azure_core`'s pipeline: there is no management
//! library for Rust. What the pipeline does badly for a person who watches (silent
//! retries, errors cut short, operations of which only the end is known) is done
//! here: [`client`] retries with a countdown, [`lro`] follows operations,
//! [`error`] finds the cause.

pub mod advice;
pub mod api;
pub mod apply;
pub mod build;
mod call;
mod certificate;
pub mod clean;
pub mod client;
pub mod cloud;
pub mod credential;
pub mod error;
pub mod kubernetes;
pub mod lro;
pub mod machines;
pub mod plan;
pub mod preflight;
pub mod prices;
pub mod sight;
pub mod template;
mod whatif;

pub use client::{Answer, Client, Notice};
pub use cloud::Cloud;
pub use error::Failure;

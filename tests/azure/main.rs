//! The Azure adapter against a server that answers as the resource manager is
//! documented to.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod apply;
mod clean;
mod client;
mod fake;
mod plan;
mod sign_in;
mod world;

//! What the cockpit makes of what it sees: lists of events, and what the fold
//! of them says. No clock, no cluster, no screen.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/facts.rs"]
mod facts;

mod lasting;
mod machines;
mod model;
mod random;
mod story;
mod summary;
mod trials;

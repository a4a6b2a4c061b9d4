//! The program as a person meets it: in a real terminal, with real keys, on a
//! real lab whose processes really die.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bare;
mod cluster;
mod headless;
mod kill;
mod lost;
mod restore;
mod resume;
mod sandbox;
mod scratch;
mod screen;
mod standalone;
mod story;
mod trouble;

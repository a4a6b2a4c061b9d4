//! Azure and the workload in the cockpit: what is drawn, and what the keys do, in a real terminal
//! against a resource manager of the test's own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../support/screen.rs"]
mod drawn;
#[path = "../azure/fake.rs"]
#[allow(dead_code)]
mod fake;
mod keys;
mod machines;
mod pictures;
#[path = "../terminal/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;
#[path = "../terminal/screen.rs"]
#[allow(dead_code)]
mod screen;
#[path = "../support/story/mod.rs"]
mod story;
#[path = "../support/lab.rs"]
mod support;
mod view;
mod workload;
#[path = "../azure/world.rs"]
#[allow(dead_code)]
mod world;

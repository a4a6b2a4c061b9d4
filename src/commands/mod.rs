//! One file a subcommand.

pub mod perftest;

//! One file a subcommand: arguments in, exit code out.

pub mod lab;
pub mod perftest;
pub mod runs;

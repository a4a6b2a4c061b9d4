//! One file a subcommand: arguments in, exit code out.

pub mod perftest;
pub mod runs;

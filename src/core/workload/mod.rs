//! The workload under test: perftest, ours or the original image's; and a smaller one.
//!
//! Two programs speak one language on their standard output, so one parser
//! ([`mod@line`]) reads both. What a line means depends on where in an execution it
//! was printed (a recovering process prints old results again), which the
//! [`tracker`] knows.
//!
//! How it is deployed is data too: an [`order`] is what a person asks for, the
//! [`manifests`] are what a cluster is sent.

mod catalogue;
pub mod line;
pub mod manifests;
pub mod order;
pub mod text;
pub mod tracker;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use catalogue::Workload;

/// Which side of the workload a pod plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `Job`: sends, receives the echoes, prints the throughput.
    Client,
    /// `Server`: receives and echoes.
    Server,
}

impl Role {
    /// Both roles, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Client, Self::Server];

    /// `client` or `server`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The name of the program that plays this role, as `pidof` knows it: in our
    /// image whatever the workload.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Client => "Job",
            Self::Server => "Server",
        }
    }

    /// The other side.
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a line of helloworld's client begins with.
pub const GREETING: &str = "!! Client: ";

/// What a line of helloworld's server begins with.
pub const SERVER_GREETING: &str = "!! SERVER ";

/// What helloworld's client says when it has said everything.
pub const FAREWELL: &str = "!! Client: Shutting down";

/// Bytes in a GiB, the unit of everything perftest prints.
pub const GIB: f64 = 1_073_741_824.0;

/// Largest message of the descending sizes (PTI's default for `--mms`), bytes.
pub const LARGEST_MESSAGE: u64 = 65_536;

/// Smallest message of the descending sizes, bytes.
pub const SMALLEST_MESSAGE: u64 = 16;

/// The message size of the round after one of `size` bytes: half of it, never
/// below 16 bytes; a run without end begins again with `first`.
pub const fn next_size(size: u64, first: u64) -> u64 {
    if size > SMALLEST_MESSAGE {
        let half = size / 2;
        if half < SMALLEST_MESSAGE {
            SMALLEST_MESSAGE
        } else {
            half
        }
    } else {
        first
    }
}

/// Bytes that a round of messages of `size` bytes moves in one direction:
/// `floor(bytes_per_round / size) * size`.
pub const fn round_bytes(bytes_per_round: u64, size: u64) -> u64 {
    match bytes_per_round.checked_div(size) {
        Some(calls) => calls * size,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_rounds_move_what_the_original_publishes() {
        let mut size = LARGEST_MESSAGE;
        let mut total = 0;
        for _ in 0..13 {
            total += round_bytes(1 << 30, size);
            size = next_size(size, LARGEST_MESSAGE);
        }
        assert_eq!(total, 13_958_643_712);
        assert_eq!(
            size, LARGEST_MESSAGE,
            "sixteen bytes is followed by a new cycle"
        );
    }

    #[test]
    fn a_size_that_does_not_divide_the_round_loses_the_remainder() {
        assert_eq!(
            round_bytes(1 << 30, 2500) + round_bytes(1 << 30, 1250),
            2_147_481_250
        );
    }
}

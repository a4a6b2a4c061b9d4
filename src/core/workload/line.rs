//! One line of perftest's standard output, and what it says.
//!
//! The formats are the original's, to the letter, plus the lines that our own
//! perftest adds behind `--progress`. A line that is nearly one of them is
//! text: a sample that was never measured is worse than a missing one.

use serde::{Deserialize, Serialize};

/// Where an execution stands, as it prints it itself every `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which execution of the instance speaks: 1 is the first.
    pub epoch: u64,
    /// The last call number: received by the server, confirmed to the client.
    pub call: u64,
    /// Payload bytes: received by the server, echoed to the client.
    pub echoed: u64,
    /// The execution still replays its log; nothing here is new.
    pub replaying: bool,
}

/// What one printed line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// The first line of a job's first start.
    Header,
    /// `*X* progress …`
    Progress(Progress),
    /// `*X* <size>\t<GiB/s>`: a round ended.
    Round {
        /// Message size, bytes.
        size: u64,
        /// Payload throughput in one direction, GiB/s.
        gib_s: f64,
    },
    /// `*X* round index=K size=S bytes=B`: the round that just ended, by number.
    RoundEnd {
        /// Counted from 1 over the whole life of the instance.
        index: u64,
        /// Message size, bytes.
        size: u64,
        /// Payload bytes of the round in one direction.
        bytes: u64,
    },
    /// `*X* recovered …`: replay is over.
    Recovered {
        /// The execution that recovered.
        epoch: u64,
        /// Calls executed again.
        replayed: u64,
        /// How long recovery took, by the process's own clock, ms.
        millis: u64,
    },
    /// `Reading a checkpoint N bytes`: the original's coordinator took one; on
    /// a restart, its replay is over.
    CheckpointRead,
    /// `Bytes received: N`: the total of a finished run.
    Total(u64),
    /// `DONE`
    Done,
    /// A call number other than the next one was seen: the runtime broke its
    /// promise.
    OutOfOrder {
        /// The call number that had to come.
        expected: u64,
        /// The call number that came.
        got: u64,
    },
    /// `*X* becoming primary`
    Primary,
    /// `Address already in use`: the original's restart meets its own sockets
    /// in TIME_WAIT; benign, it tries again.
    PortBusy,
    /// Anything else.
    Text,
}

impl Line {
    /// Reads one line, without its line feed.
    pub fn parse(line: &str) -> Self {
        let line = line.trim_end_matches('\r');
        if let Some(starred) = line.strip_prefix("*X* ") {
            return parse_starred(starred).unwrap_or_else(|| parse_out_of_order(line));
        }
        match line {
            "DONE" => return Self::Done,
            "Bytes per RPC\tThroughput (GB/sec)" => return Self::Header,
            _ => {}
        }
        if let Some(total) = line.strip_prefix("Bytes received: ").and_then(whole) {
            return Self::Total(total);
        }
        if line.contains("Address already in use") {
            return Self::PortBusy;
        }
        if line
            .split_once("Reading a checkpoint ")
            .and_then(|(_, rest)| rest.strip_suffix(" bytes"))
            .and_then(whole)
            .is_some()
        {
            return Self::CheckpointRead;
        }
        parse_out_of_order(line)
    }
}

/// The rest of a line that began with `*X* `, if it is one that we know.
fn parse_starred(rest: &str) -> Option<Line> {
    if rest == "becoming primary" {
        return Some(Line::Primary);
    }
    if let Some(fields) = rest.strip_prefix("progress ") {
        let [epoch, call, echoed, replaying] =
            fields_of(fields, ["epoch", "call", "echoed", "replaying"])?;
        let replaying = match replaying {
            0 => false,
            1 => true,
            _ => return None,
        };
        return Some(Line::Progress(Progress {
            epoch,
            call,
            echoed,
            replaying,
        }));
    }
    if let Some(fields) = rest.strip_prefix("round ") {
        let [index, size, bytes] = fields_of(fields, ["index", "size", "bytes"])?;
        return Some(Line::RoundEnd { index, size, bytes });
    }
    if let Some(fields) = rest.strip_prefix("recovered ") {
        let [epoch, replayed, _, _, millis] = fields_of(
            fields,
            ["epoch", "replayed", "pages", "from_checkpoint", "ms"],
        )?;
        return Some(Line::Recovered {
            epoch,
            replayed,
            millis,
        });
    }
    let (size, gib_s) = rest.split_once('\t')?;
    let size = whole(size).filter(|size| *size > 0)?;
    Some(Line::Round {
        size,
        gib_s: throughput(gib_s)?,
    })
}

/// `Out of order message. Expected A, got B`, with or without the star.
fn parse_out_of_order(line: &str) -> Line {
    let line = line.strip_prefix("*X* ").unwrap_or(line);
    line.strip_prefix("Out of order message. Expected ")
        .and_then(|rest| rest.split_once(", got "))
        .and_then(|(expected, got)| Some((whole(expected)?, whole(got)?)))
        .map_or(Line::Text, |(expected, got)| Line::OutOfOrder {
            expected,
            got,
        })
}

/// `key=value key=value …`: exactly these keys, in this order, values whole.
fn fields_of<const N: usize>(text: &str, keys: [&str; N]) -> Option<[u64; N]> {
    let mut values = [0; N];
    let mut words = text.split(' ');
    for (value, key) in values.iter_mut().zip(keys) {
        *value = words
            .next()?
            .strip_prefix(key)?
            .strip_prefix('=')
            .and_then(whole)?;
    }
    words.next().is_none().then_some(values)
}

/// Digits and nothing else: no sign, no space, no separator, no overflow.
fn whole(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// A .NET double in the invariant culture, of a throughput that a machine can
/// have: not negative, not infinite, and with a point, not a comma.
fn throughput(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'E' | b'e' | b'-' | b'+'));
    let value: f64 = text.parse().ok().filter(|_| plain)?;
    (value.is_finite() && (0.0..1_000_000.0).contains(&value) && !text.starts_with(['-', '+']))
        .then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lines_of_a_run_are_read() {
        let progress = Progress {
            epoch: 2,
            call: 41,
            echoed: 2_686_976,
            replaying: true,
        };
        for (text, line) in [
            ("Bytes per RPC\tThroughput (GB/sec)", Line::Header),
            (
                "*X* progress epoch=2 call=41 echoed=2686976 replaying=1",
                Line::Progress(progress),
            ),
            (
                "*X* 65536\t0.0103833476182065",
                Line::Round {
                    size: 65_536,
                    gib_s: 0.010_383_347_618_206_5,
                },
            ),
            (
                "*X* 16\t5E-05",
                Line::Round {
                    size: 16,
                    gib_s: 0.000_05,
                },
            ),
            (
                "*X* round index=3 size=16384 bytes=1073741824",
                Line::RoundEnd {
                    index: 3,
                    size: 16_384,
                    bytes: 1 << 30,
                },
            ),
            (
                "*X* recovered epoch=2 replayed=9 pages=3 from_checkpoint=1 ms=12",
                Line::Recovered {
                    epoch: 2,
                    replayed: 9,
                    millis: 12,
                },
            ),
            ("Bytes received: 13958643712", Line::Total(13_958_643_712)),
            ("DONE\r", Line::Done),
            ("*X* becoming primary", Line::Primary),
            (
                "Out of order message. Expected 7, got 9",
                Line::OutOfOrder {
                    expected: 7,
                    got: 9,
                },
            ),
            (
                "*X* Out of order message. Expected 7, got 9",
                Line::OutOfOrder {
                    expected: 7,
                    got: 9,
                },
            ),
            (
                "System.Net.Sockets.SocketException: Address already in use",
                Line::PortBusy,
            ),
            (
                " [ImmortalCoord] ImmortalCoordinator Information: 0 : Reading a checkpoint 118 bytes",
                Line::CheckpointRead,
            ),
        ] {
            assert_eq!(Line::parse(text), line, "{text}");
        }
    }

    #[test]
    fn a_line_that_is_nearly_right_is_text() {
        for text in [
            "*X* 65536\t0,0103833476182065",
            "*X* 65536\t-0.01",
            "*X* 65536\tNaN",
            "*X* 65536\tinfinity",
            "*X* 65536\t1e300",
            "*X* -1\t0.5",
            "*X* 0\t0.5",
            "*X* 99999999999999999999\t0.5",
            "*X* 65536 0.5",
            "*X* 65536\t",
            "*X* 65536\t0.5 and more",
            " *X* 65536\t0.5",
            "*X*65536\t0.5",
            "*X* progress epoch=1 call=2 echoed=3 replaying=2",
            "*X* progress epoch=1 call=2 echoed=-3 replaying=0",
            "*X* progress epoch=1 call=2 echoed=3",
            "*X* progress epoch=1 call=2 echoed=3 replaying=0 more=1",
            "*X* progress call=2 epoch=1 echoed=3 replaying=0",
            "Bytes received: ",
            "Bytes received: 1 000",
            "DONE.",
            "",
        ] {
            assert_eq!(Line::parse(text), Line::Text, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*|(\\*X\\* )?[0-9\\t.,eE=+ -]{0,40}") {
            if let Line::Round { size, gib_s } = Line::parse(&text) {
                prop_assert!(size > 0 && gib_s.is_finite() && gib_s >= 0.0);
            }
        }

        #[test]
        fn what_is_printed_is_what_is_read(epoch in 1u64.., call: u64, echoed: u64, replaying: bool) {
            let text = format!(
                "*X* progress epoch={epoch} call={call} echoed={echoed} replaying={}",
                u8::from(replaying)
            );
            prop_assert_eq!(
                Line::parse(&text),
                Line::Progress(Progress { epoch, call, echoed, replaying })
            );
        }

        #[test]
        fn a_changed_byte_never_makes_another_sample(at in 0usize..25, byte in 0x20u8..0x7f) {
            let good = "*X* 65536\t0.0103833476182";
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            if let Line::Round { .. } = Line::parse(&text) {
                // Only a digit for a digit, or a point or exponent in the number, still reads.
                let fits = byte.is_ascii_digit() || text == good || b".eE+-".contains(&byte);
                prop_assert!(fits, "{text}");
            }
        }
    }
}

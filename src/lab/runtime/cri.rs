//! The format of container logs, as the container runtime interface has it:
//! `<RFC 3339 time with nanoseconds> stdout|stderr F|P <text>`, one a line.
//!
//! `F` is a full line, `P` a part of one that was too long for one record; the
//! parts of a line and its end put together are the line. The text is bytes:
//! whatever a program writes, valid UTF-8 or not, comes out as it went in.

use jiff::Timestamp;

use crate::lab::node::Stream;

/// The most text in one record, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// One record, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the text arrived.
    pub time: Timestamp,
    /// Which stream it was written to.
    pub stream: Stream,
    /// The line goes on in the stream's next record.
    pub partial: bool,
    /// The text, without the line's end.
    pub text: &'a [u8],
}

/// Reads a record, with or without its newline; none when it is not one.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let stream = match fields.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // Tags may be added after the first, separated by colons.
    let partial = match fields.next()?.split(|byte| *byte == b':').next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(Record {
        time,
        stream,
        partial,
        text: fields.next()?,
    })
}

/// Turns what a program writes to one stream into records.
#[derive(Debug)]
pub(super) struct Encoder {
    stream: Stream,
    /// A line that has not ended yet.
    pending: Vec<u8>,
}

impl Encoder {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Appends the records that `bytes`, arrived at `now`, complete.
    pub fn feed(&mut self, mut bytes: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        let head = self.head(now);
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (text, rest) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..]),
                None => (bytes, &bytes[bytes.len()..]),
            };
            bytes = rest;
            self.extend(text, &head, out);
            if end.is_some() {
                record(out, &head, b'F', &self.pending);
                self.pending.clear();
            }
        }
    }

    /// Appends what is left of a line that the program never ended.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            let head = self.head(now);
            record(out, &head, b'F', &self.pending);
            self.pending.clear();
        }
    }

    fn extend(&mut self, mut text: &[u8], head: &str, out: &mut Vec<u8>) {
        while self.pending.len() + text.len() > LONGEST {
            let (now, later) = text.split_at(LONGEST - self.pending.len());
            self.pending.extend_from_slice(now);
            record(out, head, b'P', &self.pending);
            self.pending.clear();
            text = later;
        }
        self.pending.extend_from_slice(text);
    }

    fn head(&self, now: Timestamp) -> String {
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        format!("{} {stream} ", now.strftime("%Y-%m-%dT%H:%M:%S.%9fZ"))
    }
}

fn record(out: &mut Vec<u8>, head: &str, tag: u8, text: &[u8]) {
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&[tag, b' ']);
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanoseconds: i128) -> Timestamp {
        Timestamp::from_nanosecond(nanoseconds).unwrap()
    }

    #[test]
    fn lines_become_records() {
        let mut encoder = Encoder::new(Stream::Stderr);
        let mut out = Vec::new();
        let now = at(1_700_000_000_000_000_001);
        encoder.feed(b"one\n\ntw", now, &mut out);
        encoder.feed(b"o\nthree", now, &mut out);
        encoder.finish(now, &mut out);
        encoder.finish(now, &mut out);
        let head = "2023-11-14T22:13:20.000000001Z stderr F ";
        let expected = format!("{head}one\n{head}\n{head}two\n{head}three\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_long_line_is_split_and_an_exact_one_is_not() {
        let mut encoder = Encoder::new(Stream::Stdout);
        let mut out = Vec::new();
        let mut written = vec![b'x'; LONGEST];
        written.push(b'\n');
        written.extend(vec![b'y'; LONGEST + 1]);
        written.push(b'\n');
        encoder.feed(&written, at(0), &mut out);
        let shape: Vec<_> = out
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| parse(line).unwrap())
            .map(|record| (record.partial, record.text.len()))
            .collect();
        assert_eq!(shape, [(false, LONGEST), (true, LONGEST), (false, 1)]);
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            "",
            "x",
            "2023-11-14T22:13:20Z stdout F",
            "2023-11-14T22:13:20Z stdin F x",
            "2023-11-14T22:13:20Z stdout X x",
            "yesterday stdout F x",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        let record = parse(b"2023-11-14T22:13:20Z stdout P:more a b\n").unwrap();
        assert!(record.partial);
        assert_eq!(record.text, b"a b");
    }

    proptest! {
        #[test]
        fn every_byte_comes_back_however_it_was_cut(
            mut text in proptest::collection::vec(
                prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..200),
            long in proptest::option::of(LONGEST - 2..3 * LONGEST),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            if let Some(long) = long {
                text.extend(std::iter::repeat_n(b'z', long));
            }
            let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let mut encoder = Encoder::new(Stream::Stdout);
            let mut out = Vec::new();
            for pair in places.windows(2) {
                encoder.feed(&text[pair[0]..pair[1]], at(7), &mut out);
            }
            encoder.finish(at(7), &mut out);
            let mut back = Vec::new();
            for line in out.split_inclusive(|byte| *byte == b'\n') {
                let record = parse(line).unwrap();
                prop_assert!(record.text.len() <= LONGEST);
                prop_assert_eq!(record.time, at(7));
                back.extend_from_slice(record.text);
                if !record.partial {
                    back.push(b'\n');
                }
            }
            if !text.is_empty() && !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            prop_assert_eq!(back, text);
        }

        #[test]
        fn no_input_breaks_the_reader(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&line);
        }
    }
}

//! Cuts a stream of bytes into lines, and keeps no more of a line than can be
//! shown: a container may print a gigabyte without a line feed.

/// Bytes kept of one line: more than is ever shown, with room for its stamp.
const KEPT: usize = 8 * 1024;

/// A line without its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    /// Its first bytes.
    pub bytes: Vec<u8>,
    /// How many bytes were dropped after them.
    pub missing: usize,
    /// It never came to its end: whoever printed it was killed while it did.
    pub torn: bool,
}

/// What is left of the chunk before.
#[derive(Debug, Default)]
pub struct Splitter {
    kept: Vec<u8>,
    missing: usize,
}

impl Splitter {
    /// Takes the next bytes of the stream and hands over every line they end.
    pub fn feed(&mut self, mut chunk: &[u8], mut each: impl FnMut(RawLine)) {
        while let Some(end) = chunk.iter().position(|b| *b == b'\n') {
            self.keep(&chunk[..end]);
            each(self.take(false));
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk);
    }

    /// The stream is over. What was begun and not ended, if anything was.
    pub fn finish(&mut self) -> Option<RawLine> {
        (!self.kept.is_empty()).then(|| self.take(true))
    }

    fn keep(&mut self, part: &[u8]) {
        let room = KEPT.saturating_sub(self.kept.len()).min(part.len());
        self.kept.extend_from_slice(&part[..room]);
        self.missing += part.len() - room;
    }

    fn take(&mut self, torn: bool) -> RawLine {
        RawLine {
            bytes: std::mem::take(&mut self.kept),
            missing: std::mem::take(&mut self.missing),
            torn,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> (Vec<RawLine>, Option<RawLine>) {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push(line));
        }
        let rest = splitter.finish();
        (lines, rest)
    }

    #[test]
    fn a_line_of_a_mebibyte_is_cut_while_it_is_read() {
        let long = vec![b'x'; 1 << 20];
        let (lines, rest) = split(&[&long, b"y\nnext\nto"]);
        assert_eq!(lines[0].bytes.len(), KEPT);
        assert_eq!(lines[0].missing, (1 << 20) + 1 - KEPT);
        assert_eq!(
            (lines[1].bytes.as_slice(), lines[1].missing),
            (&b"next"[..], 0)
        );
        let rest = rest.unwrap();
        assert_eq!((rest.bytes.as_slice(), rest.torn), (&b"to"[..], true));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_the_stream_is_cut(
            text in "([a-z]{0,8}\n|\n){0,20}[a-z]{0,3}",
            cuts in prop::collection::vec(0usize..200, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);
            prop_assert_eq!(split(&chunks), split(&[bytes]));
            let (lines, _) = split(&[bytes]);
            prop_assert_eq!(lines.len(), text.matches('\n').count());
        }
    }
}

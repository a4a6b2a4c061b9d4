//! Writing what lies in several places as if it lay in one.

use std::io::{self, ErrorKind, IoSlice, Write};

/// Parts of one system call.
const TOGETHER: usize = 32;

/// Writes all of `parts`, one after the other, without bringing them together first.
pub fn write_all<'a>(
    out: &mut impl Write,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> io::Result<()> {
    let mut parts = parts.into_iter().filter(|part| !part.is_empty());
    loop {
        let mut slices = [IoSlice::new(&[]); TOGETHER];
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&mut parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let mut rest = &mut slices[..count];
        while !rest.is_empty() {
            match out.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes at most so many bytes at a time.
    struct Narrow(Vec<u8>, usize);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            let before = self.0.len();
            for part in parts {
                let left = self.1 - (self.0.len() - before);
                self.0.extend_from_slice(&part[..part.len().min(left)]);
            }
            Ok(self.0.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn all_arrives_in_order(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..100), width in 1usize..300) {
            let mut out = Narrow(Vec::new(), width);
            write_all(&mut out, parts.iter().map(Vec::as_slice)).unwrap();
            prop_assert_eq!(out.0, parts.concat());
        }
    }

    #[test]
    fn who_takes_nothing_is_an_error() {
        let mut out = Narrow(Vec::new(), 0);
        let error = write_all(&mut out, [&b"a"[..]]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
    }
}

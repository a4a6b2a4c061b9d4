//! How calls are laid out in bytes, in memory, in logs and on the wire alike.
//!
//! A call is `varint(length of payload) · method (1 byte) · payload`. Calls
//! always travel in runs: a run knows the sequence number of its first call and
//! how many it holds, so no call carries a number of its own and a run is copied
//! from socket to log to memory without being taken apart.

/// Longest number in bytes.
pub const VARINT: usize = 10;

/// Writes an unsigned number to the front of `out`, seven bits a byte, lowest first;
/// answers how many bytes it took.
pub fn write_varint(out: &mut [u8; VARINT], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Takes a number written by [`write_varint`] off the front of `bytes`; `None` if it
/// is cut off or longer than a `u64`.
// Runs for every call of 16 bytes: plain indexing, because iterators cost ten times
// as much in a debug build.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut at, mut shift) = (0u64, 0, 0);
    while at < bytes.len() {
        let byte = bytes[at];
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= ((byte & 0x7f) as u64) << shift;
        at += 1;
        if byte < 0x80 {
            *bytes = &bytes[at..];
            return Some(value);
        }
        shift += 7;
    }
    None
}

/// Appends one call; its payload is `head` followed by `tail`.
pub fn put_call(out: &mut Vec<u8>, method: u8, head: &[u8], tail: &[u8]) {
    let length = head.len() + tail.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let mut bytes = [0; VARINT];
        let taken = write_varint(&mut bytes, length as u64);
        out.extend_from_slice(&bytes[..taken]);
    }
    out.push(method);
    if !head.is_empty() {
        out.extend_from_slice(head);
    }
    if !tail.is_empty() {
        out.extend_from_slice(tail);
    }
}

/// Takes one call off the front of a run: its method and its payload.
pub fn take_call<'a>(run: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let length = take_varint(run)?;
    let [method, rest @ ..] = *run else {
        return None;
    };
    if length > rest.len() as u64 {
        return None;
    }
    let (payload, rest) = rest.split_at(length as usize);
    *run = rest;
    Some((*method, payload))
}

/// Drops the first `count` calls of a run; `None` if it holds fewer.
pub fn skip_calls(mut run: &[u8], count: u64) -> Option<&[u8]> {
    for _ in 0..count {
        take_call(&mut run)?;
    }
    Some(run)
}

/// Reads little-endian fields off the front of a byte slice.
#[derive(Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `N` bytes.
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.0.get(..length)?;
        self.0 = &self.0[length..];
        Some(taken)
    }

    /// A string written by [`put_text`].
    pub fn text(&mut self) -> Option<String> {
        let length = self.u16()?;
        let bytes = self.bytes(usize::from(length))?;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

/// Appends a string of at most 65,535 bytes with its length in front; a longer
/// one is cut at a character.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64, tail: Vec<u8>) {
            let mut number = [0; VARINT];
            let taken = write_varint(&mut number, value);
            let mut bytes = number[..taken].to_vec();
            bytes.extend_from_slice(&tail);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert_eq!(rest, tail.as_slice());
        }

        #[test]
        fn runs_come_back_call_by_call(calls in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..40)) {
            let mut run = Vec::new();
            for (method, payload) in &calls {
                let (a, b) = payload.split_at(payload.len() / 2);
                put_call(&mut run, *method, a, b);
            }
            let mut rest = run.as_slice();
            for (index, (method, payload)) in calls.iter().enumerate() {
                prop_assert_eq!(skip_calls(&run, index as u64), Some(rest));
                prop_assert_eq!(take_call(&mut rest), Some((*method, payload.as_slice())));
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(skip_calls(&run, calls.len() as u64 + 1), None);
        }

        #[test]
        fn junk_never_panics(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while take_call(&mut rest).is_some() {}
            let mut fields = Fields(&bytes);
            while fields.text().is_some() {}
        }
    }

    #[test]
    fn a_number_longer_than_64_bits_is_refused() {
        assert_eq!(take_varint(&mut [0xff; 10].as_slice()), None);
        assert_eq!(take_varint(&mut [0x80; 11].as_slice()), None);
        assert_eq!(take_varint(&mut [0x80; 3].as_slice()), None);
    }
}

//! What a message holds: byte i is i modulo 256, and in front of that the number of
//! the call, from 1, as the application counts them. A receiver judges from these
//! numbers alone whether anything was lost, doubled or reordered; what the runtime
//! counts is not asked.

use super::super::codec::{VARINT, take_varint, write_varint};

/// Messages shorter than this have no room for a number.
const NUMBERED: usize = 8;

/// Makes the messages of one size after the other.
#[derive(Debug, Default)]
pub struct Payloads {
    pattern: Vec<u8>,
    number: [u8; VARINT],
}

impl Payloads {
    /// Messages up to `greatest` bytes.
    pub fn new(greatest: usize) -> Self {
        Self {
            pattern: (0..greatest).map(|i| i as u8).collect(),
            number: [0; VARINT],
        }
    }

    /// The message of `size` bytes for call `number`, in two parts.
    pub fn message(&mut self, number: u64, size: usize) -> (&[u8], &[u8]) {
        let mut taken = 0;
        if size >= NUMBERED {
            // Zig-zag, as the original writes signed numbers.
            taken = write_varint(&mut self.number, number << 1);
        }
        (&self.number[..taken], &self.pattern[taken..size])
    }
}

/// Where a message stops being what was sent: the first byte, behind the number in
/// front, that is not its place modulo 256; the first of all, if a number is due and
/// none is there.
pub fn damage(message: &[u8]) -> Option<usize> {
    let mut rest = message;
    if message.len() >= NUMBERED && take_varint(&mut rest).is_none() {
        return Some(0);
    }
    damage_at(message, message.len() - rest.len())
}

/// The first byte from `at` on that is not its place modulo 256.
pub fn damage_at(message: &[u8], mut at: usize) -> Option<usize> {
    // In runs of 256 bytes, which compare as fast as memory is read.
    while at < message.len() {
        let end = message.len().min((at | 0xff) + 1);
        let expected = &PATTERN[at & 0xff..][..end - at];
        if message[at..end] != *expected {
            return (at..end).find(|&i| message[i] != i as u8);
        }
        at = end;
    }
    None
}

/// Byte i is i.
static PATTERN: [u8; 256] = {
    let mut pattern = [0; 256];
    let mut i = 0;
    while i < 256 {
        pattern[i] = i as u8;
        i += 1;
    }
    pattern
};

/// The number of the call that a message belongs to; `None` if it is too short to
/// have one, or holds none.
pub fn number(mut message: &[u8]) -> Option<u64> {
    if message.len() < NUMBERED {
        return None;
    }
    take_varint(&mut message).map(|zigzag| zigzag >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole((head, tail): (&[u8], &[u8])) -> Vec<u8> {
        [head, tail].concat()
    }

    #[test]
    fn a_message_is_a_pattern_with_a_number_in_front() {
        let mut payloads = Payloads::new(300);
        let message = whole(payloads.message(64, 300));
        assert_eq!(message.len(), 300);
        assert_eq!(message[..4], [0x80, 0x01, 2, 3]);
        assert_eq!(message[299], 43);
        assert_eq!(number(&message), Some(64));
        assert_eq!(number(&whole(payloads.message(1 << 50, 8))), Some(1 << 50));
    }

    #[test]
    fn short_messages_have_no_number() {
        let message = whole(Payloads::new(7).message(9, 7));
        assert_eq!(message, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(number(&message), None);
    }

    #[test]
    fn damage_is_found_where_it_is() {
        let mut payloads = Payloads::new(700);
        for size in [1, 7, 8, 9, 255, 256, 257, 700] {
            let good = whole(payloads.message(5_000, size));
            assert_eq!(damage(&good), None, "{size}");
            let number = if size < NUMBERED { 0 } else { 2 };
            for at in number..size {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                assert_eq!(damage(&bad), Some(at), "{size}");
            }
        }
        assert_eq!(damage(&[0xff; 20]), Some(0));
    }
}

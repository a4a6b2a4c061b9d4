//! A fingerprint of a state: short enough to be printed and compared by eye.
//!
//! Not for keeping secrets, only for telling two states apart. Eight bytes a step,
//! because a state may hold gigabytes.

/// Gathers what a state is made of, in an order that is always the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Takes one number.
    pub fn number(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_add(1);
        self.0 = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    /// Takes bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.number(u64::from(*byte));
        }
    }

    /// The fingerprint of everything taken.
    pub fn finish(mut self) -> u64 {
        self.number(0x6173_6865_7321);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> u64 {
        let mut hash = Fingerprint::default();
        for part in parts {
            hash.bytes(part);
        }
        hash.finish()
    }

    #[test]
    fn every_bit_and_every_border_counts() {
        let bytes: Vec<u8> = (0..41).collect();
        let whole = of(&[&bytes]);
        assert_eq!(whole, of(&[&bytes]));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert_ne!(whole, of(&[&other]), "byte {at} bit {bit}");
            }
            assert_ne!(whole, of(&[&bytes[..at]]));
            assert_ne!(of(&[&bytes[..at], &bytes[at..]]), whole);
        }
    }
}

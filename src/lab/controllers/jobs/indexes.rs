//! Sets of indexes as a job's status writes them: `0,2-4`.

use std::collections::BTreeSet;

/// A set of indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes(BTreeSet<u64>);

impl Indexes {
    /// Reads the written form; what cannot be read is left out.
    pub fn parse(text: &str) -> Self {
        let mut indexes = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse()) {
                indexes.extend(first..=last);
            }
        }
        Self(indexes)
    }

    pub fn add(&mut self, index: u64) {
        self.0.insert(index);
    }

    pub fn contains(&self, index: u64) -> bool {
        self.0.contains(&index)
    }

    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl std::fmt::Display for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        let mut first_part = true;
        while let Some(first) = rest.next() {
            let mut last = first;
            while rest.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            if !std::mem::take(&mut first_part) {
                f.write_str(",")?;
            }
            match last - first {
                0 => write!(f, "{first}")?,
                1 => write!(f, "{first},{last}")?,
                _ => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_short_and_read_back() {
        for text in ["", "0", "0,1", "0-2", "0,2-4,6,7,9"] {
            assert_eq!(Indexes::parse(text).to_string(), text);
        }
        assert_eq!(Indexes::parse("3-5").len(), 3);
    }
}

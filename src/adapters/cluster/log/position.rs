//! How far a log was read, so that reading can go on elsewhere.
//!
//! The API resumes a log by time, in whole seconds. So reading goes on from the
//! whole second of the last line, and what was seen before is left out: every
//! line older than the last one, and as many lines of its very instant as were
//! seen. Texts are never compared: two equal lines are legal.

use jiff::{Timestamp, Unit};

/// The newest line that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    newest: Option<Timestamp>,
    /// Lines read since the first of that instant, itself included: others of
    /// the same instant, and older ones. Two writers of one log may overtake
    /// each other by microseconds.
    seen: u64,
    /// How many of these a resumed stream has yet to repeat.
    skip: u64,
    /// The resumed stream has come to that instant.
    met: bool,
}

impl Position {
    /// The whole second to ask for; none if nothing was read yet.
    pub fn since(&self) -> Option<Timestamp> {
        let newest = self.newest?;
        let floor = jiff::TimestampRound::new()
            .smallest(Unit::Second)
            .mode(jiff::RoundMode::Floor);
        newest.round(floor).ok()
    }

    /// A stream begins that may repeat what was read already.
    pub const fn resume(&mut self) {
        self.skip = self.seen;
        self.met = false;
    }

    /// Whether the next line of the stream is new. Notes it if it is.
    pub fn admit(&mut self, stamp: Timestamp) -> bool {
        match self.newest {
            Some(newest) if stamp <= newest => {
                self.met |= stamp == newest;
                if self.skip > 0 {
                    self.skip -= u64::from(self.met);
                    return false;
                }
                self.seen += 1;
            }
            _ => {
                self.newest = Some(stamp);
                self.seen = 1;
                self.skip = 0;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an API server sends of a log: lines not older than a whole second.
    fn served(log: &[Timestamp], since: Option<Timestamp>) -> impl Iterator<Item = usize> {
        (0..log.len()).filter(move |i| since.is_none_or(|since| log[*i] >= since))
    }

    fn read_with_cuts(log: &[Timestamp], cuts: &[usize]) -> Vec<usize> {
        let mut position = Position::default();
        let mut read = Vec::new();
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            position.resume();
            let stream: Vec<usize> = served(log, position.since()).collect();
            for index in stream.into_iter().take(cut) {
                if position.admit(log[index]) {
                    read.push(index);
                }
            }
        }
        read
    }

    #[test]
    fn the_second_that_is_asked_for_is_never_later_than_the_line() {
        let mut position = Position::default();
        assert_eq!(position.since(), None);
        position.admit("2026-11-22T07:40:41.999999999Z".parse().unwrap());
        assert_eq!(
            position.since().unwrap().to_string(),
            "2026-11-22T07:40:41Z"
        );
    }

    #[test]
    fn a_line_that_was_overtaken_is_read_once() {
        let at = |ns: i128| Timestamp::from_nanosecond(1_700_000_000_000_000_000 + ns).unwrap();
        let log = [at(10), at(30), at(20), at(40)];
        assert_eq!(read_with_cuts(&log, &[3]), [0, 1, 2, 3]);
        assert_eq!(read_with_cuts(&log, &[4, 4]), [0, 1, 2, 3]);
    }

    proptest! {
        /// Steps of 0 make lines of the same instant, and large ones of other seconds.
        #[test]
        fn any_cuts_of_a_stream_yield_every_line_once(
            steps in prop::collection::vec(prop_oneof![Just(0i128), 1i128..1_000, 1_000_000i128..900_000_000], 1..60),
            cuts in prop::collection::vec(0usize..70, 0..8),
        ) {
            let mut now = 1_700_000_000_000_000_000i128;
            let log: Vec<Timestamp> = steps
                .iter()
                .map(|step| {
                    now += step;
                    Timestamp::from_nanosecond(now).unwrap()
                })
                .collect();
            prop_assert_eq!(read_with_cuts(&log, &cuts), (0..log.len()).collect::<Vec<_>>());
        }
    }
}

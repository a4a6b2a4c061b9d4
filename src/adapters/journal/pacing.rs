//! A finished run, at the speed at which a person wants to see it.

use std::{iter::Peekable, time::Duration};

use crate::core::{event::Event, time::Time};

/// What happens within so short a time is shown at once: a frame.
const FRAME: Duration = Duration::from_millis(33);

/// How fast a run is shown again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pacing {
    /// 1 is as it happened, 2 is twice as fast; not positive, or not a number,
    /// is all at once.
    pub speed: f64,
    /// No wait is longer than this: nobody wants to watch a night pass between
    /// the death of a cockpit and the next.
    pub longest_wait: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            speed: 1.0,
            longest_wait: Duration::from_secs(3),
        }
    }
}

impl Pacing {
    /// As fast as `speed` says.
    pub fn at_speed(speed: f64) -> Self {
        Self {
            speed,
            ..Self::default()
        }
    }

    /// The events in batches, each with how long to wait before it is shown.
    pub fn pace<I: IntoIterator<Item = Event>>(self, events: I) -> Paced<I::IntoIter> {
        Paced {
            events: events.into_iter().peekable(),
            pacing: self,
            shown: Time::ZERO,
        }
    }

    fn scaled(self, time: Duration) -> Duration {
        if self.speed > 0.0 {
            Duration::try_from_secs_f64(time.as_secs_f64() / self.speed)
                .map_or(self.longest_wait, |wait| wait.min(self.longest_wait))
        } else {
            Duration::ZERO
        }
    }
}

/// See [`Pacing::pace`].
#[derive(Debug)]
pub struct Paced<I: Iterator<Item = Event>> {
    events: Peekable<I>,
    pacing: Pacing,
    shown: Time,
}

impl<I: Iterator<Item = Event>> Iterator for Paced<I> {
    type Item = (Duration, Vec<Event>);

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.events.next()?;
        let wait = self.pacing.scaled(first.at.since(self.shown));
        // Samples that were kept late stand out of order; time only goes on.
        self.shown = self.shown.max(first.at);
        let from = self.shown;
        let mut batch = vec![first];
        while let Some(event) = self
            .events
            .next_if(|event| self.pacing.scaled(event.at.since(from)) < FRAME)
        {
            self.shown = self.shown.max(event.at);
            batch.push(event);
        }
        Some((wait, batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Fact;

    fn events(millis: &[u64]) -> Vec<Event> {
        let event = |ms: &u64| Event {
            at: Time::from_millis(*ms),
            fact: Fact::FinishRequested,
        };
        millis.iter().map(event).collect()
    }

    fn paced(pacing: Pacing, millis: &[u64]) -> Vec<(u128, usize)> {
        pacing
            .pace(events(millis))
            .map(|(wait, batch)| (wait.as_millis(), batch.len()))
            .collect()
    }

    #[test]
    fn a_run_is_shown_as_it_happened() {
        let times = [0, 10, 1_000, 1_020, 2_000];
        assert_eq!(
            paced(Pacing::default(), &times),
            [(0, 2), (990, 2), (980, 1)]
        );
        assert_eq!(
            paced(Pacing::at_speed(10.0), &times),
            [(0, 2), (99, 2), (98, 1)]
        );
    }

    #[test]
    fn all_at_once_is_one_batch() {
        for speed in [0.0, -1.0, f64::NAN] {
            assert_eq!(
                paced(Pacing::at_speed(speed), &[0, 5_000, 10_000]),
                [(0, 3)]
            );
        }
    }

    #[test]
    fn a_night_is_skipped_and_what_is_late_does_not_turn_time_back() {
        let night = 8 * 3_600_000;
        assert_eq!(
            paced(Pacing::default(), &[0, night, night - 50, night + 500]),
            [(0, 1), (3_000, 2), (500, 1)]
        );
    }
}

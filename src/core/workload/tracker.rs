//! Which lines are news.
//!
//! Console output is at-least-once while state is exactly-once: an execution
//! that recovers prints again what it printed since its checkpoint. A result is
//! news only once, so every line is read against the life of the container that
//! printed it.

use super::line::Line;

/// Follows the lines of one role across the executions of its container.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    lives: u64,
    replaying: bool,
}

impl Tracker {
    /// An execution begins: the container was started, for the `restart`th time
    /// after the first.
    ///
    /// An instance that ran before recovers from its log, so what it prints
    /// until it says otherwise is replay; that is so for a restarted container
    /// and for the first container of a replacement pod alike.
    pub fn begin(&mut self, restart: u32) {
        self.replaying = restart > 0 || self.lives > 0;
        self.lives += 1;
    }

    /// Reads the next line, and says whether it repeats what was printed before.
    pub fn observe(&mut self, line: &Line) -> bool {
        match line {
            Line::Progress(progress) => {
                self.replaying = progress.replaying;
                progress.replaying
            }
            // The line that ends replay is itself news.
            Line::Recovered { .. } | Line::Header | Line::CheckpointRead => {
                self.replaying = matches!(line, Line::Header) && self.replaying;
                self.replaying
            }
            _ => self.replaying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(tracker: &mut Tracker, text: &str) -> bool {
        tracker.observe(&Line::parse(text))
    }

    #[test]
    fn a_first_execution_prints_news() {
        let mut tracker = Tracker::default();
        tracker.begin(0);
        assert!(!replayed(
            &mut tracker,
            "Bytes per RPC\tThroughput (GB/sec)"
        ));
        assert!(!replayed(&mut tracker, "*X* 65536\t0.5"));
    }

    #[test]
    fn a_restarted_one_repeats_itself_until_it_has_recovered() {
        let mut tracker = Tracker::default();
        tracker.begin(1);
        assert!(replayed(&mut tracker, "Bytes per RPC\tThroughput (GB/sec)"));
        assert!(replayed(&mut tracker, "*X* 65536\t0.5"));
        assert!(!replayed(
            &mut tracker,
            "*X* recovered epoch=2 replayed=9 pages=3 from_checkpoint=1 ms=12"
        ));
        assert!(!replayed(&mut tracker, "*X* 32768\t0.5"));
    }

    #[test]
    fn so_does_the_first_container_of_a_replacement_pod() {
        let mut tracker = Tracker::default();
        tracker.begin(0);
        tracker.begin(0);
        assert!(replayed(&mut tracker, "*X* 65536\t0.5"));
        assert!(!replayed(
            &mut tracker,
            "*X* progress epoch=2 call=3 echoed=9 replaying=0"
        ));
    }

    #[test]
    fn the_original_image_says_it_by_its_checkpoint() {
        let mut tracker = Tracker::default();
        tracker.begin(3);
        assert!(replayed(&mut tracker, "*X* 65536\t0.5"));
        assert!(!replayed(&mut tracker, "Reading a checkpoint 118 bytes"));
        assert!(!replayed(&mut tracker, "*X* 32768\t0.5"));
    }
}

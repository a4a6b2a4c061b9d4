//! Turns the lines of a role's log into facts.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use super::{lines::RawLine, position::Position};
use crate::{
    adapters::sink::{Closed, Sink},
    core::{
        event::{Fact, LineKind, LogLine},
        time::Time,
        workload::{
            Role,
            line::{Line, Progress},
            text::printable_start,
            tracker::Tracker,
        },
    },
};

/// Lines in one fact at most.
pub const BATCH: usize = 256;

/// Progress facts in any [`WINDOW`] at most.
const PROGRESS: usize = 10;

/// See [`PROGRESS`].
const WINDOW: Duration = Duration::from_secs(1);

/// Reads one role's lines across all executions of its container.
pub struct Teller {
    sink: Sink,
    role: Role,
    tracker: Tracker,
    throttle: Throttle,
    lines: Vec<LogLine>,
    facts: Vec<Fact>,
    /// When the lines that wait came in.
    at: Time,
}

impl Teller {
    /// A teller that has heard nothing yet.
    pub fn new(sink: Sink, role: Role) -> Self {
        Self {
            at: sink.clock().now(),
            sink,
            role,
            tracker: Tracker::default(),
            throttle: Throttle::default(),
            lines: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// An execution begins to speak. `midway` means that its beginning was not
    /// read: whatever it replayed is over.
    pub async fn begin(&mut self, pod: &str, restart: u32, midway: bool) -> Result<(), Closed> {
        self.flush().await?;
        self.tracker.begin(if midway { 0 } else { restart });
        let began = Fact::LogBegan {
            role: self.role,
            pod: pod.to_owned(),
            restart,
        };
        self.sink.send(began).await
    }

    /// The lines that are accepted from here on come in now.
    pub fn note_time(&mut self) {
        self.at = self.sink.clock().now();
    }

    /// Reads a line, unless it was read before. `history` means that it was
    /// printed before anybody looked.
    pub fn accept(&mut self, raw: &RawLine, position: &mut Position, history: bool) {
        let (stamp, text) = split_stamp(&raw.bytes);
        // What bears no stamp is not from the log's file: the node itself speaks.
        if stamp.is_some_and(|stamp| !position.admit(stamp)) {
            return;
        }
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        // A line that is not whole says nothing for certain: its last number
        // may have lost digits.
        let whole = raw.missing == 0 && !raw.torn && stamp.is_some();
        let line = match std::str::from_utf8(text) {
            Ok(text) if whole => Line::parse(text),
            _ => Line::Text,
        };
        let replayed = self.tracker.observe(&line);
        self.lines.push(LogLine {
            stamp_ms: stamp.map(Timestamp::as_millisecond),
            text: printable_start(text, raw.missing),
            kind: kind(&line),
            replayed,
        });
        self.tell(&line, replayed, history);
    }

    fn tell(&mut self, line: &Line, replayed: bool, history: bool) {
        let role = self.role;
        let fact = match *line {
            Line::Progress(progress) => {
                let Some(progress) = self.throttle.offer(self.at, progress) else {
                    return;
                };
                Fact::Progress { role, progress }
            }
            // It ended at a moment that nobody saw: no mark belongs on the curve.
            Line::Round { size, gib_s } => Fact::Round {
                role,
                size,
                gib_s,
                replayed: replayed || history,
            },
            Line::RoundEnd { index, size, bytes } => Fact::RoundEnd {
                role,
                index,
                size,
                bytes,
            },
            Line::Recovered {
                epoch,
                replayed,
                millis,
            } => Fact::Recovered {
                role,
                epoch,
                replayed,
                millis,
            },
            Line::OutOfOrder { expected, got } => Fact::OutOfOrder {
                role,
                expected,
                got,
                replayed,
            },
            Line::PortBusy => Fact::PortBusy { role },
            Line::Total(bytes) => Fact::Total { role, bytes },
            Line::Done => Fact::Done { role },
            Line::Header | Line::CheckpointRead | Line::Primary | Line::Text => return,
        };
        self.facts.push(fact);
    }

    /// Whether a batch is full.
    pub const fn is_full(&self) -> bool {
        self.lines.len() >= BATCH
    }

    /// Hands over what was read.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        let role = self.role;
        while !self.lines.is_empty() {
            let rest = self.lines.split_off(self.lines.len().min(BATCH));
            let lines = std::mem::replace(&mut self.lines, rest);
            self.sink
                .send_at(self.at, Fact::Log { role, lines })
                .await?;
        }
        for fact in std::mem::take(&mut self.facts) {
            self.sink.send_at(self.at, fact).await?;
        }
        Ok(())
    }

    /// How long the progress that was held back has to wait yet.
    pub fn held_for(&self) -> Option<Duration> {
        self.throttle
            .due()
            .map(|due| due.since(self.sink.clock().now()))
    }

    /// Hands over the progress that was held back, if any was: the last one is
    /// never swallowed.
    pub async fn release(&mut self) -> Result<(), Closed> {
        self.flush().await?;
        let now = self.sink.clock().now();
        let Some(progress) = self.throttle.release(now) else {
            return Ok(());
        };
        let role = self.role;
        self.sink.send(Fact::Progress { role, progress }).await
    }
}

/// `2026-11-22T07:40:41.123456789Z text`: the stamp and the text.
fn split_stamp(bytes: &[u8]) -> (Option<Timestamp>, &[u8]) {
    // The longest stamp there is has nanoseconds and an offset.
    let stamp = bytes
        .iter()
        .take(40)
        .position(|b| *b == b' ')
        .map_or((bytes, &bytes[bytes.len()..]), |at| {
            (&bytes[..at], &bytes[at + 1..])
        });
    let parsed = std::str::from_utf8(stamp.0)
        .ok()
        .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('T'))
        .and_then(|text| text.parse().ok());
    match parsed {
        Some(parsed) => (Some(parsed), stamp.1),
        None => (None, bytes),
    }
}

const fn kind(line: &Line) -> LineKind {
    match line {
        Line::Progress(_) | Line::RoundEnd { .. } => LineKind::Progress,
        Line::Round { .. } => LineKind::Round,
        Line::Recovered { .. }
        | Line::CheckpointRead
        | Line::Primary
        | Line::Total(_)
        | Line::Done => LineKind::Milestone,
        Line::OutOfOrder { .. } => LineKind::Alarm,
        Line::Header | Line::PortBusy | Line::Text => LineKind::Plain,
    }
}

/// Lets ten progress facts a second through, and every one that says something
/// that must be timed.
#[derive(Debug, Default)]
struct Throttle {
    sent: VecDeque<Time>,
    last: Option<Progress>,
    stalled: bool,
    held: Option<Progress>,
}

impl Throttle {
    fn offer(&mut self, at: Time, progress: Progress) -> Option<Progress> {
        let urgent = self.last.is_none_or(|last| {
            last.epoch != progress.epoch
                || last.replaying != progress.replaying
                // Work goes on after a stall: the peer came back.
                || (self.stalled && last.echoed != progress.echoed)
        });
        self.stalled = self.last.is_some_and(|last| last.echoed == progress.echoed);
        self.last = Some(progress);
        let room = self.sent.len() < PROGRESS || self.sent[0] + WINDOW <= at;
        if !urgent && !room {
            self.held = Some(progress);
            return None;
        }
        self.note(at);
        Some(progress)
    }

    fn note(&mut self, at: Time) {
        self.held = None;
        if self.sent.len() == PROGRESS {
            self.sent.pop_front();
        }
        self.sent.push_back(at);
    }

    fn due(&self) -> Option<Time> {
        self.held?;
        self.sent.front().map(|at| *at + WINDOW)
    }

    fn release(&mut self, at: Time) -> Option<Progress> {
        let held = self.held.take()?;
        self.note(at);
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::adapters::sink::Clock;
    use crate::core::event::Event;

    fn progress(epoch: u64, echoed: u64, replaying: bool) -> Progress {
        Progress {
            epoch,
            call: echoed,
            echoed,
            replaying,
        }
    }

    #[test]
    fn ten_a_second_pass_and_the_last_one_is_kept() {
        let mut throttle = Throttle::default();
        let passed = (0..1000)
            .filter(|i| {
                let at = Time::from_millis(*i);
                throttle.offer(at, progress(1, *i, false)).is_some()
            })
            .count();
        assert_eq!(passed, 10);
        assert_eq!(throttle.due(), Some(Time::from_millis(1000)));
        let last = throttle.release(Time::from_millis(1000)).unwrap();
        assert_eq!(last.echoed, 999);
        assert_eq!(throttle.due(), None);
    }

    #[test]
    fn ten_lines_a_second_that_jitter_all_pass() {
        let mut throttle = Throttle::default();
        for i in 0..100_u64 {
            let jitter = if i % 2 == 0 { 0 } else { 7 };
            let at = Time::from_millis(i * 100 + jitter);
            let offered = throttle.offer(at, progress(1, i, false)).is_some();
            assert!(
                offered
                    || throttle
                        .due()
                        .is_some_and(|due| due.since(at).as_millis() < 10)
            );
        }
    }

    #[test]
    fn what_is_timed_passes_at_once() {
        let mut throttle = Throttle::default();
        let at = Time::from_millis(5);
        for i in 0..50 {
            throttle.offer(at, progress(1, i, false));
        }
        assert!(throttle.offer(at, progress(1, 50, false)).is_none());
        assert!(throttle.offer(at, progress(2, 40, true)).is_some(), "epoch");
        assert!(throttle.offer(at, progress(2, 41, true)).is_none());
        assert!(
            throttle.offer(at, progress(2, 50, false)).is_some(),
            "fresh"
        );
        assert!(
            throttle.offer(at, progress(2, 50, false)).is_none(),
            "stalls"
        );
        assert!(
            throttle.offer(at, progress(2, 51, false)).is_some(),
            "goes on"
        );
        assert!(throttle.offer(at, progress(2, 52, false)).is_none());
    }

    async fn told(lines: &[&[u8]], history: bool) -> Vec<Event> {
        let (sender, mut receiver) = mpsc::channel(1000);
        let sink = Sink::new(Clock::starting_at(Time::ZERO), sender);
        let mut teller = Teller::new(sink, Role::Client);
        let mut position = Position::default();
        for line in lines {
            let raw = RawLine {
                bytes: line.to_vec(),
                missing: 0,
                torn: false,
            };
            teller.accept(&raw, &mut position, history);
        }
        teller.flush().await.unwrap();
        teller.release().await.unwrap();
        drop(teller);
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        events
    }

    #[tokio::test]
    async fn a_stamped_line_is_shown_and_told() {
        let events = told(
            &[
                b"2026-11-22T07:40:41.5Z *X* 65536\t0.25",
                b"2026-11-22T07:40:41.6Z \xff\x1b[31m\r",
            ],
            false,
        )
        .await;
        let Fact::Log { lines, .. } = &events[0].fact else {
            panic!("{events:?}");
        };
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].kind, LineKind::Round);
        assert_eq!(lines[0].stamp_ms, Some(1_795_333_241_500));
        assert_eq!(lines[1].text, "\\xff␛[31m");
        assert!(matches!(
            events[1].fact,
            Fact::Round {
                size: 65_536,
                replayed: false,
                ..
            }
        ));
        assert_eq!(events.len(), 2);
    }

    #[tokio::test]
    async fn a_round_of_the_past_is_no_mark_on_the_curve() {
        let events = told(&[b"2026-11-22T07:40:41.5Z *X* 65536\t0.25"], true).await;
        assert!(matches!(events[1].fact, Fact::Round { replayed: true, .. }));
    }

    #[tokio::test]
    async fn what_the_node_says_itself_is_text() {
        let events = told(
            &[b"DONE", b"unable to retrieve container logs for x"],
            false,
        )
        .await;
        assert_eq!(events.len(), 1);
    }

    #[tokio::test]
    async fn a_thousand_lines_come_in_a_few_batches() {
        let lines: Vec<String> = (0..1000)
            .map(|i| format!("2026-11-22T07:40:41.{i:09}Z line {i}"))
            .collect();
        let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let events = told(&lines, false).await;
        assert_eq!(events.len(), 4);
    }
}

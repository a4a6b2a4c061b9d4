//! What the lines of both sides come to.

use std::time::{Duration, Instant};

use super::super::super::Chance;
use super::super::options::Plan;
use super::Verdict;

/// One of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It sends.
    Client,
    /// It answers.
    Server,
}

/// What one side has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// The execution that is running has done fresh work.
    fresh: bool,
    /// Highest count of bytes in fresh work.
    bytes: u64,
    /// The total that it ended with.
    total: Option<u64>,
    done: bool,
}

/// A judge of everything that is said.
#[derive(Debug, Default)]
pub struct Judge {
    client: Shown,
    server: Shown,
    /// Last round that the client said was over.
    rounds: u64,
    lost: u64,
    duplicated: u64,
    /// Kills that are waiting for fresh work, and when the last of them was.
    open: Option<(u64, Instant)>,
    /// The client's bytes at that moment: fresh work has more.
    mark: u64,
    survived: u64,
    recoveries: Vec<Duration>,
    strange: Option<String>,
}

impl Judge {
    /// These sides are about to be killed.
    pub fn killed(&mut self, sides: &[Side]) {
        for side in sides {
            self.side(*side).fresh = false;
        }
        let waiting = self.open.map_or(0, |(kills, _)| kills);
        self.open = Some((waiting + sides.len() as u64, Instant::now()));
        self.mark = self.client.bytes;
    }

    /// Takes a line that was read at a moment.
    pub fn hear(&mut self, side: Side, line: &str, at: Instant) {
        if let Some(fields) = line.strip_prefix("*X* progress ") {
            if field(fields, "replaying") == Some(0) {
                let bytes = field(fields, "echoed").unwrap_or_default();
                let shown = self.side(side);
                shown.fresh = true;
                shown.bytes = shown.bytes.max(bytes);
                self.look_whether_recovered(at);
            }
        } else if let Some(fields) = line.strip_prefix("*X* round ") {
            let index = field(fields, "index").unwrap_or_default();
            self.rounds = self.rounds.max(index);
        } else if let Some(said) = line.strip_prefix("Out of order message. Expected ") {
            if let Some((expected, got)) = said.split_once(", got ")
                && let (Ok(expected), Ok(got)) = (expected.parse::<u64>(), got.parse::<u64>())
            {
                self.lost += got.saturating_sub(expected);
                self.duplicated += expected.saturating_sub(got);
            }
        } else if let Some(total) = line.strip_prefix("Bytes received: ") {
            self.side(side).total = total.parse().ok();
        } else if line == "DONE" {
            self.side(side).done = true;
        } else if line.starts_with("Damaged") || line.contains("ignored a call") {
            self.strange = Some(line.to_owned());
        }
    }

    /// Whether both sides have done fresh work since the last kill.
    pub fn is_live(&self) -> bool {
        self.client.fresh && self.server.fresh && self.open.is_none()
    }

    /// Whether a side has said that it is done.
    pub fn has_finished(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client.done,
            Side::Server => self.server.done,
        }
    }

    /// Whether both have said their totals.
    pub fn is_done(&self) -> bool {
        self.client.done && self.server.done
    }

    /// Kills that were survived so far, and calls lost and doubled.
    pub fn so_far(&self) -> (u64, u64, u64) {
        (self.survived, self.lost, self.duplicated)
    }

    fn look_whether_recovered(&mut self, at: Instant) {
        let both = self.client.fresh && self.server.fresh;
        if both
            && self.client.bytes > self.mark
            && let Some((kills, since)) = self.open.take()
        {
            self.survived += kills;
            self.recoveries.push(at.saturating_duration_since(since));
        }
    }

    fn side(&mut self, side: Side) -> &mut Shown {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The verdict on what was heard.
    pub fn verdict(mut self, plan: &Plan) -> Verdict {
        self.recoveries.sort_unstable();
        let millis = |time: Option<&Duration>| time.map_or(0, |time| time.as_millis() as u64);
        let expected = total(plan, self.rounds);
        Verdict {
            survived: self.survived,
            lost: self.lost,
            duplicated: self.duplicated,
            rounds: self.rounds,
            bytes: self.client.total.unwrap_or_default(),
            worst_recovery_ms: millis(self.recoveries.last()),
            p95_recovery_ms: millis(self.recoveries.get(self.recoveries.len() * 95 / 100)),
            median_recovery_ms: millis(self.recoveries.get(self.recoveries.len() / 2)),
            failure: self.failure(expected),
            ..Verdict::default()
        }
    }

    fn failure(&self, expected: u64) -> Option<String> {
        if self.lost + self.duplicated > 0 {
            return Some(format!(
                "{} calls were lost, {} took effect twice",
                self.lost, self.duplicated
            ));
        }
        if let Some(strange) = &self.strange {
            return Some(format!("it was said: {strange}"));
        }
        for (name, shown) in [("client", &self.client), ("server", &self.server)] {
            match shown.total {
                Some(total) if total == expected => {}
                Some(total) => {
                    return Some(format!(
                        "the {name} received {total} bytes, but {} rounds come to {expected}",
                        self.rounds
                    ));
                }
                None => return Some(format!("the {name} never said its total")),
            }
        }
        None
    }
}

/// Bytes of so many rounds.
fn total(plan: &Plan, rounds: u64) -> u64 {
    let (mut size, mut bytes) = (plan.max_message, 0);
    let mut chance = Chance::default();
    for _ in 0..rounds {
        bytes += plan.calls(size) * size;
        size = plan.size_after(size, &mut chance);
    }
    bytes
}

fn field(fields: &str, name: &str) -> Option<u64> {
    let mut fields = fields.split(' ');
    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        rounds: 0,
        max_message: 32,
        round_bytes: 64,
        random_sizes: false,
    };

    fn progress(echoed: u64, replaying: u8) -> String {
        format!("*X* progress epoch=1 call=1 echoed={echoed} replaying={replaying}")
    }

    fn end(judge: &mut Judge, client: u64, server: u64) {
        for (side, total) in [(Side::Client, client), (Side::Server, server)] {
            judge.hear(side, &format!("Bytes received: {total}"), Instant::now());
            judge.hear(side, "DONE", Instant::now());
        }
    }

    #[test]
    fn a_kill_is_survived_when_both_sides_do_what_was_not_done_before() {
        let mut judge = Judge::default();
        let say = |judge: &mut Judge, side, line: &str| judge.hear(side, line, Instant::now());
        say(&mut judge, Side::Client, &progress(100, 0));
        say(&mut judge, Side::Server, &progress(100, 0));
        assert!(judge.is_live());
        judge.killed(&[Side::Server]);
        // In flight while the server died: no proof of its return.
        say(&mut judge, Side::Client, &progress(120, 0));
        say(&mut judge, Side::Server, &progress(90, 1));
        assert!(!judge.is_live());
        say(&mut judge, Side::Server, &progress(130, 0));
        assert!(judge.is_live());
        judge.killed(&[Side::Client]);
        judge.killed(&[Side::Client, Side::Server]);
        say(&mut judge, Side::Client, &progress(120, 0));
        say(&mut judge, Side::Server, &progress(130, 0));
        assert!(!judge.is_live(), "the client only says what it had said");
        say(&mut judge, Side::Client, &progress(121, 0));
        assert_eq!(judge.so_far(), (4, 0, 0));
        say(
            &mut judge,
            Side::Client,
            "*X* round index=2 size=16 bytes=64",
        );
        end(&mut judge, 128, 128);
        assert!(judge.is_done());
        assert_eq!(judge.verdict(&PLAN).failure, None);
    }

    #[test]
    fn every_kind_of_loss_is_a_failure() {
        let verdict = |lines: &[&str], client, server| {
            let mut judge = Judge::default();
            judge.hear(
                Side::Client,
                "*X* round index=1 size=32 bytes=64",
                Instant::now(),
            );
            for line in lines {
                judge.hear(Side::Server, line, Instant::now());
            }
            end(&mut judge, client, server);
            let verdict = judge.verdict(&PLAN);
            (verdict.lost, verdict.duplicated, verdict.failure.is_some())
        };
        assert_eq!(verdict(&[], 64, 64), (0, 0, false));
        assert_eq!(verdict(&[], 64, 32), (0, 0, true));
        assert_eq!(verdict(&[], 96, 64), (0, 0, true));
        let gap = "Out of order message. Expected 5, got 7";
        assert_eq!(verdict(&[gap], 64, 64), (2, 0, true));
        let again = "Out of order message. Expected 5, got 4";
        assert_eq!(verdict(&[again], 64, 64), (0, 1, true));
        let damaged = "Damaged message. Call 3 is wrong at byte 9";
        assert_eq!(verdict(&[damaged], 64, 64), (0, 0, true));
    }
}

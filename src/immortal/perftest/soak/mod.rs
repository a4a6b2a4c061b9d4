//! The soak: a client and a server that are killed again and again, by a schedule
//! that a seed decides, and what came of it.
//!
//! Both live on through all kills; only the application is believed. It has seen
//! every call exactly once if no message came out of turn, on either side, and if
//! both totals are what the rounds that were sent come to. The schedule (who, after
//! what, after how long) follows from the seed alone; what the victims are doing at
//! that moment also depends on the machine.

mod judge;
mod pair;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use super::super::Durability;
use super::options::Plan;
use judge::{Judge, Side};
use pair::Pair;

/// An instance that shows no fresh work for so long after a kill is not coming back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Both at once, restarted in either order: two kills.
    Both,
    /// Any of these.
    Random,
}

/// What a soak is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many kills.
    pub kills: u64,
    /// Decides the schedule.
    pub seed: u64,
    /// Who is killed.
    pub target: Target,
    /// What the client sends; its number of rounds is without effect.
    pub plan: Plan,
    /// When an input counts as safe.
    pub durability: Durability,
    /// Whether each side has a standby that takes over.
    pub standby: bool,
    /// Where the logs go; a new directory for temporary files if not given.
    pub log: Option<PathBuf>,
}

/// What a soak came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// What repeats the schedule.
    pub seed: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Kills after which both sides were seen to do fresh work.
    pub survived: u64,
    /// Calls that were missing, as the application counts them.
    pub lost: u64,
    /// Calls that took effect twice, as the application counts them.
    pub duplicated: u64,
    /// Rounds that were sent.
    pub rounds: u64,
    /// Payload bytes that each side received.
    pub bytes: u64,
    /// Longest time from a kill to fresh work of both sides, in milliseconds.
    pub worst_recovery_ms: u64,
    /// What 95 of 100 of those times are not longer than.
    pub p95_recovery_ms: u64,
    /// The middle of those times.
    pub median_recovery_ms: u64,
    /// How long it all took, in seconds.
    pub seconds: u64,
    /// Why it is no proof, as a sentence; `null` if it is one.
    pub failure: Option<String>,
}

impl Verdict {
    /// As one JSON object.
    pub fn json(&self) -> String {
        // Numbers and texts are always representable.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "kills {} · survived {} · lost {} · duplicated {} · recovery worst {} ms, p95 {} ms, median {} ms\n\
             {} rounds, {} bytes on both sides in {} s · seed {}",
            self.kills,
            self.survived,
            self.lost,
            self.duplicated,
            self.worst_recovery_ms,
            self.p95_recovery_ms,
            self.median_recovery_ms,
            self.rounds,
            self.bytes,
            self.seconds,
            self.seed
        )
    }
}

/// Runs a soak. An error is a sentence: the soak itself could not be done. What it
/// found wrong is in the verdict.
pub fn run(options: &Options) -> Result<Verdict, String> {
    let began = Instant::now();
    let mut pair = Pair::start(options)?;
    let mut judge = Judge::default();
    let mut done = 0;
    let ended = soak(options, &mut pair, &mut judge, &mut done);
    let mut verdict = judge.verdict(&options.plan);
    verdict.seed = options.seed;
    verdict.kills = done;
    verdict.seconds = began.elapsed().as_secs();
    if let Err(reason) = ended {
        verdict.failure = Some(reason);
    }
    match &mut verdict.failure {
        None => pair.remove_logs(),
        Some(failure) => failure.push_str(&pair.keep_logs()),
    }
    Ok(verdict)
}

fn soak(
    options: &Options,
    pair: &mut Pair,
    judge: &mut Judge,
    done: &mut u64,
) -> Result<(), String> {
    let mut rng = Rng::with_seed(options.seed);
    while *done < options.kills {
        let blow = Blow::draw(&mut rng, options.target, options.kills - *done);
        if blow.patient {
            pair.watch(judge, PATIENCE, "fresh work", Judge::is_live)?;
        }
        pair.watch_for(judge, blow.pause)?;
        let victims = blow.victims;
        judge.killed(victims);
        for side in victims {
            pair.kill(*side)?;
            *done += 1;
        }
        let mut order = victims.to_vec();
        if blow.server_first {
            order.reverse();
        }
        for side in order {
            pair.restart(side)?;
        }
        pair.tell(*done, judge);
    }
    pair.watch(judge, PATIENCE, "fresh work", Judge::is_live)?;
    pair.ask_for_the_last_round()?;
    pair.watch(judge, PATIENCE, "the totals", Judge::is_done)?;
    pair.wait_for_ends()
}

/// Who is killed next, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blow {
    victims: &'static [Side],
    /// Half of the kills come when work has been seen, the other half at once or nearly
    /// so: before the first checkpoint, or in the midst of a recovery.
    patient: bool,
    /// Whether the server is started again first.
    server_first: bool,
    pause: Duration,
}

impl Blow {
    /// The next one of a schedule in which `left` kills are left.
    fn draw(rng: &mut Rng, target: Target, left: u64) -> Self {
        const CLIENT: &[Side] = &[Side::Client];
        const SERVER: &[Side] = &[Side::Server];
        const BOTH: &[Side] = &[Side::Client, Side::Server];
        let chosen = match target {
            Target::Client => CLIENT,
            Target::Server => SERVER,
            Target::Both => BOTH,
            Target::Random => match rng.u8(0..3) {
                0 => CLIENT,
                1 => SERVER,
                _ => BOTH,
            },
        };
        Self {
            // The last kill of an odd number is one.
            victims: if left == 1 { &chosen[..1] } else { chosen },
            patient: rng.bool(),
            server_first: rng.bool(),
            pause: Duration::from_micros(rng.u64(0..30_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let schedule = |seed| {
            let mut rng = Rng::with_seed(seed);
            let blows = (1..=100).rev();
            let blows = blows.map(|left| Blow::draw(&mut rng, Target::Random, left));
            blows.collect::<Vec<_>>()
        };
        let one = schedule(7);
        assert_eq!(one, schedule(7));
        assert_ne!(one, schedule(8));
        for victims in 1..=2 {
            assert!(one.iter().any(|blow| blow.victims.len() == victims));
        }
        assert_eq!(one[99].victims.len(), 1);
    }
}

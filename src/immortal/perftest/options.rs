//! What can be chosen, and how sizes and times are written.

use std::path::PathBuf;
use std::time::Duration;

use super::super::{Chance, Contest, Durability, MAX_PAYLOAD};

/// Bytes of a round unless said otherwise: what the original sends.
pub const ROUND: u64 = 1 << 30;
/// Port of the link unless said otherwise.
pub const PORT: u16 = 50001;
/// Length of a log that is followed by a checkpoint unless said otherwise.
pub const LOG_TRIGGER: u64 = 64 << 20;
/// Time that executing a log again may take before a checkpoint follows.
pub const REPLAY_TRIGGER: Duration = Duration::from_millis(100);

/// What both programs understand.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of the command line
pub struct Common {
    /// Port of the link: the server listens on it, a job dials it.
    pub port: u16,
    /// Whether to start without waiting for Enter.
    pub auto_continue: bool,
    /// Where instance directories are.
    pub log: PathBuf,
    /// Pause between two progress lines; none without.
    pub progress: Option<Duration>,
    /// Whether to idle after the work instead of ending.
    pub stay: bool,
    /// Cap of payload bytes sent a second.
    pub rate: Option<u64>,
    /// When an input counts as safe.
    pub durability: Durability,
    /// Length in bytes of a log that is followed by a checkpoint.
    pub log_trigger: u64,
    /// Whether every byte of every message is checked.
    pub verify: bool,
    /// What to do while another execution of the instance runs.
    pub contest: Contest,
    /// Whether logs that recovery no longer needs are kept.
    pub keep: bool,
}

/// What the client understands.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Its instance name.
    pub name: String,
    /// The server's instance name.
    pub server: String,
    /// What it sends.
    pub plan: Plan,
    /// The rest.
    pub common: Common,
}

/// What the server understands.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Its instance name.
    pub name: String,
    /// Base name of its jobs; without it, any names are welcome.
    pub jobs: Option<String>,
    /// How many jobs it serves.
    pub count: u16,
    /// Whether it sends everything back.
    pub bidirectional: bool,
    /// Bytes of ballast that it holds, and that every checkpoint has to carry.
    pub memory: u64,
    /// The rest.
    pub common: Common,
}

/// What a client sends: rounds of calls, each round's calls half as long as those
/// of the round before, down to 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// How many rounds; 0 begins again at the greatest size after the smallest, for
    /// ever.
    pub rounds: u64,
    /// Payload of a call in the first round, in bytes.
    pub max_message: u64,
    /// Bytes of a round; what is no whole call is left out.
    pub round_bytes: u64,
    /// Whether the sizes after the first are drawn at random, the same ones in every
    /// run, instead of halved.
    #[serde(default)]
    pub random_sizes: bool,
}

impl Plan {
    /// Says what is wrong with it, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.max_message == 0 || self.max_message > MAX_PAYLOAD {
            return Err(format!(
                "a message has 1 to {MAX_PAYLOAD} bytes, not {}: change --mms",
                self.max_message
            ));
        }
        if self.round_bytes < self.max_message {
            return Err(format!(
                "a round of {} bytes holds no message of {}: change --bytes-per-round or --mms",
                self.round_bytes, self.max_message
            ));
        }
        Ok(())
    }

    /// Payload of a call in the round after one of `size`, in bytes. `chance` is asked
    /// if the plan wants random sizes: powers of two from 16 up to, but not including,
    /// the greatest.
    pub fn size_after(&self, size: u64, chance: &mut Chance) -> u64 {
        const SMALLEST: u64 = 16;
        if self.random_sizes {
            let powers = self.max_message.ilog2().saturating_sub(SMALLEST.ilog2());
            let power = chance.draw() % u64::from(powers.max(1));
            (SMALLEST << power).min(self.max_message)
        } else if size > SMALLEST {
            (size >> 1).max(SMALLEST)
        } else if self.rounds == 0 {
            self.max_message
        } else {
            size
        }
    }

    /// Calls in a round of `size`.
    pub fn calls(&self, size: u64) -> u64 {
        self.round_bytes / size
    }
}

/// Reads a number of bytes: `1048576`, `1024KiB`, `1MiB`, `1 GiB` (also `K`, `M`,
/// `G`, `KB`…; always powers of 1024). The error is a sentence.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => {
            return Err(format!(
                "'{text}' is no number of bytes: write 65536, 64KiB, 1MiB or 1GiB"
            ));
        }
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no number of bytes: write 65536, 64KiB, 1MiB or 1GiB"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("'{text}' is more bytes than can be counted"))
}

/// Reads a time of at least a millisecond: `100ms`, `2s`, or a plain number of
/// milliseconds. The error is a sentence.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time: write 100ms or 2s");
    let trimmed = text.trim();
    let (number, unit) = match trimmed.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => match trimmed.strip_suffix('s') {
            Some(number) => (number, 1000),
            None => (trimmed, 1),
        },
    };
    let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
    match number.checked_mul(unit) {
        Some(millis @ 1..) => Ok(Duration::from_millis(millis)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_halve_down_to_sixteen() {
        let plan = Plan {
            rounds: 3,
            max_message: 2500,
            round_bytes: ROUND,
            random_sizes: false,
        };
        let after = |size| plan.size_after(size, &mut Chance::default());
        assert_eq!(after(2500), 1250);
        assert_eq!(after(17), 16);
        assert_eq!(after(16), 16);
        assert_eq!(after(8), 8);
        assert_eq!(
            plan.calls(2500) * 2500 + plan.calls(1250) * 1250,
            2_147_481_250
        );
    }

    #[test]
    fn random_sizes_are_powers_of_two_and_the_same_in_every_run() {
        let plan = |max_message| Plan {
            rounds: 5,
            max_message,
            round_bytes: ROUND,
            random_sizes: true,
        };
        let draw = |plan: Plan| {
            let mut chance = Chance::default();
            (0..200)
                .map(|_| plan.size_after(99, &mut chance))
                .collect::<Vec<_>>()
        };
        let sizes = draw(plan(32768));
        assert_eq!(sizes, draw(plan(32768)));
        for power in 4..15 {
            assert!(sizes.contains(&(1 << power)), "{power}");
        }
        assert!(
            sizes
                .iter()
                .all(|size| size.is_power_of_two() && *size < 32768)
        );
        assert!(draw(plan(16)).iter().all(|size| *size == 16));
        assert!(draw(plan(9)).iter().all(|size| *size == 9));
    }

    #[test]
    fn the_endless_plan_begins_again() {
        let plan = Plan {
            rounds: 0,
            max_message: 65536,
            round_bytes: ROUND,
            random_sizes: false,
        };
        let mut sizes = vec![65536];
        for _ in 0..13 {
            sizes.push(plan.size_after(sizes[sizes.len() - 1], &mut Chance::default()));
        }
        assert_eq!(sizes[12..], [16, 65536]);
    }

    #[test]
    fn thirteen_rounds_are_what_the_original_sends() {
        let plan = Plan {
            rounds: 13,
            max_message: 65536,
            round_bytes: ROUND,
            random_sizes: false,
        };
        let (mut size, mut bytes, mut calls) = (65536, 0, 0);
        for _ in 0..13 {
            bytes += plan.calls(size) * size;
            calls += plan.calls(size);
            size = plan.size_after(size, &mut Chance::default());
        }
        assert_eq!((bytes, calls), (13_958_643_712, 134_201_344));
    }

    #[test]
    fn impossible_plans_are_sentences() {
        let plan = |max_message, round_bytes| Plan {
            rounds: 1,
            max_message,
            round_bytes,
            random_sizes: false,
        };
        assert!(plan(0, 5).check().unwrap_err().contains("--mms"));
        assert!(plan(MAX_PAYLOAD + 1, u64::MAX).check().is_err());
        assert!(
            plan(6, 5)
                .check()
                .unwrap_err()
                .contains("--bytes-per-round")
        );
        assert_eq!(plan(5, 5).check(), Ok(()));
    }

    #[test]
    fn bytes_and_times_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("2KiB", 2048),
            ("3 MiB", 3 << 20),
            ("1GiB", 1 << 30),
            ("4k", 4096),
            ("5B", 5),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "1TiBx",
            "99999999999GiB",
            "18446744073709551616",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for (text, millis) in [("100ms", 100), ("2s", 2000), ("50", 50)] {
            assert_eq!(
                parse_time(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "0", "0ms", "-1s", "1m", "99999999999999999999s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}

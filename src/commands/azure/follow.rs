//! What a workload says of itself, line by line, for people and for programs.

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

use color_eyre::eyre::Result;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    commands::{deploy::Talk, print},
    core::{
        effect::Effect,
        event::Fact,
        workload::{GREETING, Role, SERVER_GREETING},
    },
    ui::format,
};

/// Says what the workload says, until it is done.
pub async fn follow(talk: &mut Talk, json: bool) -> Result<ExitCode> {
    let mut enters = enters();
    let mut teller = Teller {
        original: talk.is_original(),
        ..Teller::default()
    };
    loop {
        for (value, text) in talk.unheard().iter().flat_map(|fact| teller.said(fact)) {
            print(&if json {
                format!("{value}\n")
            } else {
                format!("{text}\n")
            })?;
        }
        if talk.is_done() {
            return end(talk, json);
        }
        tokio::select! {
            heard = talk.listen() => heard?,
            Some(()) = enters.recv() => talk.wish(Effect::PressEnter).await?,
        }
    }
}

/// Every Enter that a person presses here, until nobody can any more.
fn enters() -> mpsc::UnboundedReceiver<()> {
    let (press, pressed) = mpsc::unbounded_channel();
    // A thread of its own: a read from a terminal ends when it wants.
    std::thread::spawn(move || {
        let lines = io::stdin().lock().lines().map_while(Result::ok);
        for _ in lines {
            if press.send(()).is_err() {
                return;
            }
        }
    });
    pressed
}

fn end(talk: &Talk, json: bool) -> Result<ExitCode> {
    let bytes = talk.total();
    let total = bytes.map_or_else(String::new, |bytes| {
        format!(": {} bytes came back", format::thousands(bytes))
    });
    print(&if json {
        format!("{}\n", json!({"what": "done", "bytes": bytes}))
    } else {
        format!("done{total}\n")
    })
}

/// Tells each round once. Ours are numbered, so it does not matter whether one was
/// printed before anybody looked, or again by a replay; the original's are not, and
/// only what is news is told of them.
#[derive(Debug, Default)]
struct Teller {
    /// Rounds have no numbers.
    original: bool,
    /// The round whose number comes next: its size and throughput.
    last: Option<(u64, f64)>,
    /// The highest number that was told.
    told: u64,
}

impl Teller {
    /// What of a fact is told, for programs and for people.
    fn said(&mut self, fact: &Fact) -> Vec<(Value, String)> {
        match fact {
            Fact::Round {
                role: Role::Client,
                size,
                gib_s,
                replayed,
            } => {
                self.last = Some((*size, *gib_s));
                let news = (self.original && !replayed).then(|| round(None, *size, *gib_s));
                news.into_iter().collect()
            }
            Fact::RoundEnd {
                role: Role::Client,
                index,
                ..
            } => {
                let news = self.last.take().filter(|_| *index > self.told);
                self.told = self.told.max(*index);
                let told = news.map(|(size, gib_s)| round(Some(*index), size, gib_s));
                told.into_iter().collect()
            }
            Fact::Recovered { role, millis, .. } => vec![(
                json!({"what": "recovered", "role": role, "milliseconds": millis}),
                format!("the {role} is back: it recovered in {millis} ms"),
            )],
            Fact::OutOfOrder {
                role,
                expected,
                got,
                replayed: false,
            } => vec![(
                json!({"what": "out_of_order", "role": role, "expected": expected, "got": got}),
                format!("the {role} expected call {expected} and got {got}"),
            )],
            Fact::Trouble(trouble) => vec![(
                json!({"what": "trouble", "why": trouble.what, "next": trouble.next}),
                trouble.what.clone(),
            )],
            Fact::Log { role, lines } => lines
                .iter()
                .filter(|line| !line.replayed && is_greeting(&line.text))
                .map(|line| {
                    (
                        json!({"what": "said", "role": role, "text": line.text}),
                        line.text.clone(),
                    )
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn round(index: Option<u64>, size: u64, gib_s: f64) -> (Value, String) {
    (
        json!({"what": "round", "index": index, "size": size, "gib_per_second": gib_s}),
        format!("{size:>9} B  {}", format::throughput(gib_s)),
    )
}

fn is_greeting(text: &str) -> bool {
    text.starts_with(GREETING) || text.starts_with(SERVER_GREETING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(original: bool, facts: &[Fact]) -> Vec<u64> {
        let mut teller = Teller {
            original,
            ..Teller::default()
        };
        facts
            .iter()
            .flat_map(|fact| teller.said(fact))
            .map(|(value, _)| value["size"].as_u64().unwrap())
            .collect()
    }

    fn ended(size: u64, replayed: bool) -> Fact {
        Fact::Round {
            role: Role::Client,
            size,
            gib_s: 0.5,
            replayed,
        }
    }

    fn numbered(index: u64) -> Fact {
        Fact::RoundEnd {
            role: Role::Client,
            index,
            size: 1,
            bytes: 1,
        }
    }

    #[test]
    fn a_round_is_told_once_also_if_it_ended_before_anybody_looked() {
        let facts = [
            ended(8, true),
            numbered(1),
            ended(4, false),
            numbered(2),
            // A kill, and its replay.
            ended(4, true),
            numbered(2),
            ended(2, false),
            numbered(3),
        ];
        assert_eq!(sizes(false, &facts), [8, 4, 2]);
    }

    #[test]
    fn of_rounds_without_numbers_only_news_is_told() {
        let facts = [ended(8, true), ended(4, false), ended(4, true)];
        assert_eq!(sizes(true, &facts), [4]);
    }
}

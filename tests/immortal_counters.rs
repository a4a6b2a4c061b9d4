//! A second application on the runtime, as unlike perftest as can be: three
//! counters in a mesh that call themselves and each other at random, answer some
//! calls with others, and hear from the world. They are killed at random, all of
//! them; at the end each one has received exactly what each other one says that it
//! sent.
//!
//! The amounts come from logged chance. If a replay drew others than the execution
//! that died, what was sent and what was received would differ.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod perftest;

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aks_tui::immortal::{
    self, App, Call, Caller, Config, Contest, Context, Durability, Impulses, Link, Past, Recovery,
    Refused,
};
use fastrand::Rng;
use perftest::{Process, World};
use serde::{Deserialize, Serialize};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Calls of a counter to itself.
const STEPS: u64 = 8000;

/// Peers: add this amount; the payload is (number, amount, hops that are left).
const ADD: u8 = 1;
/// Peers: the payload is (calls, sum) of all that was sent; nothing follows.
const FINAL: u8 = 2;
/// Own: one more step; the payload is the amount to remember.
const STEP: u8 = 3;
/// World: the payload is an amount for everybody.
const WISH: u8 = 4;

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Ledger {
    sent: (u64, u64),
    received: (u64, u64),
    /// What the peer says that it sent.
    claimed: Option<(u64, u64)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    steps: u64,
    own: u64,
    wishes: u64,
    ledgers: Vec<Ledger>,
    said_final: bool,
}

#[derive(Debug, Default)]
struct Counter {
    state: State,
    live: Option<(Impulses, u64)>,
}

fn numbers(payload: &[u8]) -> Vec<u64> {
    let (words, rest) = payload.as_chunks::<8>();
    assert!(rest.is_empty());
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

fn payload(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

impl Counter {
    fn send(&mut self, peer: usize, amount: u64, hops: u64, context: &mut Context<'_>) {
        let sent = &mut self.state.ledgers[peer].sent;
        sent.0 += 1;
        sent.1 = sent.1.wrapping_add(amount);
        let head = payload(&[sent.0]);
        context.call_peer(peer, ADD, &head, &payload(&[amount, hops]));
    }

    fn step(&mut self, remembered: u64, context: &mut Context<'_>) {
        self.state.own = self.state.own.wrapping_mul(31).wrapping_add(remembered);
        self.state.steps += 1;
        for _ in 0..context.random() % 3 {
            let peer = (context.random() % 2) as usize;
            let (amount, hops) = (context.random(), context.random() % 4);
            self.send(peer, amount ^ context.now(), hops, context);
        }
        if self.state.steps < STEPS {
            let amount = context.random();
            context.call_self(STEP, &payload(&[amount]));
            return;
        }
        self.state.said_final = true;
        for peer in 0..2 {
            let (calls, sum) = self.state.ledgers[peer].sent;
            context.call_peer(peer, FINAL, &payload(&[calls, sum]), &[]);
        }
    }

    fn add(&mut self, peer: usize, said: &[u64], context: &mut Context<'_>) {
        let [number, amount, hops] = *said else {
            panic!("{said:?}");
        };
        let received = &mut self.state.ledgers[peer].received;
        received.0 += 1;
        if received.0 != number {
            println!("WRONG: {number} came from {peer}, not {}", received.0);
        }
        received.1 = received.1.wrapping_add(amount);
        // Answered, or passed on to the other one.
        if hops > 0 && !self.state.said_final {
            let to = (context.random() % 2) as usize;
            let amount = context.random();
            self.send(to, amount, hops - 1, context);
        }
    }

    fn settle(&self) {
        let mut agreed = 0;
        for (peer, ledger) in self.state.ledgers.iter().enumerate() {
            match ledger.claimed {
                Some(claimed) if claimed == ledger.received => agreed += 1,
                Some(claimed) => println!("WRONG: {peer} sent {claimed:?}, came {ledger:?}"),
                None => {}
            }
        }
        if agreed == 2 && self.state.said_final {
            println!(
                "AGREED {:?} wishes {}",
                self.state.ledgers, self.state.wishes
            );
        }
    }
}

impl App for Counter {
    const ANSWERS: bool = false;

    fn awaken(&mut self, epoch: u64) {
        println!("EPOCH {epoch}");
        if let Some((impulses, _)) = &self.live {
            // Replay is to come: the world has to wait.
            assert_eq!(impulses.send(WISH, &[]), Err(Refused::Replaying));
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, &self.state).unwrap();
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        self.state = serde_json::from_slice(state).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        self.state.ledgers = vec![Ledger::default(); 2];
        context.call_self(STEP, &payload(&[7]));
    }

    fn call(&mut self, call: &Call<'_>, context: &mut Context<'_>) {
        let said = numbers(call.payload);
        match (call.caller, call.method) {
            (Caller::Own, STEP) => self.step(said[0], context),
            (Caller::Peer(peer), ADD) => self.add(peer, &said, context),
            (Caller::Peer(peer), FINAL) => {
                self.state.ledgers[peer].claimed = Some((said[0], said[1]));
            }
            (Caller::World, WISH) => {
                self.state.wishes += 1;
                for peer in 0..2 {
                    if !self.state.said_final {
                        self.send(peer, said[0], 1, context);
                    }
                }
            }
            _ => println!("WRONG: {call:?}"),
        }
        if call.method == FINAL || self.state.said_final && call.method == STEP {
            self.settle();
        }
        if !context.replaying() && self.state.steps.is_multiple_of(100) {
            println!("STEPS {}", self.state.steps);
        }
    }

    fn recovered(&mut self, recovery: &Recovery) -> bool {
        println!("STATE {:016x} {}", recovery.state, recovery.calls);
        self.settle();
        if let Some((impulses, seed)) = self.live.take() {
            thread::spawn(move || wish(&impulses, seed));
        }
        false
    }
}

/// The world: wishes for something every few milliseconds.
fn wish(impulses: &Impulses, seed: u64) {
    impulses.wait_until_live();
    let mut rng = Rng::with_seed(seed);
    loop {
        impulses.send(WISH, &payload(&[rng.u64(..)])).unwrap();
        thread::sleep(Duration::from_millis(rng.u64(1..8)));
    }
}

/// Not a test of its own: what a counter's process runs.
#[test]
fn counter_process() {
    let Ok(name) = env::var("COUNTER") else {
        return;
    };
    let port = |name: &str| 40_000 + u16::from(name.as_bytes()[0]);
    let me = NAMES.iter().position(|other| *other == name).unwrap();
    // Of two that meet, the later one dials.
    let links = NAMES.iter().enumerate().filter(|(index, _)| *index != me);
    let links = links.map(|(index, peer)| {
        let peer = (*peer).to_owned();
        if index < me {
            let port = port(&peer);
            Link::Dial { peer, port }
        } else {
            Link::Accept { peer: Some(peer) }
        }
    });
    let impulses = Impulses::default();
    let config = Config {
        instance: name.clone(),
        root: env::var("COUNTER_LOGS").unwrap().into(),
        durability: Durability::Os,
        log_trigger: 64 << 10,
        replay_trigger: Duration::from_millis(100),
        rate: None,
        contest: Contest::Wait,
        keep: true,
        listen: Some(format!("{}:{}", env::var("POD_IP").unwrap(), port(&name))),
        links: links.collect(),
        stay: true,
        started: Instant::now(),
        notice: Arc::new(|_: &str| {}),
        impulses: impulses.clone(),
    };
    let app = Counter {
        live: Some((impulses, fastrand::u64(..))),
        ..Counter::default()
    };
    immortal::run(&config, app).unwrap();
}

fn start(world: &World, name: &str) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "counter_process", "--nocapture"])
        .env("COUNTER", name)
        .env("COUNTER_LOGS", world.logs.path());
    for peer in NAMES {
        command.env(format!("{}_SERVICE_HOST", peer.to_uppercase()), &world.host);
    }
    world.spawn(command)
}

/// The line's last word but with what replay prints again, sorted out.
fn agreed(lines: &[String]) -> Option<&String> {
    lines.iter().rfind(|line| line.starts_with("AGREED"))
}

fn mesh(seed: u64) {
    println!("COUNTER_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let world = World::new();
    let mut counters = NAMES.map(|name| start(&world, name));
    let (mut kills, mut at_work) = (0, 0);
    while kills < 24 {
        let victim = rng.usize(0..3);
        if rng.bool() {
            counters[victim].wait_for("work", |line| line.starts_with("STEPS"));
        }
        thread::sleep(Duration::from_micros(rng.u64(0..40_000)));
        let next = start_after_death(&world, &mut counters, victim);
        assert!(!next.iter().any(|line| line.contains("WRONG")), "{next:?}");
        kills += 1;
        at_work += u64::from(agreed(&next).is_none());
    }
    assert!(
        at_work > 12,
        "only {at_work} of {kills} were killed at work"
    );
    for counter in &counters {
        counter.wait_for("agreement", |line| line.starts_with("AGREED"));
    }
    for (name, counter) in NAMES.iter().zip(counters) {
        let lines = counter.kill();
        assert!(
            !lines.iter().any(|line| line.contains("WRONG")),
            "{lines:?}"
        );
        assert!(agreed(&lines).is_some());
        // Offline and from the first page on, the whole life comes out the same: at
        // each of the checkpoints it had the state that was saved there.
        let past = Past::open(&world.directory(name), Some(1)).unwrap();
        let replayed = past.replay(Counter::default()).unwrap();
        assert!(replayed.met > 3, "{replayed:?}");
        let again = start(&world, name);
        let state = format!("STATE {:016x} ", replayed.state);
        again.wait_for("its state", |line| line.starts_with(&state));
    }
}

/// Kills one and starts its successor; answers what the dead one said.
fn start_after_death(world: &World, counters: &mut [Process; 3], victim: usize) -> Vec<String> {
    use rustix::process::Signal;
    counters[victim].signal(Signal::KILL);
    let successor = start(world, NAMES[victim]);
    let dead = std::mem::replace(&mut counters[victim], successor);
    dead.end().1
}

#[test]
fn counters_that_call_each_other_at_random_agree_after_any_kills() {
    let seed = env::var("COUNTER_SEED").map(|seed| seed.parse().unwrap());
    mesh(seed.unwrap_or_else(|_| fastrand::u64(..)));
}

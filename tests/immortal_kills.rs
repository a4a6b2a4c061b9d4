//! kill -9 at moments nobody chose: client, server, both, again while they recover.
//! Fifty kills in all; whatever happened, both sides end with the total that the
//! formula gives for the rounds that were printed.
//!
//! The schedule follows a seed that each test prints; `AKS_TUI_KILL_SEED=<seed>`
//! repeats it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod perftest;

use std::env;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use perftest::{History, Process, World, assert_steady, assert_total, formula, rounds};
use rustix::process::Signal;

const MAX_MESSAGE: u64 = 65536;

/// Who dies.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Client,
    Server,
    Both,
}

/// One instance through all of its executions.
struct Side<'a> {
    world: &'a World,
    program: &'static str,
    options: String,
    process: Option<Process>,
    history: History,
}

impl<'a> Side<'a> {
    fn start(world: &'a World, program: &'static str, options: String) -> Self {
        let process = Some(world.start(program, &options));
        Self {
            world,
            program,
            options,
            process,
            history: History::new(),
        }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn kill(&mut self) {
        let lines = self.process.take().unwrap().kill();
        self.history.push(lines);
    }

    fn restart(&mut self) {
        self.process = Some(self.world.start(self.program, &self.options));
    }

    fn succeed(&mut self) {
        let lines = self.process.take().unwrap().succeed();
        self.history.push(lines);
    }
}

/// What a schedule varies.
struct Schedule {
    name: &'static str,
    kills: usize,
    victims: &'static [Victim],
    round_bytes: u64,
    log_trigger: &'static str,
    durability: &'static str,
}

fn seed(name: &str) -> u64 {
    let seed = match env::var("AKS_TUI_KILL_SEED") {
        Ok(seed) => seed.parse().expect("AKS_TUI_KILL_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("{name}: AKS_TUI_KILL_SEED={seed}");
    seed
}

fn run(schedule: &Schedule) {
    let mut rng = Rng::with_seed(seed(schedule.name));
    let world = World::new();
    let common = format!(
        "--progress 5ms --log-trigger {} --durability {}",
        schedule.log_trigger, schedule.durability
    );
    let mut server = Side::start(&world, "server", format!("-j server {common}"));
    let mut client = Side::start(
        &world,
        "job",
        format!(
            "-j client -s server -n 0 --mms {MAX_MESSAGE} --bytes-per-round {} {common}",
            schedule.round_bytes
        ),
    );
    let mut done = 0;
    while done < schedule.kills {
        let victim = rng.choice(schedule.victims).copied().unwrap();
        // Half of the kills come when work has been seen, the other half at once or
        // nearly so: before the first checkpoint, or in the midst of recovery.
        if rng.bool() {
            match victim {
                Victim::Server => server.process().wait_fresh(),
                Victim::Client | Victim::Both => client.process().wait_fresh(),
            };
            thread::sleep(Duration::from_micros(rng.u64(0..80_000)));
        } else {
            thread::sleep(Duration::from_micros(rng.u64(0..40_000)));
        }
        match victim {
            Victim::Client => {
                client.kill();
                client.restart();
            }
            Victim::Server => {
                server.kill();
                server.restart();
            }
            Victim::Both => {
                client.kill();
                server.kill();
                let first = rng.bool();
                if first {
                    server.restart();
                }
                client.restart();
                if !first {
                    server.restart();
                }
                done += 1;
            }
        }
        done += 1;
    }
    client.process().wait_fresh();
    client.process().signal(Signal::USR1);
    client.process().wait_for("answer to SIGUSR1", |line| {
        line == "*X* last round requested"
    });
    client.succeed();
    server.succeed();

    let rounds = rounds(&client.history);
    let (bytes, sizes) = formula(MAX_MESSAGE, schedule.round_bytes, rounds.len(), true);
    let printed: Vec<u64> = rounds.iter().map(|(size, _)| *size).collect();
    assert_eq!(printed, sizes);
    assert!(bytes > 0);
    for (side, history) in [("client", &client.history), ("server", &server.history)] {
        assert_steady(side, history);
        assert_total(side, history, bytes);
    }
    println!(
        "{}: {} kills, {} rounds, {bytes} bytes on both sides",
        schedule.name,
        client.history.len() + server.history.len() - 2,
        rounds.len()
    );
}

#[test]
fn a_client_killed_again_and_again_loses_nothing() {
    run(&Schedule {
        name: "client",
        kills: 16,
        victims: &[Victim::Client],
        round_bytes: 1 << 20,
        log_trigger: "1MiB",
        durability: "os",
    });
}

#[test]
fn a_server_killed_again_and_again_loses_nothing() {
    run(&Schedule {
        name: "server",
        kills: 16,
        victims: &[Victim::Server],
        round_bytes: 1 << 20,
        log_trigger: "1MiB",
        durability: "os",
    });
}

#[test]
fn both_killed_in_any_order_lose_nothing() {
    run(&Schedule {
        name: "both",
        kills: 18,
        victims: &[Victim::Client, Victim::Server, Victim::Both],
        round_bytes: 3_000_000,
        log_trigger: "300KiB",
        durability: "fsync",
    });
}

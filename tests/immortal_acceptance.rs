//! The acceptance scenarios of the original, row by row, on the runtime that is here.
//!
//! A row says who runs with what, what happens to whom, and when: at so many percent
//! of what its client receives in all. Whatever happened, both sides end with the
//! total that the formula gives, have seen every call number in turn, and have said,
//! once what a replay says again is left out, exactly what an undisturbed run says.
//!
//! Rounds are scaled down to run in a minute. At full size, a GiB a round, as the
//! original ran them (a release build, an hour and 10 GiB of disk):
//!
//! ```sh
//! AKS_TUI_ACCEPTANCE=full cargo test --release --test immortal_acceptance -- --test-threads 1
//! ```

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod perftest;

use std::collections::HashSet;
use std::env;

use perftest::{History, Process, Progress, World, assert_steady, assert_total, formula, rounds};
use rustix::process::Signal;

fn full() -> bool {
    env::var("AKS_TUI_ACCEPTANCE").is_ok_and(|size| size == "full")
}

/// Bytes of a round: a GiB, or as many as fit into a minute of CI.
fn round_bytes(scaled: u64) -> u64 {
    if full() { 1 << 30 } else { scaled }
}

/// What a row runs.
struct Row {
    world: World,
    mms: u64,
    rounds: usize,
    round: u64,
    job: String,
    server: String,
    /// Length of the client's log that is followed by a checkpoint, if not as usual.
    client_trigger: Option<u64>,
    client: Side,
    serving: Side,
}

/// All executions of one side: the one that acts and those that stand by, and what the
/// dead have said.
#[derive(Default)]
struct Side {
    alive: Vec<Process>,
    dead: History,
}

impl Row {
    fn new(mms: u64, rounds: usize, scaled: u64) -> Self {
        Self {
            world: World::new(),
            mms,
            rounds,
            round: round_bytes(scaled).max(mms),
            job: String::new(),
            server: String::new(),
            client_trigger: None,
            client: Side::default(),
            serving: Side::default(),
        }
    }

    fn start_job(&mut self, extra: &str) {
        let (mms, rounds, round, job) = (self.mms, self.rounds, self.round, &self.job);
        let process = self.world.start(
            "job",
            &format!(
                "-j client -s server -n {rounds} --mms {mms} --bytes-per-round {round} --progress 5ms --log-trigger {} --verify-payload {job} {extra}",
                self.client_trigger.unwrap_or(self.trigger())
            ),
        );
        self.client.alive.push(process);
    }

    fn start_server(&mut self, extra: &str) {
        let (trigger, server) = (self.trigger(), &self.server);
        let process = self.world.start(
            "server",
            &format!(
                "-j server --progress 5ms --log-trigger {trigger} --verify-payload {server} {extra}"
            ),
        );
        self.serving.alive.push(process);
    }

    fn start(mut self) -> Self {
        self.start_server("");
        self.start_job("");
        self
    }

    /// Logs are long in the original's tests; scaled down they are short, so that
    /// checkpoints come as often in a run.
    fn trigger(&self) -> u64 {
        if full() { 256 << 20 } else { self.round / 2 }
    }

    fn total(&self) -> u64 {
        formula(self.mms, self.round, self.rounds, false).0
    }

    /// Waits until the client that acts has received so much of all.
    fn at_percent(&self, percent: u64) {
        let bytes = self.total() / 100 * percent;
        let acting = self.client.alive.first().unwrap();
        acting.wait_for("that much of the work", |line| {
            line == "DONE" || Progress::parse(line).is_some_and(|p| p.echoed >= bytes)
        });
    }

    /// Waits for the end of everybody who is alive and judges all that was said.
    fn judge(mut self) {
        let total = self.total();
        for (name, side) in [("client", &mut self.client), ("server", &mut self.serving)] {
            let acting = side.alive.remove(0);
            side.dead.push(acting.succeed());
            assert_total(name, &side.dead, total);
            // Who stands by does what the other did, and ends as it did.
            for standby in side.alive.drain(..) {
                let lines = vec![standby.succeed()];
                assert_steady(name, &lines);
                assert_total(name, &lines, total);
            }
            assert_steady(name, &side.dead);
        }
        let sizes: Vec<u64> = rounds(&self.client.dead)
            .iter()
            .map(|(size, _)| *size)
            .collect();
        assert_eq!(sizes, formula(self.mms, self.round, self.rounds, false).1);
        let gib: Vec<u64> = (1..=total >> 30).map(|gib| gib * 1024).collect();
        let mut client = vec!["Bytes per RPC\tThroughput (GB/sec)".to_owned()];
        client.extend(
            gib.iter()
                .map(|mb| format!("Service Received {mb} MB so far")),
        );
        let end = [format!("Bytes received: {total}"), "DONE".to_owned()];
        client.extend(end.clone());
        let mut server: Vec<_> = gib
            .iter()
            .map(|mb| format!("Received {mb} MB so far"))
            .collect();
        server.extend(end);
        assert_eq!(undisturbed(&self.client.dead), client);
        assert_eq!(undisturbed(&self.serving.dead), server);
    }
}

impl Side {
    /// Kills whoever is at this place among the living.
    fn kill(&mut self, place: usize) {
        self.dead.push(self.alive.remove(place).kill());
    }

    /// Kills a standby: nothing of what it said counts.
    fn kill_standby(&mut self, place: usize) {
        assert!(place > 0);
        let standby = self.alive.remove(place);
        standby.signal(Signal::KILL);
        standby.end();
    }

    fn wait_until_standing_by(&self) {
        for standby in &self.alive[1..] {
            standby.wait_for("a standby", |line| line == "*X* standing by");
        }
    }
}

/// What a history says beside the moment's figures, without what is said again.
fn undisturbed(history: &History) -> Vec<String> {
    let mut seen = HashSet::new();
    let lines = history
        .iter()
        .flatten()
        .filter(|line| !line.contains("*X*"));
    lines
        .filter(|line| seen.insert((*line).clone()))
        .cloned()
        .collect()
}

#[test]
fn row_1_end_to_end() {
    Row::new(1024, 1, 4 << 20).start().judge();
}

#[test]
fn row_2_the_server_is_killed_and_restarted_at_once() {
    let mut row = Row::new(1024, 1, 6 << 20).start();
    row.at_percent(10);
    row.serving.kill(0);
    row.start_server("");
    row.judge();
}

#[test]
fn row_3_short_logs_on_one_side() {
    let mut row = Row::new(32768, 3, 6 << 20);
    row.client_trigger = Some(row.trigger() / 4);
    row.start().judge();
}

#[test]
fn row_4_the_client_is_killed_twice() {
    let mut row = Row::new(65536, 13, 1 << 20).start();
    for percent in [10, 40] {
        row.at_percent(percent);
        row.client.kill(0);
        row.start_job("");
    }
    row.judge();
}

#[test]
fn row_5_the_server_is_killed() {
    let mut row = Row::new(65536, 13, 1 << 20).start();
    row.at_percent(30);
    row.serving.kill(0);
    row.start_server("");
    row.judge();
}

#[test]
fn rows_6_and_7_both_are_killed_and_restarted_in_either_order() {
    for job_first in [true, false] {
        let mut row = Row::new(65536, 13, 1 << 20).start();
        row.at_percent(25);
        row.client.kill(0);
        row.serving.kill(0);
        if job_first {
            row.start_job("");
            row.client.alive[0].wait_for("the wait", |line| line.contains("waiting for server"));
            row.start_server("");
        } else {
            row.start_server("");
            row.serving.alive[0].wait_for("a start", |line| line == "*X* becoming primary");
            row.start_job("");
        }
        row.judge();
    }
}

#[test]
fn row_8_the_client_waits_for_what_starts_last() {
    let mut row = Row::new(65536, 13, 512 << 10);
    row.start_job("");
    row.client.alive[0].wait_for("the wait", |line| line.contains("waiting for server"));
    row.start_server("");
    row.judge();
}

#[test]
fn row_9_giant_messages() {
    let mut row = Row::new(64 << 20, 5, 64 << 20);
    row.job = "--durability os".into();
    row.server.clone_from(&row.job);
    row.start().judge();
}

#[test]
fn row_10_a_giant_checkpoint() {
    let mut row = Row::new(65536, 10, 4 << 20);
    let ballast = if full() { 2_000_483_648_u64 } else { 40 << 20 };
    row.server = format!("-m {ballast}");
    let mut row = row.start();
    row.at_percent(50);
    row.serving.kill(0);
    row.start_server("");
    row.judge();
}

#[test]
fn row_11_random_sizes() {
    let mut row = Row::new(32768, 5, 4 << 20);
    row.job = "-nds".into();
    let mut row = row.start();
    row.at_percent(40);
    row.client.kill(0);
    row.start_job("");
    // Every size is a power of two, so the total is that of any sizes.
    let total = row.total();
    let client = [row.client.dead, vec![row.client.alive.remove(0).succeed()]].concat();
    let server = vec![row.serving.alive.remove(0).succeed()];
    assert_eq!(rounds(&client).len(), 5);
    for (name, history) in [("client", &client), ("server", &server)] {
        assert_steady(name, history);
        assert_total(name, history, total);
    }
}

#[test]
fn row_12_without_echo() {
    let mut row = Row::new(1024, 5, 2 << 20);
    row.server = "-nbd".into();
    let mut row = row.start();
    let server = &row.serving.alive[0];
    server.wait_for("work", |line| {
        Progress::parse(line).is_some_and(|p| p.echoed > 1 << 20)
    });
    row.serving.kill(0);
    row.start_server("");
    let total = row.total();
    let job = vec![row.client.alive.remove(0).succeed()];
    assert_total("client", &job, 0);
    assert!(!job[0].iter().any(|line| line.contains("Service Received")));
    row.serving.dead.push(row.serving.alive.remove(0).succeed());
    assert_steady("server", &row.serving.dead);
    assert_total("server", &row.serving.dead, total);
}

#[test]
fn row_13_four_clients_of_one_server() {
    let world = World::new();
    let round = round_bytes(2 << 20);
    let server = world.start("server", "-j job -s server -n 4 --progress 5ms");
    let options = format!("-s server -n 3 --bytes-per-round {round} --progress 5ms");
    let start = |index: usize| world.start("job", &format!("-j job{index} {options}"));
    let mut jobs: Vec<_> = (0..4).map(start).collect();
    jobs[2].wait_fresh();
    let killed = std::mem::replace(&mut jobs[2], start(2)).kill();
    let total = 4 * formula(65536, round, 3, false).0;
    for (index, job) in jobs.into_iter().enumerate() {
        let mut history = vec![job.succeed()];
        if index == 2 {
            history.insert(0, killed.clone());
        }
        assert_steady("job", &history);
        assert_total("job", &history, total);
    }
    assert_total("server", &vec![server.succeed()], total);
}

#[test]
fn row_14_both_move_without_being_killed() {
    let mut row = Row::new(65536, 13, 1 << 20);
    row.job = "--rate 8MiB".into();
    let mut row = row.start();
    row.at_percent(10);
    let move_on = |side: &mut Side| {
        let (status, lines, errors) = side.alive.remove(0).end();
        assert_eq!(status.code(), Some(1));
        assert!(
            errors.contains("another execution asked for it"),
            "{errors}"
        );
        side.dead.push(lines);
    };
    row.start_job("--take-over");
    move_on(&mut row.client);
    row.at_percent(40);
    row.start_server("--take-over");
    move_on(&mut row.serving);
    row.judge();
}

/// A row whose sides have standbys: so many each, beside the one that acts.
fn with_standbys(rounds: usize, servers: usize, clients: usize) -> Row {
    let mut row = Row::new(65536, rounds, 1 << 20);
    if !full() {
        // Slow enough for all to take their places in time on a busy machine.
        row.job = format!("--rate {}", row.total() / 6);
    }
    let mut row = row.start();
    row.at_percent(2);
    for number in 1..=servers {
        row.start_server(&format!("--replica {number}"));
    }
    for number in 1..=clients {
        row.start_job(&format!("--replica {number}"));
    }
    row.serving.wait_until_standing_by();
    row.client.wait_until_standing_by();
    row
}

#[test]
fn rows_18_and_19_the_primary_of_three_is_killed_and_restarted() {
    let mut row = with_standbys(13, 2, 0);
    row.at_percent(30);
    row.serving.kill(0);
    acts(&mut row.serving);
    row.start_server("--replica 3");
    row.judge();
}

/// Brings the standby that acts now to the front.
fn acts(side: &mut Side) {
    perftest::wait_until("a successor", || {
        side.alive
            .iter()
            .any(|p| p.lines().iter().any(|line| takes_over(line)))
    });
    let takes = |p: &Process| p.lines().iter().any(|line| takes_over(line));
    let place = side.alive.iter().position(takes).unwrap();
    let acting = side.alive.remove(place);
    side.alive.insert(0, acting);
}

fn takes_over(line: &str) -> bool {
    line.starts_with("*X* execution epoch=")
}

#[test]
fn rows_20_and_21_standbys_are_killed() {
    let mut row = with_standbys(6, 2, 0);
    row.at_percent(20);
    row.serving.kill_standby(2);
    row.serving.kill_standby(1);
    row.start_server("--replica 2");
    row.start_server("--replica 1");
    row.serving.wait_until_standing_by();
    row.judge();
}

#[test]
fn row_22_both_primaries_are_killed() {
    let mut row = with_standbys(13, 1, 1);
    row.at_percent(25);
    row.client.kill(0);
    row.serving.kill(0);
    acts(&mut row.client);
    acts(&mut row.serving);
    row.judge();
}

#[test]
fn row_23_all_are_killed_and_restarted_in_order() {
    let mut row = with_standbys(13, 1, 1);
    row.at_percent(25);
    for side in [&mut row.client, &mut row.serving] {
        // The standbys first, or one of them would act for a moment.
        side.kill_standby(1);
        side.kill(0);
    }
    row.start_server("--replica 1");
    row.start_job("--replica 1");
    acts(&mut row.serving);
    acts(&mut row.client);
    row.start_server("--replica 2");
    row.start_job("--replica 2");
    row.serving.wait_until_standing_by();
    row.client.wait_until_standing_by();
    row.judge();
}

#[test]
fn row_24_a_standby_is_added_and_two_are_killed() {
    let mut row = with_standbys(13, 1, 0);
    row.start_server("--replica 2");
    row.serving.wait_until_standing_by();
    row.at_percent(20);
    row.serving.kill(0);
    acts(&mut row.serving);
    row.at_percent(40);
    row.serving.kill(0);
    acts(&mut row.serving);
    row.judge();
}

#[test]
fn row_25_kills_at_random_until_it_is_done() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut row = Row::new(65536, 5, 3 << 20);
    row.job = "--rate 8MiB".into();
    let mut row = row.start();
    for percent in (5..95).step_by(10) {
        row.at_percent(percent);
        let victims = rng.u8(1..4);
        if victims & 1 == 1 {
            row.client.kill(0);
        }
        if victims & 2 == 2 {
            row.serving.kill(0);
        }
        if row.serving.alive.is_empty() {
            row.start_server("");
        }
        if row.client.alive.is_empty() {
            row.start_job("");
        }
    }
    row.judge();
}

#[test]
fn what_is_done_is_said_again_by_a_restart() {
    let mut row = Row::new(65536, 4, 1 << 20).start();
    let total = row.total();
    row.client.alive.remove(0).succeed();
    row.serving.alive.remove(0).succeed();
    row.start_job("");
    row.start_server("");
    assert_total("client", &vec![row.client.alive.remove(0).succeed()], total);
    assert_total(
        "server",
        &vec![row.serving.alive.remove(0).succeed()],
        total,
    );
}

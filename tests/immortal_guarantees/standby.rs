//! A standby follows the execution that acts, relieves it, and takes its place.

use std::fs;
use std::thread;

use rustix::process::Signal;

use super::perftest::{
    History, Process, Progress, World, assert_steady, assert_total, formula, rounds, wait_until,
};
use super::{SMALL, bytes, job, server, stopped};

#[test]
fn a_standby_goes_on_where_the_dead_one_was_again_and_again() {
    let world = World::new();
    let mut histories = [History::new(), History::new()];
    let options = |program: &str| {
        match program {
        "job" => "-j client -s server -n 0 --mms 4096 --bytes-per-round 256KiB --log-trigger 200KiB --progress 5ms --replica 1".to_owned(),
        _ => server("--replica 1"),
    }
    };
    let mut acting = [
        world.start("server", &options("server")),
        world.start("job", &options("job")),
    ];
    for (kill, side) in [0, 1, 0, 0, 1, 1, 0, 1].into_iter().enumerate() {
        let program = ["server", "job"][side];
        acting[1].wait_fresh();
        // Before that, the other one might act in its place.
        acting[side].wait_for("its start", |line| line.starts_with("*X* execution "));
        let standby = world.start(program, &options(program));
        standby.wait_for("standing by", |line| line == "*X* standing by");
        if kill % 2 == 0 {
            // It follows over more than one generation.
            acting[1].wait_for("rounds", |line| line.starts_with("*X* round "));
        }
        let dead = std::mem::replace(&mut acting[side], standby);
        histories[side].push(dead.kill());
        acting[side].wait_fresh();
    }
    let [server, job] = acting;
    job.signal(Signal::USR1);
    histories[1].push(job.succeed());
    histories[0].push(server.succeed());
    // A standby says again what the dead one said, so the rounds of one history are
    // enough; the totals are those of the last.
    let rounds = rounds(&histories[1]);
    let total = formula(4096, 256 << 10, rounds.len(), true).0;
    for (side, history) in [("server", &histories[0]), ("client", &histories[1])] {
        assert_steady(side, history);
        assert_total(side, history, total);
    }
}

#[test]
fn a_standby_of_an_instance_that_never_lived_begins_it() {
    let world = World::new();
    let server = world.start("server", &server("--replica 1"));
    let job = world.start("job", &job("--replica 2"));
    assert_total("client", &vec![job.succeed()], bytes());
    assert_total("server", &vec![server.succeed()], bytes());
}

#[test]
fn a_standby_tells_of_damage_as_soon_as_nobody_acts() {
    let world = World::new();
    let _server = world.start("server", "-j server --stay");
    let options = "-j client -s server -n 0 --bytes-per-round 1MiB --progress 5ms --rate 8MiB";
    for what in ["corrupt", "missing"] {
        let acting = world.start("job", options);
        acting.wait_fresh();
        acting.wait_for("some work", |line| {
            Progress::parse(line).is_some_and(|p| !p.replaying && p.call > 40)
        });
        acting.stop();
        let newest = newest_checkpoint(&world, "client");
        let log = world.directory("client").join(format!("log-{newest:010}"));
        let whole = fs::read(&log).unwrap();
        if what == "corrupt" {
            let mut bad = whole.clone();
            bad[60] ^= 1;
            fs::write(&log, bad).unwrap();
        } else {
            fs::remove_file(&log).unwrap();
        }
        let standby = world.start("job", &format!("{options} --replica 1"));
        standby.wait_for("standing by", |line| line == "*X* standing by");
        acting.kill();
        let said = stopped(standby).1;
        let wanted = format!("error: {what} log {}", log.display());
        assert!(said.starts_with(&wanted), "{said}");
        fs::write(&log, &whole).unwrap();
    }
}

/// Number of the newest checkpoint of an instance.
fn newest_checkpoint(world: &World, instance: &str) -> u64 {
    let names = fs::read_dir(world.directory(instance)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let numbers = names.filter_map(|name| name.strip_prefix("checkpoint-")?.parse().ok());
    numbers.max().unwrap()
}

/// Checkpoints that a server has taken itself.
fn taken(server: &Process) -> usize {
    let lines = server.lines();
    let taken = lines.iter().filter(|l| l.starts_with("*X* At checkpoint"));
    taken.count()
}

/// A standby takes the checkpoints of the one that acts, which takes none meanwhile;
/// but takes its own again when the standby dies, or stands still.
fn relieved_until(the_end: Signal) {
    let world = World::new();
    let acting = world.start("server", &server("--durability os"));
    let job = world.start(
        "job",
        &format!("-j client -s server -n 0 --mms 4096 --bytes-per-round 256KiB {SMALL}"),
    );
    job.wait_fresh();
    acting.wait_for("its start", |line| line.starts_with("*X* execution "));
    let standby = world.start("server", &server("--durability os --replica 1"));
    standby.wait_for("the post", |line| line == "*X* taking the checkpoints");
    let comes_to = |number: u64| {
        wait_until("newer checkpoints", || {
            newest_checkpoint(&world, "server") >= number
        });
    };
    // The one under way was begun before.
    comes_to(newest_checkpoint(&world, "server") + 2);
    let before = taken(&acting);
    comes_to(newest_checkpoint(&world, "server") + 3);
    assert_eq!(taken(&acting), before, "it took some itself");
    assert!(taken(&standby) >= 3);
    standby.signal(the_end);
    wait_until("its own checkpoints", || taken(&acting) > before + 1);
    drop(standby);
    job.signal(Signal::USR1);
    let (job, server) = (vec![job.succeed()], vec![acting.succeed()]);
    let total = formula(4096, 256 << 10, rounds(&job).len(), true).0;
    for (side, history) in [("client", &job), ("server", &server)] {
        assert_steady(side, history);
        assert_total(side, history, total);
    }
}

#[test]
fn a_standby_takes_the_checkpoints_while_it_can() {
    thread::scope(|scope| {
        scope.spawn(|| relieved_until(Signal::KILL));
        scope.spawn(|| relieved_until(Signal::STOP));
    });
}

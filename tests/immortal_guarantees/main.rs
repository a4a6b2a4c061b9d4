//! What the runtime promises, each with a process that really dies, stops or loses
//! its disk at the moment that matters: here deaths at every place, and who may act.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod disk;
mod past;
#[path = "../perftest/mod.rs"]
mod perftest;
mod standby;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use aks_tui::immortal::crash;
use perftest::{Process, World, assert_steady, assert_total, formula, rounds, wait_until};
use rustix::process::Signal;

const BIN: &str = env!("CARGO_BIN_EXE_aks-tui");

/// A client and its server with small logs, so that generations come and go.
const SMALL: &str = "--log-trigger 200KiB --progress 5ms --verify-payload";

fn server(options: &str) -> String {
    format!("-j server {SMALL} {options}")
}

fn job(options: &str) -> String {
    format!("-j client -s server -n 4 --mms 4096 --bytes-per-round 512KiB {SMALL} {options}")
}

fn bytes() -> u64 {
    formula(4096, 512 << 10, 4, false).0
}

/// Starts `program`, to die at `place` the `nth` time it comes by.
fn doomed(world: &World, program: &str, options: &str, place: &str, nth: u64) -> Process {
    let mut command = world.command(program, options);
    command.env("AKS_TUI_CRASH_AT", format!("{place}:{nth}"));
    world.spawn(command)
}

/// The lines of a process that died as it was told to.
fn death(process: Process, place: &str) -> Vec<String> {
    let (status, lines, errors) = process.end();
    assert_eq!(status.signal(), Some(9), "not at {place}: {errors}");
    lines
}

/// Dies at a place, once in full work and once more while it recovers from that.
fn die_at(place: &'static str, victim: &str) {
    let world = World::new();
    // Slow enough that there are many pages.
    let job = job("--rate 3MiB");
    let (doomed_options, other, other_options) = match victim {
        "server" => (server("--durability os"), "job", job),
        _ => (job, "server", server("")),
    };
    let other = world.start(other, &other_options);
    // The first page and checkpoint are special; these are from the midst.
    let nth = match place {
        crash::EPOCH_COUNTED | crash::PRUNED => 1,
        crash::LOG_CREATED => 3,
        place if place.starts_with("page") => 7,
        _ => 2,
    };
    let first = doomed(&world, victim, &doomed_options, place, nth);
    let mut history = vec![death(first, place)];
    let second = doomed(&world, victim, &doomed_options, place, 1);
    history.push(death(second, place));
    history.push(world.start(victim, &doomed_options).succeed());
    let other = vec![other.succeed()];
    for (side, history) in [("victim", &history), ("other", &other)] {
        assert_steady(side, history);
        assert_total(side, history, bytes());
    }
}

#[test]
fn a_client_that_dies_at_any_place_loses_nothing() {
    thread::scope(|scope| {
        for place in crash::PLACES {
            scope.spawn(move || die_at(place, "job"));
        }
    });
}

#[test]
fn a_server_that_dies_at_any_place_loses_nothing() {
    thread::scope(|scope| {
        for place in crash::PLACES {
            scope.spawn(move || die_at(place, "server"));
        }
    });
}

#[test]
fn two_generations_lie_there_and_no_more() {
    let world = World::new();
    let server = world.start("server", &server("--stay"));
    world.start("job", &job("")).succeed();
    let count = |prefix: &str| {
        let names = fs::read_dir(world.directory("client")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(prefix)).count()
    };
    assert!(
        (1..=3).contains(&count("checkpoint-")),
        "{}",
        count("checkpoint-")
    );
    assert!((1..=3).contains(&count("log-")), "{}", count("log-"));
    drop(server);
}

/// Ends by itself with exit code 1 and one line; answers lines and that line.
fn stopped(process: Process) -> (Vec<String>, String) {
    let (status, lines, errors) = process.end();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    (lines, errors)
}

#[test]
fn an_instance_moves_to_the_execution_that_asks_for_it() {
    let world = World::new();
    let slow = "--rate 2MiB";
    let server_0 = world.start("server", &server(""));
    let job_0 = world.start("job", &job(slow));
    job_0.wait_fresh();
    let job_1 = world.start("job", &job(&format!("{slow} --take-over")));
    let (lines, said) = stopped(job_0);
    let wanted = "error: client (execution 1) has stopped: another execution asked for it\n";
    assert_eq!(said, wanted);
    let mut jobs = vec![lines];
    assert_eq!(job_1.wait_fresh().epoch, 2);
    let server_1 = world.start("server", &server("--take-over"));
    let (lines, said) = stopped(server_0);
    assert!(said.contains("server (execution 1) has stopped"), "{said}");
    let mut servers = vec![lines];
    assert_eq!(server_1.wait_fresh().epoch, 2);
    jobs.push(job_1.succeed());
    servers.push(server_1.succeed());
    for (side, history) in [("client", &jobs), ("server", &servers)] {
        assert_steady(side, history);
        assert_total(side, history, bytes());
    }
}

#[test]
fn an_execution_that_lost_its_directory_stops_by_itself() {
    let world = World::new();
    let _server = world.start("server", &server("--stay"));
    let endless = "-j client -s server -n 0 --bytes-per-round 64KiB --rate 1MiB --progress 5ms";
    // A later execution counts itself, on a file system whose locks do not exclude.
    let job = world.start("job", endless);
    job.wait_fresh();
    let lock = world.directory("client").join("lock");
    fs::write(&lock, "epoch 00000000000000000009\n").unwrap();
    let said = stopped(job).1;
    assert_eq!(
        said,
        "error: client (execution 1) has stopped: execution 9 has begun\n"
    );
    // The next one counts on from there.
    let job = world.start("job", endless);
    assert_eq!(job.wait_fresh().epoch, 10);
    wait_until("its checkpoint", || {
        let published = world.directory("client").join("checkpoint-0000000002");
        published.exists()
    });
    // Somebody clears up below it.
    fs::rename(
        world.directory("client"),
        world.logs.path().join("elsewhere"),
    )
    .unwrap();
    // Whoever notices first says it: the watch, or who would have written there.
    let said = stopped(job).1;
    let known = ["is no longer the directory it began with", "No such file"];
    assert!(known.iter().any(|text| said.contains(text)), "{said}");
}

/// Highest resident memory of a process so far, in bytes.
fn peak_memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

/// One side stands still for longer than a connection lives while the other could go
/// on at full speed: it waits in little memory, and goes on afterwards.
#[cfg(target_os = "linux")]
#[test]
fn a_stopped_peer_is_waited_for_in_little_memory() {
    const BOUND: u64 = 192 << 20;
    thread::scope(|scope| {
        for stopped in ["server", "job"] {
            scope.spawn(move || {
                let world = World::new();
                let options = "--durability os --progress 5ms";
                let server = world.start("server", &format!("-j server {options}"));
                let job = world.start(
                    "job",
                    &format!("-j client -s server -n 6 --bytes-per-round 48MiB {options}"),
                );
                job.wait_fresh();
                let (still, goes_on) = match stopped {
                    "server" => (&server, &job),
                    _ => (&job, &server),
                };
                still.signal(Signal::STOP);
                // Connections are given up after five seconds.
                thread::sleep(Duration::from_secs(7));
                let peak = peak_memory(goes_on);
                assert!(peak < BOUND, "{stopped} stopped: {} MiB", peak >> 20);
                still.signal(Signal::CONT);
                let total = formula(65536, 48 << 20, 6, false).0;
                job.wait_for("DONE", |line| line == "DONE");
                let (job, server) = (vec![job.succeed()], vec![server.succeed()]);
                assert_steady("client", &job);
                assert_steady("server", &server);
                assert_total("client", &job, total);
                assert_total("server", &server, total);
            });
        }
    });
}

#[test]
fn a_state_with_ballast_and_random_sizes_survives() {
    let world = World::new();
    let options = "--durability os --progress 5ms --verify-payload --log-trigger 1MiB";
    let server_options = format!("-j server -m 12MiB {options}");
    let server = world.start("server", &server_options);
    let job_options =
        format!("-j client -s server -n 6 -nds --mms 32768 --bytes-per-round 6MiB {options}");
    let job = world.start("job", &job_options);
    job.wait_for("round", |line| line.starts_with("*X* round index=2"));
    let mut servers = vec![server.kill()];
    let server = world.start("server", &server_options);
    job.wait_for("round", |line| line.starts_with("*X* round index=4"));
    let mut jobs = vec![job.kill()];
    jobs.push(world.start("job", &job_options).succeed());
    servers.push(server.succeed());
    let sizes: Vec<u64> = rounds(&jobs).iter().map(|(size, _)| *size).collect();
    assert_eq!((sizes.len(), sizes[0]), (6, 32768));
    let random = |size: &u64| size.is_power_of_two() && (16..32768).contains(size);
    assert!(sizes[1..].iter().all(random), "{sizes:?}");
    let halved = sizes.windows(2).all(|pair| pair[1] * 2 == pair[0]);
    assert!(!halved, "{sizes:?}");
    for (side, history) in [("client", &jobs), ("server", &servers)] {
        assert_steady(side, history);
        assert_total(side, history, 6 * (6 << 20));
        let damaged = history
            .iter()
            .flatten()
            .find(|line| line.starts_with("Damaged"));
        assert_eq!(damaged, None);
    }
    let checkpoint = fs::read_dir(world.directory("server")).unwrap();
    let carried = checkpoint
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .max();
    assert!(carried.unwrap() > 12 << 20);
}

#[test]
fn a_soak_kills_judges_and_says_so_in_json() {
    let world = World::new();
    let logs = world.logs.path().join("soak");
    for (target, standby) in [
        ("client", None),
        ("server", None),
        ("random", None),
        ("random", Some("--standby")),
    ] {
        let output = Command::new(BIN)
            .args("perftest soak --kills 9 --seed 5 --json --target".split(' '))
            .args([target, "--durability", "os", "--log"])
            .arg(&logs)
            .args(standby)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{target}: {text}{errors}");
        let verdict: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (field, value) in [
            ("kills", 9),
            ("survived", 9),
            ("lost", 0),
            ("duplicated", 0),
            ("seed", 5),
        ] {
            assert_eq!(verdict[field], value, "{target}: {text}");
        }
        assert!(verdict["failure"].is_null(), "{text}");
        assert!(verdict["bytes"].as_u64().unwrap() > 0 && verdict["rounds"].as_u64().unwrap() > 0);
    }
    assert_eq!(
        fs::read_dir(&logs).unwrap().count(),
        0,
        "a proof leaves nothing behind"
    );
}

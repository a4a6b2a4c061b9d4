//! What the runtime promises, each with a process that really dies, stops or loses
//! its disk at the moment that matters.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod perftest;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use aks_tui::immortal::crash;
use perftest::{
    History, Process, World, assert_steady, assert_total, formula, kept_log, rounds, wait_until,
};
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
            perftest::Progress::parse(line).is_some_and(|p| !p.replaying && p.call > 40)
        });
        acting.signal(Signal::STOP);
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
fn a_log_of_the_first_version_is_taken_up_where_it_ends() {
    let world = World::new();
    for instance in ["client", "server"] {
        kept_log(instance, &world.directory(instance));
    }
    let state = |lines: &[String]| {
        let line = lines
            .iter()
            .find(|line| line.starts_with("*X* state hash="));
        line.unwrap().clone()
    };
    // What a replay says is what the recovery says.
    let replays = ["client", "server"].map(|instance| {
        fs::write(world.directory(instance).join("lock"), "").unwrap();
        state(&replay(&world.directory(instance), None).0)
    });
    let server = world.start("server", "-j server --progress 5ms");
    let job = world.start(
        "job",
        "-j client -s server -n 4 --mms 2048 --bytes-per-round 16KiB --progress 5ms",
    );
    let (job, server) = (job.succeed(), server.succeed());
    assert_eq!([state(&job), state(&server)], replays);
    let total = formula(2048, 16 << 10, 4, false).0;
    assert_total("client", &vec![job], total);
    assert_total("server", &vec![server], total);
}

#[test]
fn another_format_is_refused_with_what_to_do() {
    let world = World::new();
    let directory = world.directory("client");
    let options = "-j client -s server -n 1";
    let change = |name: &str, at: usize| {
        let _ = fs::remove_dir_all(&directory);
        kept_log("client", &directory);
        let path = directory.join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = b'2';
        bytes[at + 20] ^= 1;
        fs::write(&path, bytes).unwrap();
        path
    };
    for (name, at) in [("log-0000000001", 3), ("checkpoint-0000000001", 7)] {
        let path = change(name, at);
        let said = stopped(world.start("job", options)).1;
        let wanted = format!(
            "error: {} was written in format 2, this program reads 1; finish with the version that wrote it, or remove the instance directory to start over\n",
            path.display()
        );
        assert_eq!(said, wanted);
    }
}

/// What `perftest replay` prints, and what it complains of.
fn replay(directory: &Path, from: Option<u64>) -> (Vec<String>, String) {
    let mut command = Command::new(BIN);
    command.args(["perftest", "replay"]).arg(directory);
    if let Some(from) = from {
        command.args(["--from", &from.to_string()]);
    }
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(str::to_owned).collect();
    (lines, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_replay_from_any_checkpoint_comes_to_the_state_that_was_lived() {
    let world = World::new();
    let kept = "--keep-logs --rate 8MiB";
    let mut histories = [History::new(), History::new()];
    let start = |side: usize| match side {
        0 => world.start("server", &server(kept)),
        _ => world.start("job", &job(kept)),
    };
    let mut pair = [start(0), start(1)];
    for side in [0, 1] {
        pair[1].wait_fresh();
        let (_, refused) = replay(&world.directory(["server", "client"][side]), None);
        assert!(
            refused.contains("is in use by a running execution"),
            "{refused}"
        );
        let next = |dead: &mut Process| std::mem::replace(dead, start(side));
        pair[side].signal(Signal::KILL);
        let dead = next(&mut pair[side]);
        let (status, lines, _) = dead.end();
        assert_eq!(status.signal(), Some(9));
        histories[side].push(lines);
    }
    let [server, job] = pair;
    histories[1].push(job.succeed());
    histories[0].push(server.succeed());
    for (name, history) in ["server", "client"].iter().zip(&histories) {
        assert_total(name, history, bytes());
        let lived = history.last().unwrap();
        let state = lived
            .iter()
            .rfind(|l| l.starts_with("*X* state hash="))
            .unwrap();
        let directory = world.directory(name);
        let (_, missing) = replay(&directory, Some(77));
        assert!(missing.contains("77 is not there, but 1, "), "{missing}");
        // A checkpoint that was not published before a kill is not there.
        let there = |number: &u64| directory.join(format!("checkpoint-{number:010}")).exists();
        let checkpoints: Vec<u64> = (1..1000).filter(there).collect();
        for from in [
            checkpoints[0],
            checkpoints[1],
            checkpoints[checkpoints.len() / 2],
        ] {
            let (lines, errors) = replay(&directory, Some(from));
            assert_eq!(errors, "", "{name} from {from}");
            assert_eq!(lines.last(), Some(state), "{name} from {from}");
            let replayed = lines
                .iter()
                .rfind(|l| l.starts_with("*X* replayed "))
                .unwrap();
            assert!(!replayed.contains("checkpoints_met=0"), "{replayed}");
            if from == 1 {
                // The whole life again: its output but for what was said twice.
                let said = |lines: &[String]| -> Vec<String> {
                    let lines = lines.iter().filter(|line| !line.starts_with("*X*"));
                    lines.cloned().collect()
                };
                let mut whole: Vec<String> = history.iter().flat_map(|l| said(l)).collect();
                whole.dedup();
                assert_eq!(said(&lines), whole, "{name}");
            }
        }
    }
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

/// Runs a shell script with a file system of its own at `$D`, as the caller of mount;
/// `None` where the kernel does not let us.
#[cfg(target_os = "linux")]
fn with_own_mounts(world: &World, script: &str) -> Option<Process> {
    let probe = Command::new("unshare")
        .args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.contains("namespaces"), "no namespaces here");
        return None;
    }
    let directory: PathBuf = world.logs.path().join("volume");
    fs::create_dir(&directory).unwrap();
    let job = "perftest job -c --sp 50001 -j client -s server -n 3 --mms 4096 --bytes-per-round 4MiB --progress 5ms --log";
    let mut command = Command::new("unshare");
    command
        .args(["-Urm", "sh", "-c", script])
        .env("D", &directory)
        .env("JOB", format!("{BIN} {job} {}", directory.display()));
    Some(world.spawn(command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let world = World::new();
    let _server = world.start("server", "-j server");
    let script = "mount -t tmpfs -o size=2m none $D; $JOB & \
                  until [ -e $D.room ]; do sleep 0.05; done; \
                  mount -o remount,size=200m $D; wait $!";
    let Some(job) = with_own_mounts(&world, script) else {
        return;
    };
    job.wait_for("the wait", |line| {
        line.starts_with("*X* waiting for space: ")
    });
    fs::write(world.logs.path().join("volume.room"), "").unwrap();
    let (status, lines, errors) = job.end();
    assert!(status.success(), "{errors}");
    let again = |line: &&String| line.starts_with("*X* there is space again after ");
    assert!(
        lines.iter().any(|line| again(&line)),
        "{}",
        lines.join("\n")
    );
    let total = formula(4096, 4 << 20, 3, false).0;
    assert_total("client", &vec![lines], total);
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_directory_is_one_line() {
    let world = World::new();
    let script = "mount -t tmpfs -o ro none $D; exec $JOB";
    let Some(job) = with_own_mounts(&world, script) else {
        return;
    };
    let said = stopped(job).1;
    assert!(
        said.starts_with("error: cannot create ") && said.contains("Read-only"),
        "{said}"
    );
}

#[test]
fn a_directory_that_cannot_be_is_one_line_and_one_that_is_missing_is_made() {
    let world = World::new();
    let deep = world.logs.path().join("a/b/c");
    let mut command = Command::new(BIN);
    let server = "perftest server -c -j server --stay --log";
    command.args(server.split(' ')).arg(&deep);
    let server = world.spawn(command);
    server.wait_for("a start", |line| line == "*X* becoming primary");
    assert!(deep.join("server_0/lock").exists());
    let mut command = Command::new(BIN);
    command.args("perftest job -c -j client -s server --log /dev/null/x".split(' '));
    let said = stopped(world.spawn(command)).1;
    assert!(
        said.starts_with("error: cannot create /dev/null/x/client_0: Not a dir"),
        "{said}"
    );
}

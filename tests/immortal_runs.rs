//! perftest as people run it: what it prints, what it accepts, what it refuses, and
//! how it ends.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod perftest;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use perftest::{Process, Progress, World, assert_steady, assert_total, disk_use, formula, rounds};
use rustix::process::Signal;

const BIN: &str = env!("CARGO_BIN_EXE_aks-tui");

/// What is the same in every run that goes right.
fn unstarred(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter().map(String::as_str);
    lines.filter(|line| !line.contains("*X*")).collect()
}

fn starred(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter().map(String::as_str);
    lines.filter(|line| line.starts_with("*X*")).collect()
}

#[test]
fn a_whole_gib_prints_the_lines_of_the_original() {
    let world = World::new();
    let server = world.start("server", "-j server --durability os");
    let job = world.start("job", "-j client -s server -n 1 -mms=32768 --durability os");
    let (job, server) = (job.succeed(), server.succeed());
    assert_eq!(
        unstarred(&job),
        [
            "Bytes per RPC\tThroughput (GB/sec)",
            "Service Received 1024 MB so far",
            "Bytes received: 1073741824",
            "DONE"
        ]
    );
    assert_eq!(
        unstarred(&server),
        [
            "Received 1024 MB so far",
            "Bytes received: 1073741824",
            "DONE"
        ]
    );
    assert_eq!(
        starred(&server)[..4],
        [
            "*X* execution epoch=1 durability=os",
            "*X* At checkpoint, received 0 messages",
            "*X* becoming primary",
            "*X* Server in Entry Point"
        ]
    );
    let at = "*X* At checkpoint, received ";
    let last = server.iter().rfind(|line| line.starts_with(at)).unwrap();
    let messages = last.strip_prefix(at).unwrap();
    let messages: u64 = messages.strip_suffix(" messages").unwrap().parse().unwrap();
    assert!((1..=32768).contains(&messages), "{last}");
    // A GiB went through each log.
    for instance in ["client", "server"] {
        let used = disk_use(&world.directory(instance));
        assert!(used <= 512 << 20, "{instance} keeps {used} bytes");
    }
}

#[test]
fn sizes_halve_and_floors_count() {
    let world = World::new();
    let server = world.start("server", "-j server");
    let job = world.start(
        "job",
        "-j client -s server -n 9 --mms 2500 --bytes-per-round 100000",
    );
    let histories = (vec![job.succeed()], vec![server.succeed()]);
    let (bytes, sizes) = formula(2500, 100_000, 9, false);
    assert_eq!(sizes, [2500, 1250, 625, 312, 156, 78, 39, 19, 16]);
    let printed: Vec<u64> = rounds(&histories.0).iter().map(|(size, _)| *size).collect();
    assert_eq!(printed, sizes);
    assert_total("client", &histories.0, bytes);
    assert_total("server", &histories.1, bytes);
}

#[test]
fn without_echo_the_job_receives_nothing() {
    let world = World::new();
    let server = world.start("server", "-j server -nbd");
    let job = world.start(
        "job",
        "-j client -s server -n 5 --mms 1024 --bytes-per-round 1MiB",
    );
    assert_total("client", &vec![job.succeed()], 0);
    assert_total("server", &vec![server.succeed()], 5 << 20);
}

#[test]
fn every_job_receives_what_all_of_them_sent() {
    let world = World::new();
    let server = world.start("server", "-j job -s server -n 2 --log-trigger 1MiB");
    let options = "-s server -n 3 --bytes-per-round 24MiB --log-trigger 1MiB";
    let first = world.start("job", &format!("-j job0 {options} --progress 10ms"));
    // The server owes everything to the job that is not there, and stops taking more:
    // it must still be able to welcome that job.
    let far = 15 << 20;
    first.wait_for("15 MiB of echoes", |line| {
        Progress::parse(line).is_some_and(|progress| progress.echoed > far)
    });
    let second = world.start("job", &format!("-j job1 {options} --progress 10ms"));
    second.wait_fresh();
    let before = second.kill();
    let second = world.start("job", &format!("-j job1 {options} --progress 10ms"));
    let first = vec![first.succeed()];
    let second = vec![before, second.succeed()];
    let total = 2 * formula(65536, 24 << 20, 3, false).0;
    for (name, history) in [
        ("job0", &first),
        ("job1", &second),
        ("server", &vec![server.succeed()]),
    ] {
        assert_steady(name, history);
        assert_total(name, history, total);
    }
}

#[test]
fn jobs_of_any_name_are_served_but_no_more_than_wanted() {
    let world = World::new();
    let server = world.start("server", "-j server");
    let options = "-s server -n 1 --bytes-per-round 1MiB";
    let one = format!("-j one {options} --stay");
    let job = world.start("job", &one);
    job.wait_for("DONE", |l| l == "DONE");
    // Its last acknowledgement may not have left: the server waits for its return.
    job.kill();
    let job = world.start("job", &one);
    server.succeed();
    drop(job);
    let server = world.start("server", "-j server --stay");
    let (status, _, errors) = world.start("job", &format!("-j two {options}")).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("serves one and nobody else"), "{errors}");
    server.wait_for("the refusal", |line| line.contains("refused a peer"));
}

#[test]
fn a_second_execution_waits_for_the_lock_and_takes_over() {
    let world = World::new();
    let options = "-j client -s server -n 0 --bytes-per-round 1MiB --progress 10ms";
    let _server = world.start("server", "-j server --stay");
    let first = world.start("job", options);
    first.wait_fresh();
    let second = world.start("job", options);
    let lock = world.directory("client").join("lock");
    let waiting = format!("*X* waiting for lock {}", lock.display());
    second.wait_for("waiting", |line| line == waiting);
    assert_eq!(second.lines(), [waiting], "it must not touch the directory");
    let before = first.kill();
    let taken_over = second.wait_fresh();
    assert_eq!(taken_over.epoch, 2);
    second.signal(Signal::USR1);
    let history = vec![before, second.succeed()];
    assert_steady("client", &history);
    let rounds = rounds(&history);
    assert_total("client", &history, (rounds.len() as u64) << 20);
}

#[test]
fn what_is_done_stays_done() {
    let world = World::new();
    let job_options = "-j client -s server -n 2 --bytes-per-round 1MiB";
    let server = world.start("server", "-j server");
    world.start("job", job_options).succeed();
    server.succeed();
    for _ in 0..2 {
        // Alone: nobody is needed to say it again.
        for (program, options) in [("server", "-j server"), ("job", job_options)] {
            let started = Instant::now();
            let lines = world.start(program, options).succeed();
            assert_total(program, &vec![lines], 2 << 20);
            assert!(started.elapsed() < Duration::from_secs(30));
        }
    }
    let staying = world.start("job", &format!("{job_options} --stay --progress 10ms"));
    staying.wait_for("DONE", |line| line == "DONE");
    staying.wait_fresh();
    staying.signal(Signal::TERM);
    assert_eq!(staying.end().0.signal(), Some(15));
}

#[test]
fn a_killed_server_is_found_again_and_said_once() {
    let world = World::new();
    let job = world.start(
        "job",
        "-j client -s server -n 0 --bytes-per-round 1MiB --progress 10ms",
    );
    job.wait_for("waiting", |line| {
        line.starts_with("*X* waiting for server at ")
    });
    // Many attempts fit into this; one line says them all.
    thread::sleep(Duration::from_millis(300));
    let said = |lines: &[String]| lines.iter().filter(|l| l.contains("waiting for")).count();
    assert_eq!(said(&job.lines()), 1);
    let server = world.start("server", "-j server");
    job.wait_for("connection", |line| line == "*X* connected to server");
    server.kill();
    job.wait_for("loss", |line| line.starts_with("*X* lost server at "));
    let server = world.start("server", "-j server");
    job.wait_for("reconnection", |line| line == "*X* connected to server");
    job.signal(Signal::USR1);
    let job = job.succeed();
    let sent = (rounds(&vec![job.clone()]).len() as u64) << 20;
    assert_eq!(said(&job), 1);
    assert_total("client", &vec![job], sent);
    assert_total("server", &vec![server.succeed()], sent);
}

/// A client with a log of many pages, killed; answers its last log.
fn killed_client(world: &World) -> std::path::PathBuf {
    let _server = world.start("server", "-j server --stay");
    // Slow enough that no checkpoint comes in between.
    let job = world.start(
        "job",
        "-j client -s server -n 0 --bytes-per-round 1MiB --progress 5ms --rate 16MiB",
    );
    job.wait_for("some megabytes", |line| {
        Progress::parse(line).is_some_and(|progress| progress.echoed > 3 << 20)
    });
    job.kill();
    world.directory("client").join("log-0000000001")
}

#[test]
fn damage_inside_a_log_is_an_error_that_names_the_place() {
    let world = World::new();
    let log = killed_client(&world);
    let whole = fs::read(&log).unwrap();
    // The second page begins where the first one says that it ends.
    let second = 48 + u32::from_le_bytes(whole[8..12].try_into().unwrap()) as usize;
    for at in [second + 9, second + 20, second + 60] {
        let mut bad = whole.clone();
        bad[at] ^= 4;
        fs::write(&log, &bad).unwrap();
        let (status, _, errors) = world
            .start("job", "-j client -s server -n 0 --bytes-per-round 1MiB")
            .end();
        assert_eq!(status.code(), Some(1));
        let place = format!("corrupt log {} at byte {second}:", log.display());
        assert!(errors.contains(&place), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn a_half_written_page_at_the_end_is_forgotten() {
    let world = World::new();
    let log = killed_client(&world);
    let mut whole = fs::read(&log).unwrap();
    // What a kill in the middle of a write leaves: the beginning of one more page.
    // That of the test may have left one itself; after the first recovery it is gone.
    for half in [0, 1, 47, 48, 60] {
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..half]);
        fs::write(&log, &torn).unwrap();
        // Only the newest log may end like that: later ones go.
        for entry in fs::read_dir(world.directory("client")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name > "log-0000000001" || name > "checkpoint-0000000001" && name < "lock" {
                fs::remove_file(&path).unwrap();
            }
        }
        // Nobody is there to talk to, so nothing is added.
        let job = world.start("job", "-j client -s server -n 0 --bytes-per-round 1MiB");
        job.wait_for("recovery", |line| line.starts_with("*X* recovered "));
        job.kill();
        let after = fs::read(&log).unwrap();
        if half == 0 {
            whole = after;
        } else {
            assert!(
                after == whole,
                "{half}: {} bytes, not {}",
                after.len(),
                whole.len()
            );
        }
    }
    let server = world.start("server", "-j server");
    let job = world.start("job", "-j client -s server -n 0 --progress 5ms");
    job.wait_fresh();
    job.signal(Signal::USR1);
    let lines = job.succeed();
    let total = lines
        .iter()
        .find(|line| line.starts_with("Bytes received: "));
    assert_eq!(
        total,
        server
            .succeed()
            .iter()
            .find(|l| l.starts_with("Bytes received: "))
    );
}

#[test]
fn the_recovered_state_wins_over_other_options_and_says_so() {
    let world = World::new();
    let server = world.start("server", "-j server");
    let options = "-j client -s server --bytes-per-round 1MiB --progress 5ms --rate 4MiB";
    let job = world.start("job", &format!("{options} -n 3"));
    job.wait_fresh();
    let before = job.kill();
    let job = world.start("job", &format!("{options} -n 5 --mms 1024"));
    let after = job.succeed();
    for wanted in [
        "*X* -n 5 is ignored: the recovered state says 3, and wins; remove the logs to start over",
        "*X* --mms 1024 is ignored: the recovered state says 65536, and wins; remove the logs to start over",
    ] {
        assert!(
            after.iter().any(|line| line == wanted),
            "{}",
            after.join("\n")
        );
    }
    let history = vec![before, after];
    let sizes: Vec<u64> = rounds(&history).iter().map(|(size, _)| *size).collect();
    assert_eq!(sizes, [65536, 32768, 16384]);
    assert_total("client", &history, 3 << 20);
    assert_total("server", &vec![server.succeed()], 3 << 20);
}

#[test]
fn a_rate_is_a_cap_and_the_curve_is_smooth() {
    let world = World::new();
    let _server = world.start("server", "-j server --stay");
    let started = Instant::now();
    let lines = world
        .start(
            "job",
            "-j client -s server -n 1 --bytes-per-round 4MiB --rate 8MiB --progress 10ms",
        )
        .succeed();
    // Half a second's worth, less the burst that is allowed.
    assert!(started.elapsed() > Duration::from_millis(400), "too fast");
    let mut steps: Vec<u64> = lines
        .iter()
        .filter_map(|line| Progress::parse(line))
        .map(|progress| progress.echoed)
        .collect();
    steps.dedup();
    assert!(steps.len() > 5, "{steps:?}");
    assert_total("client", &vec![lines], 4 << 20);
}

#[test]
fn a_lost_log_is_refused_in_one_line() {
    let world = World::new();
    let _server = world.start("server", "-j server --stay");
    let options = "-j client -s server -n 1 --bytes-per-round 1MiB";
    world.start("job", options).succeed();
    fs::remove_dir_all(world.directory("client")).unwrap();
    let (status, _, errors) = world.start("job", options).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("client has lost its log"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn wrong_arguments_are_one_line_and_exit_code_2() {
    for (arguments, said) in [
        ("job -s server", "Job name is required"),
        ("job -j client", "Server name is required"),
        ("server", "Job name is required"),
        ("job -j a -s b -n x", "invalid value 'x'"),
        ("job -j a -s b --mms 0", "change --mms"),
        ("job -j a -s b --bytes-per-round 1KiB", "holds no message"),
        ("job -j a -s b -sp 70000", "70000 is no port"),
        ("job -j a/b -s c", "no instance name"),
        ("job -j a -s b --rate 5XB", "no number of bytes"),
        ("job -j a -s b --progress soon", "no time"),
        ("job -j a -s b --progres 1s", "--progress"),
        ("server -j a -n 0", "0 is not in"),
        ("server -j a --durability none", "fsync"),
    ] {
        let output = Command::new(BIN)
            .arg("perftest")
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(errors.contains(said), "{arguments}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{arguments}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

#[test]
fn trouble_with_the_disk_is_one_line_and_exit_code_1() {
    let world = World::new();
    let file = world.logs.path().join("file");
    fs::write(&file, "").unwrap();
    let output = Command::new(BIN)
        .args(["perftest", "server", "-c", "-j", "server", "--log"])
        .arg(&file)
        .env("POD_IP", &world.host)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("error: cannot create "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");

    // A file that may not grow fails as a full disk does: in the middle of a page.
    let _server = world.start("server", "-j server --stay");
    let mut limited = Command::new("sh");
    limited
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"",
            BIN,
        ])
        .args(["perftest", "job", "-c", "-j", "client", "-s", "server"])
        .args(["--sp", "50001", "--bytes-per-round", "8MiB", "--log"])
        .arg(world.logs.path());
    let (status, lines, errors) = world.spawn(limited).end();
    assert_eq!(status.code(), Some(1), "{}", lines.join("\n"));
    let log = world.directory("client").join("log-0000000001");
    let said = format!("error: cannot write {}: File too large", log.display());
    assert!(errors.starts_with(&said), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    // Once there is room again, nothing is missing.
    let lines = world.start("job", "-j client -s server").succeed();
    assert_total("client", &vec![lines], formula(65536, 8 << 20, 13, false).0);
}

#[test]
fn the_names_and_spellings_of_the_documents_work() {
    let world = World::new();
    let tools = tempfile::tempdir().unwrap();
    let start = |name: &str, options: &str| {
        let path = tools.path().join(name);
        symlink(BIN, &path).unwrap();
        let mut command = Command::new(path);
        command
            .args(options.split_whitespace())
            .arg("--log")
            .arg(world.logs.path());
        world.spawn(command)
    };
    let server = start(
        "Server",
        "--sp 50001 --rp 50002 -j client -s server -n=1 --autoContinue",
    );
    let job = start(
        "Job",
        "-sp=50001 --rp 50002 -j client -s=server -mms=1024 -n 2 -c --bytes-per-round 1MiB",
    );
    assert_total("client", &vec![job.succeed()], 2 << 20);
    assert_total("server", &vec![server.succeed()], 2 << 20);
}

#[test]
fn without_auto_continue_it_waits_for_enter() {
    let world = World::new();
    let mut child = Command::new(BIN)
        .args(["perftest", "server", "-j", "server", "--log"])
        .arg(world.logs.path())
        .env("POD_IP", &world.host)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let server = Process::adopt(child);
    server.wait_for("the pause", |line| {
        line == "Pausing execution of server. Press enter to deploy and continue."
    });
    assert!(!world.directory("server").exists());
    input.write_all(b"\n").unwrap();
    server.wait_for("the start", |line| line == "*X* Server in Entry Point");
}

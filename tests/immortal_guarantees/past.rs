//! Logs of the past: of the first version, of another one, and lived again offline.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::perftest::{History, Process, World, assert_total, formula, kept_log};
use super::{BIN, bytes, job, server, stopped};

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

//! The whole path without a screen.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::sandbox::{GENTLE, Sandbox, ended, eventually, kill};

/// What a run said, and whether it called itself good.
struct Said {
    good: bool,
    outcome: Value,
    stderr: String,
}

fn started(sandbox: &Sandbox, args: &[&str]) -> Child {
    sandbox
        .command(&["demo", "--headless", "--json"])
        .args(GENTLE)
        .args(if args.contains(&"--every") {
            &[][..]
        } else {
            &["--every", "200ms"]
        })
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn said(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let last = stdout.lines().last();
    let last = last.unwrap_or_else(|| panic!("no outcome:\n{stderr}"));
    Said {
        good: output.status.success(),
        outcome: serde_json::from_str(last).unwrap(),
        stderr,
    }
}

#[track_caller]
fn headless(sandbox: &Sandbox, args: &[&str]) -> Said {
    said(started(sandbox, args))
}

fn trials(outcome: &Value) -> &[Value] {
    outcome["trials"].as_array().unwrap()
}

/// Each kill is proved by what died, how, and who came after it.
#[track_caller]
fn assert_survived(said: &Said, kills: u64) {
    let Said {
        good,
        outcome,
        stderr,
    } = said;
    assert!(good, "{outcome:#}\n{stderr}");
    assert_eq!(outcome["kills"], kills, "{outcome:#}");
    assert_eq!(outcome["survived"], kills, "{outcome:#}");
    assert_eq!(outcome["lost"], 0, "{outcome:#}");
    assert_eq!(outcome["duplicated"], 0, "{outcome:#}");
    let bytes = &outcome["bytes_received"];
    assert!(bytes["expected"].as_u64().unwrap() > 0, "{outcome:#}");
    assert_eq!(bytes["server"], bytes["expected"], "{outcome:#}");
    assert_eq!(bytes["client"], bytes["expected"], "{outcome:#}");
    assert_eq!(trials(outcome).len() as u64, kills, "{outcome:#}");
    for trial in trials(outcome) {
        assert_proved(trial);
    }
}

#[track_caller]
fn assert_proved(trial: &Value) {
    let epoch = |key: &str| trial[key].as_u64().unwrap();
    assert!(epoch("epoch_after") > epoch("epoch_before"), "{trial:#}");
    assert!(
        trial["pid_before"].is_u64() || trial["fault"] == "pod",
        "{trial:#}"
    );
    assert!(trial["pid_after"].is_u64(), "{trial:#}");
    assert_ne!(
        trial["container_before"], trial["container_after"],
        "{trial:#}"
    );
    let signal = trial["signal"].as_i64();
    let plain = trial["fault"] == "process (TERM)";
    let expected = if plain { 15 } else { 9 };
    assert_eq!(signal, Some(expected), "{trial:#}");
    let phases: f64 = trial["phases_ms"]
        .as_object()
        .unwrap()
        .values()
        .map(|ms| ms.as_f64().unwrap())
        .sum();
    let rto = trial["rto_ms"].as_f64().unwrap();
    assert!((rto - phases).abs() < 0.1, "the phases add up: {trial:#}");
}

/// What was done to whom, in order.
fn schedule(outcome: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |trial: &Value| (text(&trial["fault"]), text(&trial["target"]));
    trials(outcome).iter().map(of).collect()
}

#[test]
fn kills_of_the_client_are_survived_and_proved() {
    let sandbox = Sandbox::new();
    let said = headless(&sandbox, &["--kills", "3"]);
    assert_survived(&said, 3);
    for (fault, target) in schedule(&said.outcome) {
        assert_eq!((&*fault, &*target), ("process", "client"));
    }
    sandbox.assert_clean();
}

#[test]
fn every_fault_on_either_side_is_survived_and_a_seed_repeats_the_schedule() {
    let args = [
        "--kills", "5", "--fault", "mixed", "--target", "random", "--seed", "7",
    ];
    let schedules = [(); 2].map(|()| {
        let sandbox = Sandbox::new();
        let said = headless(&sandbox, &args);
        assert_survived(&said, 5);
        sandbox.assert_clean();
        schedule(&said.outcome)
    });
    assert_eq!(schedules[0], schedules[1]);
    let different = |of: fn(&(String, String)) -> &String| {
        let mut all: Vec<_> = schedules[0].iter().map(of).collect();
        all.sort();
        all.dedup();
        all.len()
    };
    assert!(
        different(|it| &it.0) == 3 && different(|it| &it.1) == 2,
        "a seed with variety: {schedules:?}"
    );
}

#[test]
fn it_is_so_in_process_groups_too() {
    let sandbox = Sandbox::new();
    let args = [
        "--kills",
        "3",
        "--isolation",
        "group",
        "--fault",
        "mixed",
        "--seed",
        "3",
    ];
    assert_survived(&headless(&sandbox, &args), 3);
    sandbox.assert_clean();
}

/// The first restart is not held back, so that recovery times with and without
/// back-off are one; the second is, by ten seconds.
#[test]
fn recovery_times_differ_only_by_the_back_off_that_there_was() {
    let sandbox = Sandbox::new();
    let said = headless(&sandbox, &["--kills", "2", "--backoff", "kubernetes"]);
    assert_survived(&said, 2);
    let outcome = &said.outcome;
    let ms = |value: &Value| value.as_f64().unwrap_or_default();
    let [first, second] = trials(outcome) else {
        panic!("{outcome:#}");
    };
    assert!(ms(&first["phases_ms"]["backoff"]) < 100.0, "{outcome:#}");
    let held_back = ms(&second["phases_ms"]["backoff"]);
    assert!((8_000.0..12_000.0).contains(&held_back), "{outcome:#}");
    let (all, without) = (&outcome["rto_ms"], &outcome["rto_without_backoff_ms"]);
    assert!(ms(&all["max"]) > 8_000.0, "{outcome:#}");
    assert!(
        ms(&without["max"]) < ms(&all["max"]) - 8_000.0,
        "{outcome:#}"
    );
    sandbox.assert_clean();
}

#[test]
fn without_a_terminal_the_demo_needs_no_option() {
    let sandbox = Sandbox::new();
    let output = sandbox.command(&["demo"]).args(GENTLE).output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(
        stdout.contains("3 kills, 3 survived, 0 lost, 0 duplicated"),
        "{stdout}"
    );
    assert!(stderr.contains("no terminal"), "{stderr}");
    sandbox.assert_clean();
}

#[test]
fn a_signal_in_the_middle_ends_it_cleanly_and_not_well() {
    for signal in [Signal::INT, Signal::TERM] {
        let sandbox = Sandbox::new();
        let mut child = started(&sandbox, &["--kills", "1000"]);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // After the first kill there is something to lose.
        while !line.contains("#1 ") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
        }
        kill(child.id() as i32, signal);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        let said = said(child);
        assert!(!said.good);
        assert!(rest.contains("stopped by a signal"), "{rest}");
        assert!(said.outcome["survived"].as_u64().unwrap() >= 1);
        sandbox.assert_clean();
    }
}

#[test]
fn a_signal_at_once_leaves_nothing_either() {
    let sandbox = Sandbox::new();
    let mut child = started(&sandbox, &[]);
    eventually("there is a lab", || !sandbox.processes().is_empty());
    kill(child.id() as i32, Signal::INT);
    assert!(!ended(&mut child));
    sandbox.assert_clean();
}

/// A client whose server stands still does not come back, for real.
#[test]
fn a_kill_that_is_not_survived_is_no_success() {
    let sandbox = Sandbox::new();
    let mut child = started(
        &sandbox,
        &["--kills", "2", "--every", "1s", "--within", "2s"],
    );
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("steady state") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
    }
    for pid in sandbox.processes_called("Server") {
        kill(pid, Signal::STOP);
    }
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let Said { good, outcome, .. } = said(child);
    assert!(!good, "{outcome:#}");
    assert!(rest.contains("not every kill was survived"), "{rest}");
    assert_eq!(
        outcome["kills"], 1,
        "there is no point in a second: {outcome:#}"
    );
    assert_eq!(outcome["survived"], 0, "{outcome:#}");
    assert_eq!(trials(&outcome)[0]["state"], "timed out", "{outcome:#}");
    sandbox.assert_clean();
}

#[test]
fn a_test_bed_is_made_used_and_cleaned_up_from_scratch() {
    let sandbox = Sandbox::new();
    let child = sandbox
        .command(&["demo", "--from-scratch", "--headless", "--json"])
        .args(GENTLE)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let Said {
        good,
        outcome,
        stderr,
    } = said(child);
    assert!(good, "{outcome:#}\n{stderr}");
    assert_eq!(outcome["survived"], true, "{outcome:#}");
    assert_eq!(outcome["nothing_left"], true, "{outcome:#}");
    assert_eq!(outcome["kill"]["lost"], 0, "{outcome:#}");
    assert_eq!(outcome["kill"]["signal"], 9, "{outcome:#}");
    let steps = outcome["steps"].as_array().unwrap();
    let steps: Vec<_> = steps.iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["provision", "deploy", "kill", "clean", "plan"]);
    // Who reads along sees what is made, what it costs, and its end.
    for word in ["container registry", "USD/h", "gone"] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    sandbox.assert_clean();
}

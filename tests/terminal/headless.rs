//! The whole path without a screen.

use serde_json::Value;

use crate::sandbox::{GENTLE, Sandbox};

fn headless(sandbox: &Sandbox, args: &[&str]) -> (bool, Value, String) {
    let mut all = vec!["demo", "--headless", "--json", "--every", "300ms"];
    all.extend(GENTLE);
    all.extend(args);
    let output = sandbox.command(&all).output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    let last = stdout
        .lines()
        .last()
        .unwrap_or_else(|| panic!("no outcome:\n{stderr}"));
    (
        output.status.success(),
        serde_json::from_str(last).unwrap(),
        stderr,
    )
}

/// Each kill is proved by what died, how, and who came after it.
#[track_caller]
fn assert_survived(outcome: &Value, kills: u64) {
    assert_eq!(outcome["kills"], kills, "{outcome:#}");
    assert_eq!(outcome["survived"], kills, "{outcome:#}");
    assert_eq!(outcome["lost"], 0, "{outcome:#}");
    assert_eq!(outcome["duplicated"], 0, "{outcome:#}");
    let bytes = &outcome["bytes_received"];
    assert!(bytes["expected"].as_u64().unwrap() > 0, "{outcome:#}");
    assert_eq!(bytes["server"], bytes["expected"], "{outcome:#}");
    assert_eq!(bytes["client"], bytes["expected"], "{outcome:#}");
    let trials = outcome["trials"].as_array().unwrap();
    assert_eq!(trials.len() as u64, kills, "{outcome:#}");
    for trial in trials {
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
        let rto = trial["rto_ms"].as_f64().unwrap();
        let phases: f64 = trial["phases_ms"]
            .as_object()
            .unwrap()
            .values()
            .map(|ms| ms.as_f64().unwrap())
            .sum();
        assert!((rto - phases).abs() < 0.1, "the phases add up: {trial:#}");
    }
}

#[test]
fn kills_of_the_client_are_survived_and_proved() {
    let sandbox = Sandbox::new();
    let (good, outcome, stderr) = headless(&sandbox, &["--kills", "3"]);
    assert!(good, "{outcome:#}\n{stderr}");
    assert_survived(&outcome, 3);
    for trial in outcome["trials"].as_array().unwrap() {
        assert_eq!(trial["signal"], 9, "{trial:#}");
        assert_eq!(trial["target"], "client");
    }
    sandbox.assert_clean();
}

#[test]
fn every_fault_on_either_side_is_survived() {
    let sandbox = Sandbox::new();
    let args = [
        "--kills", "6", "--fault", "mixed", "--target", "random", "--seed", "7",
    ];
    let (good, outcome, stderr) = headless(&sandbox, &args);
    assert!(good, "{outcome:#}\n{stderr}");
    assert_survived(&outcome, 6);
    let of = |key: &str| {
        let trials = outcome["trials"].as_array().unwrap();
        trials
            .iter()
            .map(|t| t[key].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(
        of("fault").len() > 1 && of("target").len() > 1,
        "a seed with variety: {outcome:#}"
    );
    sandbox.assert_clean();
}

#[test]
fn it_is_so_in_process_groups_too() {
    let sandbox = Sandbox::new();
    let args = [
        "--kills",
        "2",
        "--isolation",
        "group",
        "--fault",
        "mixed",
        "--seed",
        "3",
    ];
    let (good, outcome, stderr) = headless(&sandbox, &args);
    assert!(good, "{outcome:#}\n{stderr}");
    assert_survived(&outcome, 2);
    sandbox.assert_clean();
}

#[test]
fn without_a_terminal_the_demo_needs_no_option() {
    let sandbox = Sandbox::new();
    let mut args = vec!["demo"];
    args.extend(GENTLE);
    let output = sandbox.command(&args).output().unwrap();
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

//! The lab's scenarios, looked at as a person on call would: through kubectl.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/lab.rs"]
mod support;

use std::process::{Command, Stdio};

use support::{Lab, eventually, required};

/// A lab in a situation, without perftest; none where there is no kubectl.
fn staged(scenario: &str) -> Option<Lab> {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    if !version.is_ok_and(|it| it.status.success()) {
        assert!(!required("kubectl"), "kubectl is required and not there");
        println!("skipped: there is no kubectl on this machine");
        return None;
    }
    Some(Lab::start(&["--empty", "--scenario", scenario]))
}

fn kubectl(lab: &Lab, line: &str) -> String {
    let output = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(lab.kubeconfig())
        .args(line.split(' '))
        .env("HOME", lab.state.parent().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said + &String::from_utf8(output.stderr).unwrap()
}

/// Waits until what kubectl prints has all these words.
fn shows(lab: &Lab, line: &str, words: &[&str]) {
    eventually(&format!("kubectl {line} shows {words:?}"), || {
        let said = kubectl(lab, line);
        words.iter().all(|word| said.contains(word))
    });
}

#[test]
fn crashloop_backs_off_and_tells_its_last_words() {
    let Some(lab) = staged("crashloop") else {
        return;
    };
    shows(&lab, "get pods -l app=checkout", &["CrashLoopBackOff"]);
    shows(
        &lab,
        "describe pods -l app=checkout",
        &["Exit Code:    3", "BackOff"],
    );
    shows(
        &lab,
        "logs -l app=checkout --previous",
        &["something went wrong, exit code 3"],
    );
    shows(&lab, "get deploy catalogue", &["1/1"]);
}

#[test]
fn imagepull_waits_for_an_image_and_is_mended_by_another() {
    let Some(lab) = staged("imagepull") else {
        return;
    };
    shows(&lab, "get pods -l app=cart", &["ImagePullBackOff"]);
    shows(
        &lab,
        "describe pods -l app=cart",
        &["shop.example.com/cart:v2", "ErrImagePull"],
    );
    kubectl(&lab, "set image deploy/cart cart=aks-tui/pause");
    shows(&lab, "get deploy cart", &["2/2"]);
}

#[test]
fn noisy_has_a_signal_in_the_noise() {
    let Some(lab) = staged("noisy") else { return };
    shows(&lab, "logs -l app=signal", &["line 2 of the flood"]);
    eventually("the noise is loud", || {
        let lines = kubectl(&lab, "logs -l app=noise --since=2s --tail=-1");
        lines.lines().count() > 3_000
    });
}

#[test]
fn stuck_rollout_keeps_the_old_pods_and_can_be_undone() {
    let Some(lab) = staged("stuck-rollout") else {
        return;
    };
    shows(&lab, "get pods -l app=front", &["ImagePullBackOff"]);
    shows(&lab, "get deploy front", &["3/3"]);
    shows(
        &lab,
        "rollout history deploy/front",
        &["image v2, which no registry has"],
    );
    shows(
        &lab,
        "rollout status deploy/front",
        &["exceeded its progress deadline"],
    );
    kubectl(&lab, "rollout undo deploy/front");
    shows(
        &lab,
        "rollout status deploy/front",
        &["successfully rolled out"],
    );
}

#[test]
fn ten_thousand_pods_cost_no_processes_and_change() {
    let Some(lab) = staged("10k-pods") else {
        return;
    };
    eventually("there are ten thousand pods", || {
        kubectl(&lab, "get pods -A -o name").lines().count() == 10_000
    });
    assert_eq!(
        kubectl(&lab, "get nodes -o name -l lab.aks-tui.dev/simulated=true")
            .lines()
            .count(),
        500
    );
    shows(&lab, "get pods -n crowd-00", &["1/1", "0/1"]);
    let log = kubectl(&lab, "logs -n crowd-00 orders-00000");
    assert!(log.contains("rror from server"), "{log}");
    // The lab itself and a few of its own; none for the pods.
    let processes = support::marked(&lab.run);
    assert!(processes.len() < 10, "{processes:?}");
}

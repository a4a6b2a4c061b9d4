//! The lab's scenarios, looked at as a person on call would: through kubectl.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

#[path = "support/lab.rs"]
mod support;

use std::process::{Command, Stdio};

use support::{Lab, eventually, required};

/// A lab in a situation, without perftest; none where there is no kubectl.
fn staged(scenario: &str) -> Option<Lab> {
    staged_with(scenario, &[])
}

fn staged_with(scenario: &str, more: &[&str]) -> Option<Lab> {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    if !version.is_ok_and(|it| it.status.success()) {
        assert!(!required("kubectl"), "kubectl is required and not there");
        println!("skipped: there is no kubectl on this machine");
        return None;
    }
    let mut arguments = vec!["--empty", "--scenario", scenario];
    arguments.extend(more);
    Some(Lab::start(&arguments))
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
fn pending_says_what_it_waits_for_and_is_mended_by_that() {
    let Some(lab) = staged("pending") else { return };
    shows(&lab, "get pods -l app=invoices", &["Pending"]);
    shows(
        &lab,
        "describe pods -l app=invoices",
        &[
            "FailedScheduling",
            "0/1 nodes are available",
            "didn't match Pod's node affinity/selector",
        ],
    );
    shows(
        &lab,
        "describe pvc ledger",
        &[
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"fast-ssd\" not found",
        ],
    );
    shows(
        &lab,
        "describe pods -l app=ledger",
        &[
            "Status:           Pending",
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. \
             preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ],
    );
    shows(
        &lab,
        "describe pods -l app=forecast",
        &[
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are \
             available: 1 Preemption is not helpful for scheduling.",
        ],
    );
    kubectl(&lab, "set resources deploy/forecast --requests=cpu=100m");
    shows(&lab, "get deploy forecast", &["1/1"]);
    kubectl(&lab, "label node lab-node-0 pool=gpu");
    shows(&lab, "get deploy invoices", &["1/1"]);
    // The class that there was not, as a person would add it.
    let class = lab.state.join("../class.yaml");
    let text = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\n\
                metadata: {name: fast-ssd}\nprovisioner: disk.csi.azure.com\n";
    std::fs::write(&class, text).unwrap();
    kubectl(&lab, &format!("apply -f {}", class.display()));
    shows(&lab, "get pvc ledger", &["Bound"]);
    shows(&lab, "get deploy ledger", &["1/1"]);
}

#[test]
fn slow_start_is_waited_for_by_one_probe_and_killed_by_the_other() {
    let Some(lab) = staged("slow-start") else {
        return;
    };
    shows(&lab, "get pods -l app=search", &["0/1", "Running"]);
    shows(
        &lab,
        "describe pods -l app=search",
        &["Startup probe failed: HTTP probe failed with statuscode: 503"],
    );
    shows(
        &lab,
        "describe pods -l app=reports",
        &["Container reports failed liveness probe, will be restarted"],
    );
    shows(&lab, "get deploy search", &["1/1"]);
    let restarts =
        "get pods -l app=search -o jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    assert_eq!(kubectl(&lab, restarts), "0");
    let patience = r#"[{"op":"add","path":"/spec/template/spec/containers/0/livenessProbe/initialDelaySeconds","value":20}]"#;
    let mend = format!("patch deploy reports --type=json -p {patience}");
    let said = kubectl(&lab, &mend);
    assert!(said.contains("patched"), "{said}");
    shows(&lab, "get deploy reports", &["1/1"]);
}

#[test]
fn flapping_node_takes_its_pods_with_it_and_comes_back() {
    let Some(lab) = staged_with("flapping-node", &["--nodes", "3"]) else {
        return;
    };
    shows(&lab, "get deploy kiosk", &["6/6"]);
    shows(&lab, "get pods -o wide", &["lab-node-2"]);
    let power = r"get node lab-node-2 -o jsonpath={.metadata.annotations.aks-tui\.dev/power}";
    let pauses = || {
        let running = support::marked(&lab.run);
        running.iter().filter(|it| it.ends_with(" pause")).count()
    };
    let all = pauses();
    shows(&lab, power, &["off"]);
    eventually("its pods' programs are dead", || pauses() < all);
    shows(&lab, power, &["on"]);
    shows(&lab, "get deploy kiosk", &["6/6"]);
    eventually("all programs run again", || pauses() == all);
    let restarts = "get pods -o jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    shows(&lab, restarts, &["1"]);
}

#[test]
fn flapping_node_is_refused_where_no_other_node_stays() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let refused = Lab::start_on(&state, &["--empty", "--scenario", "flapping-node"]);
    let why = refused.err().expect("it is refused");
    assert!(why.contains("start the lab with --nodes 3"), "{why}");
    assert!(!state.exists(), "nothing was begun");
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

#[test]
fn oom_is_a_kill_by_the_kernel_and_is_mended_by_a_greater_limit() {
    let Some(lab) = staged("oom") else { return };
    let limits = kubectl(&lab, "describe nodes");
    let limits = limits
        .lines()
        .find(|it| it.contains("lab.aks-tui.dev/limits"));
    let limits = limits.unwrap();
    if !limits.contains(" memory") {
        assert!(
            !required("cgroups"),
            "control groups are required: {limits}"
        );
        println!("skipped: limits kept here: {limits}");
        let said = kubectl(&lab, "get deploy cache");
        assert!(said.contains("not found"), "{said}");
        return;
    }
    shows(
        &lab,
        "describe pods -l app=cache",
        &[
            "Reason:       OOMKilled",
            "Exit Code:    137",
            "memory:  64Mi",
        ],
    );
    shows(&lab, "get pods -l app=cache", &["CrashLoopBackOff"]);
    shows(&lab, "get deploy session", &["1/1"]);
    let said = kubectl(&lab, "get pods -l app=session");
    assert!(said.contains(" 0 "), "no restart: {said}");
    kubectl(&lab, "set resources deploy/cache --limits=memory=160Mi");
    shows(&lab, "logs -l app=cache", &["holding 96 MiB"]);
    shows(&lab, "get deploy cache", &["1/1"]);
}

#[test]
fn where_limits_are_not_kept_the_lab_says_so() {
    let Some(lab) = staged_with("oom", &["--no-limits"]) else {
        return;
    };
    shows(
        &lab,
        "describe nodes",
        &["lab.aks-tui.dev/limits: none: the lab was started with --no-limits"],
    );
    let said = kubectl(&lab, "get deploy cache");
    assert!(said.contains("not found"), "{said}");
    let file = lab.state.join("../pod.yaml");
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: bounded}\nspec:\n  containers:\n  \
                - {name: a, image: aks-tui/pause, resources: {limits: {cpu: 100m}}}\n  \
                - {name: b, image: aks-tui/pause, resources: {limits: {memory: 64Mi}}}\n";
    std::fs::write(&file, text).unwrap();
    kubectl(&lab, &format!("apply -f {}", file.display()));
    shows(&lab, "get pod bounded", &["2/2"]);
    let events = "get events --field-selector reason=LimitsNotEnforced --no-headers";
    shows(
        &lab,
        events,
        &["Warning", "limits of cpu are not enforced here"],
    );
    assert_eq!(kubectl(&lab, events).lines().count(), 1);
}

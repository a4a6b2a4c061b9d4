//! Commands through kubectl, in each protocol that it speaks.

use std::io::Write;
use std::process::{Output, Stdio};

use super::kubectl::{kubectl, kubectl_is_here};
use super::support::Lab;
use super::{KUBECTLS, isolated, run};

/// A pod that does nothing, to run commands in.
fn idle(lab: &Lab) {
    run(
        lab,
        "idle",
        &["--image=aks-tui/shell", "--command", "--", "sleep", "10000"],
    );
}

/// Runs a command in the pod with this input.
fn exec(lab: &Lab, websockets: &str, input: &[u8], command: &[&str]) -> Output {
    let mut all = vec!["exec", "-i", "idle", "--"];
    all.extend(command);
    let mut child = kubectl(lab, &all)
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that does not read closes its end.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

#[test]
fn kubectl_of_either_age_runs_commands() {
    if !kubectl_is_here() {
        return;
    }
    let Some(lab) = isolated() else { return };
    idle(&lab);
    for (age, websockets) in KUBECTLS {
        let script = "echo out; echo err >&2; exit 7";
        let output = exec(&lab, websockets, b"", &["sh", "-c", script]);
        assert_eq!(output.stdout, b"out\n", "{age}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            errors, "err\ncommand terminated with exit code 7\n",
            "{age}"
        );
        assert_eq!(output.status.code(), Some(7), "{age}");

        // Every byte arrives and comes back, and the end of input is told.
        let bytes: Vec<u8> = (0..3_000_000_u32)
            .map(|it| (it.wrapping_mul(it) >> 7) as u8)
            .collect();
        let output = exec(&lab, websockets, &bytes, &["cat"]);
        assert!(output.stdout == bytes, "{age}: {}", output.stdout.len());
        assert_eq!(output.status.code(), Some(0), "{age}");

        let output = exec(&lab, websockets, b"", &["no-such-program"]);
        assert_eq!(output.status.code(), Some(127), "{age}");
    }
}

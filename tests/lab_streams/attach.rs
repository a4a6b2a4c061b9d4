//! Programs with an input or a terminal of their own, and whoever attaches.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{connect, is_running, run, shell, until, within};
use super::kubectl::{kubectl, kubectl_is_here, ok};
use super::support::Lab;
use super::{KUBECTLS, isolated};

#[test]
fn a_program_run_for_its_output_reads_what_is_typed() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    for (age, websockets) in KUBECTLS {
        let script = "read line; echo got $line; cat; echo end; exit 3";
        let mut child = kubectl(
            &lab,
            &[
                "run",
                age,
                "-i",
                "--rm",
                "--restart=Never",
                "--image=aks-tui/shell",
                "--command",
                "--",
                "sh",
                "-c",
                script,
            ],
        )
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        // The end of kubectl's input is the end of the program's.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\nthree\n").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("got one\ntwo\nthree\nend\n"), "{age}: {said}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{age}: {errors}");
        assert_eq!(ok(&lab, &["get", "pods", "-o", "name"]), "", "{age}");
    }
}

#[test]
fn a_shell_that_is_a_pod_is_a_terminal() {
    if !kubectl_is_here() {
        return;
    }
    let Some(lab) = isolated() else { return };
    // `script` gives kubectl the terminal that a person's would be.
    let command = format!(
        "stty cols 91 rows 27; kubectl --kubeconfig {} run term -it --rm --restart=Never \
         --image=aks-tui/shell -- sh",
        lab.kubeconfig().display()
    );
    let mut shell = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = shell.stdin.take().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut until = |text: &str| {
        let mut seen = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("{text}: {seen:?}"));
            let line = line.unwrap();
            let found = line.contains(text);
            seen.push(line);
            if found {
                return seen.join("\n");
            }
        }
    };
    // Typed ahead: it waits in the terminal until the shell reads it.
    keys.write_all(b"until stty size | grep '27 91'; do sleep 0.05; done; tty; echo at-$((6*7))\n")
        .unwrap();
    let seen = until("at-42");
    assert!(seen.contains("27 91"), "{seen}");
    assert!(seen.contains("/dev/pts/0"), "{seen}");
    let log = ok(&lab, &["logs", "term"]);
    assert!(log.contains("/dev/pts/0"), "{log}");
    keys.write_all(b"(echo in-$((1+2)); exec sleep 306)\n")
        .unwrap();
    until("in-3");
    keys.write_all(b"\x03").unwrap();
    keys.write_all(b"echo code-$?\n").unwrap();
    until("code-130");
    keys.write_all(b"exit 5\n").unwrap();
    let code = shell.wait().unwrap();
    drop(keys);
    assert_eq!(code.code(), Some(5));
    assert_eq!(ok(&lab, &["get", "pods", "-o", "name"]), "");
}

/// A pod whose program tells what it reads.
fn listener(name: &str, once: bool) -> Pod {
    let mut pod = shell(
        name,
        "while read x; do echo got-$x; done; echo over; exec sleep 1000",
    );
    let container = &mut pod.spec.as_mut().unwrap().containers[0];
    container.stdin = Some(true);
    container.stdin_once = Some(once);
    pod
}

#[tokio::test]
async fn several_may_watch_and_an_input_outlives_whoever_typed() {
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    run(&pods, &listener("many", false), is_running).await;
    let watching = AttachParams::default().stdout(true).stderr(true);
    let typing = AttachParams::default()
        .stdin(true)
        .stdout(true)
        .stderr(true);
    let mut watcher = pods.attach("many", &watching).await.unwrap();
    let mut shown = watcher.stdout().unwrap();
    for round in ["one", "two"] {
        let mut typist = pods.attach("many", &typing).await.unwrap();
        let mut keys = typist.stdin().unwrap();
        keys.write_all(format!("{round}\n").as_bytes())
            .await
            .unwrap();
        let mut echo = typist.stdout().unwrap();
        let mut seen = [0; 8];
        within("its own echo", echo.read_exact(&mut seen))
            .await
            .unwrap();
        assert_eq!(seen, format!("got-{round}\n").as_bytes());
        within("the watcher's", shown.read_exact(&mut seen))
            .await
            .unwrap();
        assert_eq!(seen, format!("got-{round}\n").as_bytes());
        // The end of one client's input is not the end of the program's.
        keys.shutdown().await.unwrap();
    }
    // The end of the program is the end of every session.
    pods.delete("many", &kube::api::DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    let end = watcher.take_status().unwrap();
    let end = within("the watcher's end", end).await.unwrap();
    assert_eq!(end.status.as_deref(), Some("Success"));
}

#[tokio::test]
async fn an_input_for_once_ends_with_whoever_attached_first() {
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    run(&pods, &listener("once", true), is_running).await;
    let typing = AttachParams::default()
        .stdin(true)
        .stdout(true)
        .stderr(true);
    let watching = AttachParams::default().stdout(true).stderr(true);
    let mut watcher = pods.attach("once", &watching).await.unwrap();
    let mut shown = watcher.stdout().unwrap();
    let mut typist = pods.attach("once", &typing).await.unwrap();
    let mut keys = typist.stdin().unwrap();
    keys.write_all(b"hi\n").await.unwrap();
    let mut seen = [0; 7];
    within("an echo", shown.read_exact(&mut seen))
        .await
        .unwrap();
    typist.abort();
    let mut seen = [0; 5];
    within("its end", shown.read_exact(&mut seen))
        .await
        .unwrap();
    assert_eq!(&seen, b"over\n");
}

#[tokio::test]
async fn a_program_without_an_input_reads_its_end_at_once() {
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    let mut pod = shell("none", "cat && echo nothing");
    pod.spec.as_mut().unwrap().restart_policy = Some("Never".to_owned());
    run(&pods, &pod, |pod| super::client::phase(pod) == "Succeeded").await;
    let log = pods.logs("none", &kube::api::LogParams::default()).await;
    assert_eq!(log.unwrap(), "nothing\n");
    let done = until(&pods, "none", |_| true).await;
    assert_eq!(super::client::phase(&done), "Succeeded");
    let late = pods.attach("none", &AttachParams::default()).await;
    assert!(late.is_err(), "a completed pod has nothing to attach to");
}

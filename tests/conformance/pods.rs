//! Pods from their beginning to their end, what they say, and commands in them.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, LogParams, PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frame::{Case, case, eventually, kubectl_case, within};

/// Creates a pod of one command and waits until it is in a phase.
async fn run(case: &Case, name: &str, command: &str, more: Value, phase: &str) -> Pod {
    let pods: Api<Pod> = case.api();
    let mut pod = serde_json::to_value(case.pod(name, command)).unwrap();
    for (field, value) in more.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let is_there = async || {
        let status = pods.get(name).await.unwrap().status.unwrap_or_default();
        let ready = status
            .container_statuses
            .unwrap_or_default()
            .iter()
            .all(|it| it.ready);
        status.phase.as_deref() == Some(phase) && (ready || phase != "Running")
    };
    eventually(&format!("{name} is {phase}"), is_there).await;
    pods.get(name).await.unwrap()
}

fn never() -> Value {
    json!({"restartPolicy": "Never"})
}

#[test]
fn a_pod_tells_its_life_from_phase_to_phase() {
    case("phases", async |case| {
        let running = run(case, "runs", "exec sleep 100000", never(), "Running").await;
        let status = running.status.unwrap();
        let conditions = status.conditions.unwrap_or_default();
        for expected in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
            let is_so = conditions
                .iter()
                .any(|it| it.type_ == expected && it.status == "True");
            assert!(is_so, "{expected}: {conditions:?}");
        }
        assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
        assert!(status.pod_ip.is_some() && status.host_ip.is_some() && status.start_time.is_some());
        let container = &status.container_statuses.unwrap()[0];
        assert_eq!(
            (container.restart_count, container.started),
            (0, Some(true))
        );
        assert!(container.container_id.as_ref().unwrap().contains("://"));

        for (name, code, phase, reason) in [
            ("ends", 0, "Succeeded", "Completed"),
            ("fails", 3, "Failed", "Error"),
        ] {
            let ended = run(case, name, &format!("exit {code}"), never(), phase).await;
            let status = ended.status.unwrap();
            let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
            let state = state.terminated.unwrap();
            assert_eq!(
                (state.exit_code, state.reason.as_deref()),
                (code, Some(reason))
            );
            assert!(state.started_at.unwrap() <= state.finished_at.unwrap());
            let ready = status
                .conditions
                .unwrap_or_default()
                .into_iter()
                .find(|it| it.type_ == "Ready");
            let ready = ready.unwrap();
            assert_eq!(ready.status, "False");
            let why = if code == 0 {
                "PodCompleted"
            } else {
                "PodFailed"
            };
            assert_eq!(ready.reason.as_deref(), Some(why));
        }
    });
}

#[test]
fn a_pod_waits_for_what_comes_first_and_begins_again_when_it_may() {
    case("restarts", async |case| {
        let image = case.image().to_owned();
        let first = json!({"initContainers": [
            {"name": "first", "image": image, "command": ["sh", "-c", "echo first"]}]});
        run(
            case,
            "ordered",
            "echo then; exec sleep 100000",
            first,
            "Running",
        )
        .await;
        let pods: Api<Pod> = case.api();
        let of_first = LogParams {
            container: Some("first".into()),
            ..LogParams::default()
        };
        assert_eq!(pods.logs("ordered", &of_first).await.unwrap(), "first\n");

        let script = "if [ -e /kept/there ]; then echo again; exec sleep 100000; fi; touch /kept/there; echo once; exit 4";
        let kept = json!({"volumes": [{"name": "kept", "emptyDir": {}}], "containers": [{
            "name": "main", "image": image, "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}]});
        run(case, "again", "", kept, "Running").await;
        let pod = async || pods.get("again").await.unwrap().status.unwrap();
        eventually("it runs a second time", async || {
            let status = &pod().await.container_statuses.unwrap()[0];
            status.restart_count == 1 && status.ready
        })
        .await;
        let status = pod().await.container_statuses.unwrap()[0].clone();
        assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 4);
        let previous = LogParams {
            previous: true,
            ..LogParams::default()
        };
        assert_eq!(pods.logs("again", &previous).await.unwrap(), "once\n");
        assert_eq!(
            pods.logs("again", &LogParams::default()).await.unwrap(),
            "again\n"
        );
    });
}

#[test]
fn a_log_is_shown_as_much_of_as_is_asked_for() {
    kubectl_case("logs", async |case| {
        let image = case.image().to_owned();
        let two = json!({"restartPolicy": "Never", "containers": [
            {"name": "main", "image": image, "command": ["sh", "-c", "for n in 1 2 3 4; do echo line $n; done"]},
            {"name": "side", "image": image, "command": ["sh", "-c", "echo aside"]}]});
        run(case, "p", "", two, "Succeeded").await;
        let all = "line 1\nline 2\nline 3\nline 4\n";
        assert_eq!(case.ok(&["logs", "p", "-c", "main"]), all);
        assert_eq!(case.ok(&["logs", "p", "-c", "main", "-f"]), all);
        assert_eq!(
            case.ok(&["logs", "p", "-c", "main", "--tail=2"]),
            "line 3\nline 4\n"
        );
        assert_eq!(case.ok(&["logs", "p", "-c", "main", "--tail=0"]), "");
        assert_eq!(
            case.ok(&["logs", "p", "-c", "main", "--limit-bytes=9"]),
            "line 1\nli"
        );
        assert_eq!(case.ok(&["logs", "p", "-c", "main", "--since=1h"]), all);
        assert_eq!(
            case.ok(&[
                "logs",
                "p",
                "-c",
                "main",
                "--since-time=2099-01-01T00:00:00Z"
            ]),
            ""
        );
        let stamped = case.ok(&["logs", "p", "-c", "main", "--timestamps"]);
        for (line, expected) in stamped.lines().zip(all.lines()) {
            let (time, text) = line.split_once(' ').unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
            assert_eq!(text, expected);
        }
        let both = case.ok(&["logs", "p", "--all-containers", "--prefix"]);
        assert!(
            both.contains("[pod/p/main] line 1\n") && both.contains("[pod/p/side] aside\n"),
            "{both}"
        );
        assert!(
            case.ok(&["logs", "-l", "app=p", "-c", "side"])
                .contains("aside")
        );
        // One of two must be named, or kubectl says which it has taken.
        let (out, err, _) = case.said(&["logs", "p"]);
        assert!(
            out == all && err.contains("Defaulted container \"main\" out of: main, side"),
            "{err}"
        );
        let refused = case.refused(&["logs", "p", "-c", "none"]);
        assert!(
            refused.contains("container none is not valid for pod p"),
            "{refused}"
        );
        let refused = case.refused(&["logs", "p", "-c", "main", "--previous"]);
        assert!(
            refused.contains("previous terminated container \"main\" in pod \"p\" not found"),
            "{refused}"
        );
        let refused = case.refused(&["logs", "nobody"]);
        assert!(refused.contains("pods \"nobody\" not found"), "{refused}");
    });
}

#[test]
fn commands_in_pods_have_streams_and_codes() {
    kubectl_case("exec", async |case| {
        run(case, "p", "exec sleep 100000", json!({}), "Running").await;
        let both = [
            "exec",
            "p",
            "--",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ];
        let (out, err, code) = case.said(&both);
        assert_eq!((out.as_str(), code), ("out\n", 7));
        assert!(
            err.contains("err\n") && err.contains("command terminated with exit code 7"),
            "{err}"
        );
        let lines: Vec<_> = (0..20_000).map(|it| it.to_string()).collect();
        let text = lines.join("\n") + "\n";
        assert_eq!(
            case.piped(&["exec", "-i", "p", "--", "cat"], &text),
            (text.clone(), String::new(), 0)
        );
        assert_ne!(case.said(&["exec", "p", "--", "no-such-program"]).2, 0);
        let refused = case.refused(&["exec", "p", "-c", "none", "--", "true"]);
        assert!(
            refused.contains("container none is not valid for pod p"),
            "{refused}"
        );
        let refused = case.refused(&["exec", "nobody", "--", "true"]);
        assert!(refused.contains("pods \"nobody\" not found"), "{refused}");
        let killed = case.said(&["exec", "p", "--", "sh", "-c", "kill -9 $$"]);
        assert_eq!(killed.2, 137);

        // The same by a library.
        let pods: Api<Pod> = case.api();
        let streams = AttachParams::default()
            .stdin(true)
            .stdout(true)
            .stderr(false);
        let mut process = pods.exec("p", ["wc", "-c"], &streams).await.unwrap();
        let mut input = process.stdin().unwrap();
        input.write_all(text.as_bytes()).await.unwrap();
        input.shutdown().await.unwrap();
        drop(input);
        let mut said = String::new();
        let mut output = process.stdout().unwrap();
        within("its output", output.read_to_string(&mut said))
            .await
            .unwrap();
        assert_eq!(said.trim(), text.len().to_string());
        let end = within("its end", process.take_status().unwrap())
            .await
            .unwrap();
        assert_eq!(end.status.as_deref(), Some("Success"));
    });
}

#[test]
fn a_terminal_is_one_and_has_one_output() {
    kubectl_case("tty", async |case| {
        run(case, "p", "exec sleep 100000", json!({}), "Running").await;
        let pods: Api<Pod> = case.api();
        let streams = AttachParams::interactive_tty();
        let script = "test -t 0 && test -t 1 && test -t 2 && echo all; echo err >&2; exit 6";
        let mut process = pods
            .exec("p", ["sh", "-c", script], &streams)
            .await
            .unwrap();
        let mut said = String::new();
        let mut output = process.stdout().unwrap();
        within("its output", output.read_to_string(&mut said))
            .await
            .unwrap();
        assert_eq!(said, "all\r\nerr\r\n");
        let end = within("its end", process.take_status().unwrap())
            .await
            .unwrap();
        let causes = end.details.unwrap().causes.unwrap();
        assert_eq!(causes[0].message.as_deref(), Some("6"));
    });
}

#[test]
fn files_go_into_a_pod_and_come_out_the_same() {
    kubectl_case("cp", async |case| {
        run(case, "p", "exec sleep 100000", json!({}), "Running").await;
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        std::fs::create_dir_all(tree.join("a")).unwrap();
        let bytes: Vec<u8> = (0..300_000_u32)
            .map(|it| (it.wrapping_mul(it) >> 9) as u8)
            .collect();
        std::fs::write(tree.join("large"), &bytes).unwrap();
        std::fs::write(tree.join("a/small"), "small").unwrap();
        let path = |of: &std::path::Path| of.to_str().unwrap().to_owned();
        case.ok(&["cp", &path(&tree), "p:/tmp/tree"]);
        assert_eq!(
            case.ok(&["exec", "p", "--", "cat", "/tmp/tree/a/small"]),
            "small"
        );
        let back = home.path().join("back");
        case.ok(&["cp", "p:/tmp/tree", &path(&back)]);
        assert!(std::fs::read(back.join("large")).unwrap() == bytes);
        assert_eq!(std::fs::read(back.join("a/small")).unwrap(), b"small");
    });
}

#[test]
fn what_is_typed_to_a_program_reaches_it() {
    kubectl_case("attach", async |case| {
        let image = case.image().to_owned();
        let reads = json!({"restartPolicy": "Never", "containers": [{
            "name": "main", "image": image, "stdin": true, "stdinOnce": true,
            "command": ["sh", "-c", "while read line; do echo got $line; done; echo over"]}]});
        run(case, "p", "", reads, "Running").await;
        let (out, err, code) = case.piped(&["attach", "-i", "p"], "one\ntwo\n");
        assert!(out.contains("got one\ngot two\nover\n"), "{out}{err}");
        assert_eq!(code, 0, "{err}");
        let phase = ["get", "pod/p", "-o", "jsonpath={.status.phase}"];
        eventually("it has ended", async || case.ok(&phase) == "Succeeded").await;
        let refused = case.refused(&["attach", "p"]);
        assert!(refused.contains("completed pod"), "{refused}");
    });
}

//! Logs and commands of containers that really run.

use futures::{AsyncBufReadExt, SinkExt, StreamExt, TryStreamExt};
use http::Request;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{
    Api, AttachParams, AttachedProcess, DeleteParams, ListParams, LogParams, TerminalSize,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::client::{
    config, connect, eventually, get, is_running, phase, run, shell, until, within,
};
use crate::support::{Lab, isolations};

async fn read_all(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        stream.read_to_string(&mut text).await.unwrap();
    }
    text
}

/// How a command ended: nothing for success, else its exit code.
async fn exit_code(process: &mut AttachedProcess) -> Option<String> {
    let status = process.take_status().unwrap();
    let status = within("the command ends", status).await.unwrap();
    let causes = status.details.and_then(|it| it.causes).unwrap_or_default();
    if status.status.as_deref() == Some("Success") {
        return None;
    }
    assert_eq!(
        status.reason.as_deref(),
        Some("NonZeroExitCode"),
        "{:?}",
        status.message
    );
    assert_eq!(causes[0].reason.as_deref(), Some("ExitCode"));
    causes[0].message.clone()
}

/// A lab with namespaces, or none: commands other than those of faults need them.
fn isolated() -> Option<Lab> {
    isolations()
        .contains(&"namespaces")
        .then(|| Lab::start(&["--empty", "--backoff", "none", "--isolation", "namespaces"]))
}

#[tokio::test]
async fn commands_have_their_streams_and_their_exit_code() {
    let Some(lab) = isolated() else { return };
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    run(&pods, &shell("p", "sleep 1000"), is_running).await;
    let streams = AttachParams::default().stdout(true).stderr(true);
    let command = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    let mut process = pods.exec("p", command, &streams).await.unwrap();
    let (out, err) = (process.stdout(), process.stderr());
    let (out, err) = tokio::join!(read_all(out), read_all(err));
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(exit_code(&mut process).await.as_deref(), Some("7"));

    // The end of standard input is told apart, so that what reads it ends.
    let streams = AttachParams::default()
        .stdin(true)
        .stdout(true)
        .stderr(false);
    let mut process = pods.exec("p", ["wc", "-c"], &streams).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let bytes = vec![b'x'; 300_000];
    stdin.write_all(&bytes).await.unwrap();
    stdin.shutdown().await.unwrap();
    let out = process.stdout();
    assert_eq!(read_all(out).await.trim(), "300000");
    assert_eq!(exit_code(&mut process).await, None);

    let streams = AttachParams::default().stdout(true);
    let mut process = pods.exec("p", ["no-such-program"], &streams).await.unwrap();
    assert_eq!(exit_code(&mut process).await.as_deref(), Some("127"));
}

#[tokio::test]
async fn a_terminal_has_the_size_it_is_told() {
    let Some(lab) = isolated() else { return };
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    run(&pods, &shell("p", "sleep 1000"), is_running).await;
    let streams = AttachParams::interactive_tty();
    let mut process = pods.exec("p", ["sh"], &streams).await.unwrap();
    let mut resize = process.terminal_size().unwrap();
    let size = TerminalSize {
        height: 33,
        width: 99,
    };
    resize.send(size).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let script = b"until stty size | grep '33 99'; do sleep 0.05; done; test -t 0 && exit 5\n";
    stdin.write_all(script).await.unwrap();
    let out = process.stdout();
    let (_, code) = tokio::join!(read_all(out), exit_code(&mut process));
    assert_eq!(code.as_deref(), Some("5"));
}

#[tokio::test]
async fn a_command_ends_with_its_connection() {
    let Some(lab) = isolated() else { return };
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    run(&pods, &shell("p", "sleep 1000"), is_running).await;
    let streams = AttachParams::default().stdout(true);
    let mut process = pods
        .exec("p", ["sh", "-c", "echo begun; exec sleep 4242"], &streams)
        .await
        .unwrap();
    let mut begun = [0; 6];
    process
        .stdout()
        .unwrap()
        .read_exact(&mut begun)
        .await
        .unwrap();
    process.abort();
    eventually("the command is gone", || async {
        let mut process = pods
            .exec("p", ["pgrep", "-f", "sleep 4242"], &streams)
            .await
            .unwrap();
        exit_code(&mut process).await.as_deref() == Some("1")
    })
    .await;
}

#[tokio::test]
async fn the_older_protocol_is_spoken_too() {
    let Some(lab) = isolated() else { return };
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    run(&pods, &shell("p", "sleep 1000"), is_running).await;
    let config = config(&lab).await;
    let path = "/api/v1/namespaces/default/pods/p/exec?stdin=1&stdout=1&stderr=1&command=sh&command=-c&command=read%20x%3B%20echo%20got%20%24x%3B%20exit%203";
    let server = config.cluster_url.to_string();
    let address = server.trim_start_matches("https://").trim_end_matches('/');
    let token = token(&lab);
    let request = |protocol: &str| {
        Request::get(format!("wss://{address}{path}"))
            .header("host", address)
            .header("authorization", format!("Bearer {token}"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocol)
            .body(())
            .unwrap()
    };
    let refused =
        tokio_tungstenite::client_async(request("v1.channel.k8s.io"), tls(&config, address).await)
            .await;
    assert!(refused.unwrap_err().to_string().contains("501"));

    let (mut socket, response) =
        tokio_tungstenite::client_async(request("v4.channel.k8s.io"), tls(&config, address).await)
            .await
            .unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "v4.channel.k8s.io"
    );
    socket
        .send(Message::binary(&b"\0hello\n"[..]))
        .await
        .unwrap();
    let (mut out, mut status) = (Vec::new(), Value::Null);
    while let Some(Ok(message)) = within("a message", socket.next()).await {
        match message {
            Message::Binary(bytes) if bytes[0] == 1 => out.extend_from_slice(&bytes[1..]),
            Message::Binary(bytes) if bytes[0] == 3 => {
                status = serde_json::from_slice(&bytes[1..]).unwrap();
            }
            Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 1000),
            _ => {}
        }
    }
    assert_eq!(String::from_utf8(out).unwrap(), "got hello\n");
    let cause = json!([{"reason": "ExitCode", "message": "3"}]);
    assert_eq!(status["details"]["causes"], cause);
}

fn token(lab: &Lab) -> String {
    let text = std::fs::read_to_string(lab.kubeconfig()).unwrap();
    let config: Value = serde_yaml::from_str(&text).unwrap();
    config["users"][0]["user"]["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A connection as the kubeconfig describes it.
async fn tls(
    config: &kube::Config,
    address: &str,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in config.root_cert.clone().unwrap() {
        roots.add(certificate.into()).unwrap();
    }
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls))
        .connect(name, socket)
        .await
        .unwrap()
}

#[tokio::test]
async fn logs_are_cut_and_followed_as_asked() {
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    let client = connect(&lab).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done; exit 3";
    let mut pod = shell("p", script);
    pod.spec.as_mut().unwrap().restart_policy = Some("Never".to_owned());
    pods.create(&kube::api::PostParams::default(), &pod)
        .await
        .unwrap();
    until(&pods, "p", |pod| phase(pod) != "Pending").await;

    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let stream = pods.log_stream("p", &follow).await.unwrap();
    let followed: Vec<String> = within("the log ends", stream.lines().try_collect())
        .await
        .unwrap();
    let lines = ["line 1", "line 2", "line 3", "line 4", "line 5"];
    assert_eq!(followed, lines);
    until(&pods, "p", |pod| phase(pod) == "Failed").await;

    let logs = async |params: LogParams| pods.logs("p", &params).await.unwrap();
    assert_eq!(logs(LogParams::default()).await, lines.join("\n") + "\n");
    let tail = LogParams {
        tail_lines: Some(2),
        ..LogParams::default()
    };
    assert_eq!(logs(tail).await, "line 4\nline 5\n");
    let limit = LogParams {
        limit_bytes: Some(9),
        ..LogParams::default()
    };
    assert_eq!(logs(limit).await, "line 1\nli");
    let stamped = logs(LogParams {
        timestamps: true,
        ..LogParams::default()
    })
    .await;
    let third = stamped.lines().nth(2).unwrap();
    let (time, text) = third.split_once(' ').unwrap();
    assert_eq!(text, "line 3");
    // The kube crate rounds a time to the nearest second; the server does not.
    let path = format!("/api/v1/namespaces/default/pods/p/log?sinceTime={time}");
    let (_, since) = get(&client, &path).await;
    assert_eq!(since, "line 3\nline 4\nline 5\n");
    let none = pods
        .logs(
            "p",
            &LogParams {
                previous: true,
                ..LogParams::default()
            },
        )
        .await;
    assert!(
        matches!(none, Err(kube::Error::Api(status)) if status.code == 400
        && status.message == "previous terminated container \"main\" in pod \"p\" not found")
    );
    let odd = LogParams {
        container: Some("x".to_owned()),
        ..LogParams::default()
    };
    let odd = pods.logs("p", &odd).await;
    assert!(
        matches!(odd, Err(kube::Error::Api(status)) if status.message == "container x is not valid for pod p")
    );
}

#[tokio::test]
async fn a_killed_process_runs_again_and_a_deleted_pod_is_replaced() {
    for isolation in isolations() {
        let lab = Lab::start(&["--backoff", "none", "--isolation", isolation]);
        assert_eq!(lab.about["isolation"], isolation);
        let client = connect(&lab).await;
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let clients = ListParams::default().labels("app=generated-perftestclient");
        let newest = async || {
            let mut found = pods.list(&clients).await.unwrap().items;
            found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
            found
                .into_iter()
                .find(is_running)
                .map(|it| it.metadata.name.unwrap())
        };
        eventually("the client runs", async || newest().await.is_some()).await;
        let name = newest().await.unwrap();
        // One that is killed before its first word leaves no log to look back at.
        eventually("it speaks", async || {
            let said = pods.logs(&name, &LogParams::default()).await;
            said.is_ok_and(|said| !said.is_empty())
        })
        .await;
        let streams = AttachParams::default().stdout(true).stderr(true);
        let kill = ["sh", "-c", "kill -9 $(pidof Job)"];
        // The answer of a command in a container that dies may be lost.
        let process = pods.exec(&name, kill, &streams).await.unwrap();
        let pod = until(&pods, &name, |pod| {
            let statuses = pod
                .status
                .clone()
                .unwrap()
                .container_statuses
                .unwrap_or_default();
            is_running(pod) && statuses[0].restart_count == 1
        })
        .await;
        drop(process);
        let last = pod
            .status
            .unwrap()
            .container_statuses
            .unwrap()
            .remove(0)
            .last_state
            .unwrap();
        let last = last.terminated.unwrap();
        assert_eq!(
            (last.exit_code, last.reason.as_deref()),
            (137, Some("Error"))
        );
        let previous = LogParams {
            previous: true,
            tail_lines: Some(1),
            ..LogParams::default()
        };
        let log = pods.logs(&name, &previous).await.unwrap();
        assert!(log.ends_with('\n'), "{log:?}");

        pods.delete(&name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
        eventually("another client runs", async || {
            newest().await.is_some_and(|it| it != name)
        })
        .await;
        let events: Api<Event> = Api::default_namespaced(client);
        let killed = events
            .list(&ListParams::default().fields("reason=Started"))
            .await
            .unwrap();
        assert!(killed.items.len() >= 3, "{}", killed.items.len());
    }
}

//! Ten thousand of something at once.

use futures::{StreamExt, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::bed::Bed;
use super::client::shell;
use super::reach::{Reach, VIEW};
use super::support::within;
use super::wire::{self, Part, Spdy};

/// So many are tried.
const MANY: usize = 10_000;
/// So many of one user go on at once.
const ALLOWED: usize = 512;
/// So many connections ask again and again, once no more are allowed.
const INSISTENT: usize = 8;

/// Asks for as many of something that goes on as there may be, and then goes on
/// asking; gives what it got. Whoever is refused is told so, and when to come
/// back.
async fn crowd(reach: &Reach, user: usize, head: &str, begun: &str) -> Vec<TlsStream<TcpStream>> {
    let got = stream::iter(0..ALLOWED)
        .map(|_| async {
            let (connection, answer) = reach.ask(user, head, b"").await.unwrap();
            assert!(answer.starts_with(begun), "{answer}");
            connection
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    let asking = (0..INSISTENT).map(|_| insist(reach, user, head, (MANY - ALLOWED) / INSISTENT));
    futures::future::join_all(asking).await;
    got
}

/// Asks for the same so many times over one connection, in vain.
async fn insist(reach: &Reach, user: usize, head: &str, times: usize) {
    let mut connection = reach.connect().await.unwrap();
    let request = reach.request(user, head);
    for _ in 0..times {
        connection.write_all(request.as_bytes()).await.unwrap();
        connection.flush().await.unwrap();
        let answer = within("a refusal", read_answer(&mut connection)).await;
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(
            answer.to_lowercase().contains("\r\nretry-after: 1\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("Too many requests, please try again later."),
            "{answer}"
        );
    }
}

/// Reads one answer whose length is said.
async fn read_answer(connection: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("\r\ncontent-length: ").nth(1);
            let length = length.unwrap_or_else(|| panic!("an answer without a length: {text}"));
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return String::from_utf8(bytes).unwrap();
            }
        }
        let read = connection.read_buf(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "hung up after {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watches_leave_the_others_theirs() {
    let bed = Bed::new().await;
    let reach = Reach::new(&bed.lab);
    bed.beside(async {}).await;
    let before = bed.footprint();
    let head = "GET /api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true HTTP/1.1";
    let watches = bed.beside(crowd(&reach, VIEW, head, "HTTP/1.1 200")).await;
    // Another user still follows what happens.
    let version = bed.pods().list(&kube::api::ListParams::default()).await;
    let version = version.unwrap().metadata.resource_version.unwrap();
    let seen = bed
        .pods()
        .watch(&kube::api::WatchParams::default(), &version)
        .await;
    let mut seen = seen.unwrap().boxed();
    let pod = shell("news", "exec sleep 1000");
    bed.pods()
        .create(&kube::api::PostParams::default(), &pod)
        .await
        .unwrap();
    let first = within("an event", seen.next()).await.unwrap().unwrap();
    assert!(
        matches!(first, kube::api::WatchEvent::Added(_)),
        "{first:?}"
    );
    let now = kube::api::DeleteParams::default().grace_period(0);
    bed.pods().delete("news", &now).await.unwrap();
    drop((watches, seen));
    bed.is_as_it_was(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_commands_leave_the_others_theirs_and_nothing_behind() {
    let bed = Bed::new().await;
    if !bed.namespaces() {
        println!("skipped: without namespaces commands are played, not run");
        return;
    }
    bed.pod(
        "busy",
        &json!({"image": "aks-tui/shell", "command": ["sleep", "1000"]}),
    )
    .await;
    bed.ordinary_command("busy").await;
    let mut reach = Reach::new(&bed.lab);
    let another = reach.admit(bed.another().await);
    let before = bed.footprint();
    let head = "GET /api/v1/namespaces/default/pods/busy/exec?stdout=true&command=sleep&command=1000 HTTP/1.1\r\nconnection: Upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let commands = bed
        .beside(crowd(&reach, another, head, "HTTP/1.1 101"))
        .await;
    bed.ordinary_command("busy").await;
    drop(commands);
    bed.is_as_it_was(&before).await;
    bed.ordinary_command("busy").await;
    assert_eq!(bed.lab.panics(), Vec::<String>::new());
}

/// Asks for a thousand connections to a pod's port in one conversation, and
/// waits until all of that has been heard.
async fn conversation(reach: &Reach, user: usize) -> TlsStream<TcpStream> {
    let head = "GET /api/v1/namespaces/default/pods/web/portforward HTTP/1.1\r\n\
        connection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: portforward.k8s.io";
    let (connection, answer) = reach.ask(user, head, b"").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let (mut from, mut to) = tokio::io::split(connection);
    let question = wire::ping(1);
    let mut says = Spdy::new(Part::Forward).opening(&["error", "data"].repeat(1000));
    says.extend(&question);
    let saying = async {
        to.write_all(&says).await.unwrap();
        to.flush().await.unwrap();
    };
    let mut heard = Vec::new();
    let listening = async {
        while !heard.windows(question.len()).any(|it| it == question) {
            assert_ne!(from.read_buf(&mut heard).await.unwrap(), 0);
            // Enough is kept to find what comes in two pieces.
            heard.drain(..heard.len().saturating_sub(64 * 1024));
        }
    };
    within("the answer to a ping", async {
        tokio::join!(saying, listening)
    })
    .await;
    from.unsplit(to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_forwarded_connections_leave_the_lab_its_files() {
    let bed = Bed::new().await;
    bed.pod(
        "web",
        &json!({"image": "aks-tui/web", "ports": [{"containerPort": 8080}]}),
    )
    .await;
    bed.ordinary_command("web").await;
    let mut reach = Reach::new(&bed.lab);
    let another = reach.admit(bed.another().await);
    let before = bed.footprint();
    let talking = stream::iter(0..10)
        .map(|_| conversation(&reach, another))
        .buffer_unordered(4)
        .collect::<Vec<_>>();
    let talking = bed.beside(talking).await;
    // One user's connections to pods, the conversations themselves, and what
    // the other one has open.
    let most = before.files + 1024 + talking.len() + 8;
    let now = bed.footprint();
    assert!(now.files <= most, "{now:?} after {before:?}");
    bed.ordinary_command("web").await;
    drop(talking);
    bed.is_as_it_was(&before).await;
}

//! Streams spoken by nobody who means well: frames that are wrong, in the wrong
//! order, too many or cut off anywhere.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::bed::Bed;
use super::reach::{ADMIN, Reach};
use super::support::within;
use super::wire::{self, Part, Spdy};

/// How many conversations there are, unless `AKS_TUI_TEST_CASES` says more.
const CASES: usize = 300;
/// So many go on at once.
const AT_ONCE: usize = 16;
/// How long a client tries to say something that is not being read.
const INSISTENCE: Duration = Duration::from_millis(500);

/// One conversation.
#[derive(Debug)]
struct Case {
    seed: u64,
    /// The request that begins it.
    head: String,
    /// What the client says then, up to where it breaks off.
    says: Vec<u8>,
    /// Whether the client listens meanwhile.
    listens: bool,
    end: End,
}

/// How a client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It closes the connection without a word.
    Leave,
    /// Its connection is reset.
    Reset,
    /// It says that it has nothing more to say, and listens to the end.
    Listen,
    /// It stays, and is silent.
    Stay,
}

/// The ways in which a conversation is carried: the upgrade, its protocol, and
/// whether it speaks SPDY inside a WebSocket.
const CARRIERS: [(&str, &str); 6] = [
    ("websocket", "v5.channel.k8s.io"),
    ("websocket", "v4.channel.k8s.io"),
    ("SPDY/3.1", "v4.channel.k8s.io"),
    ("SPDY/3.1", "channel.k8s.io"),
    ("SPDY/3.1", "portforward.k8s.io"),
    ("websocket", "SPDY/3.1+portforward.k8s.io"),
];

impl Case {
    fn new(seed: u64, commands: &[&str]) -> Self {
        let mut random = Rng::with_seed(seed);
        let part = random
            .choice([Part::Exec, Part::Attach, Part::Forward])
            .unwrap();
        let carriers = match part {
            Part::Forward => [1, 1, 4, 4, 5, 5],
            _ => [0, 0, 1, 2, 2, 3],
        };
        let (upgrade, protocol) = CARRIERS[random.choice(carriers).unwrap()];
        let tty = random.bool();
        let streams = if tty {
            "stdin=true&stdout=true&tty=true"
        } else {
            "stdin=true&stdout=true&stderr=true"
        };
        let (path, kinds): (String, &[&str]) = match part {
            Part::Exec => {
                let command = random.choice(commands).unwrap();
                (
                    format!("target/exec?{streams}&{command}"),
                    &["error", "stdin", "stdout"],
                )
            }
            Part::Attach => (
                format!("target/attach?{streams}"),
                &["error", "stdin", "stdout"],
            ),
            Part::Forward => (
                "web/portforward?ports=8080&ports=81".to_owned(),
                &["error", "data"],
            ),
        };
        let version = if upgrade == "websocket" {
            "sec-websocket-protocol"
        } else {
            "x-stream-protocol-version"
        };
        let head = format!(
            "GET /api/v1/namespaces/default/pods/{path} HTTP/1.1\r\nconnection: Upgrade\r\n\
             upgrade: {upgrade}\r\n{version}: {protocol}\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        );
        let mut spdy = Spdy::new(part);
        let tunnel = protocol.starts_with("SPDY");
        let mut says = Vec::new();
        let mut say = |random: &mut Rng, frame: Vec<u8>| {
            let frame = if tunnel {
                wire::websocket(random, wire::BINARY, &frame)
            } else {
                frame
            };
            says.extend(frame);
        };
        let spoken = upgrade != "websocket" || tunnel;
        if spoken && random.u8(..4) != 0 {
            say(&mut random, spdy.opening(kinds));
        }
        for _ in 0..random.usize(..20) {
            let frame = if spoken {
                spdy.any(&mut random)
            } else {
                wire::any_channel(&mut random)
            };
            say(&mut random, frame);
        }
        if random.bool() {
            says.truncate(random.usize(..=says.len()));
        }
        Self {
            seed,
            head,
            says,
            listens: random.u8(..4) != 0,
            end: random
                .choice([
                    End::Leave,
                    End::Leave,
                    End::Reset,
                    End::Reset,
                    End::Listen,
                    End::Stay,
                ])
                .unwrap(),
        }
    }

    /// Plays it; a connection that stays open is given back.
    async fn play(&self, reach: &Reach) -> Option<TlsStream<TcpStream>> {
        let Self {
            seed,
            head,
            says,
            listens,
            end,
        } = self;
        let (mut connection, answer) = reach.ask(ADMIN, head, b"").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 101"), "case {seed}: {answer}");
        let (mut from, mut to) = tokio::io::split(connection);
        let listening = async {
            if *listens {
                // Nothing that it hears matters to such a client.
                let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let saying = async {
            let said = async {
                to.write_all(says).await?;
                to.flush().await
            };
            // Who is not listened to, or has been hung up on, gives up.
            let _ = tokio::time::timeout(INSISTENCE, said).await;
        };
        tokio::select! {
            () = saying => {}
            () = listening => {}
        }
        connection = from.unsplit(to);
        match end {
            End::Leave => None,
            End::Reset => {
                let socket = connection.get_ref().0;
                rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
                None
            }
            End::Listen => {
                let _ = connection.shutdown().await;
                let mut heard = vec![0; 64 * 1024];
                let heard = async { while let Ok(1..) = connection.read(&mut heard).await {} };
                within(&format!("case {seed}: the lab hangs up"), heard).await;
                None
            }
            End::Stay => Some(connection),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_said_on_a_stream_the_lab_is_as_it_was_afterwards() {
    let bed = Bed::new().await;
    bed.pod(
        "target",
        &json!({"image": "aks-tui/shell", "stdin": true, "command": ["cat"]}),
    )
    .await;
    bed.pod(
        "web",
        &json!({"image": "aks-tui/web", "ports": [{"containerPort": 8080}]}),
    )
    .await;
    bed.ordinary_command("target").await;
    let commands: &[&str] = if bed.namespaces() {
        &[
            "command=cat",
            "command=yes",
            "command=sleep&command=1000",
            "command=true",
            "command=no-such-program",
            "command=sh&command=-c&command=trap+%27%27+TERM+HUP%3B+(sleep+1001+%26)%3B+exec+sleep+1002",
        ]
    } else {
        &[
            "command=ps",
            "command=kill&command=-0&command=1",
            "command=ls",
        ]
    };
    let before = bed.footprint();
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let seed: u64 = number("AKS_TUI_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = number("AKS_TUI_TEST_CASES").map_or(CASES, |it| it as usize);
    println!("AKS_TUI_TEST_SEED={seed}, {cases} cases");
    let reach = Arc::new(Reach::new(&bed.lab));
    let playing = stream::iter(0..cases as u64)
        .map(|index| {
            let case = Case::new(seed.wrapping_add(index), commands);
            let reach = Arc::clone(&reach);
            async move { case.play(&reach).await }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect::<Vec<_>>();
    // Somebody else is served all the time.
    let staying = bed.beside(playing).await;
    bed.ordinary_command("target").await;
    drop(staying);
    bed.is_as_it_was(&before).await;
    bed.ordinary_command("target").await;
    assert_eq!(bed.lab.panics(), Vec::<String>::new());
}

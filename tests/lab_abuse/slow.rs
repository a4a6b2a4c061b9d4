//! Clients that say little, late, or never; and such as do not listen.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::Bed;
use super::reach::{ADMIN, Reach, VIEW};
use super::support::within;

/// A body that comes a byte at a time.
const SLOW: &str = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n\
    content-type: application/json\r\ncontent-length: 1048576";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_trickle_in_take_nobodys_turn() {
    let bed = Bed::new().await;
    let reach = Reach::new(&bed.lab);
    bed.beside(async {}).await;
    let before = bed.footprint();
    // More than one user's turns, and more than the room for her bodies.
    let slow = stream::iter(0..200)
        .map(|_| async {
            let mut connection = reach.connect().await.unwrap();
            let head = reach.request(ADMIN, SLOW);
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.flush().await.unwrap();
            connection
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>();
    let mut slow = bed.beside(slow).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(bed.client.clone());
    for round in 0..5 {
        for connection in &mut slow {
            // Who is told that it takes too long need not be listened to.
            let _ = connection.write_all(b" ").await;
            let _ = connection.flush().await;
        }
        // The very same user.
        let map =
            json!({"metadata": {"name": format!("m{round}")}, "data": {"k": "x".repeat(500_000)}});
        let map = serde_json::from_value(map).unwrap();
        let new = PostParams::default();
        within("a body in one piece", maps.create(&new, &map))
            .await
            .unwrap();
        bed.beside(async {}).await;
    }
    drop(slow);
    bed.is_as_it_was(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_greetings_that_never_end_keep_nobody_out() {
    let bed = Bed::new().await;
    let reach = Reach::new(&bed.lab);
    bed.beside(async {}).await;
    let before = bed.footprint();
    // As many as there may be connections, and more.
    let unfinished = stream::iter(0..2_300)
        .map(|number| {
            let reach = &reach;
            async move {
                if number % 8 != 0 {
                    // The first bytes of a greeting.
                    let mut socket = tokio::net::TcpStream::connect(&reach.address)
                        .await
                        .unwrap();
                    socket.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
                    return (Some(socket), None);
                }
                let mut connection = reach.connect().await.unwrap();
                let head = if number % 16 == 0 { "GET /api" } else { SLOW };
                let head = reach.request(ADMIN, head);
                let head = head.trim_end_matches("\r\n\r\n").as_bytes();
                connection.write_all(head).await.unwrap();
                connection.flush().await.unwrap();
                (None, Some(connection))
            }
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>();
    let unfinished = bed.beside(unfinished).await;
    // Somebody who is new, too.
    for _ in 0..20 {
        let asked = reach.ask(VIEW, "GET /api/v1/namespaces/default/pods HTTP/1.1", b"");
        let (_, answer) = within("an answer", asked).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    drop(unfinished);
    bed.is_as_it_was(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_nobody_reads_hold_up_no_news() {
    let bed = Bed::new().await;
    let reach = Reach::new(&bed.lab);
    let maps: Api<ConfigMap> = Api::default_namespaced(bed.client.clone());
    let large = json!({"metadata": {"name": "large"}, "data": {"k": "x".repeat(900_000)}});
    let large = serde_json::from_value(large).unwrap();
    maps.create(&PostParams::default(), &large).await.unwrap();
    let before = bed.footprint();
    let head = "GET /api/v1/namespaces/default/configmaps?watch=true HTTP/1.1";
    let deaf = stream::iter(0..50)
        .map(|_| reach.ask(ADMIN, head, b""))
        .buffer_unordered(16)
        .collect::<Vec<_>>();
    let deaf = bed.beside(deaf).await;
    let version = maps.list(&ListParams::default()).await.unwrap();
    let version = version.metadata.resource_version.unwrap();
    let watch = WatchParams::default();
    let mut news = maps.watch(&watch, &version).await.unwrap().boxed();
    let ours = PatchParams::default();
    // A megabyte each to fifty who do not take it.
    for round in 0..40 {
        let change = Patch::Merge(json!({"metadata": {"labels": {"round": round.to_string()}}}));
        let changed = maps.patch("large", &ours, &change);
        within("a change", changed).await.unwrap();
        let Some(Ok(WatchEvent::Modified(map))) = within("its news", news.next()).await else {
            panic!("no news of round {round}");
        };
        assert_eq!(map.metadata.labels.unwrap()["round"], round.to_string());
    }
    bed.beside(async {}).await;
    drop((deaf, news));
    bed.is_as_it_was(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_ends_with_a_client_that_vanishes_and_waits_for_one_that_is_silent() {
    let bed = Bed::new().await;
    if !bed.namespaces() {
        println!("skipped: without namespaces commands are played, not run");
        return;
    }
    bed.pod(
        "host",
        &json!({"image": "aks-tui/shell", "command": ["sleep", "1000"]}),
    )
    .await;
    bed.ordinary_command("host").await;
    let before = bed.footprint();
    let reach = Reach::new(&bed.lab);
    for carrier in [
        "upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: v5.channel.k8s.io",
        // Its streams are announced and never begun.
        "upgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io",
    ] {
        let head = format!(
            "GET /api/v1/namespaces/default/pods/host/exec?stdin=true&stdout=true&stderr=true&command=cat \
             HTTP/1.1\r\nconnection: Upgrade\r\n{carrier}"
        );
        let mut silent = Vec::new();
        for _ in 0..20 {
            let (connection, answer) = reach.ask(ADMIN, &head, b"").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
            silent.push(connection);
        }
        bed.beside(bed.ordinary_command("host")).await;
        let vanished = silent.split_off(10);
        for connection in vanished {
            let socket = connection.get_ref().0;
            rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
        }
        if carrier.contains("websocket") {
            // The ten that are left still have a command that answers.
            let echo = silent.first_mut().unwrap();
            echo.write_all(&[0x82, 0x83, 0, 0, 0, 0, 0, b'h', b'i'])
                .await
                .unwrap();
            echo.flush().await.unwrap();
            let mut heard = Vec::new();
            let hearing = async {
                while !heard.ends_with(&[1, b'h', b'i']) {
                    assert_ne!(echo.read_buf(&mut heard).await.unwrap(), 0);
                }
            };
            within("the echo", hearing).await;
        }
        drop(silent);
        bed.is_as_it_was(&before).await;
    }
}

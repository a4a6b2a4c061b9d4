//! Networks of pods: own ones, that can be cut, delayed and made lossy.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A node whose pods have networks of their own; none with the reason printed
/// where the kernel gives none.
async fn bed() -> Option<Bed> {
    let bed = Bed::new(Isolation::Namespaces, BackoffMode::None).await?;
    match bed.kubelet.network().mode() {
        Mode::Namespaces => Some(bed),
        Mode::Loopback(why) => {
            let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.contains("networks"), "{why}");
            eprintln!("skipped: {why}");
            bed.close().await;
            None
        }
    }
}

/// A pod that answers with its name on port 80.
fn web(name: &str) -> Value {
    let mut web = pod(name, "");
    web["spec"]["containers"][0]["image"] = json!("aks-tui/web");
    web["spec"]["containers"][0]["command"] = json!(["web", "--port", "80"]);
    web
}

fn ip(pod: &Value) -> IpAddr {
    pod["status"]["podIP"].as_str().unwrap().parse().unwrap()
}

/// A script that asks for a page; it ends with 0 when the answer names `from`.
fn ask(address: IpAddr, from: &str) -> String {
    format!(
        "bash -c 'exec 3<>/dev/tcp/{address}/80 && \
         printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && grep -qx {from} <&3'"
    )
}

impl Bed {
    /// What a pod answers the lab.
    async fn page(&self, address: IpAddr) -> std::io::Result<String> {
        let mut stream = self.kubelet.network().connect(address, 80).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok(page
            .split("\r\n\r\n")
            .nth(1)
            .unwrap_or_default()
            .trim()
            .to_owned())
    }

    /// The same, as soon as it answers.
    async fn served(&self, address: IpAddr) -> String {
        let asked = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.page(address).await {
                    Ok(page) => return page,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        asked.await.expect("the pod never answers")
    }
}

#[tokio::test]
async fn two_pods_listen_on_one_port_and_meet() {
    let Some(bed) = bed().await else { return };
    let [a, b] = ["a", "b"].map(|name| bed.create(web(name)));
    let (a_ip, b_ip) = (ip(&bed.ready(&a).await), ip(&bed.ready(&b).await));
    assert_ne!(a_ip, b_ip);
    assert_eq!(bed.served(a_ip).await, "a");
    assert_eq!(bed.served(b_ip).await, "b");
    assert_eq!(bed.sh(&a, &ask(b_ip, "b")).await, Ok(0));
    assert_eq!(bed.sh(&b, &ask(a_ip, "a")).await, Ok(0));
    // A killed container comes back where it was.
    let _ = bed.sh(&a, "kill -9 $(pidof web)").await;
    bed.pod(&a, "it is restarted", |pod| {
        container(pod)["restartCount"] == 1
    })
    .await;
    assert_eq!(bed.served(a_ip).await, "a");
    assert_eq!(bed.sh(&b, &ask(a_ip, "a")).await, Ok(0));
    // Where nobody lives, nobody answers, and one is told so at once.
    let nobody = bed.page("10.244.9.9".parse().unwrap()).await.unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::HostUnreachable);
    bed.close().await;
}

#[tokio::test]
async fn a_pod_reaches_neither_the_machine_nor_its_own_settings() {
    let Some(bed) = bed().await else { return };
    let key = bed.create(pod("p", STEADY));
    bed.ready(&key).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for script in [
        format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"),
        "bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'".to_owned(),
        "ip link set eth0 down".to_owned(),
        "ip address add 10.244.0.99/32 dev eth0".to_owned(),
        "echo 1 > /proc/sys/net/ipv4/ip_forward".to_owned(),
    ] {
        assert_ne!(bed.sh(&key, &script).await, Ok(0), "{script}");
    }
    bed.close().await;
}

#[tokio::test]
async fn a_network_can_be_cut_and_healed() {
    let Some(bed) = bed().await else { return };
    let key = bed.create(web("p"));
    let address = ip(&bed.ready(&key).await);
    bed.served(address).await;
    let network = bed.kubelet.network();
    let mut open = network.connect(address, 80).await.unwrap();
    let cut = Fault {
        cut: true,
        ..Fault::default()
    };
    network.impair(address, "test", Some(cut)).unwrap();
    open.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    let silent = Duration::from_millis(300);
    let answer = tokio::time::timeout(silent, open.read_to_string(&mut page)).await;
    assert!(answer.is_err(), "a cut pod has answered: {page}");
    let fresh = tokio::time::timeout(silent, network.connect(address, 80)).await;
    assert!(fresh.is_err(), "a cut pod took a connection: {fresh:?}");
    network.impair(address, "test", None).unwrap();
    // Nothing is lost: the connection of before goes on.
    let healed = tokio::time::timeout(PATIENCE, open.read_to_string(&mut page)).await;
    healed.unwrap().unwrap();
    assert!(page.ends_with("p\n"), "{page}");
    assert_eq!(bed.page(address).await.unwrap(), "p");
    let nobody = network.impair("10.244.9.9".parse().unwrap(), "test", Some(cut));
    assert!(nobody.unwrap_err().contains("10.244.9.9"));
    bed.close().await;
}

#[tokio::test]
async fn a_network_can_be_slow_and_lossy() {
    let Some(bed) = bed().await else { return };
    let key = bed.create(web("p"));
    let address = ip(&bed.ready(&key).await);
    bed.served(address).await;
    let network = bed.kubelet.network();
    let slow = Fault {
        delay: Duration::from_millis(120),
        ..Fault::default()
    };
    network.impair(address, "slow", Some(slow)).unwrap();
    let asked = Instant::now();
    assert_eq!(bed.page(address).await.unwrap(), "p");
    // One way to greet, one to answer.
    assert!(
        asked.elapsed() >= Duration::from_millis(240),
        "{:?}",
        asked.elapsed()
    );
    let lossy = Fault {
        loss: 20.0,
        ..Fault::default()
    };
    network.impair(address, "slow", Some(lossy)).unwrap();
    // Slower, but nothing that was sent is missing.
    for _ in 0..3 {
        let page = tokio::time::timeout(PATIENCE, bed.page(address)).await;
        assert_eq!(page.unwrap().unwrap(), "p");
    }
    let all = Fault {
        loss: 100.0,
        ..Fault::default()
    };
    network.impair(address, "slow", Some(all)).unwrap();
    let lost = tokio::time::timeout(Duration::from_millis(300), bed.page(address)).await;
    assert!(lost.is_err());
    bed.close().await;
}

#[tokio::test]
async fn a_pods_last_words_arrive_when_it_is_deleted() {
    let Some(bed) = bed().await else { return };
    let key = bed.create(web("p"));
    let address = ip(&bed.ready(&key).await);
    bed.served(address).await;
    let mut open = bed.kubelet.network().connect(address, 80).await.unwrap();
    let now = Deletion {
        grace: Some(0),
        ..Deletion::default()
    };
    bed.store.delete(&key, &now).unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, open.read_to_end(&mut rest)).await;
    // An orderly end or a reset: either way the other side is told.
    drop(ended.expect("the connection hangs"));
    bed.close().await;
}

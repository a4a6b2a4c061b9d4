//! Pods that mean harm: to this machine, to the lab, and to other pods.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Node, Secret};
use kube::api::{Api, AttachParams, ListParams, PostParams};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::bed::Bed;
use super::client::{connect, is_running, run};
use super::support::{Lab, within};

impl Bed {
    /// What a shell in a pod says to a script, both streams.
    async fn sh(&self, pod: &str, script: &str) -> String {
        let ask = AttachParams::default().stdout(true).stderr(true);
        let said = async {
            let command = ["bash", "-c", &format!("exec 2>&1; {script}")];
            let mut session = self.pods().exec(pod, command, &ask).await.unwrap();
            let mut said = String::new();
            session
                .stdout()
                .unwrap()
                .read_to_string(&mut said)
                .await
                .unwrap();
            said
        };
        within(script, said).await
    }

    /// Whether pods have networks of their own; says so when they have not.
    async fn has_networks(&self) -> bool {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = nodes.list(&ListParams::default()).await.unwrap();
        let shared = nodes.iter().find_map(|node| {
            let network = node
                .metadata
                .annotations
                .as_ref()?
                .get("lab.aks-tui.dev/network")?;
            (network != "namespaces").then(|| network.clone())
        });
        if let Some(network) = &shared {
            println!("skipped: {network}");
        }
        shared.is_none()
    }
}

/// Whether this machine has perl and knows the numbers of its system calls.
fn perl_is_here() -> bool {
    let version = Command::new("perl").arg("-v").output();
    let here = cfg!(target_arch = "x86_64") && version.is_ok_and(|it| it.status.success());
    if !here {
        println!("skipped: there is no perl here, or the numbers of system calls are not known");
    }
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_reaches_nothing_of_this_machine_over_any_network() {
    let bed = Bed::new().await;
    if !bed.namespaces() || !bed.has_networks().await {
        return;
    }
    let doors = [
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("0.0.0.0:0").unwrap(),
    ];
    let datagrams = UdpSocket::bind("0.0.0.0:0").unwrap();
    let name = format!("aks-tui-test-{:016x}", fastrand::u64(..));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let local = UnixListener::bind_addr(&address).unwrap();
    for door in &doors {
        door.set_nonblocking(true).unwrap();
    }
    datagrams.set_nonblocking(true).unwrap();
    local.set_nonblocking(true).unwrap();
    let sleep = json!({"image": "aks-tui/shell", "command": ["sleep", "1000"]});
    bed.pod("inside", &sleep).await;
    bed.pod("other", &sleep).await;
    // Where this machine might be found, and where clouds tell what they know.
    let mut hosts = vec![
        "127.0.0.1".to_owned(),
        "0.0.0.0".to_owned(),
        "169.254.169.254".to_owned(),
    ];
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|it| it.connect("192.0.2.1:9").map(|()| it));
    if let Ok(IpAddr::V4(own)) = own.and_then(|it| it.local_addr()).map(|it| it.ip()) {
        hosts.push(own.to_string());
    }
    let nodes: Api<Node> = Api::all(bed.client.clone());
    for node in nodes.list(&ListParams::default()).await.unwrap() {
        let addresses = node.status.unwrap().addresses.unwrap_or_default();
        hosts.extend(addresses.into_iter().map(|it| it.address));
    }
    let server = bed.lab.about["server"].as_str().unwrap();
    let api = server.rsplit(':').next().unwrap();
    let mut ports = vec![api.to_owned(), "80".to_owned()];
    ports.extend(
        doors
            .iter()
            .map(|it| it.local_addr().unwrap().port().to_string()),
    );
    let udp = datagrams.local_addr().unwrap().port();
    for host in &hosts {
        for port in &ports {
            let said = bed
                .sh(
                    "inside",
                    &format!("timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/{port}' && echo BREACH"),
                )
                .await;
            assert!(!said.contains("BREACH"), "{host}:{port}");
        }
        bed.sh("inside", &format!("echo x > /dev/udp/{host}/{udp}"))
            .await;
    }
    if perl_is_here() {
        let script = format!(
            "socket(S, 1, 1, 0); print connect(S, pack('S', 1) . qq(\\0{name})) ? 'BREACH' : qq(held: $!)"
        );
        let said = bed
            .sh(
                "inside",
                &format!("perl -e '{}'", script.replace('\'', "\"")),
            )
            .await;
        assert!(said.starts_with("held"), "{said}");
    }
    for door in &doors {
        assert!(door.accept().is_err(), "a pod was at {door:?}");
    }
    assert!(datagrams.recv(&mut [0]).is_err() && local.accept().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_cannot_pass_for_another() {
    let bed = Bed::new().await;
    if !perl_is_here() || !bed.namespaces() || !bed.has_networks().await {
        return;
    }
    let listen = "use Socket; $| = 1; socket(S, 2, 2, 0); bind(S, sockaddr_in(5000, INADDR_ANY)); print qq(listening\\n); \
        while (my $from = recv(S, my $text, 99, 0)) { my ($port, $ip) = sockaddr_in($from); print inet_ntoa($ip), qq( $text\\n); }";
    bed.pod(
        "listener",
        &json!({"image": "aks-tui/shell", "command": ["perl", "-e", listen]}),
    )
    .await;
    let sleep = json!({"image": "aks-tui/shell", "command": ["sleep", "1000"]});
    bed.pod("victim", &sleep).await;
    bed.pod("liar", &sleep).await;
    let address = async |pod: &str| {
        let pod = bed.pods().get(pod).await.unwrap();
        pod.status.unwrap().pod_ip.unwrap()
    };
    let (listener, victim, liar) = (
        address("listener").await,
        address("victim").await,
        address("liar").await,
    );
    // A socket may say that it is somebody else (IP_FREEBIND), and still be
    // stopped; one that makes its own packets may not be had at all.
    let lie = format!(
        "use Socket; socket(S, 2, 2, 0); setsockopt(S, 0, 15, 1); bind(S, sockaddr_in(0, inet_aton(\"{victim}\"))); \
         send(S, \"lie\", 0, sockaddr_in(5000, inet_aton(\"{listener}\"))); \
         print socket(R, 2, 3, 255) ? \"BREACH\" : \"held\"; \
         socket(T, 2, 2, 0); send(T, \"truth\", 0, sockaddr_in(5000, inet_aton(\"{listener}\")));"
    );
    let log = async || {
        bed.pods()
            .logs("listener", &kube::api::LogParams::default())
            .await
            .unwrap()
    };
    let heard = async {
        while !log().await.contains("listening") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        loop {
            assert_eq!(bed.sh("liar", &format!("perl -e '{lie}'")).await, "held");
            let log = log().await;
            // What was sent after the lie has come; the lie has not.
            if log.contains("truth") {
                return log;
            }
        }
    };
    let log = within("the truth", heard).await;
    assert!(log.contains(&format!("{liar} truth")), "{log}");
    assert!(!log.contains("lie"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pod_knows_and_keeps_is_not_anothers() {
    let bed = Bed::new().await;
    if !bed.namespaces() {
        println!("skipped: there are no namespaces here");
        return;
    }
    let word = format!("word-{:016x}", fastrand::u64(..));
    let secrets: Api<Secret> = Api::default_namespaced(bed.client.clone());
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"word": word}});
    let secret = serde_json::from_value(secret).unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let holder = json!({
        "metadata": {"name": "holder"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "s", "secret": {"secretName": "s"}}, {"name": "e", "emptyDir": {}}],
            "containers": [{
                "name": "main", "image": "aks-tui/shell",
                "command": ["sh", "-c", "cp /s/word /e/word; cp /s/word /tmp/word; cp /s/word /dev/shm/word; exec sleep 1000"],
                "env": [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "word"}}}],
                "volumeMounts": [{"name": "s", "mountPath": "/s"}, {"name": "e", "mountPath": "/e"}],
            }],
        },
    });
    run(
        &bed.pods(),
        &serde_json::from_value(holder).unwrap(),
        is_running,
    )
    .await;
    let thief = |name: &str, sub_path: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "volumes": [{"name": "root", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}],
                "containers": [{
                    "name": "main", "image": "aks-tui/shell", "command": ["sleep", "1000"],
                    "volumeMounts": [
                        {"name": "root", "mountPath": "/host", "subPath": sub_path},
                        {"name": "e", "mountPath": "/e"},
                    ],
                }],
            },
        })
    };
    let first = serde_json::from_value(thief("thief", "")).unwrap();
    run(&bed.pods(), &first, is_running).await;
    let state = bed.lab.state.display();
    // Links that lead out wherever they are followed from.
    let said = bed
        .sh("thief", &format!("for t in / /etc {state} /proc/1/root ../../../../../../..; do n=$((n + 1)); ln -s $t /host/out$n; ln -s $t /e/out$n; done; echo done"))
        .await;
    assert!(said.ends_with("done\n"), "{said}");
    let events: Api<Event> = Api::default_namespaced(bed.client.clone());
    let mut thieves = vec!["thief".to_owned()];
    for number in 1..=5 {
        let name = format!("thief-{number}");
        let pod = serde_json::from_value(thief(&name, &format!("out{number}"))).unwrap();
        bed.pods()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
        // A link that leads nowhere inside its volume keeps the pod waiting.
        let settled = async {
            loop {
                if is_running(&bed.pods().get(&name).await.unwrap()) {
                    thieves.push(name.clone());
                    return;
                }
                let told = events.list(&ListParams::default()).await.unwrap();
                let mut told = told
                    .iter()
                    .filter(|it| it.involved_object.name.as_ref() == Some(&name));
                if told.any(|it| it.reason.as_deref() == Some("FailedMount")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("it runs, or cannot", settled).await;
    }
    for thief in &thieves {
        let search = format!(
            "grep -rls {word} /host /e /tmp /dev/shm /run /etc /root /var 2>/dev/null; \
             grep -ls {word} /proc/[0-9]*/environ /proc/[0-9]*/root/tmp/word; \
             cat {state}/kubeconfig {state}/node/*/* /host/{state}/kubeconfig /host/etc/shadow; echo searched"
        );
        let found = bed.sh(thief, &search).await;
        assert!(found.ends_with("searched\n"), "{found}");
        assert!(
            !found.contains("word") && !found.contains("token:") && !found.contains("root:"),
            "{thief}: {found}"
        );
    }
    // It was there all the time.
    assert!(
        bed.sh("holder", "cat /s/word /e/word /tmp/word; echo $WORD")
            .await
            .matches(&word)
            .count()
            == 4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_whoever_started_the_lab_are_not_its_pods() {
    if !perl_is_here() {
        return;
    }
    // A session keyring with a key in it, as a login leaves it.
    let login = "syscall(250, 1, 0) >= 0 or exit 77; \
        syscall(248, my $t = 'user', my $d = 'aks-tui-test', my $p = 'secret', 6, -3) >= 0 or exit 77; exec @ARGV";
    let lab = match Lab::start_through(
        &["perl", "-e", login],
        &["--empty", "--isolation", "namespaces"],
    ) {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: there are no namespaces here, or no keys: {why}");
            return;
        }
    };
    let client = connect(&lab).await;
    let bed = Bed { lab, client };
    bed.pod(
        "inside",
        &json!({"image": "aks-tui/shell", "command": ["sleep", "1000"]}),
    )
    .await;
    bed.pod(
        "other",
        &json!({"image": "aks-tui/shell", "command": ["sleep", "1000"]}),
    )
    .await;
    let search = "print syscall(250, 10, -3, my $t = q(user), my $d = q(aks-tui-test), 0) < 0 ? q(held) : q(BREACH)";
    assert_eq!(
        bed.sh("inside", &format!("perl -e '{search}'")).await,
        "held"
    );
    // Nor are one pod's another's.
    let keep = "print syscall(248, my $t = q(user), my $d = q(aks-tui-test), my $p = q(mine), 4, -3) < 0 ? q(none) : q(kept)";
    assert_eq!(bed.sh("other", &format!("perl -e '{keep}'")).await, "kept");
    assert_eq!(
        bed.sh("inside", &format!("perl -e '{search}'")).await,
        "held"
    );
}

//! Forwarded ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{connect, within};
use super::kubectl::{kubectl, kubectl_is_here, ok};
use super::support::{Lab, eventually};
use super::{KUBECTLS, run};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n";

fn web(lab: &Lab) {
    run(lab, "web", &["--image=aks-tui/web", "--port=8080"]);
}

/// A lab that needs no more than its network.
fn plain() -> Lab {
    Lab::start(&["--empty", "--backoff", "none"])
}

/// A kubectl that forwards a port; dropping it ends it.
struct Forward {
    child: Child,
    port: u16,
    errors: Arc<Mutex<String>>,
}

impl Forward {
    /// Forwards to `to`, with kubectl's WebSockets on or off.
    fn start(lab: &Lab, to: &str, port: &str, websockets: &str) -> Self {
        let mut child = kubectl(lab, &["port-forward", to, port])
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let (mut stderr, said) = (child.stderr.take().unwrap(), Arc::clone(&errors));
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                said.lock().unwrap().push_str(&text);
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.strip_prefix("Forwarding from 127.0.0.1:").unwrap();
        let (port, _) = address.split_once(" -> ").unwrap();
        let port = port.parse().unwrap();
        // It prints a line for each connection and must not wait for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        Self {
            child,
            port,
            errors,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(mut connection: TcpStream) -> String {
    connection.write_all(GET).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn kubectl_of_either_age_reaches_a_port_many_times_over() {
    if !kubectl_is_here() {
        return;
    }
    let lab = plain();
    web(&lab);
    for (age, websockets) in KUBECTLS {
        let forward = Forward::start(&lab, "pod/web", ":8080", websockets);
        // One that is begun and left, and several at once, over one connection.
        let idle = forward.connect();
        let answers: Vec<String> = std::thread::scope(|scope| {
            let connections: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| get(forward.connect())))
                .collect();
            connections
                .into_iter()
                .map(|it| it.join().unwrap())
                .collect()
        });
        for answer in answers {
            assert!(answer.starts_with("HTTP/1.1 200"), "{age}: {answer:?}");
        }
        assert!(get(idle).starts_with("HTTP/1.1 200"), "{age}");
        assert_eq!(*forward.errors.lock().unwrap(), "", "{age}");
    }
}

#[test]
fn kubectl_forwards_to_a_workloads_pod() {
    if !kubectl_is_here() {
        return;
    }
    let lab = plain();
    let create = ["create", "deployment", "shop", "--image=aks-tui/web"];
    ok(&lab, &create);
    ok(&lab, &["rollout", "status", "deploy/shop", "--timeout=60s"]);
    let forward = Forward::start(&lab, "deploy/shop", ":8080", "true");
    let answer = get(forward.connect());
    assert!(answer.contains("shop-"), "{answer}");
}

#[test]
fn kubectl_says_that_nothing_listens() {
    if !kubectl_is_here() {
        return;
    }
    let lab = plain();
    web(&lab);
    for (age, websockets) in KUBECTLS {
        let mut forward = Forward::start(&lab, "pod/web", ":81", websockets);
        let mut nothing = Vec::new();
        // Closed without a word, or reset.
        let _ = forward.connect().read_to_end(&mut nothing);
        assert!(nothing.is_empty(), "{age}");
        eventually("kubectl has given up", || {
            forward.child.try_wait().unwrap().is_some()
        });
        eventually("kubectl has said why", || {
            let said = forward.errors.lock().unwrap();
            said.contains(":81: connect: connection refused")
                && said.contains("error forwarding port 81 to pod web, uid ")
        });
    }
}

#[tokio::test]
async fn kube_reaches_several_ports_and_hears_which_one_is_closed() {
    let lab = plain();
    let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
    web(&lab);
    let mut forward = pods.portforward("web", &[8080, 81]).await.unwrap();
    let mut open = forward.take_stream(8080).unwrap();
    open.write_all(GET).await.unwrap();
    let mut answer = [0; 12];
    within("an answer", open.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let why = within("an error", forward.take_error(81).unwrap()).await;
    let why = why.unwrap();
    assert!(why.ends_with(":81: connect: connection refused"), "{why}");
    drop(open);
    forward.abort();

    let gone = pods.portforward("nobody", &[80]).await;
    assert!(gone.err().unwrap().to_string().contains("404"));
}

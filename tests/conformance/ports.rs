//! Pods' ports from outside: forwarded, and through the server's proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frame::{Case, eventually, kubectl_case, within};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";

/// A deployment of one web server and its service, whose port has a name.
fn web(case: &Case) {
    let container = case.web_server();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    case.apply(&format!("{deployment}\n---\n{service}\n"));
    case.ok(&["rollout", "status", "deploy/web", "--timeout=120s"]);
}

/// A kubectl that serves a port on this machine; dropping it ends it.
struct Serving(Child, u16);

impl Serving {
    fn start(case: &Case, arguments: &[&str]) -> Self {
        let mut child = case
            .kubectl(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first
            .split("127.0.0.1:")
            .nth(1)
            .unwrap_or_else(|| panic!("{first}"));
        let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
        // It prints a line for each connection and must not wait for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        Self(child, digits.parse().unwrap())
    }

    fn ask(&self, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        connection.write_all(request).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_port_is_forwarded_by_whatever_stands_for_its_pod() {
    kubectl_case("forward", async |case| {
        web(case);
        let pods: Api<Pod> = case.api();
        let listed = pods
            .list(&ListParams::default().labels("app=web"))
            .await
            .unwrap();
        let name = listed.items[0].metadata.name.clone().unwrap();
        for (of, port) in [
            (format!("pod/{name}"), ":8080"),
            ("deploy/web".to_owned(), ":8080"),
            // A service's port is not its pods'.
            ("svc/web".to_owned(), ":80"),
            ("svc/web".to_owned(), ":http"),
        ] {
            let forward = Serving::start(case, &["port-forward", &of, port]);
            for _ in 0..3 {
                let answer = forward.ask(GET);
                assert!(
                    answer.starts_with("HTTP/1.") && answer.contains(" 200 "),
                    "{of}: {answer}"
                );
            }
        }
        let refused = case.refused(&["port-forward", "svc/web", ":8080"]);
        assert!(
            refused.contains("does not have a service port 8080"),
            "{refused}"
        );

        let mut forward = within("a forward", pods.portforward(&name, &[8080]))
            .await
            .unwrap();
        let mut stream = forward.take_stream(8080).unwrap();
        stream.write_all(GET).await.unwrap();
        let mut answer = [0; 7];
        within("an answer", stream.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.");
    });
}

#[test]
fn pods_and_services_answer_through_the_proxy() {
    kubectl_case("proxy", async |case| {
        web(case);
        let pods: Api<Pod> = case.api();
        let listed = pods
            .list(&ListParams::default().labels("app=web"))
            .await
            .unwrap();
        let name = listed.items[0].metadata.name.clone().unwrap();
        let base = format!("/api/v1/namespaces/{}", case.namespace);
        let paths = [
            format!("pods/{name}:8080"),
            format!("pods/http:{name}:8080"),
            "services/web:80".to_owned(),
            "services/web:http".to_owned(),
            "services/http:web:http".to_owned(),
        ];
        let page = case.ok(&["get", "--raw", &format!("{base}/{}/proxy/", paths[0])]);
        assert!(!page.is_empty());
        for path in &paths {
            let url = format!("{base}/{path}/proxy/");
            assert_eq!(case.ok(&["get", "--raw", &url]), page, "{path}");
        }
        let proxy = Serving::start(case, &["proxy", "--port=0"]);
        for path in &paths {
            let request = format!(
                "GET {base}/{path}/proxy/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            );
            let answer = proxy.ask(request.as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.contains(page.trim()),
                "{path}: {answer}"
            );
        }
        let none = case.refused(&["get", "--raw", &format!("{base}/services/web:81/proxy/")]);
        assert!(
            none.contains("no service port 81 found for service \"web\""),
            "{none}"
        );
        case.ok(&["scale", "deploy/web", "--replicas=0"]);
        let url = format!("{base}/services/web:http/proxy/");
        eventually("nobody is there", async || {
            let (_, said, code) = case.said(&["get", "--raw", &url]);
            code != 0 && said.contains("no endpoints available for service \"web")
        })
        .await;
    });
}

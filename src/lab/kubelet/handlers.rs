//! What probes and hooks do: run a command in the container, ask its web
//! server, knock at its port, wait. The texts of failures are the real
//! kubelet's, and those of the language it is written in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::Worker;
use crate::lab::network::Network;
use crate::lab::node::ExecRequest;
use crate::lab::runtime::Container;

/// The most of an answer that is read, in bytes; the real kubelet's.
const LONGEST: usize = 10 * 1024;

/// So many redirects are followed; the real kubelet's.
const REDIRECTS: usize = 10;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should.
    Success,
    /// It was done, and the answer was no.
    Failure(String),
    /// It could not be done.
    Unknown(String),
}

/// Something to do in or to a container.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action<'a> {
    /// Run a command in it.
    Exec(&'a ExecAction),
    /// Ask its web server.
    Http(&'a HTTPGetAction),
    /// Connect to its port.
    Tcp(&'a TCPSocketAction),
    /// Wait so long.
    Sleep(Duration),
}

impl<'a> Action<'a> {
    /// What a probe does; none for what the lab refuses in a pod's spec.
    pub fn of_probe(probe: &'a Probe) -> Option<Self> {
        let exec = probe.exec.as_ref().map(Self::Exec);
        let http = probe.http_get.as_ref().map(Self::Http);
        let tcp = probe.tcp_socket.as_ref().map(Self::Tcp);
        exec.or(http).or(tcp)
    }

    /// What a hook does; none for what the lab refuses in a pod's spec.
    pub fn of_hook(hook: &'a LifecycleHandler) -> Option<Self> {
        let exec = hook.exec.as_ref().map(Self::Exec);
        let http = hook.http_get.as_ref().map(Self::Http);
        let sleep = hook.sleep.as_ref();
        let sleep = sleep.map(|it| Self::Sleep(Duration::from_secs(it.seconds.max(0) as u64)));
        exec.or(http).or(sleep)
    }
}

impl Worker {
    /// Does it, within `limit` if there is one.
    pub(super) async fn perform(
        &self,
        spec: &ContainerSpec,
        container: &Container,
        action: Action<'_>,
        limit: Option<Duration>,
    ) -> Outcome {
        let done = async {
            match action {
                Action::Exec(exec) => command(container, exec).await,
                Action::Http(get) => match self.web_target(spec, get) {
                    Ok(target) => target.get(&self.shared.network).await,
                    Err(why) => Outcome::Unknown(why),
                },
                Action::Tcp(tcp) => match self.socket(spec, &tcp.port) {
                    Ok(at) => match self.shared.network.connect(at.ip(), at.port()).await {
                        Ok(_) => Outcome::Success,
                        Err(error) => Outcome::Failure(dial(at, &error)),
                    },
                    Err(why) => Outcome::Unknown(why),
                },
                Action::Sleep(length) => {
                    tokio::time::sleep(length).await;
                    Outcome::Success
                }
            }
        };
        let Some(limit) = limit else {
            return done.await;
        };
        match tokio::time::timeout(limit, done).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failure(self.overdue(spec, action, limit)),
        }
    }

    fn overdue(&self, spec: &ContainerSpec, action: Action<'_>, limit: Duration) -> String {
        match action {
            Action::Exec(exec) => {
                let line = exec.command.clone().unwrap_or_default().join(" ");
                let limit = super::backoff::print(limit);
                format!("command timed out: {line:?} timed out after {limit}")
            }
            Action::Http(get) => {
                let url = self.web_target(spec, get).map(|target| target.url());
                format!(
                    "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                    url.unwrap_or_default()
                )
            }
            Action::Tcp(tcp) => match self.socket(spec, &tcp.port) {
                Ok(at) => format!("dial tcp {at}: i/o timeout"),
                Err(why) => why,
            },
            Action::Sleep(_) => "context deadline exceeded".to_owned(),
        }
    }

    fn socket(&self, spec: &ContainerSpec, port: &IntOrString) -> Result<SocketAddr, String> {
        let address: IpAddr = self
            .address()
            .parse()
            .map_err(|_| "the pod has no address".to_owned())?;
        Ok(SocketAddr::new(address, number(spec, port)?))
    }

    fn web_target<'a>(
        &self,
        spec: &ContainerSpec,
        get: &'a HTTPGetAction,
    ) -> Result<WebTarget<'a>, String> {
        let path = get.path.as_deref().unwrap_or_default();
        Ok(WebTarget {
            at: self.socket(spec, &get.port)?,
            path: format!("/{}", path.trim_start_matches('/')),
            get,
        })
    }
}

/// A port, by its number or by its name among the container's ports.
fn number(spec: &ContainerSpec, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let ports = spec.ports.iter().flatten();
            let named = ports
                .into_iter()
                .find(|it| it.name.as_ref() == Some(name))
                .map(|it| it.container_port);
            named.or_else(|| name.parse().ok())
        }
    };
    let found = number.and_then(|number| u16::try_from(number).ok());
    found.filter(|number| *number > 0).ok_or_else(|| {
        let text = match port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        format!("invalid port: couldn't find port: {text:?}")
    })
}

async fn command(container: &Container, exec: &ExecAction) -> Outcome {
    let request = ExecRequest {
        command: exec.command.clone().unwrap_or_default(),
        stdout: true,
        stderr: true,
        ..ExecRequest::default()
    };
    let mut session = match container.exec(request).await {
        Ok(session) => session,
        Err(error) => return Outcome::Failure(error.to_string()),
    };
    let mut said = Vec::new();
    while let Some((_, bytes)) = session.output.recv().await {
        let room = LONGEST.saturating_sub(said.len()).min(bytes.len());
        said.extend_from_slice(&bytes[..room]);
    }
    match session.exit.await {
        Ok(exit) if exit.code == 0 => Outcome::Success,
        Ok(_) => Outcome::Failure(String::from_utf8_lossy(&said).into_owned()),
        Err(_) => Outcome::Unknown("the command was lost".to_owned()),
    }
}

/// What is asked of a web server.
struct WebTarget<'a> {
    at: SocketAddr,
    path: String,
    get: &'a HTTPGetAction,
}

impl WebTarget<'_> {
    fn url(&self) -> String {
        format!("http://{}{}", self.at, self.path)
    }

    async fn get(mut self, network: &Network) -> Outcome {
        for _ in 0..=REDIRECTS {
            let (status, location) = match self.ask(network).await {
                Ok(answer) => answer,
                Err(why) => return Outcome::Failure(format!("Get {:?}: {why}", self.url())),
            };
            if status.is_redirection()
                && let Some(path) = location.and_then(|to| self.same_server(&to))
            {
                self.path = path;
                continue;
            }
            if status.is_success() || status.is_redirection() {
                return Outcome::Success;
            }
            let code = status.as_u16();
            return Outcome::Failure(format!("HTTP probe failed with statuscode: {code}"));
        }
        let why = format!("stopped after {REDIRECTS} redirects");
        Outcome::Failure(format!("Get {:?}: {why}", self.url()))
    }

    /// The path that a redirect leads to; none when it leads to another server,
    /// which the real kubelet does not follow and takes for a success.
    fn same_server(&self, location: &str) -> Option<String> {
        let own = format!("http://{}", self.at);
        let path = location.strip_prefix(&own).unwrap_or(location);
        path.starts_with('/').then(|| path.to_owned())
    }

    async fn ask(&self, network: &Network) -> Result<(StatusCode, Option<String>), String> {
        let stream = network.connect(self.at.ip(), self.at.port()).await;
        let stream = stream.map_err(|error| dial(self.at, &error))?;
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| error.to_string())?;
        let talk = async {
            let answer = sender.send_request(self.request()?).await;
            let answer = answer.map_err(|error| broken(&error))?;
            let location = answer.headers().get(header::LOCATION);
            let location = location.and_then(|it| it.to_str().ok()).map(str::to_owned);
            let status = answer.status();
            // Read so that the server can write it; what it says does not matter.
            let _ = Limited::new(answer.into_body(), LONGEST).collect().await;
            Ok((status, location))
        };
        tokio::pin!(talk);
        tokio::select! {
            answer = &mut talk => answer,
            ended = connection => match ended {
                // What it got before its end is still to be read.
                Ok(()) => talk.await,
                Err(error) => Err(broken(&error)),
            },
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let own = self.get.http_headers.iter().flatten();
        let names = |wanted: &str| {
            let mut headers = self.get.http_headers.iter().flatten();
            headers.any(|it| it.name.eq_ignore_ascii_case(wanted))
        };
        let mut request = Request::get(&self.path).header(header::CONNECTION, "close");
        let usual = [
            ("Host", self.at.to_string()),
            ("User-Agent", "kube-probe/1.33".to_owned()),
            ("Accept", "*/*".to_owned()),
        ];
        for (name, value) in usual {
            if !names(name) {
                request = request.header(name, value);
            }
        }
        for it in own {
            request = request.header(&it.name, &it.value);
        }
        request
            .body(Empty::new())
            .map_err(|error| error.to_string())
    }
}

fn broken(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "EOF".to_owned()
    } else {
        format!("net/http: HTTP/1.x transport connection broken: {error}")
    }
}

fn dial(at: SocketAddr, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => return format!("dial tcp {at}: i/o timeout"),
        _ => error.to_string(),
    };
    format!("dial tcp {at}: connect: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn spec() -> ContainerSpec {
        serde_json::from_value(json!({
            "name": "c", "ports": [{"name": "web", "containerPort": 8080}],
        }))
        .unwrap()
    }

    #[test]
    fn ports_go_by_number_or_name() {
        let port =
            |value: serde_json::Value| number(&spec(), &serde_json::from_value(value).unwrap());
        assert_eq!(port(json!(80)), Ok(80));
        assert_eq!(port(json!("web")), Ok(8080));
        assert_eq!(port(json!("81")), Ok(81));
        for wrong in [json!("none"), json!(0), json!(70_000)] {
            assert!(port(wrong.clone()).is_err(), "{wrong}");
        }
    }

    /// Serves these answers, one a connection, and gives what it was asked.
    async fn asked(answers: Vec<&'static str>, get: serde_json::Value) -> (Outcome, Vec<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                requests.push(String::from_utf8(request).unwrap().to_lowercase());
            }
            requests
        });
        let get: HTTPGetAction = serde_json::from_value(get).unwrap();
        let target = WebTarget {
            at,
            path: "/health".to_owned(),
            get: &get,
        };
        let outcome = target.get(&Network::loopback()).await;
        (outcome, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_web_server_is_asked_as_the_real_kubelet_asks() {
        let get = json!({"port": 1, "httpHeaders": [{"name": "X-Mine", "value": "1"}]});
        let (outcome, requests) = asked(vec!["HTTP/1.1 200 OK\r\n\r\nfine"], get.clone()).await;
        assert_eq!(outcome, Outcome::Success);
        assert!(
            requests[0].starts_with("get /health http/1.1"),
            "{requests:?}"
        );
        for line in ["user-agent: kube-probe/", "x-mine: 1", "host: 127.0.0.1:"] {
            assert!(requests[0].contains(line), "{requests:?}");
        }
        let (outcome, _) = asked(vec!["HTTP/1.1 503 No\r\n\r\n"], get.clone()).await;
        let said = "HTTP probe failed with statuscode: 503";
        assert_eq!(outcome, Outcome::Failure(said.to_owned()));
        let moved = "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n";
        let (outcome, requests) = asked(vec![moved, "HTTP/1.1 500 No\r\n\r\n"], get.clone()).await;
        assert!(matches!(outcome, Outcome::Failure(_)));
        assert!(requests[1].starts_with("get /there "), "{requests:?}");
        let away = "HTTP/1.1 302 Found\r\nlocation: http://other/\r\n\r\n";
        assert_eq!(asked(vec![away], get.clone()).await.0, Outcome::Success);
        let (outcome, _) = asked(vec![""], get).await;
        assert!(
            matches!(&outcome, Outcome::Failure(why) if why.ends_with(": EOF")),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_refused_connection_is_told_in_the_usual_words() {
        let at: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            dial(at, &refused),
            "dial tcp 10.0.0.1:80: connect: connection refused"
        );
    }
}

//! Connections that stop being HTTP: commands, attached terminals, forwarded
//! ports, and requests that pods and services answer themselves.
//!
//! What is said (a command's streams, a port's bytes) is one thing, how it is
//! carried another: over a [WebSocket](websocket) with numbered channels, over
//! [SPDY](spdy) as an upgrade of its own, or over SPDY inside a WebSocket, as
//! kubectl forwards ports today.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::Value;

use super::limits::Flow;
use super::request::Query;
use super::respond::{self, Body};
use super::route::Api;
use super::status::ApiError;
use super::{logs, reach, read};
use crate::lab::kinds::Resource;
use crate::lab::node::ExecRequest;
use crate::lab::store::Key;

mod command;
mod forward;
mod proxy;
mod spdy;
mod websocket;

/// The header in which SPDY's clients say which version of a conversation they
/// mean.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Whether a subresource of a kind is served here.
pub fn serves(resource: Resource, part: &str) -> bool {
    match part {
        "exec" | "attach" | "portforward" => resource == Resource::Pods,
        "proxy" => matches!(resource, Resource::Pods | Resource::Services),
        _ => false,
    }
}

/// Answers a request for one of these subresources.
///
/// # Errors
/// The refusal to send.
pub async fn answer(
    api: &Api,
    key: &Key,
    part: &str,
    query: &Query,
    flow: &Flow,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    if part == "proxy" {
        return proxy::answer(api, key, request).await;
    }
    upgrade(api, key, part, query, flow, &mut request)
}

/// Answers a request for one of a pod's streams.
fn upgrade(
    api: &Api,
    key: &Key,
    part: &str,
    query: &Query,
    flow: &Flow,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return Err(ApiError::method_not_allowed());
    }
    let pod = read::get(&api.store, key)?;
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        let name = &key.name;
        return Err(ApiError::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    }
    reach::streams(api.node.as_ref(), &pod)?;
    if part == "portforward" {
        return port_forward(api, &pod, query, flow, request);
    }
    let container = logs::container(&pod, query.get("container"))?.to_owned();
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        let verb = if part == "attach" {
            "attach"
        } else {
            "exec into"
        };
        return Err(ApiError::bad_request(format!(
            "cannot {verb} a container in a completed pod; current phase is {phase}"
        )));
    }
    let wanted = wanted(part, query)?;
    let (response, carrier) = command::Carrier::accept(request)?;
    let (node, stop) = (Arc::clone(&api.node), api.stop.clone());
    let uid = uid(&pod);
    let attach = part == "attach";
    api.tasks.spawn(async move {
        let session = async {
            if attach {
                node.attach(&uid, &container, wanted.stdin)
            } else {
                node.exec(&uid, &container, wanted.clone()).await
            }
        };
        carrier.serve(session, &wanted, stop).await;
    });
    Ok(response)
}

fn port_forward(
    api: &Api,
    pod: &Value,
    query: &Query,
    flow: &Flow,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let address: Option<IpAddr> = pod["status"]["podIP"]
        .as_str()
        .and_then(|address| address.parse().ok());
    let (response, carrier) = forward::Carrier::accept(request, query)?;
    let target = forward::Target {
        node: Arc::clone(&api.node),
        address,
        pod: pod["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        uid: uid(pod),
        places: flow.forwarded(),
    };
    let stop = api.stop.clone();
    api.tasks
        .spawn(stop.run_until_cancelled_owned(carrier.serve(target)));
    Ok(response)
}

/// The streams that a query asks for, and the command.
fn wanted(part: &str, query: &Query) -> Result<ExecRequest, ApiError> {
    let wanted = ExecRequest {
        command: query.all("command").map(str::to_owned).collect(),
        stdin: query.flag("stdin")?,
        stdout: query.flag("stdout")?,
        stderr: query.flag("stderr")?,
        tty: query.flag("tty")?,
    };
    if part == "exec" && wanted.command.is_empty() {
        return Err(ApiError::bad_request(
            "PodExecOptions is invalid: command: Required value",
        ));
    }
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return Err(ApiError::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    Ok(wanted)
}

fn uid(pod: &Value) -> String {
    let uid = pod["metadata"]["uid"].as_str();
    uid.unwrap_or_default().to_owned()
}

/// An error of the system in the words that Go has for it.
fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}

/// What a request asks its connection to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    WebSocket,
    Spdy,
}

impl Wish {
    /// # Errors
    /// *400* when it asks for nothing, *501* for anything else.
    fn of<B>(request: &Request<B>) -> Result<Self, ApiError> {
        let upgrade: Vec<String> = listed(request.headers(), &header::UPGRADE)
            .map(str::to_ascii_lowercase)
            .collect();
        if upgrade.iter().any(|it| it == "websocket") && request.method() == Method::GET {
            Ok(Self::WebSocket)
        } else if upgrade.iter().any(|it| it == "spdy/3.1") {
            Ok(Self::Spdy)
        } else if upgrade.is_empty() {
            Err(ApiError::bad_request("Upgrade request required"))
        } else {
            Err(ApiError::not_implemented(&format!(
                "an upgrade to {}; it speaks WebSocket and SPDY/3.1",
                upgrade.join(", ")
            )))
        }
    }
}

/// Agrees to SPDY, in the first of `protocols` that the client speaks too. A
/// client that names none speaks the last.
///
/// # Errors
/// *403*, as the real server has it, when none is shared.
fn accept_spdy<B>(
    request: &Request<B>,
    protocols: &[&'static str],
) -> Result<(Response<Body>, &'static str), ApiError> {
    let offered: Vec<&str> = listed(request.headers(), &STREAM_PROTOCOL).collect();
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    let answer = response.headers_mut();
    upgraded(answer, "SPDY/3.1");
    let shared = protocols.iter().find(|it| offered.contains(it));
    let protocol = match (shared, protocols.last()) {
        (Some(protocol), _) => {
            answer.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
            protocol
        }
        (None, Some(oldest)) if offered.is_empty() => oldest,
        _ => {
            let mut refusal = ApiError::bad_request(format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, \
                 server accepts {protocols:?}"
            ));
            refusal.code = StatusCode::FORBIDDEN;
            refusal.reason = "Forbidden";
            return Err(refusal);
        }
    };
    Ok((response, protocol))
}

/// The items of a header that is a list, of all its lines.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn upgraded(answer: &mut HeaderMap, to: &'static str) {
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static(to));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(method: Method, upgrade: &'static str) -> Result<Wish, u16> {
        let request = Request::builder()
            .method(method)
            .header(header::UPGRADE, upgrade)
            .body(())
            .unwrap();
        Wish::of(&request).map_err(|error| error.code.as_u16())
    }

    #[test]
    fn a_connection_becomes_what_it_asks_for() {
        assert_eq!(asking(Method::GET, "websocket"), Ok(Wish::WebSocket));
        assert_eq!(asking(Method::GET, "WebSocket"), Ok(Wish::WebSocket));
        assert_eq!(asking(Method::POST, "SPDY/3.1"), Ok(Wish::Spdy));
        assert_eq!(asking(Method::GET, "SPDY/3.1"), Ok(Wish::Spdy));
        assert_eq!(asking(Method::POST, "websocket"), Err(501));
        assert_eq!(asking(Method::GET, "h2c"), Err(501));
        assert_eq!(asking(Method::GET, ""), Err(400));
    }

    #[test]
    fn spdy_agrees_on_the_newest_version_that_both_speak() {
        let agreed = |offered: &'static str| {
            let mut request = Request::new(());
            if !offered.is_empty() {
                let value = HeaderValue::from_static(offered);
                request.headers_mut().insert(STREAM_PROTOCOL, value);
            }
            accept_spdy(&request, &["v2", "v1"])
                .map(|(response, protocol)| {
                    let said = response.headers().get(STREAM_PROTOCOL);
                    (protocol, said.map(|it| it.to_str().unwrap().to_owned()))
                })
                .map_err(|error| error.code.as_u16())
        };
        assert_eq!(agreed("v1, v2"), Ok(("v2", Some("v2".to_owned()))));
        assert_eq!(agreed("v1"), Ok(("v1", Some("v1".to_owned()))));
        assert_eq!(agreed(""), Ok(("v1", None)));
        assert_eq!(agreed("v3"), Err(403));
    }
}

//! Requests that pods and services answer themselves:
//! `…/pods/[SCHEME:]NAME[:PORT]/proxy/PATH` and the same for services.
//!
//! A request goes on as it came, without the credentials that were for the lab,
//! and the answer comes back as it is; only places that a redirection names are
//! moved below the proxy's path. An upgrade is passed through, so WebSockets
//! work. Pages are not rewritten: the real server moves their links too.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::path;
use super::super::read;
use super::super::respond::{self, Body};
use super::super::route::Api;
use super::super::status::ApiError;
use super::refusal;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store};

/// Headers that are about one connection, or about the lab.
const NOT_PASSED: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Answers a request below a pod's or a service's proxy path.
///
/// # Errors
/// The refusal to send: *404* without the object, *400* for a name that makes
/// no sense, *503* when nobody answers.
pub async fn answer(
    api: &Api,
    key: &Key,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let (prefix, rest) = path::proxied(request.uri().path()).ok_or_else(ApiError::no_such_path)?;
    let (prefix, rest) = (prefix.to_owned(), rest.to_owned());
    if rest.is_empty() && matches!(*request.method(), Method::GET | Method::HEAD) {
        return moved(&prefix, request.uri());
    }
    let (address, port) = destination(&api.store, key)?;
    let query = request.uri().query().map(|query| format!("?{query}"));
    let rest = if rest.is_empty() { "/" } else { &rest };
    let uri = format!("{rest}{}", query.unwrap_or_default());
    let connected = api.node.dial(address, port).await;
    let connection = connected.map_err(|error| {
        let why = refusal(&error);
        unreachable(&format!("dial tcp {address}:{port}: connect: {why}"))
    })?;
    let upgrade = wants_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let passed = pass(request, &uri)?;
    let mut response = ask(api, connection, passed).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = upgrade
    {
        let server = hyper::upgrade::on(&mut response);
        let join = api
            .stop
            .clone()
            .run_until_cancelled_owned(join(client, server));
        api.tasks.spawn(join);
    }
    let (mut head, body) = response.into_parts();
    relocate(&mut head.headers, &prefix);
    Ok(Response::from_parts(
        head,
        body.map_err(std::io::Error::other).boxed_unsync(),
    ))
}

/// Sends a request over a connection of its own.
async fn ask(
    api: &Api,
    connection: TcpStream,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, ApiError> {
    let broken = |error: hyper::Error| unreachable(&error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection))
        .await
        .map_err(broken)?;
    let stop = api.stop.clone();
    api.tasks.spawn(async move {
        if let Some(Err(error)) = stop.run_until_cancelled(connection.with_upgrades()).await {
            tracing::debug!(%error, "a proxied connection broke");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

/// Carries what follows an upgrade, until either side has ended.
async fn join(client: OnUpgrade, server: OnUpgrade) {
    if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        // However it ends, both are closed then.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

/// A path without its slash: what the answer refers to would be looked for in
/// the wrong place.
fn moved(prefix: &str, uri: &Uri) -> Result<Response<Body>, ApiError> {
    let query = uri.query().map(|query| format!("?{query}"));
    let place = format!("{prefix}/{}", query.unwrap_or_default());
    let place = HeaderValue::from_str(&place).map_err(ApiError::internal)?;
    let mut response = respond::empty(StatusCode::MOVED_PERMANENTLY);
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

/// The request as the pod gets it.
fn pass(request: Request<Incoming>, uri: &str) -> Result<Request<Incoming>, ApiError> {
    let (mut head, body) = request.into_parts();
    let upgrade = wants_upgrade(&head.headers)
        .then(|| head.headers.get(header::UPGRADE).cloned())
        .flatten();
    let original = HeaderValue::from_str(head.uri.path()).map_err(ApiError::internal)?;
    for name in NOT_PASSED {
        head.headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        head.headers.insert(header::UPGRADE, upgrade);
        head.headers
            .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    if let Some(host) = head.headers.get(header::HOST).cloned() {
        head.headers.insert("x-forwarded-host", host);
    }
    head.headers.insert("x-forwarded-uri", original);
    head.headers
        .insert("x-forwarded-proto", HeaderValue::from_static("https"));
    head.uri = uri
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{uri:?} is no path: {error}")))?;
    Ok(Request::from_parts(head, body))
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    super::listed(headers, &header::CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"))
        && headers.contains_key(header::UPGRADE)
}

/// Moves a place of the same server below the proxy's path.
fn relocate(headers: &mut HeaderMap, prefix: &str) {
    let Some(place) = headers.get(header::LOCATION) else {
        return;
    };
    let below = place
        .to_str()
        .ok()
        .filter(|place| place.starts_with('/') && !place.starts_with("//"))
        .and_then(|place| HeaderValue::from_str(&format!("{prefix}{place}")).ok());
    if let Some(below) = below {
        headers.insert(header::LOCATION, below);
    }
}

fn unreachable(why: &str) -> ApiError {
    ApiError::unavailable(format!("error trying to reach service: {why}"))
}

/// Where a request goes.
fn destination(store: &Store, key: &Key) -> Result<(IpAddr, u16), ApiError> {
    let kind = key.resource.names().singular;
    let odd = || ApiError::bad_request(format!("invalid {kind} request {:?}", key.name));
    let parts: Vec<&str> = key.name.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return Err(odd()),
    };
    match scheme {
        "" | "http" => {}
        "https" => return Err(ApiError::not_implemented("proxying to pods over TLS")),
        _ => return Err(odd()),
    }
    let object = read::get(store, &Key::new(key.resource, &key.namespace, name))?;
    if key.resource == Resource::Services {
        let slices = store
            .list(Resource::EndpointSlices, Some(&key.namespace))
            .items;
        return endpoint(&object, port, slices.iter().map(Arc::as_ref));
    }
    let address = object["status"]["podIP"]
        .as_str()
        .and_then(|it| it.parse().ok());
    let address = address.ok_or_else(|| ApiError::bad_request("address not allowed"))?;
    Ok((address, pod_port(&object, port).ok_or_else(odd)?))
}

/// The port that a pod is asked at: the one named, or the first it declares.
fn pod_port(pod: &Value, asked: &str) -> Option<u16> {
    if !asked.is_empty() {
        return asked.parse().ok();
    }
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let declared = containers
        .filter_map(|container| container["ports"].as_array()?.first())
        .find_map(|port| port["containerPort"].as_u64());
    declared.map_or(Some(80), |port| u16::try_from(port).ok())
}

/// One of a service's ready endpoints, at the port that is asked for by name or
/// number.
fn endpoint<'a>(
    service: &Value,
    asked: &str,
    slices: impl Iterator<Item = &'a Value>,
) -> Result<(IpAddr, u16), ApiError> {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let ports = service["spec"]["ports"].as_array();
    let port = match asked.parse::<u64>() {
        Ok(number) => {
            let mut ports = ports.into_iter().flatten();
            let found = ports.find(|port| port["port"] == number).ok_or_else(|| {
                ApiError::unavailable(format!(
                    "no service port {number} found for service \"{name}\""
                ))
            })?;
            found["name"].as_str().unwrap_or_default()
        }
        Err(_) => match (asked, ports.map(Vec::as_slice)) {
            ("", Some([only])) => only["name"].as_str().unwrap_or_default(),
            _ => asked,
        },
    };
    let mut ready = Vec::new();
    for slice in slices.filter(|slice| {
        slice["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    }) {
        let number = slice["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|it| it["name"].as_str().unwrap_or_default() == port)
            .and_then(|it| u16::try_from(it["port"].as_u64()?).ok());
        let Some(number) = number else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            // What is not known counts as ready.
            if endpoint["conditions"]["ready"] != false {
                let addresses = endpoint["addresses"].as_array().into_iter().flatten();
                let addresses = addresses.filter_map(|it| it.as_str()?.parse().ok());
                ready.extend(addresses.map(|address| (address, number)));
            }
        }
    }
    fastrand::choice(ready).ok_or_else(|| {
        ApiError::unavailable(format!("no endpoints available for service \"{name}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_asked_at_its_first_port_or_the_one_that_is_named() {
        let pod = json!({"spec": {"containers": [
            {"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]},
        ]}});
        assert_eq!(pod_port(&pod, ""), Some(8080));
        assert_eq!(pod_port(&pod, "81"), Some(81));
        assert_eq!(pod_port(&pod, "http"), None);
        assert_eq!(pod_port(&json!({}), ""), Some(80));
    }

    #[test]
    fn a_service_is_asked_at_a_ready_endpoint() {
        let service = json!({
            "metadata": {"name": "shop"},
            "spec": {"ports": [{"name": "web", "port": 80}, {"name": "admin", "port": 81}]},
        });
        let slice = json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "shop"}},
            "ports": [{"name": "web", "port": 8080}, {"name": "admin", "port": 8081}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
            ],
        });
        let other = json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "other"}},
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": [{"addresses": ["10.0.0.3"]}],
        });
        let ask = |port| {
            endpoint(&service, port, [&slice, &other].into_iter())
                .map(|(address, port)| format!("{address}:{port}"))
                .map_err(|error| (error.code.as_u16(), error.message))
        };
        assert_eq!(ask("web"), Ok("10.0.0.2:8080".to_owned()));
        assert_eq!(ask("81"), Ok("10.0.0.2:8081".to_owned()));
        let none = "no endpoints available for service \"shop\"".to_owned();
        assert_eq!(ask(""), Err((503, none.clone())), "which of two?");
        assert_eq!(ask("other"), Err((503, none)));
        let unknown = "no service port 8080 found for service \"shop\"".to_owned();
        assert_eq!(ask("8080"), Err((503, unknown)));
    }

    #[test]
    fn only_places_of_the_same_server_are_moved() {
        let moved = |place: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_str(place).unwrap());
            relocate(&mut headers, "/p/proxy");
            headers[header::LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(moved("/login?x=1"), "/p/proxy/login?x=1");
        assert_eq!(moved("next"), "next");
        assert_eq!(moved("https://example.com/"), "https://example.com/");
        assert_eq!(moved("//example.com/"), "//example.com/");
    }
}

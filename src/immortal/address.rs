//! Where an instance listens and where it finds its peers.
//!
//! One rule for a laptop, the lab and a cluster: an instance listens on `POD_IP`,
//! else on 127.0.0.1. A peer NAME is found at `NAME_SERVICE_HOST` (upper-cased,
//! dashes as underscores: what Kubernetes sets for a service of that name), else
//! at NAME itself if it reads `host:port`, else by DNS inside a pod (`POD_IP` is
//! set) or if NAME has a dot; any other name is an instance on this machine, on
//! 127.0.0.1.

use std::env;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

/// Reads the environment; tests put their own in its place.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The value of an environment variable that is set and not empty.
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The address to listen on.
pub fn own(port: u16, lookup: Lookup<'_>) -> String {
    join(lookup("POD_IP").as_deref().unwrap_or("127.0.0.1"), port)
}

/// Where to dial `peer`.
pub fn peer(peer: &str, port: u16, lookup: Lookup<'_>) -> String {
    let variable = format!(
        "{}_SERVICE_HOST",
        peer.to_ascii_uppercase().replace('-', "_")
    );
    if let Some(host) = lookup(&variable) {
        return join(&host, port);
    }
    if peer.contains(':') {
        return peer.to_owned();
    }
    if lookup("POD_IP").is_some() || peer.contains('.') {
        return join(peer, port);
    }
    join("127.0.0.1", port)
}

/// Asks the resolver; the first answer is taken.
pub fn resolve(address: &str) -> io::Result<SocketAddr> {
    address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| {
            let found = pairs.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        }
    }

    #[test]
    fn an_instance_listens_on_its_pod_or_here() {
        assert_eq!(own(7, &with(&[])), "127.0.0.1:7");
        assert_eq!(own(7, &with(&[("POD_IP", "127.9.8.7")])), "127.9.8.7:7");
        assert_eq!(own(7, &with(&[("POD_IP", "fd00::1")])), "[fd00::1]:7");
    }

    #[test]
    fn a_peer_is_found_by_service_then_literally_then_by_dns_then_here() {
        let service = with(&[
            ("PERFTEST_SERVER_SERVICE_HOST", "10.0.0.4"),
            ("POD_IP", "x"),
        ]);
        assert_eq!(peer("perftest-server", 7, &service), "10.0.0.4:7");
        assert_eq!(peer("box:9", 7, &with(&[])), "box:9");
        assert_eq!(peer("s", 7, &with(&[("POD_IP", "x")])), "s:7");
        assert_eq!(peer("s.example", 7, &with(&[])), "s.example:7");
        assert_eq!(peer("s", 7, &with(&[])), "127.0.0.1:7");
    }
}

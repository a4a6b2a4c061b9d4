//! Which proxy leads to the API server, if any.
//!
//! The client library compares `NO_PROXY` with the proxy's own address instead
//! of the cluster's, and refuses to load a configuration at all for a stray
//! comma in it. So the choice is made here, by the rules of Go's HTTP client,
//! which kubectl uses.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The proxy to use for `server`: the one that the kubeconfig names for it,
/// else what the environment says (`env` looks a variable up). A server on this
/// machine is never reached through a proxy of the environment.
pub fn choose(
    server: &Uri,
    configured: Option<&str>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, String> {
    if let Some(proxy) = configured.filter(|proxy| !proxy.is_empty()) {
        return parse(proxy, "proxy-url of the kubeconfig").map(Some);
    }
    if is_loopback(server) {
        return Ok(None);
    }
    let first = |names: [&str; 2]| {
        names.into_iter().find_map(|name| {
            Some((
                name.to_owned(),
                env(name).filter(|value| !value.is_empty())?,
            ))
        })
    };
    let names = if server.scheme_str() == Some("http") {
        ["HTTP_PROXY", "http_proxy"]
    } else {
        ["HTTPS_PROXY", "https_proxy"]
    };
    let Some((name, proxy)) = first(names) else {
        return Ok(None);
    };
    let exceptions = first(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, value)| value);
    if is_excepted(server, &exceptions) {
        return Ok(None);
    }
    parse(&proxy, &name).map(Some)
}

fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn is_excepted(server: &Uri, exceptions: &str) -> bool {
    let port = server
        .port_u16()
        .unwrap_or(if server.scheme_str() == Some("http") {
            80
        } else {
            443
        });
    // An exception may name a port; the matcher knows hosts only.
    let hosts = exceptions
        .split(',')
        .map(str::trim)
        .filter_map(|entry| match entry.rsplit_once(':') {
            Some((host, of)) if !host.contains(':') => of
                .parse::<u16>()
                .ok()
                .filter(|of| *of == port)
                .map(|_| host),
            _ => Some(entry),
        })
        .collect::<Vec<_>>()
        .join(",");
    Matcher::builder()
        .all("http://any.invalid")
        .no(hosts.as_str())
        .build()
        .intercept(server)
        .is_none()
}

fn parse(proxy: &str, from: &str) -> Result<Uri, String> {
    let whole = if proxy.contains("://") {
        proxy.to_owned()
    } else {
        format!("http://{proxy}")
    };
    // The value may hold a password, so it is not repeated.
    whole
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.host().is_some())
        .ok_or_else(|| {
            format!("the {from} is not an address; write it as `http://proxy.example:3128`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, configured: Option<&str>, env: &[(&str, &str)]) -> Option<String> {
        choose(&server.parse().unwrap(), configured, |name| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
        .map(|uri| uri.to_string())
    }

    const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://proxy:3128");

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        for server in [
            "https://127.0.0.1:6443",
            "https://127.9.9.9:6443",
            "https://[::1]:6443",
            "https://localhost:6443",
        ] {
            assert_eq!(chosen(server, None, &[PROXY]), None, "{server}");
        }
    }

    #[test]
    fn the_environment_is_asked_and_its_exceptions_are_of_the_server() {
        let server = "https://dns-1.hcp.westeurope.azmk8s.io:443";
        let through = Some("http://proxy:3128/".to_owned());
        assert_eq!(chosen(server, None, &[PROXY]), through);
        assert_eq!(
            chosen(server, None, &[("https_proxy", "proxy:3128")]),
            through
        );
        assert_eq!(chosen(server, None, &[]), None);
        assert_eq!(
            chosen(server, None, &[("HTTP_PROXY", "http://other")]),
            None
        );
        for (exceptions, excepted) in [
            ("azmk8s.io", true),
            (".azmk8s.io,", true),
            ("*", true),
            ("azmk8s.io:443", true),
            ("azmk8s.io:6443", false),
            ("proxy", false),
            ("k8s.io", false),
            ("10.0.0.0/8, , ,", false),
        ] {
            let env = [PROXY, ("NO_PROXY", exceptions)];
            let expected = through.clone().filter(|_| !excepted);
            assert_eq!(chosen(server, None, &env), expected, "{exceptions}");
        }
        let env = [PROXY, ("no_proxy", "10.0.0.0/8")];
        assert_eq!(chosen("https://10.1.2.3:6443", None, &env), None);
    }

    #[test]
    fn the_kubeconfig_has_the_last_word() {
        let env = [PROXY, ("NO_PROXY", "*")];
        assert_eq!(
            chosen("https://a.example", Some("socks5://gate:1080"), &env),
            Some("socks5://gate:1080/".to_owned())
        );
    }

    #[test]
    fn a_broken_value_is_named_and_not_repeated() {
        let error = choose(
            &"https://a.example".parse().unwrap(),
            Some("http://user:hunter2@ space"),
            |_| None,
        )
        .unwrap_err();
        assert!(
            error.contains("proxy-url") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

//! Requests that pods and services answer themselves.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::client::{connect, get};
use super::kubectl::{kubectl, kubectl_is_here, ok, said};
use super::run;
use super::support::Lab;

#[tokio::test]
async fn a_pod_answers_below_its_proxy_path() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    run(&lab, "web", &["--image=aks-tui/web", "--port=8080"]);
    let base = "/api/v1/namespaces/default/pods";
    for name in ["web", "web:8080", "http:web:8080"] {
        let answer = ok(&lab, &["get", "--raw", &format!("{base}/{name}/proxy/")]);
        assert!(answer.contains("web"), "{name}: {answer}");
    }
    // What the pod says no to is the pod's no, in its own words.
    let client = connect(&lab).await;
    let (status, text) = get(&client, &format!("{base}/web/proxy/no%2Fsuch/place?x=1")).await;
    assert_eq!(status, 404);
    assert!(text.as_str().unwrap().contains("no%2Fsuch/place"), "{text}");

    let (_, error, code) = said(&lab, &["get", "--raw", &format!("{base}/web:81/proxy/")]);
    assert!(
        error.contains("error trying to reach service: dial tcp ")
            && error.contains(":81: connect: connection refused")
            && code == 1,
        "{error}"
    );
    let (status, answer) = get(&client, &format!("{base}/nobody/proxy/")).await;
    assert_eq!(
        (status.as_u16(), &answer["reason"]),
        (404, &"NotFound".into())
    );
    let (status, answer) = get(&client, &format!("{base}/gopher:web:80/proxy/")).await;
    assert_eq!(status, 400);
    assert_eq!(answer["message"], "invalid pod request \"gopher:web:80\"");
}

#[tokio::test]
async fn kubectl_proxy_serves_the_api_and_pods_below_it() {
    if !kubectl_is_here() {
        return;
    }
    let lab = Lab::start(&["--empty", "--backoff", "none"]);
    run(&lab, "web", &["--image=aks-tui/web", "--port=8080"]);
    let mut proxy = kubectl(&lab, &["proxy", "--port=0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("Starting to serve on ").unwrap();
    let uri = format!("http://{address}").parse().unwrap();
    let client = kube::Client::try_from(kube::Config::new(uri)).unwrap();
    let (status, pod) = get(&client, "/api/v1/namespaces/default/pods/web").await;
    assert_eq!((status.as_u16(), &pod["kind"]), (200, &"Pod".into()));
    let (status, answer) = get(&client, "/api/v1/namespaces/default/pods/web/proxy/").await;
    assert_eq!(status, 200);
    assert!(answer.as_str().unwrap().contains("web"), "{answer}");
    let _ = proxy.kill();
    let _ = proxy.wait();
}

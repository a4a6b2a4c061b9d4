//! Clients that misbehave: however many connections, watches and bytes one of
//! them spends, the others get answers, and nothing breaks.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::large_futures, reason = "kube's are, and tests have the stack")]
#![cfg(target_os = "linux")]

#[path = "support/reach.rs"]
mod reach;
#[path = "support/lab.rs"]
mod support;

use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use proptest::prelude::*;
use reach::{ADMIN, Reach, VIEW, allow_many_files};
use serde_json::{Value, json};
use support::{Lab, PATIENCE, eventually, required};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

async fn client(lab: &Lab) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.unwrap();
    config.default_retry = false;
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}

/// How long the slowest of some requests of somebody else takes.
async fn slowest(reach: &Reach) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let start = Instant::now();
        let path = "GET /api/v1/namespaces/default/pods HTTP/1.1";
        let asked = tokio::time::timeout(PATIENCE, reach.ask(ADMIN, path, b"")).await;
        let (_, answer) = asked.expect("an answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

#[tokio::test]
async fn one_users_watches_are_bounded_and_another_user_is_answered() {
    allow_many_files();
    let lab = Lab::start(&["--empty"]);
    let reach = Reach::new(&lab);
    let quiet = slowest(&reach).await;
    let mut watches = Vec::new();
    let mut refused = 0;
    for _ in 0..600 {
        let head = "GET /api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true HTTP/1.1";
        let (stream, answer) = reach.ask(VIEW, head, b"").await.unwrap();
        if answer.starts_with("HTTP/1.1 429") {
            assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
            assert!(
                answer.contains("Too many requests, please try again later."),
                "{answer}"
            );
            refused += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            watches.push(stream);
        }
    }
    assert_eq!((watches.len(), refused), (512, 88));
    let busy = slowest(&reach).await;
    println!("the slowest of five lists: {quiet:?} alone, {busy:?} beside 512 watches");
    // A watch that ends makes room for another.
    watches.truncate(500);
    let head = "GET /api/v1/pods?watch=true HTTP/1.1";
    let again = async {
        loop {
            let (stream, answer) = reach.ask(VIEW, head, b"").await.unwrap();
            if answer.starts_with("HTTP/1.1 200") {
                return stream;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn thousands_of_silent_connections_keep_nobody_out() {
    allow_many_files();
    let lab = Lab::start(&["--empty"]);
    let reach = Reach::new(&lab);
    let mut silent = Vec::new();
    for _ in 0..2_500 {
        silent.push(TcpStream::connect(&reach.address).await.unwrap());
    }
    let full = slowest(&reach).await;
    println!("the slowest of five lists beside 2500 silent connections: {full:?}");
    // Those who are silent go, and not those who work.
    let mut gone = 0;
    for mut socket in silent {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(1), socket.read(&mut byte));
        gone += usize::from(matches!(read.await, Ok(Ok(0) | Err(_))));
    }
    assert!(gone >= 400, "{gone}");
}

#[tokio::test]
async fn what_is_too_long_is_refused_in_words() {
    let lab = Lab::start(&["--empty"]);
    let reach = Reach::new(&lab);
    let length = 4 * 1024 * 1024;
    let head = format!(
        "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}"
    );
    let (_, answer) = reach.ask(ADMIN, &head, &vec![b' '; length]).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("RequestEntityTooLarge"), "{answer}");
    let head = format!(
        "GET /api/v1/pods HTTP/1.1\r\nx-long: {}",
        "x".repeat(1_000_000)
    );
    let (_, answer) = reach.ask(ADMIN, &head, b"").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let words = "Request Header Fields Too Large: limit is 262144";
    assert!(answer.contains(words), "{answer}");

    let client = client(&lab).await;
    let path = "/api/v1/namespaces/default/configmaps/bomb";
    let object = json!({"metadata": {"name": "bomb"}, "data": {"a": "x".repeat(1000)}});
    let collection = "/api/v1/namespaces/default/configmaps";
    let (code, _) = send(
        &client,
        Method::POST,
        collection,
        "application/json",
        object.to_string(),
    )
    .await;
    assert_eq!(code, 201);
    let copy: Vec<Value> = (0..110)
        .map(|_| json!({"op": "copy", "from": "/data", "path": "/data/b"}))
        .collect();
    let many: Vec<Value> = (0..10_001)
        .map(|_| json!({"op": "test", "path": "/kind", "value": "ConfigMap"}))
        .collect();
    let bombs = [
        ("application/json-patch+json", json!(copy).to_string(), 422),
        ("application/json-patch+json", json!(many).to_string(), 413),
        (
            "application/merge-patch+json",
            format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000)),
            400,
        ),
        (
            "application/apply-patch+yaml",
            format!(
                "a: &a {}\nb: [{}]\n",
                "x".repeat(100_000),
                "*a, ".repeat(100_000)
            ),
            400,
        ),
    ];
    for (kind, body, expected) in bombs {
        let path = format!("{path}?fieldManager=me");
        let (code, status) = send(&client, Method::PATCH, &path, kind, body).await;
        assert_eq!(code, expected, "{kind}: {status}");
        assert_eq!(status["kind"], "Status");
    }
}

/// A request as it is; the answer must come, and be whole.
async fn send(
    client: &Client,
    method: Method,
    uri: &str,
    content_type: &str,
    body: impl Into<Vec<u8>>,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content_type)
        .body(kube::client::Body::from(body.into()))
        .unwrap();
    let answer = async {
        let response = client.send(request).await.unwrap();
        let code = response.status();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        (code, bytes)
    };
    let (code, bytes) = tokio::time::timeout(PATIENCE, answer)
        .await
        .expect("no hang");
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "api", "apis", "v1", "apps", "batch", "namespaces", "default", "pods", "nodes",
            "configmaps", "seed", "status", "scale", "log", "exec", "token", "eviction", "openapi",
            "v3", "deployments", "customresourcedefinitions", "authorization.k8s.io",
            "subjectaccessreviews", "healthz", "version", "watch", "proxy", "finalize",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9._~%:-]{0,12}".prop_map(|text| text.replace('%', "%2")),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![
        "limit",
        "continue",
        "labelSelector",
        "fieldSelector",
        "resourceVersion",
        "resourceVersionMatch",
        "dryRun",
        "fieldManager",
        "force",
        "fieldValidation",
        "pretty",
        "container",
        "tailLines",
        "sinceTime",
        "propagationPolicy",
        "gracePeriodSeconds",
        "timeoutSeconds",
        "includeObject",
    ]);
    let value = prop_oneof![
        "[a-zA-Z0-9=!,()-]{0,10}",
        Just("true".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned())
    ];
    proptest::collection::vec((name, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    })
}

/// Something like an object, a patch or neither.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let name = proptest::sample::select(vec![
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "spec",
        "data",
        "status",
        "replicas",
        "template",
        "containers",
        "managedFields",
        "fieldsV1",
        "f:spec",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "op",
        "path",
        "from",
        "value",
        "apiVersion",
        "kind",
        "resourceVersion",
        "uid",
        "finalizers",
        "ownerReferences",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        proptest::sample::select(vec![
            "v1",
            "ConfigMap",
            "seed",
            "default",
            "replace",
            "delete",
            "/data/a",
            "add",
            "copy"
        ])
        .prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(6, 40, 6, move |inner| {
        let entry = (name.clone(), inner.clone());
        prop_oneof![
            2 => proptest::collection::vec(entry, 0..6).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
            1 => proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    });
    prop_oneof![
        6 => tree.prop_map(|tree| tree.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

#[test]
fn whatever_is_asked_is_answered_in_words() {
    let lab = Lab::start(&["--empty"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(client(&lab));
    let seed = |client: Client| async move {
        let object = json!({"metadata": {"name": "seed"}, "data": {"a": "1"}});
        let path = "/api/v1/namespaces/default/configmaps";
        send(
            &client,
            Method::POST,
            path,
            "application/json",
            object.to_string(),
        )
        .await
    };
    runtime.block_on(seed(client.clone()));
    let methods = proptest::sample::select(vec![
        Method::GET,
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::PATCH,
        Method::PATCH,
        Method::OPTIONS,
    ]);
    let types = proptest::sample::select(vec![
        "application/json",
        "application/yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/vnd.kubernetes.protobuf",
        "text/plain",
        "",
    ]);
    let path = prop_oneof![
        1 => proptest::collection::vec(segment(), 0..8).prop_map(|parts| format!("/{}", parts.join("/"))),
        1 => Just("/api/v1/namespaces/default/configmaps/seed".to_owned()),
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let case = (methods, path, query(), types, body());
    let result = runner.run(&case, |(method, path, query, kind, body)| {
        let uri = format!("{path}?{query}");
        let (code, answer) = runtime.block_on(send(&client, method.clone(), &uri, kind, body));
        let said = answer["message"].as_str().unwrap_or_default();
        if code.is_client_error() || code.is_server_error() {
            prop_assert_eq!(
                &answer["kind"],
                "Status",
                "{} {}: {} {}",
                method,
                uri,
                code,
                answer
            );
            prop_assert_eq!(&answer["code"], code.as_u16());
            prop_assert!(!said.is_empty());
        }
        // The one thing for which the real server, too, blames itself.
        prop_assert!(
            code != 500 || said.starts_with("failed to create typed patch object"),
            "{}",
            said
        );
        Ok(())
    });
    result.unwrap();
    let (code, version) = runtime.block_on(send(&client, Method::GET, "/version", "", ""));
    assert_eq!((code.as_u16(), &version["minor"]), (200, &json!("33")));
}

/// The control groups that a lab has noted, with those of its containers.
fn groups(ledger: &std::path::Path) -> Vec<std::path::PathBuf> {
    let ledger = std::fs::read_to_string(ledger).unwrap_or_default();
    let mut groups: Vec<_> = ledger.lines().map(std::path::PathBuf::from).collect();
    for base in groups.clone() {
        let within = std::fs::read_dir(base).into_iter().flatten().flatten();
        let within = within.filter(|it| it.file_type().unwrap().is_dir());
        groups.extend(within.map(|it| it.path()));
    }
    groups.retain(|it| it.exists());
    groups
}

#[tokio::test]
async fn no_control_group_outlives_the_lab_and_the_one_after_it() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut lab = Lab::start_on(&state, &["--empty"]).unwrap();
    let client = client(&lab).await;
    let (_, nodes) = send(&client, Method::GET, "/api/v1/nodes", "", "").await;
    let limits = &nodes["items"][0]["metadata"]["annotations"]["lab.aks-tui.dev/limits"];
    if limits != "memory, cpu" {
        assert!(
            !required("cgroups"),
            "control groups are required: {limits}"
        );
        println!("skipped: limits kept here: {limits}");
        return;
    }
    let pod = json!({
        "metadata": {"name": "bounded"},
        "spec": {"containers": [{
            "name": "main", "image": "aks-tui/pause",
            "resources": {"limits": {"memory": "64Mi", "cpu": "100m"}},
        }]},
    });
    let path = "/api/v1/namespaces/default/pods";
    let (code, said) = send(
        &client,
        Method::POST,
        path,
        "application/json",
        pod.to_string(),
    )
    .await;
    assert_eq!(code, 201, "{said}");
    let ledger = state.join("node/runtime/cgroups");
    eventually("the pod runs in its group", || {
        let groups = groups(&ledger);
        groups.iter().any(|it| {
            let inside = std::fs::read_to_string(it.join("cgroup.procs"));
            inside.is_ok_and(|inside| !inside.is_empty())
        })
    });
    let before = groups(&ledger);
    lab.kill();
    let mut next = Lab::start_on(&state, &["--empty"]).unwrap();
    let left: Vec<_> = before.iter().filter(|it| it.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
    let after = groups(&ledger);
    assert!(!after.is_empty());
    next.stop();
    let left: Vec<_> = after.iter().filter(|it| it.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

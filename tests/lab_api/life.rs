//! A lab from start to end: trouble, crashes, leases, and what is left.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::client::{connect, eventually, is_running};
use crate::support::{Lab, isolations, marked};

#[tokio::test]
async fn a_stopped_lab_leaves_nothing() {
    for isolation in isolations() {
        let mut lab = Lab::start(&["--isolation", isolation]);
        let pods: Api<Pod> = Api::default_namespaced(connect(&lab).await);
        eventually("both run", async || {
            let found = pods.list(&ListParams::default()).await.unwrap();
            found.items.len() == 2 && found.iter().all(is_running)
        })
        .await;
        let mode = fs::metadata(lab.kubeconfig()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(marked(&lab.run).len() > 2, "{:?}", marked(&lab.run));
        assert_eq!(lab.stop().code(), Some(0));
        assert_eq!(lab.leftovers(), [""; 0]);
    }
}

#[tokio::test]
async fn a_lab_that_died_goes_on_where_it_was() {
    for isolation in isolations() {
        let mut lab = Lab::start(&["--isolation", isolation]);
        let addresses = async |lab: &Lab| {
            let pods: Api<Pod> = Api::default_namespaced(connect(lab).await);
            eventually("both run", async || {
                let found = pods.list(&ListParams::default()).await.unwrap();
                found.items.len() == 2 && found.iter().all(is_running)
            })
            .await;
            let found = pods.list(&ListParams::default()).await.unwrap();
            let mut addresses: Vec<(String, String)> = found
                .into_iter()
                .map(|pod| {
                    let instance = pod.metadata.labels.unwrap()["app"].clone();
                    (instance, pod.status.unwrap().pod_ip.unwrap())
                })
                .collect();
            addresses.sort();
            addresses
        };
        let before = addresses(&lab).await;
        lab.kill();
        let mut again = Lab::start_on(&lab.state, &["--isolation", isolation]).unwrap();
        eventually("no orphan is left", async || marked(&lab.run).is_empty()).await;
        assert_eq!(addresses(&again).await, before);
        again.stop();
        // The directory's parent is the test's, the directory was the first lab's.
        assert_eq!(marked(&again.run), [""; 0]);
    }
}

#[test]
fn trouble_is_one_line_and_no_success() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let foreign = home.path().join("config");
    fs::write(&foreign, "apiVersion: v1\n").unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let foreign_text = foreign.to_str().unwrap();
    let nowhere = home.path().join("no/such/config");
    let nowhere = nowhere.to_str().unwrap();
    for (state, arguments, words) in [
        (&state, vec!["--port", &port], "cannot listen on 127.0.0.1"),
        (&state, vec!["--kubeconfig", foreign_text], "is no lab's"),
        (
            &state,
            vec!["--kubeconfig", nowhere],
            "cannot write the kubeconfig",
        ),
        (&file, vec![], "for the lab's state"),
        (&state, vec!["--backoff", "often"], "often"),
    ] {
        let said = Lab::start_on(state, &arguments).err().unwrap();
        let (line, rest) = said.split_once('\n').unwrap();
        assert!(
            line.starts_with("error: ") && line.contains(words),
            "{said}"
        );
        assert!(rest.starts_with('[') && !rest.starts_with("[0]"), "{said}");
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "apiVersion: v1\n");

    let lab = Lab::start_on(&state, &["--empty"]).unwrap();
    let said = Lab::start_on(&state, &["--empty"]).err().unwrap();
    assert!(
        said.contains(&format!("another lab (pid {})", lab.pid())),
        "{said}"
    );
}

#[tokio::test]
async fn a_lab_that_nobody_comes_back_to_ends_itself() {
    let mut lab = Lab::start(&["--linger", "1"]);
    let leases: Api<Lease> = Api::namespaced(connect(&lab).await, "kube-system");
    let lease = serde_json::from_value(json!({
        "metadata": {"name": "aks-tui-cockpit"},
        "spec": {
            "holderIdentity": "a test",
            "leaseDurationSeconds": 1,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }))
    .unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let status = lab.wait();
        (status.code(), lab.leftovers())
    });
    assert_eq!(ended.await.unwrap(), (Some(0), Vec::new()));
}

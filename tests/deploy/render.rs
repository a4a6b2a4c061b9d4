//! The objects, as they are sent: reviewed as text, and taken by a server that
//! refuses every field it does not know.

use std::io::Write as _;
use std::process::Stdio;

use aks_tui::core::workload::{
    Workload,
    manifests::Spec,
    order::{Order, Storage},
};

use crate::{
    bench::Bench,
    kubectl::{kubectl, kubectl_is_here},
};

fn yaml(workload: Workload, order: Order, storage: &str) -> String {
    let mut storage: Storage = storage.parse().unwrap();
    if let Storage::Class { shared, .. } = &mut storage {
        *shared = Some(true);
    }
    let spec = Spec {
        workload,
        namespace: "tests".into(),
        order: Order {
            storage: Some(storage.clone()),
            ..order
        },
        storage,
        run: "run-20260102-030405".into(),
    };
    let documents: Vec<_> = spec
        .objects()
        .iter()
        .map(|object| serde_yaml::to_string(object).unwrap())
        .collect();
    documents.join("---\n")
}

#[test]
fn ours_on_claims_of_a_class() {
    let order = Order {
        image: Some("example.azurecr.io/aks-tui/perftest:1".into()),
        rate: Some("64MiB".into()),
        bytes_per_round: Some("64MiB".into()),
        pull_secret: Some("registry".into()),
        ..Order::default()
    };
    insta::assert_snapshot!(yaml(Workload::Perftest, order, "class:azurefile-csi"));
}

#[test]
fn the_original_on_a_share() {
    let order = Order {
        image: Some("ambrosia/ambrosia-perftest".into()),
        rounds: Some(13),
        ..Order::default()
    };
    insta::assert_snapshot!(yaml(
        Workload::Perftest,
        order,
        "share:my-group/ambrosia-logs-smbshare"
    ));
}

#[test]
fn a_greeting_on_a_share() {
    let text = yaml(Workload::Helloworld, Order::default(), "share:logs");
    insta::assert_snapshot!(text);
    let original = Order {
        image: Some("ambrosia/ambrosia-hello".into()),
        ..Order::default()
    };
    let text = yaml(Workload::Helloworld, original, "share:logs");
    for words in [
        "runAmbrosiaService.sh dotnet Client1/publish/Client1.dll helloclientrun20260102030405 helloserverrun20260102030405",
        "runAmbrosiaService.sh dotnet Server/publish/Server.dll helloserverrun20260102030405",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn every_object_is_taken_as_it_is_printed() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: mine}\nspec:\n  accessModes: [ReadWriteMany]\n  storageClassName: azurefile-csi\n  resources: {requests: {storage: 1Gi}}\n";
    assert!(apply(&bench, claim, &[]));
    let original = "--image ambrosia/ambrosia-perftest --rounds 2";
    for options in ["--storage share:logs", "--image ambrosia/ambrosia-hello"] {
        let said = bench.run(&format!("deploy helloworld --dry-run {options}"));
        assert_eq!(said.code, 0, "{options}: {}", said.err);
        assert!(
            apply(&bench, &said.out, &["--dry-run=server"]),
            "{}",
            said.out
        );
    }
    for options in [
        "",
        "--storage pod --rate 1MiB --bytes-per-round 1MiB --max-message 1024",
        "--storage class:managed-csi:1Gi --pull-secret registry",
        "--storage claim:mine",
        "--storage share:group/logs",
        &format!("--storage share:logs {original}"),
        &format!("--storage pod {original} --register-image aks-tui/shell"),
    ] {
        let said = bench.run(&format!("deploy perftest --dry-run {options}"));
        assert_eq!(said.code, 0, "{options}: {}", said.err);
        assert!(
            apply(&bench, &said.out, &["--dry-run=server"]),
            "{options}: {}",
            said.out
        );
    }
    assert_eq!(bench.names("deployments,jobs"), [] as [&str; 0]);
}

/// Has kubectl apply a text by the server, strictly.
fn apply(bench: &Bench, text: &str, more: &[&str]) -> bool {
    let words = ["apply", "--server-side", "--validate=strict", "-f", "-"];
    let mut child = kubectl(&bench.lab, &words)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait().unwrap().success()
}

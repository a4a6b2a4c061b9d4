//! What goes wrong, and what is said of it.

use crate::{
    bench::Bench,
    kubectl::{kubectl_is_here, ok},
};

#[test]
fn who_has_a_field_is_told_and_keeps_it_unless_it_is_taken() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    bench.deploy_gently();
    ok(
        &bench.lab,
        &[
            "scale",
            "deploy",
            "generated-perftestclient",
            "--replicas=0",
        ],
    );
    let said = bench.run("deploy perftest");
    assert_eq!(said.code, 1);
    for word in [".spec.replicas belongs to \"kubectl\"", "--force-conflicts"] {
        assert!(said.err.contains(word), "{}", said.err);
    }
    let replicas =
        |bench: &Bench| bench.get("deploy generated-perftestclient")["spec"]["replicas"].clone();
    assert_eq!(replicas(&bench), 0, "nothing was changed");
    bench.deploy("--force-conflicts");
    assert_eq!(replicas(&bench), 1);
}

#[test]
fn a_rollout_that_fails_says_why_and_can_be_mended() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let said = bench.run("deploy perftest --image nowhere.example/perftest:1 --rate 2MiB");
    assert_eq!(said.code, 1);
    for word in [
        "does not start",
        "image nowhere.example/perftest:1",
        "ImagePullBackOff",
        "--image",
    ] {
        assert!(said.err.contains(word), "{}", said.err);
    }
    let late = bench.run("deploy perftest --timeout 1s --json");
    assert_eq!(late.code, 1);
    let told: serde_json::Value = serde_json::from_str(&late.out).unwrap();
    assert_eq!(told["outcome"], "failed");
    assert!(
        told["error"].as_str().unwrap().contains("within 1 s"),
        "{told}"
    );
    let mended = bench.deploy("--image aks-tui/perftest");
    assert_eq!(mended["plan"]["order"]["rate"], "2MiB");
}

#[test]
fn the_originals_instances_are_registered_first_or_it_is_said_why_not() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let secret = "create secret generic azure-fileshare-secret --from-literal=azurestorageaccountname=a --from-literal=azurestorageaccountkey=hunter2";
    ok(&bench.lab, &secret.split(' ').collect::<Vec<_>>());
    let line = "deploy perftest --image ambrosia/ambrosia-perftest --storage share:logs --register-image aks-tui/shell";
    let said = bench.run(line);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("job register-perftestserver"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"));
    let nothing: [String; 0] = [];
    assert_eq!(
        bench.names("deployments"),
        nothing,
        "not before it is registered"
    );
    let jobs = bench.names("jobs");
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    bench.json("undeploy --yes --storage");
    assert_eq!(bench.names("jobs,pods,pvc,pv"), nothing);
}

#[test]
fn what_others_made_is_not_changed_and_not_deleted() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let theirs = "create deployment generated-perftestclient --image=aks-tui/pause";
    ok(&bench.lab, &theirs.split(' ').collect::<Vec<_>>());
    let said = bench.run("deploy perftest");
    assert_eq!(said.code, 1);
    for word in [
        "selector, which cannot be changed",
        "delete Deployment generated-perftestclient first",
    ] {
        assert!(said.err.contains(word), "{}", said.err);
    }
    let gone = bench.run("undeploy --yes");
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(
        gone.out.contains("was not made by aks-tui, and stays"),
        "{}",
        gone.out
    );
    assert_eq!(
        bench.names("deployments"),
        ["deployment.apps/generated-perftestclient"]
    );
}

#[test]
fn read_only_shows_and_does_nothing() {
    let bench = Bench::new();
    for line in ["deploy perftest --read-only", "undeploy --yes --read-only"] {
        let said = bench.run(line);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("--read-only"), "{}", said.err);
    }
    assert_eq!(bench.run("deploy perftest --read-only --diff").code, 2);
    // The cluster's own answer is told as well as ours.
    let seen = bench.run("deploy perftest --context lab-view");
    assert_eq!(seen.code, 1);
    assert!(seen.err.contains("not allowed to"), "{}", seen.err);
}

#[test]
fn what_is_not_there_is_named() {
    let bench = Bench::new();
    for (line, words) in [
        (
            "--storage class:gold",
            ["no storage class `gold`", "azurefile-csi"],
        ),
        ("--storage claim:mine", ["no claim `mine`", "default"]),
        ("--storage nowhere", ["share:NAME", "pod"]),
        ("--run ../x", ["no name of a run", "letters"]),
        ("-n nowhere", ["nowhere", "create namespace"]),
    ] {
        let said = bench.run(&format!("deploy perftest {line}"));
        assert_ne!(said.code, 0, "{line}");
        for word in words {
            assert!(said.err.contains(word), "{line}: {}", said.err);
        }
    }
}

//! From nothing to work, again and again, and back to nothing.

use crate::{
    bench::{Bench, changes},
    kubectl::{kubectl_is_here, ok},
};

#[test]
fn once_is_as_good_as_twice_and_what_was_there_works_on() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let shown = bench.run("deploy perftest --diff");
    assert_eq!(shown.code, 2, "{}", shown.err);
    for line in [
        "+ Deployment generated-perftestclient",
        "    +   replicas: 1",
    ] {
        assert!(shown.out.contains(line), "{}", shown.out);
    }
    assert!(
        bench.names("deployments,services,pvc").len() == 1,
        "only looked at"
    );
    let first = bench.deploy_gently();
    let pods = bench.pods();
    assert_eq!(pods.len(), 2);
    assert!(first["plan"]["resumes"] == false && first["seconds"].as_f64().unwrap() > 0.0);

    let again = bench.deploy("");
    assert!(
        changes(&again).iter().all(|it| it.ends_with(": same")),
        "{:?}",
        changes(&again)
    );
    assert_eq!(again["plan"]["run"], first["plan"]["run"]);
    assert_eq!(
        again["plan"]["order"]["rate"], "2MiB",
        "what is not said stays"
    );
    assert_eq!(bench.pods(), pods, "nobody was replaced for nothing");
    assert_eq!(bench.run("deploy perftest --diff").code, 0);
    // What was deployed is what the cockpit kills.
    let killed = bench.json("kill client");
    assert_eq!(killed["survived"], true, "{killed}");
}

#[test]
fn a_run_is_kept_or_begun_anew_and_its_logs_stay() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let first = bench.deploy_gently();
    assert_eq!(bench.epoch(), 1);
    let kept = bench.deploy("--keep-logs --rate 1MiB --rounds 3");
    assert_eq!(bench.epoch(), 2, "the same run in a new pod");
    let notes = kept["plan"]["notes"].to_string();
    assert!(notes.contains("win over -n 3"), "{notes}");
    let fresh = bench.deploy("--fresh");
    assert_eq!(bench.epoch(), 1);
    assert_ne!(fresh["plan"]["run"], first["plan"]["run"]);
    let words = [
        "exec",
        "deploy/generated-perftestclient",
        "--",
        "ls",
        "/ambrosia_logs",
    ];
    let runs = ok(&bench.lab, &words);
    for told in [&first, &fresh] {
        assert!(
            runs.contains(told["plan"]["run"].as_str().unwrap()),
            "{runs}"
        );
    }
    let old = format!("--run {}", first["plan"]["run"].as_str().unwrap());
    bench.deploy(&old);
    assert_eq!(bench.epoch(), 3, "an old run is there as it was left");
}

#[test]
fn what_was_taken_away_leaves_its_logs_until_they_go_too() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let first = bench.deploy_gently();
    let foreign = "create deployment other --image=aks-tui/pause";
    ok(&bench.lab, &foreign.split(' ').collect::<Vec<_>>());

    let asked = bench.run("undeploy");
    assert_eq!(asked.code, 1);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    let shown = bench.json("undeploy --dry-run");
    assert!(changes(&shown).contains(&"Deployment generated-perftestclient: delete".into()));
    assert_eq!(bench.pods().len(), 2, "only shown");

    let gone = bench.json("undeploy --yes");
    assert_eq!(gone["outcome"], "removed");
    assert_eq!(
        bench.pods(),
        Vec::<String>::new(),
        "their pods are gone, too"
    );
    let left = [
        "deployment.apps/other",
        "persistentvolumeclaim/perftest-logs-client",
        "persistentvolumeclaim/perftest-logs-server",
        "service/kubernetes",
    ];
    assert_eq!(bench.names("deployments,services,jobs,pvc"), left);
    bench.json("undeploy --yes");

    let back = bench.deploy("--keep-logs");
    assert_eq!(back["plan"]["run"], first["plan"]["run"]);
    assert_eq!(back["plan"]["order"]["rate"], "2MiB", "the claims remember");
    assert_eq!(bench.epoch(), 2);
    bench.json("undeploy --yes --storage");
    let left = ["deployment.apps/other", "service/kubernetes"];
    assert_eq!(bench.names("deployments,services,jobs,pvc,pv"), left);
    let nothing = bench.run("deploy perftest --keep-logs");
    assert!(nothing.err.contains("no run here"), "{}", nothing.err);
}

#[test]
fn a_share_holds_the_logs_of_both_and_outlives_its_volume() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let secret = "create secret generic azure-fileshare-secret --from-literal=azurestorageaccountname=a --from-literal=azurestorageaccountkey=hunter2";
    ok(&bench.lab, &secret.split(' ').collect::<Vec<_>>());
    let told = bench.deploy("--storage share:logs --rate 2MiB --run mine");
    assert!(!told.to_string().contains("hunter2"));
    assert_eq!(told["plan"]["notes"], serde_json::json!([]));
    let volume = bench.get("pv aks-tui-default-logs");
    assert_eq!(volume["status"]["phase"], "Bound");
    let mounted = volume["spec"]["mountOptions"].to_string();
    assert!(
        mounted.contains("uid=10001") && !mounted.contains("nobrl"),
        "{mounted}"
    );
    let gone = bench.json("undeploy --yes --storage");
    assert!(
        gone["plan"]["notes"]
            .to_string()
            .contains("in the share stays")
    );
    bench.deploy("--storage share:logs --run mine");
    assert_eq!(bench.epoch(), 2, "what is in the share stayed there");
}

#[test]
fn without_its_logs_a_run_is_forgotten_and_another_begins() {
    if !kubectl_is_here() {
        return;
    }
    let bench = Bench::new();
    let first = bench.deploy_gently();
    let other = bench.deploy("--fresh");
    let run = other["plan"]["run"].as_str().unwrap();
    let shown = bench.run("clean logs --preview");
    assert_eq!(shown.code, 2, "{}", shown.err);
    assert!(
        shown.out.contains(run) && !shown.out.contains("helloworld"),
        "{}",
        shown.out
    );
    assert_eq!(bench.pods().len(), 2, "only shown");
    let refused = bench.run("clean logs");
    assert!(refused.err.contains("--yes"), "{}", refused.err);

    let swept = bench.run("clean logs --yes");
    assert_eq!(swept.code, 0, "{}{}", swept.out, swept.err);
    assert_eq!(
        bench.pods(),
        Vec::<String>::new(),
        "what wrote them stopped"
    );
    assert_eq!(bench.names("jobs"), [] as [&str; 0]);
    assert_eq!(bench.run("clean logs --preview").code, 0);

    let begun = bench.deploy("");
    assert_eq!(begun["plan"]["resumes"], false);
    assert_eq!(
        begun["plan"]["order"]["rate"], "2MiB",
        "what was asked stays"
    );
    assert_eq!(bench.epoch(), 1);
    let runs = ok(
        &bench.lab,
        &[
            "exec",
            "deploy/generated-perftestclient",
            "--",
            "ls",
            "/ambrosia_logs",
        ],
    );
    assert!(!runs.contains(run), "{runs}");
    assert!(
        runs.contains(first["plan"]["run"].as_str().unwrap()),
        "logs of other runs are nobody's business here: {runs}"
    );
}

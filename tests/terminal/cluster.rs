//! The cockpit on a cluster that it did not start.

use crate::{
    sandbox::Sandbox,
    screen::{See, at_work, kill, leave, press, trial},
    standalone::Lab,
};

#[test]
fn the_same_kills_work_on_any_cluster() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let mut terminal = sandbox.terminal(&["--kubeconfig", lab.kubeconfig()]);
    terminal.see(at_work);
    kill(&mut terminal, None, 'p', 1);
    kill(&mut terminal, Some('s'), 'd', 2);
    leave(terminal);
    // The cluster is none of ours: it runs on, and is found again.
    let mut again = sandbox.terminal(&["--kubeconfig", lab.kubeconfig()]);
    let screen = again.see(at_work);
    assert_eq!(trial(&screen, 1), None, "another run");
    leave(again);
    lab.stop();
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 2);
}

#[test]
fn read_only_looks_and_touches_nothing() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let mut terminal = sandbox.terminal(&["--kubeconfig", lab.kubeconfig(), "--read-only"]);
    let screen = terminal.see(at_work);
    assert!(
        screen.row_text(0).contains("READ-ONLY"),
        "{}",
        screen.text()
    );
    press(&mut terminal, 'x', |s| {
        s.contains("--read-only: nothing is killed")
    });
    assert!(!terminal.screen().contains("Inject a fault"));
    leave(terminal);
    lab.stop();
}

#[test]
fn the_workload_is_found_by_other_labels_and_in_other_namespaces() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let on = |args: &[&str]| {
        let mut all = vec!["--kubeconfig", lab.kubeconfig()];
        all.extend(args);
        sandbox.terminal(&all)
    };
    let mut selected = on(&[
        "-n",
        "default",
        "--client",
        "app.kubernetes.io/instance=perftestclient",
        "--server",
        "app.kubernetes.io/component in (server),!nothing",
    ]);
    selected.see(at_work);
    kill(&mut selected, None, 'p', 1);
    leave(selected);

    let mut empty = on(&["-n", "kube-system"]);
    empty.see(|s| s.contains("No pods in namespace kube-system") && s.contains("-n NAMESPACE"));
    press(&mut empty, 'x', |s| s.contains("no client pod here"));
    press(&mut empty, 'q', |s| !s.contains("no client pod here"));
    leave(empty);
    lab.stop();
}

#[test]
fn a_cluster_that_goes_away_is_stale_until_it_is_back() {
    let sandbox = Sandbox::new();
    let mut lab = Lab::start(&sandbox, &[]);
    let mut terminal = sandbox.terminal(&["--kubeconfig", lab.kubeconfig()]);
    terminal.see(at_work);
    lab.crash();
    terminal.see(|s| s.row_text(0).contains("STALE") && s.row_text(0).contains("retry in"));
    drop(lab);
    let lab = Lab::start(&sandbox, &[]);
    terminal.see(at_work);
    kill(&mut terminal, None, 'p', 1);
    leave(terminal);
    lab.stop();
}

//! What goes wrong has a face: what happened, to what, why, what to do.

use std::fs;

use termlens::Key;

use crate::sandbox::{GENTLE, Sandbox, leave, press};

#[test]
fn plain_aks_tui_without_a_terminal_names_the_way_without_one() {
    let output = Sandbox::new().command(&[]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        stderr.contains("terminal") && stderr.contains("demo --headless"),
        "{stderr}"
    );
}

#[test]
fn no_kubeconfig_is_a_sentence_and_the_rest_works() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&[]);
    terminal.wait_until(|s| s.contains("kubeconfig")).unwrap();
    press(&mut terminal, '?', |s| s.contains("Help"));
    terminal.send(Key::Esc).unwrap();
    leave(terminal);
}

#[test]
fn a_broken_kubeconfig_and_an_unreachable_server_are_told_apart() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("config").join("kubeconfig");
    fs::write(&file, "apiVersion: v1\nkind: Config\nclusters: 7\n").unwrap();
    let path = file.to_str().unwrap();
    let mut broken = sandbox.terminal(&["--kubeconfig", path]);
    broken.wait_until(|s| s.contains("kubeconfig")).unwrap();
    leave(broken);

    // Port 1 of a loopback address that nobody uses.
    fs::write(
        &file,
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{name: c, context: {cluster: c, user: u}}]\n\
         clusters: [{name: c, cluster: {server: 'http://127.97.31.5:1'}}]\n\
         users: [{name: u, user: {}}]\n",
    )
    .unwrap();
    let mut unreachable = sandbox.terminal(&["--kubeconfig", path]);
    unreachable
        .wait_until(|s| s.contains("127.97.31.5:1") && s.contains("retry"))
        .unwrap();
    leave(unreachable);
}

#[test]
fn misspelt_names_are_answered_with_the_nearest_valid_one() {
    let sandbox = Sandbox::new();
    for (args, nearest) in [
        (&["--them", "midnight"][..], "--theme"),
        (&["dmeo"][..], "demo"),
        (&["themes", "midnigth"][..], "midnight"),
        (&["keys", "k9"][..], "k9s"),
        (&["demo", "--headless", "--fault", "proces"][..], "process"),
    ] {
        let output = sandbox.command(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{args:?}");
        assert!(stderr.contains(nearest), "{args:?}: {stderr}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_said_in_one_line() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("state").join("file");
    fs::write(&file, "").unwrap();
    let mut args = vec!["demo", "--headless"];
    args.extend(GENTLE);
    let output = sandbox
        .command(&args)
        .env("AKS_TUI_STATE", &file)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(stderr.contains(file.to_str().unwrap()), "{stderr}");
}

//! What goes wrong has a face: what happened, to what, why, what to do.

use std::{fs, path::Path};

use termlens::Key;

use crate::{
    sandbox::{GENTLE, PROGRAM, Sandbox},
    screen::{See, at_work, kill, leave, press},
    standalone::Lab,
};

/// What the program says on standard error when it refuses to start.
#[track_caller]
fn refusal(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = sandbox.command(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    stderr
}

#[test]
fn plain_aks_tui_without_a_terminal_names_the_way_without_one() {
    let said = refusal(&Sandbox::new(), &[]);
    assert!(said.contains("terminal"), "{said}");
    assert!(said.contains("demo --headless"), "{said}");
}

#[test]
fn no_kubeconfig_is_a_sentence_and_the_rest_works() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&[]);
    terminal.see(|s| s.contains("kubeconfig") && s.contains("retry in"));
    press(&mut terminal, '?', |s| s.contains("Help: "));
    terminal.send(Key::Esc).unwrap();
    // An escape with a letter right behind it is alt and the letter.
    terminal.see(|s| !s.contains("Help: "));
    press(&mut terminal, 'x', |s| s.contains("Inject a fault"));
    press(&mut terminal, 'p', |s| s.contains("no client pod"));
    terminal.send(Key::Esc).unwrap();
    terminal.see(|s| !s.contains("Inject a fault"));
    leave(terminal);
    sandbox.assert_clean();
}

#[test]
fn a_kubeconfig_that_is_broken_unreachable_or_expired_is_told_apart() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("kubeconfig-of-mine");
    let path = file.to_str().unwrap();
    fs::write(&file, "apiVersion: v1\nkind: Config\nclusters: 7\n").unwrap();
    let mut broken = sandbox.terminal(&["--kubeconfig", path]);
    broken.see(|s| s.contains("kubeconfig") && s.contains("retry in"));

    // Port 1 of a loopback address that nobody uses. Putting the file right
    // puts the cockpit right, without a restart.
    let server = "http://127.97.31.5:1";
    fs::write(
        &file,
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
             users: [{{name: u, user: {{}}}}]\n",
        ),
    )
    .unwrap();
    let unreachable = broken.see(|s| s.contains("nothing listens at") && s.contains(server));
    assert!(
        unreachable.row_text(0).contains("STALE"),
        "{}",
        unreachable.text()
    );

    let lab = Lab::start(&sandbox, &[]);
    let right = fs::read_to_string(&lab.kubeconfig).unwrap();
    let token = right.lines().find(|line| line.contains("token:")).unwrap();
    fs::write(&file, right.replace(token, "    token: expired")).unwrap();
    broken.see(|s| s.contains("401"));
    fs::write(&file, &right).unwrap();
    broken.send(Key::Ctrl('r')).unwrap();
    broken.see(at_work);
    leave(broken);
    lab.stop();
    sandbox.assert_clean();
}

#[test]
fn misspelt_names_are_answered_with_the_nearest_valid_one() {
    let sandbox = Sandbox::new();
    let keymap = sandbox.path("mine.yaml");
    fs::write(&keymap, "fault:\n  kill_proces: [p]\n").unwrap();
    let key = sandbox.path("key.yaml");
    fs::write(&key, "global:\n  help: [entre]\n").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (args, nearest) in [
        (&["--them", "midnight"][..], "--theme"),
        (&["dmeo"], "demo"),
        (&["themes", "midnigth"], "midnight"),
        (&["keys", "k9"], "k9s"),
        (&["keys", &text(&keymap)], "kill_process"),
        (&["keys", &text(&key)], "enter"),
        (&["demo", "--headless", "--fault", "proces"], "process"),
        (&["demo", "--headless", "--target", "sever"], "server"),
        (&["demo", "--headless", "--every", "3h"], "ms, s or m"),
        (&["demo", "--kills", "3"], "--headless"),
        (&["demo", "--backoff", "kubernets"], "kubernetes"),
    ] {
        let said = refusal(&sandbox, args);
        assert!(said.contains(nearest), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
    // In a terminal too, before the screen is taken.
    for args in [&["--theme", "midnigth"][..], &["demo", "--keymap", "k9"]] {
        let mut terminal = sandbox.terminal(args);
        assert!(!terminal.wait_exit().unwrap().success());
        let said = terminal.screen().full_text();
        assert!(said.contains("midnight") || said.contains("k9s"), "{said}");
        assert_eq!(terminal.screen().repaints(), 0, "{said}");
    }
    sandbox.assert_clean();
}

#[test]
fn a_state_directory_that_cannot_be_used_is_said_in_one_line() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("state").join("file");
    fs::write(&file, "").unwrap();
    let output = sandbox
        .command(&["demo", "--headless"])
        .args(GENTLE)
        .env("AKS_TUI_STATE", &file)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let last = stderr.lines().last().unwrap();
    assert!(last.contains(file.to_str().unwrap()), "{stderr}");

    // On the screen it is tried again.
    let script = format!("AKS_TUI_STATE={} exec {PROGRAM} demo", file.display());
    let mut terminal = sandbox.run("/bin/sh", &["-c", &script]);
    terminal.see(|s| s.contains("cannot make") && s.contains("retry in"));
    leave(terminal);
}

#[test]
fn without_a_place_for_the_journal_the_demo_goes_on() {
    let sandbox = Sandbox::new();
    let runs = sandbox.path("state").join("runs");
    fs::write(&runs, "not a directory").unwrap();
    let mut terminal = sandbox.terminal(&["demo", "--rate", "2MiB", "--bytes-per-round", "256KiB"]);
    terminal.see(|s| s.contains("this run is not recorded"));
    terminal.see(at_work);
    let screen = kill(&mut terminal, None, 'p', 1);
    assert!(
        screen.row_text(0).contains("NOT RECORDED"),
        "{}",
        screen.text()
    );
    leave(terminal);
    fs::remove_file(runs).unwrap();
    sandbox.assert_clean();
}

/// The limit of a file's size stands for the end of the disk: the system refuses
/// to write more in the same way.
#[test]
fn when_the_disk_is_full_it_is_said_and_the_cockpit_goes_on() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &[]);
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec {PROGRAM} --kubeconfig {}",
        lab.kubeconfig()
    );
    let mut terminal = sandbox.run("/bin/sh", &["-c", &script]);
    terminal.see(at_work);
    terminal.see(|s| s.row_text(0).contains("NOT RECORDED"));
    kill(&mut terminal, None, 'p', 1);
    kill(&mut terminal, None, 'd', 2);
    leave(terminal);
    // What was recorded until then can be read.
    let run = sandbox.runs().pop().unwrap();
    let mut replay = sandbox.terminal(&["replay", &run, "--speed", "0"]);
    replay.see(|s| s.contains("generated-perftestclient-"));
    leave(replay);
    lab.stop();
    sandbox.assert_clean();
}

#[test]
fn trouble_of_the_lab_is_one_line_and_no_success() {
    let sandbox = Sandbox::new();
    let lab = Lab::start(&sandbox, &["--empty"]);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let taken = text(&sandbox.path("lab"));
    let config = fs::read_to_string(&lab.kubeconfig).unwrap();
    let port = config.split("https://127.0.0.1:").nth(1).unwrap();
    let port = port.lines().next().unwrap().to_owned();
    let foreign = sandbox.path("foreign");
    fs::write(&foreign, "mine").unwrap();
    let fresh = text(&sandbox.path("fresh"));
    for (args, why) in [
        (vec!["--state", &taken], "another lab"),
        (vec!["--state", &text(&foreign)], "foreign"),
        (vec!["--state", &fresh, "--port", &port], port.as_str()),
        (
            vec!["--state", &fresh, "--kubeconfig", &text(&foreign)],
            "no lab's",
        ),
    ] {
        let mut all = vec!["lab"];
        all.extend(args);
        let said = refusal(&sandbox, &all);
        let errors: Vec<_> = said.lines().filter(|line| line.contains("error")).collect();
        assert_eq!(errors.len(), 1, "{all:?}: {said}");
        assert!(errors[0].contains(why), "{all:?}: {said}");
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    lab.stop();
}

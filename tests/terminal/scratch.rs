//! From nothing to nothing: a test bed in an Azure that is on this machine.

use termlens::{Key, Screen, Terminal};

use crate::{
    sandbox::{GENTLE, Sandbox},
    screen::{See, at_work, kill, leave, press},
};

/// The demo from scratch, as far as that nothing is there.
fn from_scratch(sandbox: &Sandbox) -> Terminal {
    let mut args = vec!["demo", "--from-scratch"];
    args.extend(GENTLE);
    let mut terminal = sandbox.terminal(&args);
    terminal.see(nothing_there);
    terminal
}

fn nothing_there(screen: &Screen) -> bool {
    screen.row_text(0).contains("no cluster")
        && screen.contains("no cluster yet")
        && screen.contains("P plans a test bed")
}

/// Enter, and the word that is asked for.
fn confirm(terminal: &mut Terminal, word: &str) {
    terminal.send(Key::Enter).unwrap();
    let question = format!("Type {word} and Enter");
    terminal.see(|s| s.contains(&question));
    terminal.send_str(word).unwrap();
    terminal.send(Key::Enter).unwrap();
}

fn provision(terminal: &mut Terminal) {
    press(terminal, 'P', |s| {
        s.contains("+ cluster") && s.contains("demo-cluster") && s.contains("Enter does it")
    });
    confirm(terminal, "yes");
    terminal.see(|s| s.contains("provisioning: done") && s.row_text(0).contains("demo-cluster"));
}

fn deploy(terminal: &mut Terminal) {
    press(terminal, 'W', |s| {
        s.contains("+ Deployment") && s.contains("share:ambrosia-logs-smbshare")
    });
    confirm(terminal, "yes");
    terminal.see(|s| s.contains("working: the client does new work"));
    terminal.send(Key::Esc).unwrap();
    terminal.see(at_work);
}

#[test]
fn a_person_provisions_deploys_kills_and_cleans_up() {
    let sandbox = Sandbox::new();
    let mut terminal = from_scratch(&sandbox);
    press(&mut terminal, 'W', |s| {
        s.contains("failed: no cluster yet") && s.contains("provision one first")
    });
    terminal.send(Key::Esc).unwrap();
    provision(&mut terminal);
    deploy(&mut terminal);
    kill(&mut terminal, None, 'p', 1);
    press(&mut terminal, 'C', |s| s.contains("Enter deletes it"));
    confirm(&mut terminal, "demo-group");
    terminal.see(|s| s.contains("cleaning: done"));
    terminal.send(Key::Esc).unwrap();
    let screen = terminal.see(|s| s.contains("the cluster was deleted"));
    let header = screen.row_text(0);
    assert!(header.contains("no cluster"), "{header}");
    assert!(header.contains("1 survived"), "{header}");
    // Nothing is left: a plan would make everything again.
    let screen = press(&mut terminal, 'P', |s| s.contains("Enter does it"));
    assert!(!screen.contains("┃ = "), "{}", screen.text());
    terminal.send(Key::Esc).unwrap();
    leave(terminal);
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 1, "the journal is kept");
}

/// The cockpit dies with a cluster and a workload; the next one looks at them again.
#[test]
fn a_cockpit_that_died_finds_its_test_bed_again() {
    let sandbox = Sandbox::new();
    let mut terminal = from_scratch(&sandbox);
    provision(&mut terminal);
    terminal.send(Key::Esc).unwrap();
    deploy(&mut terminal);
    terminal.signal(termlens::Signal::Kill).unwrap();
    terminal.wait_exit().unwrap();
    let mut args = vec!["demo", "--from-scratch"];
    args.extend(GENTLE);
    let mut again = sandbox.terminal(&args);
    again.see(|s| at_work(s) && s.row_text(0).contains("demo-cluster"));
    kill(&mut again, None, 'p', 1);
    leave(again);
    sandbox.assert_clean();
    assert_eq!(sandbox.runs().len(), 1, "it was one run");
}

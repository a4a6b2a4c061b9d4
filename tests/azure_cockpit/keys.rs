use std::fs;

use aks_tui::{config::write::commented, core::azure::OWNER};
use serde_json::json;
use termlens::{Key, Terminal};

use crate::{
    fake::{CLIENT, Fake, SECRET},
    sandbox::Sandbox,
    screen::{See, leave, press},
    world::{GROUP, Shared, settings, start},
};

/// The cockpit with these settings; its kubeconfig leads nowhere.
fn cockpit(sandbox: &Sandbox, fake: &Fake, more: &[&str]) -> Terminal {
    let file = sandbox.path("home").join("aks-tui.yaml");
    let mut settings = settings(fake);
    "x".clone_into(&mut settings.workload.image);
    fs::write(&file, commented(&settings)).unwrap();
    let id = format!("AZURE_CLIENT_ID={CLIENT}");
    let secret = format!("AZURE_CLIENT_SECRET={SECRET}");
    let file = file.display().to_string();
    let mut args = vec![
        id.as_str(),
        secret.as_str(),
        env!("CARGO_BIN_EXE_aks-tui"),
        "--kubeconfig",
        "/nowhere",
        "--config",
        &file,
    ];
    args.extend(more);
    sandbox.run("/usr/bin/env", &args)
}

fn furnish(world: &Shared) {
    let mut world = world.lock().unwrap();
    let tags = json!({OWNER.0: OWNER.1});
    world.put(GROUP, json!({"location": "eastus", "tags": tags, "properties": {"provisioningState": "Succeeded"}}));
    let id = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/xyzstorage");
    world.put(&id, json!({"id": id, "name": "xyzstorage", "type": "Microsoft.Storage/storageAccounts", "tags": tags}));
}

fn type_word(terminal: &mut Terminal, word: &str) {
    for c in word.chars() {
        terminal.send(Key::Char(c)).unwrap();
    }
    terminal.send(Key::Enter).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_seen_before_it_is_carried_out() {
    let (fake, world) = start().await;
    let sandbox = Sandbox::new();
    let mut terminal = cockpit(&sandbox, &fake, &[]);
    terminal.see(|s| !s.row_text(0).trim().is_empty());
    press(&mut terminal, 'P', |s| {
        s.contains("+ cluster") && s.contains("xyz-cluster") && s.contains("Enter does it")
    });
    assert!(
        world.lock().unwrap().get(GROUP).is_none(),
        "a plan changes nothing"
    );
    terminal.send(Key::Enter).unwrap();
    terminal.see(|s| s.contains("Type yes and Enter"));
    type_word(&mut terminal, "no");
    terminal.see(|s| s.contains("type yes to go on"));
    assert!(world.lock().unwrap().get(GROUP).is_none());
    terminal.send(Key::Ctrl('u')).unwrap();
    type_word(&mut terminal, "yes");
    // The deployment succeeds; this world makes no cluster of it, and that is said.
    terminal.see(|s| s.contains("provisioning failed") && s.contains("read the cluster"));
    assert_eq!(
        world.lock().unwrap().get(GROUP).unwrap()["tags"][OWNER.0],
        OWNER.1
    );
    let text = terminal.screen().full_text();
    assert!(!text.contains(SECRET), "{text}");
    press(&mut terminal, 'q', |s| !s.contains("provisioning failed"));
    leave(terminal);
    assert_no_secret(&sandbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_asks_for_the_groups_name() {
    let (fake, world) = start().await;
    furnish(&world);
    let sandbox = Sandbox::new();
    let mut terminal = cockpit(&sandbox, &fake, &[]);
    terminal.see(|s| !s.row_text(0).trim().is_empty());
    press(&mut terminal, 'C', |s| {
        s.contains("- storage account") && s.contains("Enter deletes it")
    });
    terminal.send(Key::Enter).unwrap();
    terminal.see(|s| s.contains("Type xyz-group and Enter"));
    type_word(&mut terminal, "xyz-group");
    terminal.see(|s| s.contains("cleaning: done"));
    assert!(world.lock().unwrap().things.is_empty());
    press(&mut terminal, 'q', |s| !s.contains("cleaning: done"));
    leave(terminal);
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_shows_and_changes_nothing() {
    let (fake, world) = start().await;
    furnish(&world);
    let sandbox = Sandbox::new();
    let mut terminal = cockpit(&sandbox, &fake, &["--read-only"]);
    terminal.see(|s| !s.row_text(0).trim().is_empty());
    press(&mut terminal, 'C', |s| s.contains("Enter deletes it"));
    terminal.send(Key::Enter).unwrap();
    terminal.see(|s| s.contains("--read-only: nothing is changed"));
    assert_eq!(world.lock().unwrap().things.len(), 2);
    press(&mut terminal, 'q', |s| !s.contains("Enter deletes it"));
    leave(terminal);
}

/// Nothing that the program wrote holds the secret.
fn assert_no_secret(sandbox: &Sandbox) {
    let mut dirs = vec![sandbox.path("state")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
            assert!(
                !has(SECRET.as_bytes()) && !has(b"token-0"),
                "{}",
                path.display()
            );
        }
    }
}

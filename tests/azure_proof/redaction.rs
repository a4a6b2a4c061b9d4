//! Secrets are nowhere but where they must be: in the cluster's credentials, which
//! only their owner can read.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{
    bed::{Bed, CLUSTER, GROUP},
    terminal,
};

/// No shorter text is looked for: it might be somewhere by chance.
const SHORTEST: usize = 16;

/// Every secret of this story, and what it looks like where it is packed.
fn secrets(bed: &Bed) -> Vec<(String, String)> {
    let world = bed.world();
    let mut found = vec![
        (
            "the client secret".to_owned(),
            bed.text("client_secret").to_owned(),
        ),
        ("a wrong client secret".to_owned(), WRONG.to_owned()),
    ];
    for seen in bed.between.seen() {
        let reply: Value = serde_json::from_str(&seen.reply).unwrap_or_default();
        if let Some(token) = reply["access_token"].as_str() {
            found.push(("an access token".to_owned(), token.to_owned()));
        }
    }
    for resource in world["resources"].as_object().unwrap().values() {
        let id = resource["id"].as_str().unwrap();
        // What a build keeps is its log and its image: told to whoever builds.
        if id.contains("/runs/") {
            continue;
        }
        collect(id, &resource["secret"], &mut found);
    }
    let packed: Vec<_> = found
        .iter()
        .map(|(what, secret)| (format!("{what}, in base64"), BASE64_STANDARD.encode(secret)))
        .collect();
    found.extend(packed);
    found.retain(|(_, secret)| secret.len() >= SHORTEST);
    found
}

/// The texts that a resource keeps from everybody: keys, passwords, tokens, papers.
fn collect(what: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                // Ids and certificates are no secrets.
                let open = ["uid", "hash", "kubelet", "authority", "certificate"];
                if !open.contains(&name.as_str()) {
                    collect(&format!("{what} {name}"), value, found);
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect(what, value, found)),
        Value::String(text) => {
            // Papers are wrapped: any of their lines tells them.
            let line = text.lines().find(|line| !line.starts_with("-----"));
            found.extend(line.map(|line| (what.to_owned(), line.to_owned())));
        }
        _ => {}
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

fn search(place: &str, bytes: &[u8], secrets: &[(String, String)], found: &mut Vec<String>) {
    for (what, secret) in secrets {
        if bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
        {
            found.push(format!("{what} is in {place}"));
        }
    }
}

const WRONG: &str = "a-wrong-secret-that-must-not-be-repeated";

/// Everything that the program said, by who said it.
type Said = Vec<(String, Vec<u8>)>;

async fn say(bed: &Bed, said: &mut Said, line: &str) {
    for log in ["", "trace"] {
        let mut command = bed.command(line);
        if !log.is_empty() {
            command.env("AKS_TUI_LOG", log);
        }
        let output = tokio::time::timeout(Duration::from_secs(180), command.output());
        let output = output.await.expect(line).unwrap();
        // 2: there is something to do. What is about nothing must fail.
        let fine = matches!(output.status.code(), Some(0 | 2));
        assert_eq!(fine, !line.contains("no-such"), "{line}: {output:?}");
        said.push((format!("what `{line}` printed {log}"), output.stdout));
        said.push((format!("what `{line}` complained of {log}"), output.stderr));
    }
}

async fn everything(bed: &Bed) -> Said {
    let mut said = Said::new();
    let mut wrong = bed.command("provision --plan");
    let wrong = wrong
        .env("AZURE_CLIENT_SECRET", WRONG)
        .env("AKS_TUI_LOG", "trace");
    let wrong = wrong.output().await.unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    said.push((
        "what a failed sign-in complained of".to_owned(),
        wrong.stderr,
    ));
    let kubeconfig = bed.kubeconfig().display().to_string();
    fs::write(bed.home().join("Dockerfile"), "FROM scratch\n").unwrap();
    let share = "share:ambrosia-logs-smbshare";
    let on = format!("--kubeconfig {kubeconfig}");
    for line in [
        "init --yes --name proof --output written.yaml --force",
        "provision --plan --json",
        "provision --yes --json",
        "provision --export exported",
        "cluster status --json",
        "build . --image proof:1",
        &format!("deploy perftest --storage {share} --rate 1MiB --bytes-per-round 64KiB {on}"),
        &format!("deploy perftest --diff {on}"),
        &format!("kill client --json {on}"),
        "clean most --preview",
        "deploy perftest --storage share:no-such-share --kubeconfig no-such-file",
    ] {
        say(bed, &mut said, line).await;
    }
    let ours = bed.state().join("azure").join(format!("{GROUP}.{CLUSTER}"));
    assert!(ours.is_dir());
    for log in ["info", "trace"] {
        let shown = terminal::cockpit(bed, &kubeconfig, log).await;
        said.push((format!("what the cockpit showed at {log}"), shown));
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere_but_in_the_credentials_of_their_owner() {
    let bed = Bed::start(600.0, &[]).await;
    let mut said = everything(&bed).await;
    let secrets = secrets(&bed);
    let kinds = [
        "access token",
        "storageAccounts",
        "registries",
        "managedClusters",
    ];
    for kind in kinds {
        assert!(
            secrets.iter().any(|(what, _)| what.contains(kind)),
            "no secret of {kind}"
        );
    }
    let mut found = Vec::new();
    let kubeconfig = bed.kubeconfig();
    let mode = fs::metadata(&kubeconfig).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The search itself finds what there is to find.
    search(
        "the credentials",
        &fs::read(&kubeconfig).unwrap(),
        &secrets,
        &mut found,
    );
    assert!(
        !found.is_empty(),
        "the credentials hold no secret that is looked for"
    );
    found.clear();
    let on_disk = files(bed.home());
    assert!(on_disk.len() > 4, "{on_disk:?}");
    for file in on_disk.iter().filter(|file| **file != kubeconfig) {
        let bytes = fs::read(file).unwrap();
        search(&file.display().to_string(), &bytes, &secrets, &mut found);
    }
    for line in ["clean most --yes", "clean all --yes --json"] {
        say(&bed, &mut said, line).await;
    }
    let bytes: usize = said.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes > 20_000, "only {bytes} bytes were said");
    for (who, bytes) in &said {
        search(who, bytes, &secrets, &mut found);
    }
    for file in files(bed.home()) {
        let bytes = fs::read(&file).unwrap();
        search(&file.display().to_string(), &bytes, &secrets, &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
    bed.stop().await;
}

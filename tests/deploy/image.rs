//! The image: what can be known of it without building it, and its first process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::symlink, process::ExitStatusExt as _},
    path::Path,
    process::{Command, Stdio},
};

use crate::support::required;

fn dockerfile() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/image/Dockerfile"))
        .unwrap()
}

#[test]
fn everything_that_is_copied_is_there_and_let_through() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join("assets/image/Dockerfile.dockerignore")).unwrap();
    let text = dockerfile();
    let copied: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|rest| !rest.starts_with("--from"))
        .flat_map(|rest| {
            let words: Vec<_> = rest.split(' ').collect();
            words[..words.len() - 1].to_vec()
        })
        .collect();
    assert!(copied.len() > 4, "{copied:?}");
    for source in &copied {
        assert!(root.join(source).exists(), "{source}");
        assert!(
            ignored.lines().any(|line| line == format!("!{source}")),
            "{source}"
        );
    }
    // What the program has in it is copied too.
    for included in ["keymaps", "themes", "assets"] {
        assert!(copied.contains(&included), "{included}");
    }
}

#[test]
fn it_is_what_the_manifests_expect() {
    let text = dockerfile();
    for role in aks_tui::core::workload::Role::ALL {
        let link = format!("ln -s aks-tui /usr/local/bin/{}", role.program());
        assert!(text.contains(&link), "{link}");
    }
    assert!(
        text.contains("\nUSER 10001:10001\n"),
        "a number, so that runAsNonRoot can tell"
    );
    assert!(!text.contains("latest"), "its bases have versions");
    let last = text.rfind("\nFROM ").unwrap();
    assert!(text[last..].contains("bash"), "the documents' shell");
}

/// A shell as the first process of a pid namespace that starts the program in its
/// own place, as a container runtime does.
#[test]
fn as_the_first_process_it_can_be_killed_from_inside() {
    let probe = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
            "true",
        ])
        .output();
    if !probe.is_ok_and(|it| it.status.success()) {
        assert!(!required("namespaces"), "namespaces are required");
        println!("skipped: no pid namespaces here");
        return;
    }
    for (signal, code) in [("KILL", 137), ("TERM", 143)] {
        let home = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_aks-tui"), home.path().join("Server")).unwrap();
        let path = format!(
            "{}:{}",
            home.path().display(),
            std::env::var("PATH").unwrap()
        );
        // The killer waits until the program has said that it works, on a pipe.
        let script = format!(
            "(read -r word <go; kill -{signal} $(pidof Server)) & exec Server -s server -j job -c --log logs --sp {port}",
            port = 40_000 + fastrand::u32(0..20_000)
        );
        rustix::fs::mknodat(
            rustix::fs::CWD,
            home.path().join("go"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let mut child = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
            ])
            .args(["bash", "-c", &script])
            .current_dir(home.path())
            .env("PATH", path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Read to the end: an instance that nobody hears ends by itself.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let works = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line == "*X* becoming primary");
        assert!(works, "it never worked");
        fs::write(home.path().join("go"), "now\n").unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            (status.code(), status.signal()),
            (Some(code), None),
            "{signal}"
        );
    }
}

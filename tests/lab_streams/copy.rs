//! Files in and out of containers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::kubectl::{kubectl_is_here, ok};
use super::{isolated, run};

#[test]
fn files_and_directories_go_both_ways_and_come_back_the_same() {
    if !kubectl_is_here() {
        return;
    }
    let Some(lab) = isolated() else { return };
    run(
        &lab,
        "idle",
        &["--image=aks-tui/shell", "--command", "--", "sleep", "10000"],
    );
    let home = tempfile::tempdir().unwrap();
    let tree = home.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    let large: Vec<u8> = (0..9_000_000_u32)
        .map(|it| (it.wrapping_mul(it) >> 9) as u8)
        .collect();
    fs::write(tree.join("large"), &large).unwrap();
    fs::write(tree.join("a/b/with blank"), "small").unwrap();
    fs::set_permissions(
        tree.join("a/b/with blank"),
        fs::Permissions::from_mode(0o750),
    )
    .unwrap();
    let here = |path: &std::path::Path| path.to_str().unwrap().to_owned();

    ok(&lab, &["cp", &here(&tree), "idle:/tmp/tree"]);
    let listed = ok(
        &lab,
        &[
            "exec",
            "idle",
            "--",
            "sh",
            "-c",
            "cd /tmp/tree && find . -type f | sort",
        ],
    );
    assert_eq!(listed, "./a/b/with blank\n./large\n");
    let mode = ok(
        &lab,
        &[
            "exec",
            "idle",
            "--",
            "stat",
            "-c",
            "%a",
            "/tmp/tree/a/b/with blank",
        ],
    );
    assert_eq!(mode, "750\n");

    let back = home.path().join("back");
    ok(&lab, &["cp", "idle:/tmp/tree", &here(&back)]);
    assert!(fs::read(back.join("large")).unwrap() == large);
    assert_eq!(fs::read(back.join("a/b/with blank")).unwrap(), b"small");
}

/// A user of the host is not one of the container's; files of hers come to
/// belong to the container's one user instead of not coming at all.
#[test]
fn files_of_a_user_that_the_container_does_not_know_arrive() {
    if !kubectl_is_here() || !rustix::process::getuid().is_root() {
        return;
    }
    let Some(lab) = isolated() else { return };
    run(
        &lab,
        "idle",
        &["--image=aks-tui/shell", "--command", "--", "sleep", "10000"],
    );
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("hers");
    fs::write(&file, "hers").unwrap();
    std::os::unix::fs::chown(&file, Some(4242), Some(4242)).unwrap();
    ok(&lab, &["cp", file.to_str().unwrap(), "idle:/tmp/hers"]);
    let shown = ["exec", "idle", "--", "stat", "-c", "%u", "/tmp/hers"];
    assert_eq!(ok(&lab, &shown), "0\n");
}

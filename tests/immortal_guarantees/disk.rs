//! Disks that are full or read-only, and directories that are missing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::perftest::{Process, World, assert_total, formula};
use super::{BIN, stopped};

/// Runs a shell script with a file system of its own at `$D`, as the caller of mount;
/// `None` where the kernel does not let us.
#[cfg(target_os = "linux")]
fn with_own_mounts(world: &World, script: &str) -> Option<Process> {
    let probe = Command::new("unshare")
        .args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.contains("namespaces"), "no namespaces here");
        return None;
    }
    let directory: PathBuf = world.logs.path().join("volume");
    fs::create_dir(&directory).unwrap();
    let job = "perftest job -c --sp 50001 -j client -s server -n 3 --mms 4096 --bytes-per-round 4MiB --progress 5ms --log";
    let mut command = Command::new("unshare");
    command
        .args(["-Urm", "sh", "-c", script])
        .env("D", &directory)
        .env("JOB", format!("{BIN} {job} {}", directory.display()));
    Some(world.spawn(command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let world = World::new();
    let _server = world.start("server", "-j server");
    let script = "mount -t tmpfs -o size=2m none $D; $JOB & \
                  until [ -e $D.room ]; do sleep 0.05; done; \
                  mount -o remount,size=200m $D; wait $!";
    let Some(job) = with_own_mounts(&world, script) else {
        return;
    };
    job.wait_for("the wait", |line| {
        line.starts_with("*X* waiting for space: ")
    });
    fs::write(world.logs.path().join("volume.room"), "").unwrap();
    let (status, lines, errors) = job.end();
    assert!(status.success(), "{errors}");
    let again = |line: &&String| line.starts_with("*X* there is space again after ");
    assert!(
        lines.iter().any(|line| again(&line)),
        "{}",
        lines.join("\n")
    );
    let total = formula(4096, 4 << 20, 3, false).0;
    assert_total("client", &vec![lines], total);
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_directory_is_one_line() {
    let world = World::new();
    let script = "mount -t tmpfs -o ro none $D; exec $JOB";
    let Some(job) = with_own_mounts(&world, script) else {
        return;
    };
    let said = stopped(job).1;
    assert!(
        said.starts_with("error: cannot create ") && said.contains("Read-only"),
        "{said}"
    );
}

#[test]
fn a_directory_that_cannot_be_is_one_line_and_one_that_is_missing_is_made() {
    let world = World::new();
    let deep = world.logs.path().join("a/b/c");
    let mut command = Command::new(BIN);
    let server = "perftest server -c -j server --stay --log";
    command.args(server.split(' ')).arg(&deep);
    let server = world.spawn(command);
    server.wait_for("a start", |line| line == "*X* becoming primary");
    assert!(deep.join("server_0/lock").exists());
    let mut command = Command::new(BIN);
    command.args("perftest job -c -j client -s server --log /dev/null/x".split(' '));
    let said = stopped(world.spawn(command)).1;
    assert!(
        said.starts_with("error: cannot create /dev/null/x/client_0: Not a dir"),
        "{said}"
    );
}

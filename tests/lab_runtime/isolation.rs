//! What a container can reach, attacked from inside.

use super::*;

#[tokio::test]
async fn a_container_has_the_tools_even_if_the_host_has_not() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let mut spec = bed.spec(&["/bin/sleep", "300"]);
    // As on a host without procps: only the container's own are found.
    spec.env = vec![("PATH".into(), "/opt/aks-tui/applets".into())];
    let container = bed.runtime.start(spec).await.unwrap();
    let (table, _, code) = run(&container, &["ps"]).await;
    assert_eq!(code, 0);
    assert!(table.contains(" sleep\n"), "{table}");
    let (pid, _, code) = run(&container, &["pidof", "sleep"]).await;
    assert_eq!(code, 0);
    let (_, err, code) = run(&container, &["kill", "-0", pid.trim()]).await;
    assert_eq!(code, 0, "{err}");
    let (_, _, code) = run(&container, &["pidof", "nobody"]).await;
    assert_eq!(code, 1);
    let fault = container.exec(request(&["/bin/sh", "-c", "kill -9 $(pidof sleep)"]));
    let session = fault.await.unwrap();
    let exit = within("its end", container.wait()).await;
    assert_eq!(exit.ending, Ending::killed(9));
    drop(session);
    bed.close().await;
}

#[tokio::test]
async fn nothing_in_a_namespace_reaches_the_host() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let container = bed.start(&["sleep", "300"]).await;
    let other = bed.start(&["sleep", "301"]).await;
    let own = std::process::id();
    let attack = |script: String| {
        let container = &container;
        async move { sh(container, &script).await }
    };
    // Host processes: neither seen nor signalled.
    let (processes, _, _) = attack("ls -d /proc/[0-9]* | wc -l".into()).await;
    assert!(processes.trim().parse::<u32>().unwrap() < 8, "{processes}");
    let (_, _, code) = attack(format!("kill -0 {own}")).await;
    assert_ne!(code, 0, "the lab can be signalled");
    let host = other.pid().unwrap();
    let (_, _, code) = attack(format!("kill -9 {host}")).await;
    assert_ne!(code, 0, "another pod can be signalled");
    assert!(other.exit().is_none());
    // Process 1 cannot be killed from inside.
    let (_, _, code) = attack("kill -9 1; kill -STOP 1; sleep 0.1; echo still".into()).await;
    assert_eq!(code, 0);
    // Host files.
    for path in [
        secret.path().to_str().unwrap(),
        bed.state.path().to_str().unwrap(),
        "/etc/shadow",
        "/home/.",
        "/var/log",
        "/run/lock",
        "/root/.ssh",
        "/root/.cargo",
        "/sys/kernel",
        "/boot",
        "/opt/../srv",
    ] {
        let (out, _, code) = attack(format!("ls -d {path} && cat {path}")).await;
        assert_ne!(code, 0, "{path}: {out}");
    }
    let (_, _, code) = attack("head -c 1 /proc/kcore | grep -q .".into()).await;
    assert_ne!(code, 0, "memory of the machine");
    // The host's programs and the kernel's settings cannot be changed.
    for script in [
        "echo x > /usr/bin/x",
        "echo x > /bin/sh",
        "echo x > /opt/aks-tui/bin/aks-tui",
        "rm -f /usr/bin/env",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo b > /proc/sysrq-trigger",
        "cat /proc/sys/kernel/hostname > /proc/sys/kernel/hostname",
        "echo 1000 > /proc/self/oom_score_adj",
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw /usr",
        "umount /proc/kcore",
        "umount -l /usr",
        "unshare -Urm true",
        "unshare -m true",
        "chroot / true",
        "nsenter -t 1 -m true",
        "mknod /tmp/disk b 254 0 && cat /tmp/disk",
        "cat /proc/1/environ",
        "ls /proc/1/root/",
        "readlink /proc/1/fd/*",
        "cat < /proc/1/fd/1",
        "hostname other",
    ] {
        let (out, _, code) = attack(script.into()).await;
        assert_ne!(code, 0, "{script}: {out}");
    }
    let (caps, _, _) = attack("grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status".into()).await;
    assert_eq!(caps.matches("0000000000000000").count(), 4, "{caps}");
    // What a pod does have.
    for script in [
        "test $(id -u) = 0",
        "echo x > /tmp/x && cat /tmp/x",
        "echo x > /root/x",
        "ps ax | grep -q sleep",
        "pidof sleep",
        "bash -c 'echo $BASH_VERSION'",
        "echo x > /dev/null && head -c 4 /dev/urandom > /tmp/r",
        "test \"$(hostname)\" = pod",
        "echo x > /dev/stdout",
        "kill -0 1",
        "echo x > /dev/shm/x",
    ] {
        let (out, err, code) = attack(script.into()).await;
        assert_eq!(code, 0, "{script}: {out}{err}");
    }
    assert!(container.exit().is_none());
    bed.close().await;
}

#[tokio::test]
async fn a_group_refuses_what_it_cannot_shut_in() {
    let bed = Bed::new(Isolation::Group).await.unwrap();
    let container = bed.start(&["sleep", "300"]).await;
    let other = bed.start(&["sleep", "301"]).await;
    for command in [
        vec!["ls"],
        vec!["sh"],
        vec!["bash"],
        vec!["cat", "/etc/passwd"],
        vec!["sh", "-c", "cat /etc/passwd"],
        vec!["sh", "-c", "kill -9 $(cat /tmp/x)"],
    ] {
        let (out, err, code) = run(&container, &command).await;
        assert_eq!((out.as_str(), code), ("", 126), "{command:?}");
        assert!(err.contains("process groups"), "{err}");
    }
    let (_, err, code) = run(&container, &["kill", "-9", &std::process::id().to_string()]).await;
    assert_eq!(code, 1);
    assert!(err.contains("No such process"), "{err}");
    let (_, _, code) = run(&container, &["kill", &other.pid().unwrap().to_string()]).await;
    assert_eq!(code, 1);
    let (out, _, _) = run(&container, &["ps"]).await;
    assert_eq!(out.matches("sleep").count(), 1, "{out}");
    let (_, _, code) = sh(&container, "kill -TERM $(pidof sleep)").await;
    assert_eq!(code, 0);
    assert_eq!(
        within("end", container.wait()).await.ending,
        Ending::killed(15)
    );
    assert!(other.exit().is_none());
    bed.close().await;
}

#[tokio::test]
async fn volumes_are_mounted_and_outlive_the_container() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let disk = bed.state.path().join("disk");
    fs::create_dir_all(disk.join("logs")).unwrap();
    fs::write(disk.join("note"), "from outside").unwrap();
    std::os::unix::fs::symlink("/etc/shadow", disk.join("trap")).unwrap();
    let mount = |inside: &str, target: &str, read_only| Mount {
        base: disk.clone(),
        tree: None,
        inside: inside.into(),
        target: target.into(),
        read_only,
    };
    let mut spec = bed.spec(&[
        "sh",
        "-c",
        "cat /deep/er/note && echo kept > /logs/kept && ! echo x > /fixed/x && echo fine",
    ]);
    spec.mounts = vec![
        mount("note", "/deep/er/note", false),
        mount("logs", "/logs", false),
        mount("logs", "/fixed", true),
    ];
    let container = bed.runtime.start(spec).await.unwrap();
    let exit = within("end", container.wait()).await;
    let log = fs::read_to_string(container.log().current).unwrap();
    assert_eq!(exit.ending, Ending::exited(0), "{log}");
    assert!(log.contains("from outside"), "{log}");
    assert_eq!(
        fs::read_to_string(disk.join("logs/kept")).unwrap(),
        "kept\n"
    );
    let mut spec = bed.spec(&["sh", "-c", "cat /trap"]);
    spec.mounts = vec![mount("trap", "/trap", false)];
    let refused = bed.runtime.start(spec).await.unwrap_err().to_string();
    assert!(refused.contains("mount"), "{refused}");
    bed.close().await;
}

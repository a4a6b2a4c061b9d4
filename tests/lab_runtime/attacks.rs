//! What a container is not meant to reach, tried by programs that mean harm.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use super::*;

/// Whether the host, and so its containers, have perl, by which a script makes
/// any system call; says so where it is missing.
fn perl_is_here() -> bool {
    let version = Command::new("perl").arg("-v").output();
    if cfg!(target_arch = "x86_64") && version.is_ok_and(|it| it.status.success()) {
        return true;
    }
    println!("skipped: there is no perl here, or the numbers of system calls are not known");
    false
}

/// Leaves a file open for every program that is started, as careless parents do.
fn leave_open(file: impl AsFd) {
    rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
}

#[tokio::test]
async fn no_file_of_whoever_started_the_lab_is_open_in_a_container() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        let outside = fs::File::open(bed.state.path()).unwrap();
        leave_open(&outside);
        let show = "ls -l /proc/self/fd; echo shown";
        let container = bed
            .start(&["sh", "-c", &format!("{show}; exec sleep 300")])
            .await;
        let mut shown = vec![logged(&container, "shown").await];
        if isolation == Isolation::Namespaces {
            shown.push(sh(&container, show).await.0);
            let tty = ExecRequest {
                tty: true,
                ..request(&["sh", "-c", show])
            };
            shown.push(finish(container.exec(tty).await.unwrap()).await.0);
        }
        for shown in shown {
            // The three that everybody has, and the one that lists them.
            let open: Vec<&str> = shown.lines().filter(|it| it.contains("->")).collect();
            assert_eq!(open.len(), 4, "{isolation}: {shown}");
        }
        bed.close().await;
    }
}

#[tokio::test]
async fn a_signal_to_everybody_reaches_nobody_outside() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let other = bed.start(&["sleep", "300"]).await;
    let mut bystander = Command::new("sleep")
        .arg("300")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    for attack in [
        "kill -9 -1",
        "kill -TERM -- -1",
        // Every process there can be, one by one and as a group.
        "p=2; while [ $p -le 4194304 ]; do kill -9 $p -$p; p=$((p * 2)); done 2>/dev/null; \
         for p in $(seq 2 40000); do [ $p = $$ ] || kill -9 $p; done 2>/dev/null",
    ] {
        let attacker = bed
            .start(&[
                "sh",
                "-c",
                &format!("sleep 301 & {attack}; echo tried; sleep 302"),
            ])
            .await;
        // It loses its own processes, at most.
        logged(&attacker, "tried").await;
        attacker.kill().await;
        assert!(other.exit().is_none(), "{attack}");
        assert!(bystander.try_wait().unwrap().is_none(), "{attack}");
    }
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    bed.close().await;
}

#[tokio::test]
async fn what_hides_from_its_container_dies_with_it() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        let mark = format!("{}", 100_000_000 + fastrand::u32(..100_000_000));
        // Two forks, sessions of their own, and nothing in their environment.
        let hide = format!(
            "env -i setsid sh -c 'trap \"\" TERM HUP; env -i setsid sleep {mark} & env -i sleep {mark} & exit' &"
        );
        let script = format!("{hide} sleep 0.2; echo hidden; exec sleep 300");
        let container = bed.start(&["sh", "-c", &script]).await;
        logged(&container, "hidden").await;
        if isolation == Isolation::Namespaces {
            let (_, _, code) = sh(&container, &hide).await;
            assert_eq!(code, 0);
        }
        let hidden = || {
            let processes = fs::read_dir("/proc").unwrap().flatten();
            let lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
            lines
                .filter(|line| String::from_utf8_lossy(line).contains(&mark))
                .count()
        };
        within("they hide", async {
            while hidden() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        container.kill().await;
        assert_eq!(hidden(), 0, "{isolation}");
        bed.close().await;
    }
}

/// Each prints a line that begins with what it tried, and what came of it.
const DOORS: &str = r#"
    sub try { my ($what, $got) = @_; print $got < 0 ? "held" : "BREACH", " $what ($!)\n" }
    try("unshare network", syscall(272, 0x40000000));
    try("ptrace init", syscall(101, 16, 1, 0, 0));
    my $buffer = "x" x 64; my $local = pack("PQ", $buffer, 64); my $remote = pack("QQ", 0x400000, 64);
    try("read memory of init", syscall(310, 1, $local, 1, $remote, 1, 0));
    my $pidfd = syscall(434, 1, 0);
    try("take a file of init", syscall(438, $pidfd, 0, 0));
    try("join namespaces of init", syscall(308, $pidfd, 0x10000000));
    try("mount", syscall(165, my $n = "none", my $t = "/tmp", my $f = "tmpfs", 0, 0));
    try("bind", syscall(165, my $u = "/usr", $t, 0, 4096, 0));
    try("pivot", syscall(155, $t, $t));
    try("chroot", syscall(161, $t));
    my $handle = pack("Ii", 64, 1) . "\0" x 64;
    open(my $root, "<", "/"); try("open by handle", syscall(304, fileno($root), $handle, 0));
    try("swap", syscall(167, $t, 0));
    try("load a module", syscall(175, 0, 0, 0));
    try("ports of the machine", syscall(172, 3));
    my $file = "/proc/1/mem"; open(my $memory, "<", $file) ? try("memory of init", 0) : try("memory of init", -1);
    try("shared memory", shmget($ENV{SHARED}, 4096, 0) // -1);
    try("a raw socket", socket_of(2, 3, 255)); try("a packet socket", socket_of(17, 3, 768));
    sub socket_of { my $s = syscall(41, @_); $s }
    print "done\n";
"#;

#[tokio::test]
async fn the_kernel_opens_no_door() {
    if !perl_is_here() {
        return;
    }
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    // Memory that every process of the machine may have, if it knows the key.
    let key = 1 + fastrand::u32(..1 << 30);
    let shared = |flags: &str| {
        let script = format!("print shmget({key}, 4096, {flags}) // -1");
        let output = Command::new("perl").args(["-e", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_ne!(shared("01666"), "-1");
    let mut spec = bed.spec(&["sleep", "300"]);
    spec.env = vec![("SHARED".into(), key.to_string())];
    let container = bed.runtime.start(spec).await.unwrap();
    let (tried, errors, _) = run(&container, &["perl", "-e", DOORS]).await;
    let drop_it = format!("shmctl(shmget({key}, 4096, 0), 0, 0)");
    Command::new("perl")
        .args(["-e", &drop_it])
        .status()
        .unwrap();
    assert!(tried.ends_with("done\n"), "{tried}{errors}");
    assert!(!tried.contains("BREACH"), "{tried}");
    assert_eq!(tried.matches("held").count(), 17, "{tried}");
    bed.close().await;
}

#[tokio::test]
async fn the_environment_of_the_lab_stays_its_own() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        let container = bed
            .start(&["sh", "-c", "env; echo shown; exec sleep 300"])
            .await;
        let shown = logged(&container, "shown").await;
        // Every test has some of these.
        assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
        assert!(!shown.contains("CARGO"), "{shown}");
        bed.close().await;
    }
}

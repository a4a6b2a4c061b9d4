//! The lab's process layer, with real processes that are really killed, under
//! both isolations.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aks_tui::lab::node::{ExecRequest, ExecSession, NodeError, Stream, TerminalSize};
use aks_tui::lab::runtime::{
    Config, Container, ContainerSpec, Ending, Isolation, Mount, Runtime, RuntimeError, StartError,
};
use bytes::Bytes;
use rustix::process::Signal;

/// A program that runs until it is killed.
const STEADY: &str = "echo ready; while :; do sleep 0.05; done";

const BOTH: [Isolation; 2] = [Isolation::Namespaces, Isolation::Group];

/// Long enough for a slow machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bed {
    runtime: Runtime,
    run: String,
    state: tempfile::TempDir,
}

impl Bed {
    /// A runtime, or none with the reason printed where the kernel forbids it.
    async fn new(isolation: Isolation) -> Option<Self> {
        let state = tempfile::tempdir().unwrap();
        Self::on(state, isolation).await
    }

    async fn on(state: tempfile::TempDir, isolation: Isolation) -> Option<Self> {
        let run = format!("test-{:016x}", fastrand::u64(..));
        match Runtime::open(config(state.path(), &run, Some(isolation))).await {
            Ok(runtime) => Some(Self {
                runtime,
                run,
                state,
            }),
            Err(error @ RuntimeError::NoNamespaces(_)) => {
                let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
                assert!(!required.contains("namespaces"), "{error}");
                eprintln!("skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn spec(&self, argv: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: "main".into(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            cwd: "/".into(),
            hostname: "pod".into(),
            hosts: None,
            links: Vec::new(),
            mounts: Vec::new(),
            log_directory: self.state.path().join("logs"),
            execution: 0,
        }
    }

    async fn start(&self, argv: &[&str]) -> Container {
        self.runtime.start(self.spec(argv)).await.unwrap()
    }

    /// Stops everything and looks for what is left.
    async fn close(self) {
        self.runtime.stop().await;
        assert_eq!(marked(&self.run), Vec::<String>::new(), "left behind");
        let roots = self.state.path().join("roots");
        if let Ok(left) = fs::read_dir(roots) {
            assert_eq!(left.count(), 0, "roots left behind");
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.state.path().to_str().unwrap()));
        let records = fs::read_dir(self.state.path().join("records")).unwrap();
        let records = records.filter(|entry| entry.as_ref().unwrap().file_name() != "lock");
        assert_eq!(records.count(), 0, "records left behind");
    }
}

fn config(state: &Path, run: &str, isolation: Option<Isolation>) -> Config {
    Config {
        state: state.to_owned(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_aks-tui")),
        run: run.to_owned(),
        isolation,
    }
}

/// Living processes with this run in their environment.
fn marked(run: &str) -> Vec<String> {
    let mark = format!("AKS_TUI_RUN={run}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(environment) = fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|it| it == mark.as_bytes())
        {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

fn request(command: &[&str]) -> ExecRequest {
    ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        stdin: false,
        stdout: true,
        stderr: true,
        tty: false,
    }
}

/// Everything a command printed, and its exit code.
async fn finish(mut session: ExecSession) -> (String, String, i32) {
    session.stdin = None;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some((stream, bytes)) = within("output", session.output.recv()).await {
        match stream {
            Stream::Stdout => out.extend_from_slice(&bytes),
            Stream::Stderr => err.extend_from_slice(&bytes),
        }
    }
    let exit = within("exit", session.exit).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), exit.code)
}

async fn run(container: &Container, command: &[&str]) -> (String, String, i32) {
    finish(container.exec(request(command)).await.unwrap()).await
}

async fn sh(container: &Container, script: &str) -> (String, String, i32) {
    run(container, &["sh", "-c", script]).await
}

/// Waits until the log says `text`.
async fn logged(container: &Container, text: &str) -> String {
    let mut log = container.log();
    within(&format!("the log says {text:?}"), async {
        loop {
            log.state.borrow_and_update();
            let content = fs::read_to_string(&log.current).unwrap();
            if content.contains(text) {
                return content;
            }
            log.state.changed().await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_truly() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        for (script, expected) in [
            ("exit 0", Ending::exited(0)),
            ("exit 3", Ending::exited(3)),
            ("exit 137", Ending::exited(137)),
            ("kill -9 $$", Ending::killed(9)),
            ("kill -11 $$", Ending::killed(11)),
            ("kill -15 $$", Ending::killed(15)),
        ] {
            let container = bed.start(&["sh", "-c", script]).await;
            let exit = within(script, container.wait()).await;
            assert_eq!(exit.ending, expected, "{isolation}: {script}");
        }
        bed.close().await;
    }
}

#[tokio::test]
async fn signals_reach_the_program_and_a_kill_is_a_kill() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        let script = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        let container = bed.start(&["sh", "-c", script]).await;
        logged(&container, "ready").await;
        container.signal(Signal::TERM).await;
        assert_eq!(
            within("term", container.wait()).await.ending,
            Ending::exited(7)
        );
        logged(&container, "stdout F got").await;

        let script = "trap '' TERM INT HUP; echo ready; while :; do sleep 0.05; done";
        let container = bed.start(&["sh", "-c", script]).await;
        logged(&container, "ready").await;
        container.signal(Signal::TERM).await;
        assert_eq!(
            within("kill", container.kill()).await.ending,
            Ending::killed(9)
        );
        bed.close().await;
    }
}

#[tokio::test]
async fn a_program_is_found_and_killed_by_its_name() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        // Any executable will do for a name: the link is what is looked for.
        let mut spec = bed.spec(&["Job", "-c", "echo ready; while :; do sleep 0.05; done"]);
        let bin = bed.state.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::copy("/bin/sh", bin.join("Job")).unwrap();
        let target = match isolation {
            Isolation::Namespaces => PathBuf::from("/programs"),
            Isolation::Group => bin.clone(),
        };
        spec.env = vec![(
            "PATH".into(),
            format!("{}:/usr/bin:/bin:/opt/aks-tui/applets", target.display()),
        )];
        spec.mounts = vec![Mount {
            base: bin,
            inside: PathBuf::new(),
            target,
            read_only: true,
        }];
        let container = bed.runtime.start(spec).await.unwrap();
        logged(&container, "ready").await;
        let (pid, _, code) = run(&container, &["pidof", "Job"]).await;
        assert_eq!(code, 0, "{isolation}");
        // More than one while it forks.
        let mut pids = pid.split_whitespace();
        assert!(
            pids.all(|pid| pid.parse::<i32>().is_ok()) && !pid.is_empty(),
            "{pid:?}"
        );
        let (table, _, _) = run(&container, &["ps", "ax"]).await;
        assert!(table.contains("Job"), "{isolation}: {table}");
        let host = container.pid().expect("a pid on the host");
        let comm = fs::read_to_string(format!("/proc/{host}/comm")).unwrap();
        assert_eq!(comm.trim(), "Job");
        let started = std::time::Instant::now();
        let session = container.exec(request(&["sh", "-c", "kill -9 $(pidof Job)"]));
        let session = session.await.unwrap();
        let exit = within("its end", container.wait()).await;
        eprintln!("{isolation}: from kill to gone {:?}", started.elapsed());
        assert_eq!(exit.ending, Ending::killed(9), "{isolation}");
        drop(session);
        let refused = container.exec(request(&["ps"])).await.unwrap_err();
        assert_eq!(refused, NodeError::NotFound("main".into()));
        bed.close().await;
    }
}

#[tokio::test]
async fn the_executable_is_found_under_its_names() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        let mut spec = bed.spec(&[
            "sh",
            "-c",
            "command -v Job; command -v Server; [ -x $(command -v Job) ]",
        ]);
        spec.links = vec!["Job".into(), "Server".into()];
        let container = bed.runtime.start(spec).await.unwrap();
        assert_eq!(
            within("end", container.wait()).await.ending,
            Ending::exited(0)
        );
        let log = fs::read_to_string(container.log().current).unwrap();
        assert!(log.contains("/Job\n") && log.contains("/Server\n"), "{log}");
        bed.close().await;
    }
}

#[tokio::test]
async fn init_reaps_orphans_and_takes_them_along() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        // Orphans that end, and one that would stay, out of its session and
        // without the marks in its environment.
        let script = "for i in 1 2 3; do (sh -c 'exit 0' & exit 0); done; \
             (setsid env -i sleep 3999 & exit 0); sleep 0.2; \
             grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; \
             echo ready; while :; do sleep 0.05; done";
        let container = bed.start(&["sh", "-c", script]).await;
        let log = logged(&container, "ready").await;
        if isolation == Isolation::Namespaces {
            assert!(log.contains("stdout F 0\n"), "zombies: {log}");
        }
        let host = container.pid().unwrap();
        within("kill", container.kill()).await;
        assert!(!Path::new(&format!("/proc/{host}")).exists());
        let left = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x003999\x00")
        });
        assert!(!left, "{isolation}: an orphan was left");
        bed.close().await;
    }
}

#[tokio::test]
async fn a_group_whose_init_is_killed_is_ended_all_the_same() {
    let bed = Bed::new(Isolation::Group).await.unwrap();
    let script = format!("sleep 307 & setsid sleep 308 & {STEADY}");
    let container = bed.start(&["sh", "-c", &script]).await;
    logged(&container, "ready").await;
    let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid().unwrap())).unwrap();
    let init = stat.rsplit(')').next().unwrap().split(' ').nth(2).unwrap();
    let init = rustix::process::Pid::from_raw(init.parse().unwrap()).unwrap();
    rustix::process::kill_process(init, Signal::KILL).unwrap();
    let exit = within("its end", container.wait()).await;
    assert_eq!(exit.ending, Ending::killed(9));
    assert_eq!(marked(&bed.run), Vec::<String>::new());
    bed.close().await;
}

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
async fn what_cannot_be_started_says_why() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        for (argv, expected) in [
            (
                vec!["no-such-program"],
                "executable file not found in $PATH",
            ),
            (vec!["/no/such/program"], "no such file or directory"),
            (vec!["/usr"], "permission denied"),
            (vec![], "no command specified"),
        ] {
            let error = bed.runtime.start(bed.spec(&argv)).await.unwrap_err();
            assert!(matches!(error, StartError::Refused(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{isolation}: {error}");
        }
        let mut spec = bed.spec(&["sh"]);
        spec.cwd = "/no/such/place".into();
        let error = bed.runtime.start(spec).await.unwrap_err().to_string();
        assert!(error.contains("working directory"), "{error}");
        let container = bed.start(&["sleep", "300"]).await;
        if isolation == Isolation::Namespaces {
            let refused = container.exec(request(&["no-such-program"])).await;
            let Err(NodeError::CannotExecute { code: 127, reason }) = refused else {
                panic!("{refused:?}");
            };
            assert!(reason.contains("not found in $PATH"), "{reason}");
        }
        bed.close().await;
    }
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
async fn commands_have_streams_exit_codes_and_an_end() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let container = bed.start(&["sleep", "300"]).await;
    let (out, err, code) = sh(&container, "echo out; echo err >&2; exit 5").await;
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", 5));
    let (_, _, code) = sh(&container, "kill -9 $$").await;
    assert_eq!(code, 137);
    // Standard input arrives, in any amount, and its end too.
    let mut piped = request(&["sh", "-c", "wc -c; exit 4"]);
    piped.stdin = true;
    let mut session = container.exec(piped).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    for _ in 0..100 {
        stdin.send(Bytes::from(vec![b'x'; 10_000])).await.unwrap();
    }
    drop(stdin);
    let (out, _, code) = finish(session).await;
    assert_eq!((out.trim(), code), ("1000000", 4));
    // Much output, all of it, although the command has ended long since.
    let session = container.exec(request(&["sh", "-c", "head -c 60000 /dev/zero; exit 6"]));
    let (out, _, code) = finish(session.await.unwrap()).await;
    assert_eq!((out.len(), code), (60_000, 6));
    // A process left behind does not hold the session open.
    let (out, _, code) = sh(&container, "sleep 302 & echo left").await;
    assert_eq!((out.as_str(), code), ("left\n", 0));
    // A session that is dropped takes its command along, with its children.
    let session = container.exec(request(&["sh", "-c", "sleep 303 | sleep 304; true"]));
    let session = session.await.unwrap();
    let count = "for p in $(pidof sleep); do tr '\\0' ' ' < /proc/$p/cmdline; echo; done";
    within("the command starts", async {
        while !sh(&container, count).await.0.contains("304") {}
    })
    .await;
    drop(session);
    within("the command is killed", async {
        loop {
            let (out, _, _) = sh(&container, count).await;
            if !out.contains("303") && !out.contains("304") {
                assert!(out.contains("300") && out.contains("302"), "{out}");
                break;
            }
        }
    })
    .await;
    // A container that is killed ends its commands.
    let session = container.exec(request(&["sleep", "305"])).await.unwrap();
    within("kill", container.kill()).await;
    assert_eq!(finish(session).await.2, 137);
    bed.close().await;
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let Some(bed) = Bed::new(Isolation::Namespaces).await else {
        return;
    };
    let container = bed.start(&["sleep", "300"]).await;
    let mut terminal = request(&["bash", "--norc"]);
    terminal.tty = true;
    terminal.stdin = true;
    terminal.stderr = false;
    let mut session = container.exec(terminal).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    session
        .resize
        .send(TerminalSize {
            width: 123,
            height: 45,
        })
        .await
        .unwrap();
    let mut seen = String::new();
    macro_rules! until {
        ($text:expr) => {
            while !seen.contains($text) {
                let next = within($text, session.output.recv()).await;
                let Some((stream, bytes)) = next else {
                    panic!("ended before {:?}: {seen}", $text);
                };
                assert_eq!(stream, Stream::Stdout);
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
    }
    let send = |text: &'static str| stdin.send(Bytes::from_static(text.as_bytes()));
    send("tty; stty size; echo job-$((6*7))\n").await.unwrap();
    until!("job-42");
    assert!(seen.contains("/dev/pts/0"), "{seen}");
    assert!(seen.contains("45 123"), "{seen}");
    // The size changes under a running command, which is told.
    send("trap 'stty size' WINCH; echo set-$((1+1))\n")
        .await
        .unwrap();
    until!("set-2");
    let size = TerminalSize {
        width: 99,
        height: 33,
    };
    session.resize.send(size).await.unwrap();
    // bash runs traps between commands.
    until!("33 99");
    // Control keys act on the command in front.
    send("(echo in-$((1+2)); exec sleep 306)\n").await.unwrap();
    until!("in-3");
    send("\x03").await.unwrap();
    send("echo code-$?\n").await.unwrap();
    until!("code-130");
    // The end of input ends the shell, with the code of its last command.
    // The shell must be at its prompt: while a command runs, that key is the
    // command's.
    send("PS1='at-$((++n))> '\n").await.unwrap();
    until!("at-1> ");
    send("(exit 9)\n").await.unwrap();
    until!("at-2> ");
    drop(stdin);
    session.stdin = None;
    let (_, _, code) = finish(session).await;
    assert_eq!(code, 9);
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

#[tokio::test]
async fn output_is_logged_as_it_was_written() {
    for isolation in BOTH {
        let Some(bed) = Bed::new(isolation).await else {
            continue;
        };
        let script = "printf 'a\\n\\377\\n'; echo b >&2; printf 'no end'";
        let container = bed.start(&["sh", "-c", script]).await;
        within("end", container.wait()).await;
        let log = container.log();
        assert!(log.state.borrow().ended);
        let content = fs::read(log.current).unwrap();
        let mut seen: Vec<_> = content
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| aks_tui::lab::runtime::cri::parse(line).unwrap())
            .map(|record| (record.stream, record.text.to_vec()))
            .collect();
        seen.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let expected = [
            (Stream::Stdout, b"a".to_vec()),
            (Stream::Stdout, vec![0xff]),
            (Stream::Stdout, b"no end".to_vec()),
            (Stream::Stderr, b"b".to_vec()),
        ];
        assert_eq!(seen, expected);
        bed.close().await;
    }
}

#[tokio::test]
async fn a_state_directory_belongs_to_one_lab() {
    let bed = Bed::new(Isolation::Group).await.unwrap();
    let second = Runtime::open(config(bed.state.path(), "second", None)).await;
    assert!(matches!(second, Err(RuntimeError::Taken(_))), "{second:?}");
    bed.close().await;
}

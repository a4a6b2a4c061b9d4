//! How programs are started, found, signalled and ended.

use super::*;

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
            tree: None,
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

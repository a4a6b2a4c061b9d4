//! Limits that bind: the kernel kills whoever takes too much memory, and makes
//! whoever wants too much of the processors wait.

use super::*;

/// Room for a shell, and for nothing that eats.
const SMALL: u64 = 24 << 20;

impl Bed {
    /// A runtime that keeps limits, or none with the reason printed.
    async fn that_limits(isolation: Isolation) -> Option<Self> {
        let bed = Self::new(isolation).await?;
        let enforced = bed.runtime.enforced();
        if let (Ok(()), Ok(())) = (&enforced.memory, &enforced.cpu) {
            return Some(bed);
        }
        let required = std::env::var("AKS_TUI_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.contains("cgroups"), "{enforced}");
        eprintln!("skipped: limits kept here: {enforced}");
        bed.close().await;
        None
    }

    fn limited(&self, argv: &[&str], limits: Limits) -> ContainerSpec {
        ContainerSpec {
            links: vec!["hog".into()],
            limits,
            log_directory: self.state.path().join("logs").join(argv.join(" ")),
            ..self.spec(argv)
        }
    }

    /// The control groups that containers are in, as the lab has noted them.
    fn groups(&self) -> Vec<PathBuf> {
        let ledger = fs::read_to_string(self.state.path().join("cgroups")).unwrap_or_default();
        let bases = ledger.lines().map(PathBuf::from);
        let within = bases.flat_map(|base| fs::read_dir(base).into_iter().flatten().flatten());
        let groups = within.filter(|entry| entry.file_type().unwrap().is_dir());
        groups.map(|entry| entry.path()).collect()
    }
}

fn memory(bytes: u64) -> Limits {
    Limits {
        memory: Some(bytes),
        cpu: None,
    }
}

#[tokio::test]
async fn a_program_that_takes_too_much_memory_is_killed_by_the_kernel() {
    for isolation in BOTH {
        let Some(bed) = Bed::that_limits(isolation).await else {
            continue;
        };
        let greedy = bed.limited(&["hog", "--most", "96", "--every", "0"], memory(48 << 20));
        let greedy = bed.runtime.start(greedy).await.unwrap();
        let modest = bed.limited(&["hog", "--most", "16", "--every", "0"], memory(48 << 20));
        let modest = bed.runtime.start(modest).await.unwrap();
        let exit = within("its end", greedy.wait()).await;
        assert_eq!(exit.ending, Ending::killed(9), "{isolation}");
        assert!(exit.out_of_memory);
        let said = fs::read_to_string(greedy.log().current).unwrap();
        assert!(said.contains("holding 32 MiB"), "{said}");
        assert!(!said.contains("holding 56 MiB"), "{said}");
        logged(&modest, "holding 16 MiB").await;
        assert_eq!(bed.groups().len(), 1, "the group of the one that runs");
        let exit = within("its end", modest.kill()).await;
        assert!(!exit.out_of_memory, "a kill is not a shortage");
        assert!(bed.groups().is_empty());
        bed.close().await;
    }
}

#[tokio::test]
async fn a_command_beside_the_program_counts_too() {
    let Some(bed) = Bed::that_limits(Isolation::Namespaces).await else {
        return;
    };
    let spec = bed.limited(&["sh", "-c", STEADY], memory(SMALL));
    let container = bed.runtime.start(spec).await.unwrap();
    logged(&container, "ready").await;
    let (out, _, code) = run(&container, &["hog", "--most", "96", "--every", "0"]).await;
    assert_eq!(code, 137, "{out}");
    assert!(!out.contains("holding 32 MiB"), "{out}");
    container.kill().await;
    bed.close().await;
}

#[tokio::test]
async fn a_program_that_wants_more_of_the_processors_waits() {
    let Some(bed) = Bed::that_limits(Isolation::Group).await else {
        return;
    };
    let limits = Limits {
        memory: None,
        cpu: Some(50),
    };
    let spec = bed.limited(&["sh", "-c", "while :; do :; done"], limits);
    let container = bed.runtime.start(spec).await.unwrap();
    let [group] = bed.groups().try_into().unwrap();
    within("it is held back", async {
        loop {
            let statistics = fs::read_to_string(group.join("cpu.stat")).unwrap();
            let throttled = statistics
                .lines()
                .find_map(|it| it.strip_prefix("nr_throttled "));
            if throttled.unwrap().parse::<u64>().unwrap() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    container.kill().await;
    bed.close().await;
}

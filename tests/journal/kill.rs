//! `kill -9` of a process that records.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use aks_tui::{
    adapters::journal::{Journal, StateDir, list, read, relay, store, unfinished},
    core::{
        event::{Event, Fact},
        time::Time,
    },
};
use tokio::sync::mpsc;

/// Tells the child which state directory it records in.
const STATE: &str = "AKS_TUI_TEST_RECORD_IN";

/// How many facts the loop has when the child says so for the first time.
const TOLD: u64 = 500;

/// The process that is killed: records until then. Does nothing by itself.
#[tokio::test]
#[ignore = "is the child of the test below"]
async fn record_until_killed() {
    let Some(state) = env::var_os(STATE) else {
        return;
    };
    let dir = StateDir::at(state).runs();
    let opened = Journal::create(&dir, store::run_starting_now()).unwrap();
    let (sink, events) = mpsc::channel(8);
    let (out, mut batches) = mpsc::channel(4);
    let _relay = relay(events, out, Some(opened.journal));
    tokio::spawn(async move {
        for n in 1.. {
            let fact = Fact::PodGone { uid: n.to_string() };
            let at = Time(n);
            sink.send(Event { at, fact }).await.unwrap();
        }
    });
    let mut seen = 0;
    while let Some(batch) = batches.recv().await {
        seen += batch.len() as u64;
        if seen >= TOLD {
            println!("recording");
            seen = 0;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_process_that_is_killed_while_it_records_leaves_a_journal_that_reads() {
    for _ in 0..3 {
        let state = tempfile::tempdir().unwrap();
        let dir = StateDir::at(state.path()).runs();
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::record_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(STATE, state.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines
            .map(Result::unwrap)
            .any(|line| line.contains("recording"));
        assert!(told);
        assert_eq!(unfinished(&dir).unwrap(), None, "it lives");
        assert!(list(&dir).unwrap()[0].living);
        child.kill().unwrap();
        child.wait().unwrap();

        let info = unfinished(&dir).unwrap().expect("nobody ended it");
        let recording = read(&info.path).unwrap();
        assert!(!recording.ended);
        let missed: u64 = recording.gaps.iter().map(|(_, gap)| gap.missed).sum();
        let numbers: Vec<u64> = recording.events[1..]
            .iter()
            .filter(|event| matches!(event.fact, Fact::PodGone { .. }))
            .map(|event| event.at.0)
            .collect();
        assert!(numbers.is_sorted());
        let (count, last) = (numbers.len() as u64, *numbers.last().unwrap());
        assert!(
            last - count <= missed,
            "a fact is missing, and no gap says so"
        );
        assert!(count > TOLD / 2, "{count}: what the loop saw was recorded");

        let size = fs::metadata(&info.path).unwrap().len();
        let opened = Journal::resume(&info.path, store::wall_ms()).unwrap();
        assert!(fs::metadata(&info.path).unwrap().len() > size - 100);
        assert_eq!(opened.events.len(), recording.events.len() + 1);
    }
}

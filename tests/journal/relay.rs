//! From the relay to the file, and from the file to the next cockpit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aks_tui::{
    adapters::journal::{
        Ending, Error, Journal, JournalState, StateDir, list, read, relay,
        store::{run_id, run_starting_now, wall_ms},
        unfinished,
    },
    core::{
        event::{ClusterInfo, Event, Fact, LineKind, LogLine, RunStarted},
        model::Model,
        time::Time,
        trial::{Fault, TrialId, Victim},
        workload::{Role, line::Progress},
    },
};
use tokio::sync::mpsc;

fn event(ms: u64, fact: Fact) -> Event {
    Event {
        at: Time::from_millis(ms),
        fact,
    }
}

fn progress(ms: u64, role: Role, epoch: u64, mib: u64) -> Event {
    let progress = Progress {
        epoch,
        call: mib,
        echoed: mib << 20,
        replaying: false,
    };
    event(ms, Fact::Progress { role, progress })
}

fn cluster() -> Fact {
    Fact::Cluster(ClusterInfo {
        context: "lab".into(),
        namespace: "default".into(),
        ..ClusterInfo::default()
    })
}

fn log_line(text: &str) -> Fact {
    let line = LogLine {
        stamp_ms: None,
        text: text.into(),
        kind: LineKind::Plain,
        replayed: false,
    };
    Fact::Log {
        role: Role::Client,
        lines: vec![line],
    }
}

fn injection(ms: u64, id: u32) -> Event {
    let victim = Victim {
        role: Role::Client,
        namespace: "default".into(),
        pod: "client-1".into(),
        node: None,
        pod_uid: "u1".into(),
        container: "client".into(),
        container_id: Some("c1".into()),
        restarts: 0,
        pid: Some(7),
        volume: None,
    };
    let fact = Fact::FaultInjected {
        trial: TrialId(id),
        fault: Fault::ProcessKill,
        victim,
        lasts: None,
    };
    event(ms, fact)
}

/// A run with one survived kill.
fn story() -> Vec<Event> {
    vec![
        event(5, cluster()),
        progress(100, Role::Client, 1, 10),
        progress(110, Role::Server, 1, 10),
        event(150, log_line("hello")),
        injection(1_000, 1),
        progress(1_300, Role::Client, 2, 11),
        progress(1_400, Role::Server, 1, 12),
    ]
}

/// Sends `events` through a relay into `journal`; returns what the loop got.
async fn pass(journal: Journal, events: Vec<Event>, end: Option<Time>) -> (Vec<Event>, Ending) {
    let (sink, events_in) = mpsc::channel(64);
    let (out, mut batches) = mpsc::channel(4);
    let relay = relay(events_in, out, Some(journal));
    let count = events.len();
    let sender = tokio::spawn(async move {
        for event in events {
            sink.send(event).await.unwrap();
        }
        sink
    });
    let mut got = Vec::new();
    while got.len() < count {
        got.extend(batches.recv().await.unwrap());
    }
    let _sink = sender.await.unwrap();
    let Some(at) = end else {
        drop(relay);
        return (got, Ending::Incomplete);
    };
    (got, relay.end(at).await)
}

fn runs(state: &tempfile::TempDir) -> PathBuf {
    StateDir::at(state.path()).runs()
}

/// Leaves the journal of a cockpit that was killed. Returns once its lock is
/// free, as it is when the process is gone.
async fn killed(dir: &Path, run: RunStarted, events: Vec<Event>) -> PathBuf {
    let opened = Journal::create(dir, run).unwrap();
    let path = opened.journal.path().to_owned();
    pass(opened.journal, events, None).await;
    let file = fs::File::open(&path).unwrap();
    tokio::task::spawn_blocking(move || file.lock_shared().unwrap())
        .await
        .unwrap();
    path
}

#[tokio::test]
async fn what_the_loop_sees_is_what_a_reader_sees() {
    let state = tempfile::tempdir().unwrap();
    let opened = Journal::create(&runs(&state), run_starting_now()).unwrap();
    let path = opened.journal.path().to_owned();
    let beginning = opened.events.clone();
    assert_eq!(opened.now, Time::ZERO);

    let (got, ending) = pass(opened.journal, story(), Some(Time::from_millis(2_000))).await;
    assert_eq!(ending, Ending::Recorded);
    assert_eq!(got, story());

    let recording = read(&path).unwrap();
    let expected: Vec<_> = beginning
        .into_iter()
        .chain(story())
        .filter(|event| event.fact.is_recorded())
        .chain([event(2_000, Fact::RunEnded)])
        .collect();
    assert_eq!(recording.events, expected);
    assert!(recording.ended);
    assert!(recording.notes().is_empty());
    assert!(!fs::read_to_string(&path).unwrap().contains("hello"));
}

#[tokio::test]
async fn a_finished_run_is_listed_by_its_last_words() {
    let state = tempfile::tempdir().unwrap();
    let started = run_starting_now();
    let opened = Journal::create(&runs(&state), started.clone()).unwrap();
    pass(opened.journal, story(), Some(Time::from_millis(2_000))).await;

    let listed = list(&runs(&state)).unwrap();
    let [info] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!(info.run, started.run);
    assert_eq!(info.started_ms, Some(started.wall_ms));
    assert_eq!(info.length.as_millis(), 2_000);
    assert_eq!(info.cluster.as_ref().unwrap().context, "lab");
    assert_eq!((info.summary.kills, info.summary.survived), (1, 1));
    assert_eq!(info.summary.rto.unwrap().p50.as_millis(), 300);
    assert!(info.ended && !info.living && info.trouble.is_none());
    assert_eq!(unfinished(&runs(&state)).unwrap(), None);
}

#[tokio::test]
async fn a_run_whose_cockpit_was_killed_is_found_and_taken_up() {
    let state = tempfile::tempdir().unwrap();
    let dir = runs(&state);
    let path = killed(&dir, run_starting_now(), story()).await;

    let listed = list(&dir).unwrap();
    assert_eq!((listed[0].summary.kills, listed[0].ended), (1, false));
    assert_eq!(listed[0].cluster.as_ref().unwrap().context, "lab");
    assert_eq!(unfinished(&dir).unwrap().unwrap().path, path);

    let later = wall_ms() + 60_000;
    let opened = Journal::resume(&path, later).unwrap();
    assert!(opened.now >= Time::from_millis(60_000), "{}", opened.now);
    assert!(opened.now < Time::from_millis(120_000), "{}", opened.now);
    let model = Model::fold(&opened.events);
    assert_eq!(model.ledger.summary().survived, 1);
    assert_eq!(opened.events.last().unwrap().fact, Fact::CockpitResumed);

    let living = list(&dir).unwrap();
    assert!(living[0].living);
    assert_eq!(unfinished(&dir).unwrap(), None, "a living run is not taken");
    assert!(matches!(
        Journal::resume(&path, later),
        Err(Error::Locked(_))
    ));

    let second = vec![
        injection(70_000, 2),
        progress(70_500, Role::Client, 3, 20),
        progress(70_600, Role::Server, 1, 20),
    ];
    let (_, ending) = pass(opened.journal, second, Some(Time::from_millis(71_000))).await;
    assert_eq!(ending, Ending::Recorded);
    let info = &list(&dir).unwrap()[0];
    assert_eq!((info.summary.kills, info.summary.survived), (2, 2));
    assert!(matches!(Journal::resume(&path, later), Err(Error::Over(_))));
}

#[tokio::test]
async fn a_wall_clock_that_was_set_back_makes_no_time_pass() {
    let state = tempfile::tempdir().unwrap();
    let path = killed(&runs(&state), run_starting_now(), story()).await;
    let opened = Journal::resume(&path, wall_ms() - 3_600_000).unwrap();
    assert_eq!(opened.now, Time::from_millis(1_400));
}

#[tokio::test]
async fn a_record_that_was_half_written_is_cut_off_before_the_next() {
    let state = tempfile::tempdir().unwrap();
    let path = killed(&runs(&state), run_starting_now(), story()).await;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();

    let recording = read(&path).unwrap();
    assert!(recording.dropped_tail > 0);
    let opened = Journal::resume(&path, wall_ms()).unwrap();
    assert_eq!(opened.notes.len(), 1);
    assert!(
        opened.notes[0].contains("half written"),
        "{:?}",
        opened.notes
    );
    pass(opened.journal, Vec::new(), Some(Time::from_millis(9_000))).await;
    let whole = read(&path).unwrap();
    assert_eq!(whole.dropped_tail, 0);
    assert!(whole.ended);
    assert_eq!(whole.events.len(), recording.events.len() + 2);
}

#[tokio::test]
async fn bad_journals_are_listed_with_their_trouble() {
    let state = tempfile::tempdir().unwrap();
    let dir = runs(&state);
    let path = killed(&dir, run_starting_now(), story()).await;
    let good = fs::read_to_string(&path).unwrap();
    fs::write(dir.join("20200101-000000-aaaa.jsonl"), "").unwrap();
    fs::write(dir.join("20200102-000000-aaaa.jsonl"), "hello\n").unwrap();
    let newer = r#"{"v":[2,0],"something":"else"}"#;
    let newer = format!("{newer}\t{:08x}\n", crc32fast::hash(newer.as_bytes()));
    fs::write(dir.join("20200103-000000-aaaa.jsonl"), newer).unwrap();
    let second_line = good.find('\n').unwrap() + 1;
    let damaged = good.replacen("\"lab\"", "\"lap\"", 1);
    fs::write(dir.join("20200104-000000-aaaa.jsonl"), damaged).unwrap();
    fs::create_dir(dir.join("20200105-000000-aaaa.jsonl")).unwrap();
    fs::write(dir.join("notes.txt"), "not ours").unwrap();

    let listed = list(&dir).unwrap();
    let troubles: Vec<_> = listed
        .iter()
        .map(|info| info.trouble.clone().unwrap_or_default())
        .collect();
    assert_eq!(troubles.len(), 6);
    assert_eq!(troubles[0], "");
    assert!(troubles[1].contains("cannot read"), "{}", troubles[1]);
    assert!(
        troubles[2].contains(&format!("damaged at byte {second_line}")),
        "{}",
        troubles[2]
    );
    assert!(troubles[3].contains("newer aks-tui"), "{}", troubles[3]);
    assert!(troubles[4].contains("damaged at byte 0"), "{}", troubles[4]);
    assert!(troubles[5].contains("holds no record"), "{}", troubles[5]);
    assert_eq!(unfinished(&dir).unwrap().unwrap().path, path);
}

#[test]
fn a_newer_minor_format_is_read_as_far_as_it_is_known() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("x.jsonl");
    let line = |json: &str| format!("{json}\t{:08x}\n", crc32fast::hash(json.as_bytes()));
    let start = r#"{"v":[1,7],"at":0,"mood":"good","fact":{"run_started":{"run":"x","wall_ms":1,"version":"9"}}}"#;
    let unknown = r#"{"at":5,"fact":{"node_drained":{"node":"a"}}}"#;
    let known = r#"{"at":9,"fact":"run_ended"}"#;
    fs::write(&path, [line(start), line(unknown), line(known)].concat()).unwrap();
    let recording = read(&path).unwrap();
    assert_eq!((recording.events.len(), recording.skipped), (2, 1));
    assert!(recording.ended);

    // The same in our own format is damage: nobody ever wrote that.
    let ours = start.replace("[1,7]", "[1,0]");
    fs::write(&path, [line(&ours), line(unknown)].concat()).unwrap();
    assert!(matches!(read(&path), Err(Error::Damaged { offset, .. }) if offset > 0));
}

#[tokio::test]
async fn without_a_journal_everything_passes() {
    let (sink, events_in) = mpsc::channel(64);
    let (out, mut batches) = mpsc::channel(4);
    let relay = relay(events_in, out, None);
    for event in story() {
        sink.send(event).await.unwrap();
    }
    let mut got = Vec::new();
    while got.len() < story().len() {
        got.extend(batches.recv().await.unwrap());
    }
    assert_eq!(*relay.state().borrow(), JournalState::Off);
    assert_eq!(relay.end(Time::ZERO).await, Ending::Off);
}

#[tokio::test]
async fn a_loop_that_has_left_does_not_keep_the_end_from_being_recorded() {
    let state = tempfile::tempdir().unwrap();
    let opened = Journal::create(&runs(&state), run_starting_now()).unwrap();
    let path = opened.journal.path().to_owned();
    let (sink, events_in) = mpsc::channel(64);
    // One place, and nobody takes anything: the relay is stuck in handing over.
    let (out, batches) = mpsc::channel(1);
    let relay = relay(events_in, out, Some(opened.journal));
    for event in story() {
        sink.send(event).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(relay.end(Time::from_millis(2_000)).await, Ending::Recorded);
    drop(batches);
    let recording = read(&path).unwrap();
    // The log line is not recorded; the beginning and the end are.
    assert_eq!(recording.events.len(), story().len() - 1 + 2);
}

#[cfg(unix)]
#[test]
fn a_journal_is_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = tempfile::tempdir().unwrap();
    let opened = Journal::create(&runs(&state), run_starting_now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(opened.journal.path()), 0o600);
    assert_eq!(mode(&runs(&state)), 0o700);
}

#[test]
fn runs_sort_by_time() {
    let id = run_id(1_795_333_512_345);
    assert_eq!(&id[..16], "20261122-074512-");
    assert_eq!(id.len(), 20);
    assert!(run_id(1_795_333_513_000) > id);
}

#[test]
fn an_unwritable_place_is_an_error_that_names_it() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Journal::create(&file.join("runs"), run_starting_now()).unwrap_err();
    assert!(error.to_string().contains("file/runs"), "{error}");
    assert!(list(&state.path().join("nowhere")).unwrap().is_empty());
}

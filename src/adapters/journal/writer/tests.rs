//! Disks that are slow, full or broken.

use std::{
    path::PathBuf,
    sync::{Condvar, Mutex},
};

use tokio::runtime;

use super::*;
use crate::{
    adapters::journal::{
        Reader, Recording,
        handle::{Journal, Opened},
    },
    core::{
        event::RunStarted,
        workload::{Role, line::Progress},
    },
};

/// A disk whose moods a test decides.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<(Mutex<Mood>, Condvar)>);

#[derive(Debug, Default)]
struct Mood {
    bytes: Vec<u8>,
    /// A write waits until the test lets it go on.
    hangs: bool,
    /// A write that hangs has begun.
    waiting: bool,
    /// Takes this much of a write and refuses the rest.
    takes: Option<usize>,
    /// Cannot be made shorter either.
    uncut: bool,
    writes: usize,
}

impl Disk {
    fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn until(&self, holds: impl Fn(&Mood) -> bool) {
        let waiting = self.0.1.wait_timeout_while(
            self.0.0.lock().unwrap(),
            Duration::from_secs(20),
            |mood| !holds(mood),
        );
        assert!(!waiting.unwrap().1.timed_out(), "it never came to that");
    }

    fn recording(&self) -> Recording {
        let mood = self.0.0.lock().unwrap();
        let mut reader = Reader::new(&PathBuf::from("fake"), &mood.bytes[..]);
        Recording::collect(&mut reader).unwrap()
    }
}

impl Storage for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut mood = self.0.0.lock().unwrap();
        mood.waiting = mood.hangs;
        self.0.1.notify_all();
        mood = self.0.1.wait_while(mood, |mood| mood.hangs).unwrap();
        mood.waiting = false;
        mood.writes += 1;
        let taken = mood.takes.unwrap_or(bytes.len()).min(bytes.len());
        mood.bytes.extend_from_slice(&bytes[..taken]);
        self.0.1.notify_all();
        if taken < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        let mut mood = self.0.0.lock().unwrap();
        if mood.uncut {
            return Err(io::ErrorKind::StorageFull.into());
        }
        mood.bytes.truncate(len as usize);
        Ok(())
    }
}

fn open(disk: &Disk) -> Journal {
    let fact = Fact::RunStarted(RunStarted {
        run: "r".into(),
        wall_ms: 1,
        version: "1".into(),
    });
    let started = Event {
        at: Time::ZERO,
        fact,
    };
    let opened = Journal::start("fake".into(), disk.clone(), 0, Vec::new(), started);
    let Opened { journal, .. } = opened.unwrap();
    journal
}

fn fact(n: u64) -> Event {
    Event {
        at: Time::from_millis(n),
        fact: Fact::PodGone { uid: n.to_string() },
    }
}

fn sample(n: u64) -> Event {
    let progress = Progress {
        epoch: 1,
        call: n,
        echoed: n,
        replaying: false,
    };
    Event {
        at: Time::from_millis(n * 100),
        fact: Fact::Progress {
            role: Role::Client,
            progress,
        },
    }
}

/// Ends the run and says what can be read then.
fn end(journal: Journal, disk: &Disk) -> Recording {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(journal.end(Time::from_millis(99_000)))
        .unwrap();
    disk.recording()
}

/// Waits until the journal says that recording goes as `holds` wants it.
fn until_state(journal: &Journal, holds: impl FnMut(&JournalState) -> bool) -> JournalState {
    let mut state = journal.state();
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let wait = tokio::time::timeout(Duration::from_secs(20), state.wait_for(holds));
        wait.await.unwrap().unwrap().clone()
    })
}

/// Which of the test's facts are recorded.
fn uids(recording: &Recording) -> Vec<&str> {
    let uid = |event| match event {
        &Event {
            fact: Fact::PodGone { ref uid },
            ..
        } => Some(uid.as_str()),
        _ => None,
    };
    recording.events.iter().filter_map(uid).collect()
}

#[test]
fn what_waits_is_one_write() {
    let disk = Disk::default();
    let mut journal = open(&disk);
    disk.set(|mood| mood.hangs = true);
    journal.record(&[fact(1)]);
    disk.until(|mood| mood.waiting);
    for n in 2..=50 {
        journal.record(&[fact(n)]);
    }
    disk.set(|mood| mood.hangs = false);
    let recording = end(journal, &disk);
    assert_eq!(uids(&recording).len(), 50);
    // The beginning, the first fact, all that waited, and the end.
    assert_eq!(disk.0.0.lock().unwrap().writes, 4);
}

#[test]
fn a_disk_that_hangs_costs_samples_and_says_so_for_as_long_as_it_does() {
    let disk = Disk::default();
    let mut journal = open(&disk);
    journal.record(&[sample(1)]);
    disk.set(|mood| mood.hangs = true);
    journal.record(&[fact(1)]);
    disk.until(|mood| mood.waiting);
    while !journal.shared().is_slow() {
        std::thread::yield_now();
    }
    for n in 2..=30 {
        journal.record(&[sample(n)]);
    }
    let paused = JournalState::Paused {
        why: SLOW_DISK.into(),
        missed: 29,
    };
    assert_eq!(*journal.state().borrow(), paused);
    journal.record(&[fact(4_000)]);

    disk.set(|mood| mood.hangs = false);
    until_state(&journal, |state| *state == JournalState::Recording);
    let recording = end(journal, &disk);
    assert_eq!(uids(&recording), ["1", "4000"], "only samples were missed");
    let missed: u64 = recording.gaps.iter().map(|(_, gap)| gap.missed).sum();
    assert_eq!(missed, 29);
    assert_eq!(recording.gaps[0].1.why, SLOW_DISK);
}

#[test]
fn a_queue_that_is_full_lets_facts_pass() {
    let disk = Disk::default();
    let mut journal = open(&disk);
    disk.set(|mood| mood.hangs = true);
    for n in 0..QUEUE + 5 {
        journal.record(&[fact(n)]);
    }
    let state = journal.state().borrow().clone();
    assert!(
        matches!(state, JournalState::Paused { missed: 5, .. }),
        "{state:?}"
    );
    disk.set(|mood| mood.hangs = false);
    let recording = end(journal, &disk);
    assert_eq!(uids(&recording).len() as u64, QUEUE);
    assert_eq!(recording.gaps.len(), 1);
    assert_eq!(recording.gaps[0].1.missed, 5);
    assert!(recording.ended);
}

#[test]
fn a_full_disk_is_said_and_once_there_is_room_the_gap_is_too() {
    let disk = Disk::default();
    let mut journal = open(&disk);
    disk.set(|mood| mood.takes = Some(10));
    journal.record(&[fact(1), fact(2)]);
    let state = until_state(&journal, |state| *state != JournalState::Recording);
    let JournalState::Paused { why, missed } = state else {
        panic!("{state:?}")
    };
    assert_eq!(missed, 2);
    assert!(why.contains("the disk refused"), "{why}");
    journal.record(&[fact(3)]);
    until_state(&journal, |state| {
        matches!(state, JournalState::Paused { missed: 3, .. })
    });
    // Nothing more comes in: the journal finds out by itself.
    disk.set(|mood| mood.takes = None);
    until_state(&journal, |state| *state == JournalState::Recording);
    journal.record(&[fact(4)]);
    let recording = end(journal, &disk);
    assert_eq!(uids(&recording), ["4"]);
    let missed: Vec<u64> = recording.gaps.iter().map(|(_, gap)| gap.missed).collect();
    assert_eq!(missed, [3]);
    assert_eq!(recording.dropped_tail, 0);
}

#[test]
fn a_torn_record_is_cut_off_before_anything_else_is_written() {
    let disk = Disk::default();
    let mut journal = open(&disk);
    disk.set(|mood| {
        mood.takes = Some(10);
        mood.uncut = true;
    });
    journal.record(&[fact(1)]);
    until_state(&journal, |state| *state != JournalState::Recording);
    assert_eq!(disk.recording().dropped_tail, 10);
    disk.set(|mood| {
        mood.takes = None;
        mood.uncut = false;
    });
    until_state(&journal, |state| *state == JournalState::Recording);
    journal.record(&[fact(2)]);
    let recording = end(journal, &disk);
    assert_eq!(uids(&recording), ["2"]);
    assert_eq!((recording.dropped_tail, recording.ended), (0, true));
}

#[test]
fn a_journal_grows_to_its_limit_and_still_tells_its_end() {
    let disk = Disk::default();
    let (state, seen) = watch::channel(JournalState::Recording);
    let shared = Arc::new(Shared::new(state));
    let mut writer = Writer::new(disk.clone(), 0, Arc::clone(&shared));
    writer.limit = 4_000;
    let mut bytes = Vec::new();
    let started = Event {
        at: Time::ZERO,
        fact: Fact::RunStarted(RunStarted {
            run: "r".into(),
            wall_ms: 1,
            version: "1".into(),
        }),
    };
    let record = Written {
        v: Some(crate::adapters::journal::record::FORMAT),
        ..Written::from(&started)
    };
    record.append_to(&mut bytes).unwrap();
    writer.append(&bytes).unwrap();
    for n in 0..1_000 {
        writer.write(&[fact(n)]);
    }
    assert_eq!(*seen.borrow(), JournalState::Full);
    writer.end(Time::from_millis(1_000), &Digest::default());
    assert_eq!(*seen.borrow(), JournalState::Full);

    let recording = disk.recording();
    let kept = uids(&recording).len();
    assert!((20..200).contains(&kept), "{kept}");
    assert!(recording.ended);
    assert!(recording.gaps[0].1.why.contains("64 MiB"));
    assert!(disk.0.0.lock().unwrap().bytes.len() < 4_000 + 1_000);
}
